/* Other thresholds for a detector that goes on: offered by one thread, taken as a pair by the one that evaluates samples. */
#ifndef FLISR_ADJUST_H
#define FLISR_ADJUST_H

#include <stdatomic.h>

typedef struct {
    double phase_pickup_a, earth_pickup_a;
    atomic_int step;          /* who may touch the pair */
} adjustment;

void adjust_prepare(adjustment *a);
/* The newest offer replaces one that has not been taken. 0, EINVAL: not positive and finite, EAGAIN: just now touched. */
int adjust_offer(adjustment *a, double phase_pickup_a, double earth_pickup_a);
/* 1: there was an offer, and it is taken. */
int adjust_take(adjustment *a, double *phase_pickup_a, double *earth_pickup_a);

#endif
