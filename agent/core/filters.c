/* Sliding sums over a half and a full cycle, the same behind a mimic impedance, and what the elements compare of them. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "detector.h"
#include "phasor.h"

#define TABLE_UNIT 1048576.0   /* 2^20: sums of 31-bit samples over a cycle stay within 63 bits */

/* Made once for each rate and kept: NULL only without memory. */
static const detector_table *table_of(int32_t cycle) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static detector_table *made[DETECTOR_CYCLE + 1];
    pthread_mutex_lock(&lock);
    detector_table *table = made[cycle];
    if (!table && (table = made[cycle] = malloc(sizeof *table)))
        for (int k = 0; k < cycle; k++) {
            table->cosine[k] = (int32_t)lround(cos(2 * M_PI * k / cycle) * TABLE_UNIT);
            table->sine[k] = (int32_t)lround(sin(2 * M_PI * k / cycle) * TABLE_UNIT);
        }
    pthread_mutex_unlock(&lock);
    return table;
}

int filters_prepare(detector *d) {
    const core_config *config = &d->config;
    d->table = table_of(d->cycle);
    for (int c = 0; c < 6; c++) {
        double scale = (c < 3 ? config->current_scale : config->voltage_scale) * M_SQRT2 / TABLE_UNIT;
        d->full_scale[c] = scale / d->cycle;
        d->half_scale[c] = scale / d->half;
    }
    double tau = DETECTOR_MIMIC_CYCLES * d->cycle;
    double complex one = turn(-360.0 / d->cycle);
    double complex gain = (1 + tau) - tau * one;
    d->mimic_now = (1 + tau) / gain;
    d->mimic_before = -tau * one / gain;
    return d->table ? 0 : -1;
}

void filters_forget(detector *d) {
    memset(d->history, 0, sizeof d->history);
    memset(d->full_re, 0, sizeof d->full_re);
    memset(d->full_im, 0, sizeof d->full_im);
    memset(d->half_re, 0, sizeof d->half_re);
    memset(d->half_im, 0, sizeof d->half_im);
    memset(d->second_re, 0, sizeof d->second_re);
    memset(d->second_im, 0, sizeof d->second_im);
    memset(d->full, 0, sizeof d->full);
    memset(d->half_sum, 0, sizeof d->half_sum);
}

void filters_slide(detector *d, const int32_t values[CORE_CHANNELS]) {
    int k = d->at;
    int middle = k >= d->half ? k - d->half : k + d->half;
    int twice = 2 * k >= d->cycle ? 2 * k - d->cycle : 2 * k;
    const detector_table *t = d->table;
    int64_t c = t->cosine[k], s = t->sine[k], c2 = t->cosine[twice], s2 = t->sine[twice];
    int32_t *row = d->history[k];
    const int32_t *opposite = d->history[middle];
    memcpy(d->full_before, d->full, sizeof d->full);
    memcpy(d->half_before, d->half_sum, sizeof d->half_sum);
#pragma GCC unroll 6
    for (int i = 0; i < 6; i++) {
        int64_t x = values[detector_channel(i)], gone = row[i], between = opposite[i];
        row[i] = (int32_t)x;
        d->full_re[i] += (x - gone) * c;
        d->full_im[i] -= (x - gone) * s;
        d->full[i] = ((double)d->full_re[i] + I * (double)d->full_im[i]) * d->full_scale[i];
        if (i >= 3) continue;
        d->half_re[i] += (x + between) * c;
        d->half_im[i] -= (x + between) * s;
        d->second_re[i] += (x - gone) * c2;
        d->second_im[i] -= (x - gone) * s2;
        d->half_sum[i] = ((double)d->half_re[i] + I * (double)d->half_im[i]) * d->half_scale[i];
    }
    d->full[6] = d->full[0] + d->full[1] + d->full[2];
    d->half_sum[3] = d->half_sum[0] + d->half_sum[1] + d->half_sum[2];
}

static double complex mimic(const detector *d, double complex now, double complex before) {
    return times(d->mimic_now, now) + times(d->mimic_before, before);
}

void filters_magnitudes(detector *d) {
    for (int i = 0; i < 4; i++) {
        int f = i == 3 ? 6 : i;
        d->current_full[i] = mimic(d, d->full[f], d->full_before[f]);
        d->current_half[i] = mimic(d, d->half_sum[i], d->half_before[i]);
        d->full_mimic2[i] = norm2(d->current_full[i]);
        d->half_mimic2[i] = norm2(d->current_half[i]);
        d->full2[i] = smaller(d->full_mimic2[i], norm2(d->full[f]));
        d->half2[i] = smaller(d->half_mimic2[i], norm2(d->half_sum[i]));
    }
    double complex residual = 0;
    for (int i = 0; i < 3; i++) {
        double complex second = ((double)d->second_re[i] + I * (double)d->second_im[i]) * d->full_scale[i];
        d->second2[i] = norm2(second);
        residual += second;
        d->voltage_full[i] = mimic(d, d->full[3 + i], d->full_before[3 + i]);
    }
    d->second2[3] = norm2(residual);
    d->voltage_full[3] = d->voltage_full[0] + d->voltage_full[1] + d->voltage_full[2];
}

void detector_meter(const detector *d, detector_meters *m) {
    int twice = 2 * (d->at ? d->at - 1 : d->cycle - 1) % d->cycle; /* of the newest sample */
    memcpy(m->current, d->current_full, sizeof m->current);
    memcpy(m->voltage, d->voltage_full, sizeof m->voltage);
    memcpy(m->full2, d->full2, sizeof m->full2);
    memcpy(m->half2, d->half2, sizeof m->half2);
    memcpy(m->second2, d->second2, sizeof m->second2);
    m->correction = d->frequency.correction;
    m->mirror = ((double)d->table->cosine[twice] - I * (double)d->table->sine[twice]) / TABLE_UNIT;
}

void detector_read(const detector_meters *m, core_state *s) {
    double most = 0;
    for (int i = 0; i < 4; i++) {
        double complex current = frequency_corrected(&m->correction, m->current[i], m->mirror);
        double complex voltage = frequency_corrected(&m->correction, m->voltage[i], m->mirror);
        s->current_re[i] = creal(current);
        s->current_im[i] = cimag(current);
        s->voltage_re[i] = creal(voltage);
        s->voltage_im[i] = cimag(voltage);
        s->full_a[i] = sqrt(m->full2[i]);
        s->half_a[i] = sqrt(m->half2[i]);
        if (i == 3) break;
        s->second_a[i] = sqrt(m->second2[i]);
        most = larger(most, s->second_a[i]);
    }
    s->second_a[3] = most;
    s->frequency_hz = m->correction.hz;
    s->frequency_held = m->correction.held;
}
