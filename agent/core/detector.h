/* Filters and elements of one device: three currents and three voltages in, level, direction and presence out.
   agent/sv/reference.py says the same in Python and is tested equal. */
#ifndef FLISR_DETECTOR_H
#define FLISR_DETECTOR_H

#include <complex.h>
#include <stdint.h>

#include "api.h"
#include "frequency.h"
#include "onset.h"

#define DETECTOR_CYCLE 256   /* most samples a cycle */
#define DETECTOR_MEMORY 512  /* power of two above 1.5 cycles */
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

typedef struct {
    core_config config;
    core_state state;
    int32_t cycle, half, quarter;
    double full_scale[6], half_scale[6];
    double complex mimic_now, mimic_before;
    double zero_peak[3];                       /* counts */
    int64_t cosine[DETECTOR_CYCLE], sine[DETECTOR_CYCLE];
    /* sliding sums, exact integers */
    int32_t history[6][DETECTOR_CYCLE];
    int64_t full_re[6], full_im[6], half_re[3], half_im[3], second_re[3], second_im[3];
    double complex full[7], full_before[7], half_sum[4], half_before[4];
    int64_t index;                             /* samples since the last reset */
    int32_t voltage_good;
    /* values of the present sample, squared where they end in 2 */
    double complex current_full[4], current_half[4], voltage_full[4];
    double full2[4], half2[4], full_mimic2[4], half_mimic2[4], second2[4];
    double old_full2[DETECTOR_MEMORY][3];
    double complex old_current[DETECTOR_MEMORY][3];
    double complex old_positive[DETECTOR_MEMORY];
    /* elements */
    onset onset;
    detector_element phase_start, phase_pickup, earth_start, earth_pickup;
    int32_t small[3], all_small, restrained, alarm_count;
    int64_t sub_off_until, sub_high_until, earth_off_until;
    int64_t episode_index;
    double complex memory, load[3];            /* from before the episode */
    int64_t memory_until;
    int32_t direction_next, direction_count;
    double p[DETECTOR_POWERS], q[DETECTOR_POWERS];
    int32_t powers;                            /* pushed since the last clearing */
    frequency frequency;
} detector;

void detector_prepare(detector *d, const core_config *config);
/* Forget the window: level blind until a cycle has passed. 1: a published field changed. */
int detector_blind(detector *d);
/* One sample of eight counts. 1: a published field changed. */
int detector_sample(detector *d, const int32_t values[CORE_CHANNELS], int64_t time_us, int voltage_good);
/* direction.c: state.direction of an episode, sample by sample. */
void detector_direction(detector *d);
/* Fill the metering fields of state (roots and phasors). */
void detector_meter(detector *d);

#endif
