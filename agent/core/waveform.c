/* See waveform.h. */
#include "waveform.h"

#include <math.h>
#include <string.h>

#define FADED -30.0 /* e to this is below the least count */

static double rate_of(double tau_s) { return tau_s > 0 ? 1 / tau_s : 0; }

int waveform_room(channel *c, int64_t start_us) {
    while (c->queued && c->queue[c->queued - 1].start_us >= start_us) c->queued--;
    return c->queued < WAVEFORM_QUEUE;
}

void waveform_queue(channel *c, const source_segment *segment, int i) {
    wave *w = &c->queue[c->queued++];
    *w = (wave){
        segment->start_us[i],
        segment->re[i],
        segment->im[i],
        segment->dc[i],
        rate_of(segment->dc_tau_s[i]),
        segment->decay_re[i],
        segment->decay_im[i],
        rate_of(segment->decay_tau_s[i]),
        segment->second_re[i],
        segment->second_im[i],
        rate_of(segment->second_tau_s[i]),
        0, {0}, {0}, {0}, {0},
    };
    for (int k = 0; k < CORE_MODES; k++) {
        if (segment->ring_re[i][k] == 0 && segment->ring_im[i][k] == 0) continue;
        w->ring_rate[w->rings] = segment->ring_rate[k];
        w->ring_turn[w->rings] = segment->ring_turn[k];
        w->ring_re[w->rings] = segment->ring_re[i][k];
        w->ring_im[w->rings++] = segment->ring_im[i][k];
    }
}

const wave *waveform_at(const channel *c, int64_t t_us) {
    const wave *w = &c->now;
    for (int k = 0; k < c->queued && c->queue[k].start_us <= t_us; k++) w = &c->queue[k];
    return w;
}

void waveform_advance(channel *c, int64_t t_us) {
    int used = 0;
    while (used < c->queued && c->queue[used].start_us <= t_us) c->now = c->queue[used++];
    if (used) {
        c->queued -= used;
        memmove(c->queue, c->queue + used, (size_t)c->queued * sizeof *c->queue);
    }
}

double waveform_instant(const wave *w, int64_t t_us, double cosine, double sine) {
    double value = M_SQRT2 * (w->re * cosine - w->im * sine);
    double s = (double)(t_us - w->start_us) * 1e-6;
    if (w->dc != 0) value += w->dc * exp(-s * w->dc_rate);
    if (w->decay_re != 0 || w->decay_im != 0) value += M_SQRT2 * (w->decay_re * cosine - w->decay_im * sine) * exp(-s * w->decay_rate);
    if (w->second_re != 0 || w->second_im != 0) {
        double cosine2 = cosine * cosine - sine * sine, sine2 = 2 * sine * cosine;
        value += M_SQRT2 * (w->second_re * cosine2 - w->second_im * sine2) * exp(-s * w->second_rate);
    }
    for (int k = 0; k < w->rings; k++) {
        if (w->ring_rate[k] * s < FADED) continue;
        double angle = w->ring_turn[k] * s;
        value += exp(w->ring_rate[k] * s) * (w->ring_re[k] * cos(angle) - w->ring_im[k] * sin(angle));
    }
    return value;
}

double waveform_noise(uint64_t *random) {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    uint64_t r = *random;
    int64_t sum = (int64_t)(r & 0xFFFF) + (int64_t)(r >> 16 & 0xFFFF) + (int64_t)(r >> 32 & 0xFFFF) + (int64_t)(r >> 48);
    return ((double)sum - 131070.0) / 37837.0; /* four uniform numbers: standard deviation 1 */
}

int32_t waveform_count(double value) {
    if (value >= 2147483647.0) return INT32_MAX;
    if (value <= -2147483647.0) return -INT32_MAX;
    return (int32_t)lrint(value);
}
