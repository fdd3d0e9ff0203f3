/* A channel's waveform, given by phasors, and the waveforms it goes over to at their time. */
#ifndef FLISR_WAVEFORM_H
#define FLISR_WAVEFORM_H

#include <stdint.h>

#include "api.h"

#define WAVEFORM_QUEUE 64 /* segments ahead on one channel */

typedef struct {
    int64_t start_us;
    double re, im, dc, dc_rate, decay_re, decay_im, decay_rate, second_re, second_im, second_rate;
    int rings;                    /* 0: nothing swings */
    double ring_rate[CORE_MODES], ring_turn[CORE_MODES], ring_re[CORE_MODES], ring_im[CORE_MODES];
} wave;

typedef struct {
    wave now;
    wave queue[WAVEFORM_QUEUE];
    int queued;
    double scale;  /* counts per A or V */
    double noise;  /* counts */
} channel;

/* Whether there is room for one more, behind everything that was queued for a later time, which is forgotten. */
int waveform_room(channel *c, int64_t start_us);
/* Channel i of the segment; there is room. */
void waveform_queue(channel *c, const source_segment *segment, int i);
/* Uses up the queue as far as this time. */
void waveform_advance(channel *c, int64_t t_us);
/* What holds at this time; nothing is used up. */
const wave *waveform_at(const channel *c, int64_t t_us);
/* A or V; cosine and sine of the nominal angle at this time. */
double waveform_instant(const wave *w, int64_t t_us, double cosine, double sine);
/* Of standard deviation 1. */
double waveform_noise(uint64_t *random);
/* Rounded, as far as it fits. */
int32_t waveform_count(double value);

#endif
