/* Overcurrent, residual, direction and presence elements on sliding half- and full-cycle windows.

   Every magnitude compared is the smaller of two: the plain Fourier sum and the same sum of the signal behind a mimic
   impedance of two cycles. The first is wrong with decaying DC, the second while the window straddles a jump; both err
   upwards at different times, so the smaller one overreaches by less than 4 % (full cycle) and 12 % (half cycle) for
   X/R 1 to 30. The half-cycle one is compared with 1.07 times the setting. */
#include "detector.h"

#include <math.h>
#include <string.h>

#include "phasor.h"

#define SUB_CYCLE_MARGIN 1.07
#define ENERGISED_FACTOR 2.0
#define HIGH_SET 12.0 /* of the pick-up: above all inrush */
#define DEAD_SHARE 0.20
#define LIVE_SHARE 0.22
#define RISE_SHARE 0.3
#define GROWN_SHARE 0.25
/* Two sections that come alive half a cycle apart draw inrush that adds up in the fundamental and cancels in the second
   harmonic. So what was distorted well before the start element saw it (a fault's step is for less), and then for a cycle,
   holds the full-cycle element back for some cycles more, until it has decayed: while it is not clearly above the pick-up.
   A fault meanwhile has an onset of its own. */
#define SLIGHT_SECOND 0.06
#define EARLY_CYCLES 0.3
#define SEALED_CYCLES 5
#define SEALED_FACTOR 1.5
#define ALARM_ON_SHARE 0.30
#define ALARM_OFF_SHARE 0.20

int detector_prepare(detector *d, const core_config *config) {
    memset(d, 0, sizeof *d);
    d->config = *config;
    d->cycle = config->rate / config->frequency;
    d->half = d->cycle / 2;
    d->quarter = d->cycle / 4;
    d->past_length = 3 * d->cycle / 2 + 1;
    int wrong = filters_prepare(d);
    onset_prepare(&d->onset, config);
    frequency_prepare(&d->frequency, d->cycle, config->frequency, config->nominal_v / sqrt(3.0), DETECTOR_MIMIC_CYCLES);
    for (int p = 0; p < 3; p++) d->zero_peak[p] = config->zero_current_a * M_SQRT2 / config->current_scale;
    strike_prepare(&d->strike, config);
    d->state.level = BLIND;
    d->state.live = LIVE_UNKNOWN;
    detector_adjust(d, config->phase_pickup_a, config->earth_pickup_a);
    return wrong;
}

void detector_adjust(detector *d, double phase_pickup_a, double earth_pickup_a) {
    d->config.phase_pickup_a = d->state.phase_pickup_a = phase_pickup_a;
    d->config.earth_pickup_a = d->state.earth_pickup_a = earth_pickup_a;
    onset_adjust(&d->onset, &d->config);
    strike_adjust(&d->strike, &d->config);
}

/* The six published fields that wake the reader. */
typedef struct {
    int32_t field[5];
} published;

static published take(const core_state *s) {
    return (published){{s->level, s->direction, s->current_zero, s->live, s->earth_alarm}};
}

static int differs(published a, const core_state *s) {
    published b = take(s);
    return memcmp(&a, &b, sizeof a) != 0;
}

int detector_blind(detector *d) {
    published before = take(&d->state);
    if (d->state.level == START || d->state.level == PICKUP) d->state.end_us = d->state.upto_us;
    filters_forget(d);
    memset(d->small, 0, sizeof d->small);
    onset_forget(&d->onset);
    frequency_hold(&d->frequency);
    strike_forget(&d->strike);
    d->phase_start = d->phase_pickup = d->earth_start = d->earth_pickup = (detector_element){0};
    d->all_small = d->restrained = d->shaken = d->early = d->alarm_count = d->powers = 0;
    d->sub_off_until = d->sub_high_until = d->earth_off_until = d->sealed_until = 0;
    d->index = d->at = 0;
    d->memory_until = 0;
    d->direction_next = NONE;
    d->direction_count = 0;
    d->state.level = BLIND;
    d->state.direction = NONE;
    d->state.current_zero = 0;
    d->state.live = LIVE_UNKNOWN;
    d->state.earth_alarm = d->state.earth_direction = d->state.earth_again = 0;
    return differs(before, &d->state);
}

/* Filters ---------------------------------------------------------------------------------------------------------- */

/* Before the window slides, its oldest sample is a cycle old. */
static void look_at_onset(detector *d, const int32_t values[CORE_CHANNELS]) {
    int k = d->at;
    double now[6], before[6];
    for (int i = 0; i < 6; i++) {
        double scale = i < 3 ? d->config.current_scale : d->config.voltage_scale;
        now[i] = values[detector_channel(i)] * scale;
        before[i] = d->history[k][i] * scale;
    }
    onset_sample(&d->onset, now, before, now + 3, before + 3, d->voltage_good);
}

