/* Earth faults of isolated and compensated networks, by what the network's capacitance takes as they strike. */
#ifndef FLISR_STRIKE_H
#define FLISR_STRIKE_H

#include <stdint.h>

#include "api.h"

#define STRIKE_AGAIN 3

/* Of the window: charge q, voltage change u, twice integrated voltage w. */
typedef struct {
    double uu, uw, ww, qu, qw, qq;
} strike_sums;

typedef struct {
    double current_scale, voltage_scale; /* A and V (a third of the sum) per count */
    double crest;              /* of a phase's rated voltage, V */
    double least_charge;       /* r.m.s. over the window, A times samples */
    int32_t cycle, quarter;    /* samples */
    int32_t gap;               /* strikes further apart are faults of their own */
    int32_t coil;              /* 1: somewhere is one */
    int32_t rest;              /* samples after a window in which none begins by a bend */
    int32_t age;               /* samples of the present window; 0: none */
    int32_t still;             /* consecutive samples without a change against the cycle before */
    int32_t even;              /* consecutive samples without a bend */
    int32_t waiting;           /* samples since the last window, which the network has not come to rest after */
    double itself[2];          /* residual voltage of the last samples */
    double volts, amperes;     /* changes against the cycle before, of the last sample */
    double from, charge, flux, twice;
    double now2, before2;      /* squares of the voltage itself, and a cycle ago */
    strike_sums sums;
    /* found */
    int32_t direction;         /* of the last strike; NONE: it is over, or there was none */
    int32_t strikes;           /* all of them */
    int32_t run;               /* forward ones in a row, none long after the one before */
    int64_t last;              /* index of the last forward one */
    int64_t judged;            /* index of the last one */
} strike;

/* Sums of the phases' counts, currents and voltages, now and a cycle ago. */
typedef struct {
    int64_t amperes, volts, amperes_before, volts_before;
} strike_input;

void strike_prepare(strike *s, const core_config *config);
/* The earth pick-up of the configuration is another. */
void strike_adjust(strike *s, const core_config *config);
/* After a gap; what was counted stays. */
void strike_forget(strike *s);
void strike_sample(strike *s, const strike_input *in, int64_t index);
/* When the residual voltage is gone, and not only just about to rise, so is the fault, as far as one strike can tell. */
static inline void strike_age(strike *s, int gone, int64_t index) {
    if (gone && !s->age && index - s->judged >= s->cycle) s->direction = 0;
    if (s->run && index - s->last > s->gap) s->run = 0;
}
/* Whether it strikes again and again. */
static inline int strike_again(const strike *s) { return s->run >= STRIKE_AGAIN; }

#endif
