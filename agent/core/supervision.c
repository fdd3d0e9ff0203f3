/* Order and time of samples: what is a gap, a jump, the past, and when a stream is blind.

   state     sample                                                       result                           next
   QUIET     any that is not stale                                        evaluated; a cycle to be seeing  SEEING
   SEEING    smpCnt one ahead (rolls over at a full second)               evaluated                        SEEING
   SEEING    two ahead, currents good: one was lost                       one interpolated, then evaluated SEEING
   SEEING    further ahead, up to a quarter of a second                   gap: blind for a cycle           SEEING
   SEEING    further ahead still                                          jump: blind for a cycle          SEEING
   SEEING    the same, or behind (redundant path, out of order)           late: dropped                    SEEING
   SEEING    behind, the eighth in a row that counts on                   jump: its publisher has started  SEEING
                                                                          again; blind for a cycle
   any       refrTm, or the time that smpCnt gives, too far from ours     stale: dropped                   same
   any       a phase current invalid, questionable or test                invalid: blind                   SEEING
   any       a phase voltage so                                           evaluated without direction      SEEING
   any       smpSynch none: timed by our clock and its own count          evaluated                        same
   SEEING    (nothing for blind_after_us)                                 silence: blind                   QUIET

   Blind lasts until a full cycle has been seen again. */
#include <string.h>

#include "receiver.h"

#define BACKWARD_LIMIT 8 /* consecutive samples of another count before the stream is taken to have restarted */
#define FUTURE_US 5000
#define GOOD 0u
#define VALIDITY 3u
#define TEST 0x800u

/* 1: other thresholds count from here on. */
static int adjusted(core_receiver *r) {
    double phase_a, earth_a;
    if (!adjust_take(&r->adjustment, &phase_a, &earth_a)) return 0;
    detector_adjust(&r->detector, phase_a, earth_a);
    return 1;
}

void supervision_evaluate(core_receiver *r, const int32_t values[CORE_CHANNELS], int64_t time_us, int voltage_good) {
    publish_sample(r, values, time_us);
    adjusted(r);
    if (detector_sample(&r->detector, values, time_us, voltage_good)) publish_change(r);
}

void supervision_blind(core_receiver *r) {
    if (detector_blind(&r->detector)) publish_change(r);
}

/* UTC of a sample whose count is relative to the full second nearest to the clock. */
static int64_t synchronised_time(int64_t now_us, int sample, int rate) {
    int64_t second = now_us / 1000000 * 1000000;
    int64_t t = second + (int64_t)sample * 1000000 / rate;
    if (t - now_us > 500000) return t - 1000000;
    if (now_us - t > 500000) return t + 1000000;
    return t;
}

/* A publisher without synchronism: its own count, laid against the least delay seen; a slow creep follows its drift. */
static int64_t free_time(core_receiver *r, int64_t now_us, int step) {
    r->counted = r->have_offset ? r->counted + step : 0;
    int64_t own = r->counted * 1000000 / r->config.rate;
    if (!r->have_offset || now_us - own < r->offset) r->offset = now_us - own;
    if (r->have_offset && r->counted % 16 == 0) r->offset++;
    r->have_offset = 1;
    return r->offset + own;
}

void supervision_take(core_receiver *r, const frame_asdu *asdu, int64_t now_us) {
    const core_config *c = &r->config;
    core_counters *n = &r->counters;
    int sample = asdu->sample, step = 1;
    if (sample >= c->rate) {
        n->malformed++;
        return;
    }
    if (asdu->reference) {
        int64_t at = (int64_t)frame_load32(asdu->reference) * 1000000 +
                     (int64_t)((frame_load32(asdu->reference + 4) >> 8) * (uint64_t)1000000 >> 24);
        if (at - now_us > c->maximum_age_us || now_us - at > c->maximum_age_us) {
            n->stale++;
            return;
        }
    }
    int64_t time_us = 0;
    if (asdu->synch) {
        time_us = synchronised_time(now_us, sample, c->rate);
        if (now_us - time_us > c->maximum_age_us || time_us - now_us > FUTURE_US) {
            n->stale++;
            return;
        }
        r->have_offset = 0;
    } else {
        n->unsynchronised++;
    }
    if (r->have_sample) {
        step = sample - r->last_sample;
        if (step < 0) step += c->rate;
        if (step == 0 || step > c->rate / 2) { /* the past: a duplicate, out of order, or a restarted count */
            int follows = r->backward && sample == (r->backward_sample + 1) % c->rate;
            r->backward = follows ? r->backward + 1 : 1;
            r->backward_sample = sample;
            if (r->backward < BACKWARD_LIMIT) {
                n->late++;
                return;
            }
            n->jumps++;
            supervision_blind(r);
            r->have_offset = 0;
            step = 1;
        } else if (step > 2) {
            if (step > c->rate / 4)
                n->jumps++;
            else
                n->gaps++;
            supervision_blind(r);
        }
    }
    r->backward = 0;
    if (!asdu->synch) time_us = free_time(r, now_us, step);
    int32_t values[CORE_CHANNELS];
    uint32_t current_quality = GOOD, voltage_quality = GOOD;
    for (int i = 0; i < CORE_CHANNELS; i++) {
        values[i] = (int32_t)frame_load32(asdu->data + 8 * i);
        uint32_t quality = frame_load32(asdu->data + 8 * i + 4) & (VALIDITY | TEST);
        if (i < 3) current_quality |= quality;
        if (i >= 4 && i < 7) voltage_quality |= quality;
    }
    if (r->have_sample && step == 2 && current_quality == GOOD) {
        int32_t between[CORE_CHANNELS];
        for (int i = 0; i < CORE_CHANNELS; i++) between[i] = (int32_t)(((int64_t)r->last_values[i] + values[i]) >> 1);
        n->interpolated++;
        supervision_evaluate(r, between, (r->last_time + time_us) / 2, voltage_quality == GOOD);
    }
    r->have_sample = 1;
    r->last_sample = sample;
    r->last_time = time_us;
    memcpy(r->last_values, values, sizeof values);
    n->samples++;
    if (current_quality != GOOD) {
        n->invalid++;
        publish_sample(r, values, time_us);
        supervision_blind(r);
        return;
    }
    r->last_received = now_us;
    r->quiet = 0;
    supervision_evaluate(r, values, time_us, voltage_quality == GOOD);
}

void core_quiet(core_receiver *r, int64_t now_us) {
    if (adjusted(r)) publish_state(r);
    if (r->quiet || now_us - r->last_received < r->config.blind_after_us) return;
    r->quiet = 1;
    r->have_sample = 0;
    r->have_offset = 0;
    r->counters.silences++;
    supervision_blind(r);
}
