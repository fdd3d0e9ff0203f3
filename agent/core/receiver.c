/* One stream's receiver: what a frame must be to be taken, and the receiver's life.

   The thread allocates nothing and holds no Python lock. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "receiver.h"
#include "system.h"
#include "thread.h"

static int authentic(core_receiver *r, const frame_view *view, int64_t now_us) {
    if (!r->authenticated) return 1;
    switch (keys_verify(&r->keys, view, now_us)) {
    case KEYS_GOOD: return 1;
    case KEYS_BAD_MAC: r->counters.bad_mac++; return 0;
    case KEYS_EXPIRED: r->counters.expired++; return 0;
    default: r->counters.unauthenticated++; return 0;
    }
}

int receiver_frame(core_receiver *r, const uint8_t *frame, size_t length, int64_t now_us, int session) {
    const core_config *c = &r->config;
    core_counters *n = &r->counters;
    frame_view view;
    n->frames++;
    n->bytes += length;
    if (session ? frame_open_session(frame, length, &view) : frame_open_ethernet(frame, length, &view)) {
        n->malformed++;
        return 0;
    }
    if (view.appid != c->appid) {
        n->foreign++;
        return 0;
    }
    if (!authentic(r, &view, now_us)) return 0;
    if (frame_open_apdu(&view)) {
        n->malformed++;
        return 0;
    }
    size_t text = strlen(c->sv_id);
    for (int i = 0; i < view.asdus; i++) {
        if (view.asdus != c->asdus || view.asdu[i].text_length != text || memcmp(view.asdu[i].text, c->sv_id, text)) {
            n->foreign++;
            return 0;
        }
        if (c->conf_rev && view.asdu[i].conf_rev != c->conf_rev) {
            n->conf_rev++;
            return 0;
        }
    }
    if (view.simulated && !c->accept_simulated) {
        n->simulated++;
        return 0;
    }
    if (view.session && r->authenticated) {
        if (r->have_number && (int32_t)(view.number - r->last_number) <= 0) {
            n->replayed++;
            return 0;
        }
        r->have_number = 1;
        r->last_number = view.number;
    }
    for (int i = 0; i < view.asdus; i++) supervision_take(r, &view.asdu[i], now_us);
    return 1;
}

int32_t core_frame(core_receiver *r, const uint8_t *frame, int64_t length, int64_t now_us) {
    int session = r->config.transport == 2 || (r->config.transport == 0 && length > 1 && frame[0] == 0x01 && frame[1] == 0x40);
    int taken = receiver_frame(r, frame, (size_t)length, now_us, session);
    publish_state(r);
    return taken;
}

/* Frames of one length, one after the other in memory, ``step_us`` apart: recordings, and what a frame costs. */
int64_t core_frames(core_receiver *r, const uint8_t *frames, int64_t length, int64_t count, int64_t now_us, int64_t step_us) {
    int64_t taken = 0;
    for (int64_t i = 0; i < count; i++) taken += receiver_frame(r, frames + i * length, (size_t)length, now_us + i * step_us, 0);
    publish_state(r);
    return taken;
}

void core_feed(core_receiver *r, const int32_t *values, const int64_t *times, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        r->last_received = times[i];
        supervision_evaluate(r, values + i * CORE_CHANNELS, times[i], 1);
    }
    publish_state(r);
}

/* Life ------------------------------------------------------------------------------------------------------------- */

core_receiver *core_open(const core_config *config, char *error, int32_t size) {
    const char *wrong = NULL;
    int cycle = config->frequency > 0 && config->rate > 0 ? config->rate / config->frequency : 0;
    if (config->frequency < 1 || config->rate > 65536 || cycle * config->frequency != config->rate || cycle < 16 || cycle > DETECTOR_CYCLE || cycle % 4)
        wrong = "samples a cycle must be a multiple of four between 16 and 256";
    else if (config->asdus < 1 || config->asdus > FRAME_ASDUS)
        wrong = "1 to 8 ASDUs a frame";
    else if (config->key_count < 0 || config->key_count > CORE_KEYS)
        wrong = "too many keys";
    else if (!(config->phase_pickup_a > 0 && config->earth_pickup_a > 0 && config->current_scale > 0 && config->voltage_scale > 0))
        wrong = "pick-up and scale must be positive";
    else if (config->blind_after_us < 1000)
        wrong = "a stream cannot be blind after less than 1 ms";
    if (wrong) {
        snprintf(error, (size_t)size, "%s", wrong);
        return NULL;
    }
    core_receiver *r = calloc(1, sizeof *r);
    if (!r) return fail(error, size, "memory"), NULL;
    r->config = *config;
    r->config.sv_id[CORE_TEXT - 1] = 0;
    r->socket = r->stop = -1;
    r->times = calloc(RECEIVER_RECORD, sizeof *r->times);
    r->values = calloc((size_t)RECEIVER_RECORD * CORE_CHANNELS, sizeof *r->values);
    r->datagrams = config->transport == 2 ? malloc((size_t)RECEIVER_BATCH * RECEIVER_DATAGRAM) : NULL;
    r->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!r->times || !r->values || (config->transport == 2 && !r->datagrams) || r->event < 0) {
        fail(error, size, "memory or eventfd");
        core_close(r);
        return NULL;
    }
    int wrong_key = keys_first(&r->keys, config->keys, config->key_count);
    if (wrong_key) {
        snprintf(error, (size_t)size, "%s", wrong_key == ENOTSUP ? KEYS_NO_GMAC : "no such secret or MAC");
        core_close(r);
        return NULL;
    }
    r->authenticated = config->key_count != 0;
    memset(r->config.keys, 0, sizeof r->config.keys);
    adjust_prepare(&r->adjustment);
    if (detector_prepare(&r->detector, &r->config)) {
        fail(error, size, "memory");
        core_close(r);
        return NULL;
    }
    r->quiet = 1;
    publish_state(r);
    return r;
}

int32_t core_start(core_receiver *r, int32_t priority, char *error, int32_t size) {
    if (r->running || r->dealt || !r->config.transport) {
        snprintf(error, (size_t)size, "%s", r->running ? "already started" : r->dealt ? "its frames come from a ring" : "no link: fed from memory");
        return -1;
    }
    if (sockets_open(r, error, size) || thread_start(&r->thread, sockets_work, r, priority, error, size)) {
        sockets_close(r);
        return -1;
    }
    r->running = 1;
    return 0;
}

void core_stop(core_receiver *r) {
    uint64_t one = 1;
    if (!r->running) return;
    if (write(r->stop, &one, sizeof one) < 0) return;
    pthread_join(r->thread, NULL);
    r->running = 0;
    sockets_count_drops(r);
    sockets_close(r);
    r->quiet = 1;
    r->have_sample = 0;
    supervision_blind(r);
}

void core_close(core_receiver *r) {
    core_stop(r);
    if (r->event >= 0) close(r->event);
    free(r->times);
    free(r->values);
    free(r->datagrams);
    keys_forget(&r->keys);
    free(r);
}

int32_t core_rekey(core_receiver *r, const core_key *keys, int32_t count) { return keys_exchange(&r->keys, keys, count); }

int32_t core_adjust(core_receiver *r, double phase_pickup_a, double earth_pickup_a) {
    return adjust_offer(&r->adjustment, phase_pickup_a, earth_pickup_a);
}

int32_t core_event_fd(core_receiver *r) { return r->event; }

void core_count(core_receiver *r, core_counters *counters) {
    sockets_count_drops(r);
    memcpy(counters, &r->counters, sizeof *counters);
}