/* Presence --------------------------------------------------------------------------------------------------------- */

static void presence(detector *d) {
    core_state *s = &d->state;
    if (!d->voltage_good) {
        s->live = LIVE_UNKNOWN;
        return;
    }
    double phase = d->config.nominal_v / sqrt(3.0);
    double most = larger(larger(norm2(d->full[3]), norm2(d->full[4])), norm2(d->full[5]));
    int before = s->live;
    if (most < square(DEAD_SHARE * phase))
        s->live = DEAD;
    else if (before == LIVE_UNKNOWN || most >= square(LIVE_SHARE * phase))
        s->live = LIVE;
    if (before == DEAD && s->live == LIVE) d->sub_off_until = d->index + 3 * d->cycle / 2;
}

static void zeros(detector *d, const int32_t values[CORE_CHANNELS], const double old2[3]) {
    int all = 1, opened = d->cycle / 16;
    for (int p = 0; p < 3; p++) {
        double peak = d->zero_peak[p];
        if (fabs((double)values[p]) > peak) {
            if (d->small[p] >= d->half) d->sub_high_until = d->index + 3 * d->cycle / 2;
            d->small[p] = 0;
            all = 0;
            continue;
        }
        d->small[p]++;
        /* A pole that carried load and is silent longer than a zero crossing takes: poles clear one after the other,
           which looks like a residual current to every device upstream. */
        if (d->small[p] == opened && old2[p] >= square(d->config.earth_pickup_a)) {
            double crossing = d->cycle / M_PI * asin(smaller(1.0, d->config.zero_current_a / sqrt(old2[p])));
            if (1.5 * crossing < opened) d->earth_off_until = d->index + 3 * d->cycle / 2;
        }
    }
    d->all_small = all ? d->all_small + 1 : 0;
    d->state.current_zero = d->all_small >= 2 * d->cycle / 5;
}

/* Elements --------------------------------------------------------------------------------------------------------- */

static void settle(const detector *d, detector_element *e, int set, double half_mimic2, double full_mimic2, double threshold) {
    double reset2 = square(d->config.reset_factor * threshold);
    if (set) {
        e->on = 1;
        e->below = 0;
    } else if (e->on) {
        int low = half_mimic2 < reset2 && (full_mimic2 < reset2 || half_mimic2 < 0.25 * square(threshold));
        e->below = low ? e->below + 1 : 0;
        if (e->below >= d->cycle / 8) *e = (detector_element){0, 0, e->above};
    }
}

/* Second harmonic over what the current has grown by: load carried besides the inrush does not dilute it. */
static int distorted(const detector *d, double second2, double complex now, double complex before) {
    double grown2 = larger(norm2(now - before), square(GROWN_SHARE) * norm2(now));
    return second2 > square(d->config.second_harmonic) * grown2;
}

static int phases_distorted(detector *d, const double complex before[3]) {
    double floor2 = square(0.5 * d->config.start_factor * d->config.phase_pickup_a);
    double slight2 = square(SLIGHT_SECOND * d->config.phase_pickup_a);
    int restrain = 0, shaken = 0;
    for (int p = 0; p < 3; p++) {
        if (!distorted(d, d->second2[p], d->full[p], before[p])) continue;
        restrain |= norm2(d->full[p]) >= floor2;
        shaken |= d->second2[p] >= slight2;
    }
    d->restrained = restrain ? d->restrained + 1 : 0;
    d->shaken = shaken ? d->shaken + 1 : 0;
    if (!d->phase_start.on) d->early = d->shaken;
    if (d->shaken >= d->cycle && d->early >= EARLY_CYCLES * d->cycle) d->sealed_until = d->index + SEALED_CYCLES * d->cycle;
    return restrain;
}

static int rising(const double now2[3], const double old2[3], double residual) {
    for (int p = 0; p < 3; p++)
        if (sqrt(now2[p]) >= sqrt(old2[p]) + RISE_SHARE * residual) return 1;
    return 0;
}

