/* State goes out by a sequence lock, changes by an eventfd, samples by a ring with one writer. */
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "receiver.h"

void publish_state(core_receiver *r) {
    r->detector.state.received_us = r->last_received;
    __atomic_store_n(&r->sequence, r->sequence + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    memcpy(&r->shared, &r->detector.state, offsetof(core_state, current_re));
    detector_meter(&r->detector, &r->meters);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    __atomic_store_n(&r->sequence, r->sequence + 1, __ATOMIC_RELEASE);
}

void publish_change(core_receiver *r) {
    uint64_t one = 1;
    r->detector.state.changes++;
    publish_state(r);
    if (write(r->event, &one, sizeof one) < 0) return; /* already readable */
}

void core_read(core_receiver *r, core_state *state) {
    detector_meters meters;
    for (;;) {
        uint32_t before = __atomic_load_n(&r->sequence, __ATOMIC_ACQUIRE);
        if (before & 1) {
            sched_yield();
            continue;
        }
        memcpy(state, &r->shared, sizeof *state);
        meters = r->meters;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&r->sequence, __ATOMIC_RELAXED) == before) break;
    }
    detector_read(&meters, state);
}

void core_drain(core_receiver *r) {
    uint64_t count;
    if (read(r->event, &count, sizeof count) < 0) return; /* was not readable */
}

void publish_sample(core_receiver *r, const int32_t values[CORE_CHANNELS], int64_t time_us) {
    size_t at = (size_t)r->recorded & (RECEIVER_RECORD - 1);
    r->times[at] = time_us;
    memcpy(r->values + at * CORE_CHANNELS, values, CORE_CHANNELS * sizeof *values);
    __atomic_store_n(&r->recorded, r->recorded + 1, __ATOMIC_RELEASE);
}

int64_t core_samples(core_receiver *r, int64_t since, int64_t *times, int32_t *values, int64_t maximum, int64_t *next) {
    int64_t head = __atomic_load_n(&r->recorded, __ATOMIC_ACQUIRE);
    int64_t oldest = head > RECEIVER_RECORD - 64 ? head - (RECEIVER_RECORD - 64) : 0;
    int64_t from = since < 0 ? head - maximum : since;
    if (from < oldest) from = oldest;
    int64_t count = head - from < maximum ? head - from : maximum;
    if (count < 0) count = 0;
    for (int64_t i = 0; i < count; i++) {
        size_t at = (size_t)(from + i) & (RECEIVER_RECORD - 1);
        times[i] = r->times[at];
        memcpy(values + i * CORE_CHANNELS, r->values + at * CORE_CHANNELS, CORE_CHANNELS * sizeof *values);
    }
    *next = from + count;
    /* What the writer overtook while we copied is not given out. */
    int64_t lost = __atomic_load_n(&r->recorded, __ATOMIC_ACQUIRE) - RECEIVER_RECORD - from;
    if (lost > 0) {
        if (lost > count) lost = count;
        memmove(times, times + lost, (size_t)(count - lost) * sizeof *times);
        memmove(values, values + lost * CORE_CHANNELS, (size_t)(count - lost) * CORE_CHANNELS * sizeof *values);
        count -= lost;
    }
    return count;
}
