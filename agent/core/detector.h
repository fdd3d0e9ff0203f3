/* Filters and elements of one device: three currents and three voltages in, level, direction and presence out.
   agent/sv/reference.py says the same in Python and is tested equal. */
#ifndef FLISR_DETECTOR_H
#define FLISR_DETECTOR_H

#include <complex.h>
#include <stdint.h>

#include "api.h"
#include "frequency.h"
#include "onset.h"
#include "strike.h"

#define DETECTOR_CYCLE 256   /* most samples a cycle */
#define DETECTOR_PAST 385    /* 1.5 cycles and the present */
#define DETECTOR_MIMIC_CYCLES 2.0
#define DETECTOR_POWERS 26   /* quarter cycles: five cycles of average, one and a half of delay */

enum { QUIET, START, PICKUP, BLIND };
enum { NONE, INTO_B, INTO_A, UNKNOWN };
enum { DEAD, LIVE, LIVE_UNKNOWN };
enum { EARTH_TRIP, EARTH_WATTMETRIC, EARTH_VARMETRIC, EARTH_OFF };

typedef struct {
    int32_t on;
    int32_t below;   /* consecutive samples below the reset level */
    int32_t above;   /* consecutive samples of the full-cycle value above */
} detector_element;

/* What a later sample looks back at. */
typedef struct {
    double complex current[3], positive;
    double full2[3];
} detector_past;

/* Cosine and sine of a cycle's samples, in units of 2^-20. */
typedef struct {
    int32_t cosine[DETECTOR_CYCLE], sine[DETECTOR_CYCLE];
} detector_table;

typedef struct {
    core_config config;
    core_state state;
    int32_t cycle, half, quarter;
    double full_scale[6], half_scale[6];
    double complex mimic_now, mimic_before;
    double zero_peak[3];                       /* counts */
    const detector_table *table;               /* shared by all detectors of this rate */
    /* sliding sums, exact integers */
    int64_t full_re[6], full_im[6], half_re[3], half_im[3], second_re[3], second_im[3];
    double complex full[7], full_before[7], half_sum[4], half_before[4];
    int64_t index;                             /* samples since the last reset */
    int32_t at;                                /* index modulo cycle */
    int32_t voltage_good;
    /* values of the present sample, squared where they end in 2 */
    double complex current_full[4], current_half[4], voltage_full[4];
    double full2[4], half2[4], full_mimic2[4], half_mimic2[4], second2[4];
    /* elements */
    onset onset;
    detector_element phase_start, phase_pickup, earth_start, earth_pickup;
    int32_t small[3], all_small, restrained, shaken, early, alarm_count;
    int64_t sub_off_until, sub_high_until, sealed_until, earth_off_until;
    int64_t episode_index;
    double complex memory, load[3];            /* from before the episode */
    int64_t memory_until;
    int32_t direction_next, direction_count;
    double p[DETECTOR_POWERS], q[DETECTOR_POWERS];
    int32_t powers;                            /* pushed since the last clearing */
    frequency frequency;
    strike strike;
    /* With many streams, every line fetched from memory counts: what is used together lies together. */
    int32_t past_at, past_length;
    detector_past past[DETECTOR_PAST];
    int32_t history[DETECTOR_CYCLE][6];
} detector;

/* As they were at one sample; squares end in 2. */
typedef struct {
    double complex current[4], voltage[4], mirror;
    double full2[4], half2[4], second2[4];
    frequency_correction correction;
} detector_meters;

/* 0, or -1 without memory. */
int detector_prepare(detector *d, const core_config *config);
/* Other thresholds, between two samples. What was measured, and an element that is on, stays. */
void detector_adjust(detector *d, double phase_pickup_a, double earth_pickup_a);
/* Forget the window: level blind until a cycle has passed. 1: a published field changed. */
int detector_blind(detector *d);
/* One sample of eight counts. 1: a published field changed. */
int detector_sample(detector *d, const int32_t values[CORE_CHANNELS], int64_t time_us, int voltage_good);
/* direction.c: state.direction of an episode, sample by sample. */
void detector_direction(detector *d);
/* What a reader needs for the metering fields, and the fields made of it: whoever asks pays for the roots. */
void detector_meter(const detector *d, detector_meters *meters);
void detector_read(const detector_meters *meters, core_state *state);

/* filters.c: the sums. Prepare: 0, or -1 without memory. */
int filters_prepare(detector *d);
void filters_forget(detector *d);
void filters_slide(detector *d, const int32_t values[CORE_CHANNELS]);
void filters_magnitudes(detector *d);

/* Of the three currents and the three voltages, in a sample. */
static inline int detector_channel(int i) { return i < 3 ? i : i + 1; }

#endif