static void elements(detector *d, const double old2[3], const double complex before[3]) {
    const core_config *c = &d->config;
    double full2 = larger(larger(d->full2[0], d->full2[1]), d->full2[2]);
    double half2 = larger(larger(d->half2[0], d->half2[1]), d->half2[2]);
    double full_mimic2 = larger(larger(d->full_mimic2[0], d->full_mimic2[1]), d->full_mimic2[2]);
    double half_mimic2 = larger(larger(d->half_mimic2[0], d->half_mimic2[1]), d->half_mimic2[2]);
    int restrain = phases_distorted(d, before);
    int sub = d->index >= d->sub_off_until && d->state.live != DEAD && d->restrained < d->cycle;
    double margin = SUB_CYCLE_MARGIN * (d->index < d->sub_high_until ? ENERGISED_FACTOR : 1.0);
    /* The start elements have no guard and no second filter: every device on the path of a fault has started before
       any device of the same setting picks up. What inrush, energising, a jump of load or pole discordance may fool is
       kept from the pick-up elements, which alone trip. */
    double threshold = c->start_factor * c->phase_pickup_a;
    int set = full2 >= square(threshold) || half_mimic2 >= square(threshold);
    settle(d, &d->phase_start, set, half_mimic2, full_mimic2, threshold);
    threshold = c->phase_pickup_a;
    double least = d->index < d->sealed_until ? SEALED_FACTOR * threshold : threshold;
    set = (full2 >= square(least) && !restrain) || (sub && d->onset.phase_open && half2 >= square(margin * threshold)) ||
          half2 >= square(HIGH_SET * threshold);
    settle(d, &d->phase_pickup, set, half_mimic2, full_mimic2, threshold);
    if (c->earth_mode != EARTH_TRIP) return;
    double base = larger(c->earth_pickup_a, c->earth_restraint * sqrt(larger(full_mimic2, half_mimic2)));
    threshold = c->start_factor * base;
    set = d->full2[3] >= square(threshold) || d->half_mimic2[3] >= square(threshold);
    settle(d, &d->earth_start, set, d->half_mimic2[3], d->full_mimic2[3], threshold);
    int half = sub && d->onset.earth_open && d->half2[3] >= square(margin * base);
    int lasting = d->full2[3] >= square(base) && !restrain;
    int full = lasting && !distorted(d, d->second2[3], d->full[6], before[0] + before[1] + before[2]);
    d->earth_pickup.above = lasting ? d->earth_pickup.above + 1 : 0;
    set = 0;
    if ((full || half) && d->index >= d->earth_off_until)
        set = (half && rising(d->half2, old2, sqrt(d->half2[3]))) || (full && rising(d->full2, old2, sqrt(d->full2[3]))) ||
              (full && d->earth_pickup.above >= 3 * d->cycle / 2);
    settle(d, &d->earth_pickup, set, d->half_mimic2[3], d->full_mimic2[3], base);
}

/* Alarm and load --------------------------------------------------------------------------------------------------- */

static int alarms(const detector *d) { return d->config.earth_mode == EARTH_WATTMETRIC || d->config.earth_mode == EARTH_VARMETRIC; }

/* Before the window slides, its oldest sample is a cycle old. */
static strike_input residuals(const detector *d, const int32_t values[CORE_CHANNELS]) {
    const int32_t *old = d->history[d->at];
    return (strike_input){
        (int64_t)values[0] + values[1] + values[2],
        (int64_t)values[4] + values[5] + values[6],
        (int64_t)old[0] + old[1] + old[2],
        (int64_t)old[3] + old[4] + old[5],
    };
}

/* By the steady residual current, or by how the fault struck if the steady one does not say the opposite. */
static void earth_alarm(detector *d, const strike_input *input) {
    if (!alarms(d)) return;
    if (!d->voltage_good) {
        strike_forget(&d->strike);
        d->state.earth_direction = d->state.earth_again = 0;
        return;
    }
    double complex v0 = d->voltage_full[3] / 3.0;
    double size = cabs(v0), phase = d->config.nominal_v / sqrt(3.0);
    strike_sample(&d->strike, input, d->index);
    strike_age(&d->strike, size < ALARM_OFF_SHARE * phase, d->index);
    d->state.earth_direction = d->strike.direction;
    d->state.earth_strikes = d->strike.strikes;
    d->state.earth_again = strike_again(&d->strike);
    int want = d->state.earth_alarm;
    if (size >= ALARM_ON_SHARE * phase) {
        double complex flow = times(d->current_full[3], conj(-v0)) / size;
        double part = d->config.earth_mode == EARTH_WATTMETRIC ? creal(flow) : cimag(flow);
        want = part >= d->config.earth_pickup_a ? 1 : part < d->config.reset_factor * d->config.earth_pickup_a ? 0 : want;
        if (d->strike.direction == INTO_B && part > -d->config.earth_pickup_a) want = 1;
    } else if (size < ALARM_OFF_SHARE * phase) {
        want = 0;
    }
    if (d->state.earth_again) want = 1;
    d->alarm_count = want != d->state.earth_alarm ? d->alarm_count + 1 : 0;
    if (d->alarm_count >= 5 * d->cycle) {
        d->state.earth_alarm = want;
        d->alarm_count = 0;
    }
}

/* Every quarter cycle: average over five cycles that ended one and a half cycles ago, so that a fault is never in what is held. */
static void powers(detector *d) {
    double complex sum = 0;
    for (int p = 0; p < 3; p++) sum += times(d->full[3 + p], conj(d->full[p]));
    int slot = d->powers % DETECTOR_POWERS;
    d->p[slot] = creal(sum) / 1000.0;
    d->q[slot] = cimag(sum) / 1000.0;
    d->powers++;
    int most = DETECTOR_POWERS - 6, count = d->powers - 6 < most ? d->powers - 6 : most;
    if (count <= 0) return;
    double p = 0, q = 0;
    for (int i = 0; i < count; i++) {
        int at = (d->powers - 7 - i) % DETECTOR_POWERS;
        p += d->p[at];
        q += d->q[at];
    }
    d->state.p_kw = p / count;
    d->state.q_kvar = q / count;
}

static const detector_past *past(const detector *d, int back) {
    int at = d->past_at - back;
    return &d->past[at < 0 ? at + d->past_length : at];
}

static void remember(detector *d) {
    d->past_at = d->past_at + 1 < d->past_length ? d->past_at + 1 : 0;
    detector_past *now = &d->past[d->past_at];
    memcpy(now->full2, d->full_mimic2, sizeof now->full2);
    memcpy(now->current, d->current_full, sizeof now->current);
    now->positive = positive_sequence(d->full + 3);
}

/* Every quarter cycle; what stands a cycle back must have been a whole window too. */
static void follow(detector *d) {
    if (d->index <= 2 * d->cycle) return;
    if (d->state.level != QUIET || !d->voltage_good) {
        frequency_hold(&d->frequency);
        return;
    }
    frequency_quarter(&d->frequency, past(d, 0)->positive, past(d, d->cycle)->positive);
    if (d->at == 0) frequency_cycle(&d->frequency);
}

int detector_sample(detector *d, const int32_t values[CORE_CHANNELS], int64_t time_us, int voltage_good) {
    core_state *s = &d->state;
    published before = take(s);
    d->voltage_good = voltage_good && d->config.nominal_v > 0;
    strike_input input = {0};
    if (d->index >= d->cycle) {
        look_at_onset(d, values);
        if (alarms(d)) input = residuals(d, values);
    }
    filters_slide(d, values);
    d->index++;
    d->at = d->at + 1 < d->cycle ? d->at + 1 : 0;
    s->upto_us = time_us;
    if (d->index <= d->cycle) return 0;
    filters_magnitudes(d);
    /* What was 1.5 cycles ago, or as long ago as the window has been full. */
    int64_t age = d->index - d->cycle - 1;
    remember(d);
    const detector_past *old = past(d, age < 3 * d->cycle / 2 ? (int)age : 3 * d->cycle / 2);
    presence(d);
    zeros(d, values, old->full2);
    int was = s->level == START || s->level == PICKUP;
    elements(d, old->full2, was ? d->load : old->current);
    int level = d->phase_pickup.on || d->earth_pickup.on ? PICKUP : d->phase_start.on || d->earth_start.on ? START : QUIET;
    s->level = level;
    int due = d->at % d->quarter == 0;
    if (level != QUIET && !was) {
        s->start_us = time_us;
        s->end_us = 0;
        s->pickup_us = 0;
        s->peak_a = 0;
        d->episode_index = d->index;
        d->direction_next = NONE;
        d->direction_count = 0;
        memcpy(d->load, old->current, sizeof d->load);
        d->memory = old->positive;
        int good = norm2(d->memory) >= square(DEAD_SHARE * d->config.nominal_v / sqrt(3.0));
        d->memory_until = good ? d->index + 25 * d->cycle : 0;
    }
    if (level == PICKUP && !s->pickup_us) s->pickup_us = time_us;
    int spoke = level == QUIET || was ? s->elements & 15 : 0;
    s->elements = spoke | (d->phase_start.on != 0) | (d->earth_start.on != 0) << 1 | (d->phase_pickup.on != 0) << 2 |
                  (d->earth_pickup.on != 0) << 3 | (d->restrained > 0) << 4;
    if (level == QUIET) {
        if (was) {
            s->end_us = time_us;
            d->powers = 0;
        }
        s->direction = NONE;
        if (due) powers(d);
    } else {
        double most = 0;
        for (int p = 0; p < 3; p++) most = larger(most, larger(d->full2[p], d->half2[p]));
        s->peak_a = larger(s->peak_a, sqrt(most));
        detector_direction(d);
    }
    if (due) follow(d);
    earth_alarm(d, &input);
    return differs(before, s);
}
