/* A merging unit: waveforms given by phasors, sampled on UTC, framed, signed and sent in paced bursts. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <math.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "keys.h"
#include "system.h"
#include "thread.h"
#include "waveform.h"

#define BATCH 64            /* frames in one sendmmsg */
#define BACKLOG_US 100000   /* older frames are not sent any more */

struct core_source {
    source_config config;
    mac_key key;
    uint64_t iv;            /* next invocation */
    frame_form form;
    channel channels[CORE_CHANNELS];
    uint32_t quality[CORE_CHANNELS];
    int32_t synch, paused;
    uint64_t random;
    source_counters counters;
    pthread_mutex_t lock;   /* channels, key and form */
    pthread_t thread;
    int running, stop, socket;
    struct sockaddr_in group;
    int64_t next_frame;     /* frames since 1970 */
    struct {
        uint8_t octets[BATCH][512];
        struct mmsghdr messages[BATCH];
        struct iovec vectors[BATCH];
    } out;
};

/* Waveform --------------------------------------------------------------------------------------------------------- */

static void sample_at(core_source *s, int64_t t_us, double turns, int32_t *values, int with_noise) {
    double cosine, sine;
    sincos(2 * M_PI * turns, &sine, &cosine);
    for (int i = 0; i < CORE_CHANNELS; i++) {
        channel *c = &s->channels[i];
        waveform_advance(c, t_us);
        double value = waveform_instant(&c->now, t_us, cosine, sine) * c->scale;
        if (with_noise && c->noise > 0) value += c->noise * waveform_noise(&s->random);
        values[i] = waveform_count(value);
    }
}

static double turns_of(const core_source *s, int64_t sample) {
    return (double)((sample * s->config.frequency) % s->config.rate) / s->config.rate;
}

static void sign(core_source *s) {
    frame_form *form = &s->form;
    uint8_t mac[32] = {0}, *iv = form->octets + form->iv_at;
    if (!form->mac_at) return;
    if (form->iv_at) {
        memcpy(iv, s->config.iv_fixed, 4);
        frame_store32(iv + 4, (uint32_t)(s->iv >> 32));
        frame_store32(iv + 8, (uint32_t)s->iv++);
    }
    if (mac_key_compute(&s->key, iv, form->octets + form->signed_at, form->signed_length, mac)) s->counters.errors++;
    memcpy(form->octets + form->mac_at, mac, form->mac_length);
}

static void fill(core_source *s, int64_t second, int64_t first) {
    frame_form *form = &s->form;
    int32_t values[CORE_CHANNELS];
    for (int a = 0; a < s->config.asdus; a++) {
        int64_t sample = first + a, in_second = sample * 1000000 / s->config.rate;
        sample_at(s, second * 1000000 + in_second, turns_of(s, sample), values, 1);
        frame_store16(form->octets + form->sample_at[a], (uint16_t)sample);
        form->octets[form->synch_at[a]] = (uint8_t)__atomic_load_n(&s->synch, __ATOMIC_RELAXED);
        if (s->config.reference_time) {
            uint8_t *p = form->octets + form->reference_at[a];
            frame_store32(p, (uint32_t)second);
            frame_store32(p + 4, (uint32_t)(((uint64_t)in_second << 24) / 1000000) << 8 | 0x0A); /* accuracy 10 bits: 1 ms */
        }
        uint8_t *p = form->octets + form->data_at[a];
        for (int i = 0; i < CORE_CHANNELS; i++, p += 8) {
            frame_store32(p, (uint32_t)values[i]);
            frame_store32(p + 4, __atomic_load_n(&s->quality[i], __ATOMIC_RELAXED));
        }
    }
    if (form->number_at)
        frame_store32(form->octets + form->number_at, (uint32_t)((second * s->config.rate + first) / s->config.asdus));
    sign(s);
}

/* Pace ------------------------------------------------------------------------------------------------------------- */

static void flush(core_source *s, int frames) {
    int sent = 0;
    while (sent < frames) {
        int n = sendmmsg(s->socket, s->out.messages + sent, (unsigned)(frames - sent), 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            s->counters.errors++;
            sent++; /* that one is lost, as on a wire */
        } else {
            s->counters.frames += (uint64_t)n;
            sent += n;
        }
    }
}

/* Sends every frame whose last sample is not newer than this. */
static void send_until(core_source *s, int64_t limit_us) {
    const source_config *c = &s->config;
    int64_t per_second = c->rate / c->asdus;
    int frames = 0;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        int64_t second = s->next_frame / per_second, first = s->next_frame % per_second * c->asdus;
        int64_t last_us = second * 1000000 + (first + c->asdus - 1) * 1000000 / c->rate;
        if (last_us > limit_us) break;
        if (frames == BATCH) {
            pthread_mutex_unlock(&s->lock);
            flush(s, frames);
            frames = 0;
            pthread_mutex_lock(&s->lock);
        }
        fill(s, second, first);
        memcpy(s->out.octets[frames], s->form.octets, s->form.length);
        s->out.vectors[frames].iov_len = s->form.length;
        frames++;
        s->next_frame++;
    }
    pthread_mutex_unlock(&s->lock);
    if (frames && !__atomic_load_n(&s->paused, __ATOMIC_RELAXED)) flush(s, frames);
}

static void *work(void *argument) {
    core_source *s = argument;
    const source_config *c = &s->config;
    int64_t per_second = c->rate / c->asdus, lag = c->delay_us - c->tick_us / 2;
    if (lag < 0) lag = 0; /* no sample before its time */
    uint32_t hash = 2166136261u;
    for (const char *p = c->sv_id; *p; p++) hash = (hash ^ (uint8_t)*p) * 16777619u;
    int64_t phase = hash % (uint32_t)c->tick_us; /* streams of one machine do not wake together */
    prctl(PR_SET_NAME, "flisr-sv-out");
    prctl(PR_SET_TIMERSLACK, 5000UL);
    int64_t now = clock_us(), tick = (now / c->tick_us + 1) * c->tick_us + phase;
    s->next_frame = (now - lag) / 1000000 * per_second + (now - lag) % 1000000 * per_second / 1000000 + 1;
    while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
        struct timespec until = {tick / 1000000, tick % 1000000 * 1000};
        if (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL)) continue;
        now = clock_us();
        s->counters.ticks++;
        if (now - tick > c->tick_us) s->counters.late_ticks++;
        int64_t due = (now - lag) / 1000000 * per_second + (now - lag) % 1000000 * per_second / 1000000;
        int64_t backlog = (int64_t)BACKLOG_US * per_second / 1000000;
        if (due - s->next_frame > backlog || s->next_frame - due > per_second) { /* starved, or the clock was set */
            if (due > s->next_frame) s->counters.skipped += (uint64_t)(due - s->next_frame);
            s->next_frame = due;
        }
        send_until(s, now - lag);
        tick += c->tick_us;
        if (tick < now || tick > now + 1000000) tick = (now / c->tick_us + 1) * c->tick_us + phase;
    }
    return NULL;
}

/* Life ------------------------------------------------------------------------------------------------------------- */

core_source *source_open(const source_config *config, char *error, int32_t size) {
    const char *wrong = NULL;
    if (config->frequency < 1 || config->rate < 1 || config->rate > 65536 || config->asdus < 1 || config->rate % config->asdus)
        wrong = "rate must be a multiple of the ASDUs a frame";
    else if (config->tick_us < 100 || config->tick_us > 100000 || config->delay_us < 0)
        wrong = "tick 100 us to 100 ms, delay not negative";
    else if (!(config->current_scale > 0 && config->voltage_scale > 0))
        wrong = "scales must be positive";
    core_source *s = wrong ? NULL : calloc(1, sizeof *s);
    if (s) {
        s->config = *config;
        s->config.sv_id[CORE_TEXT - 1] = 0;
        int wrong_key = config->authenticate ? mac_key_prepare(&s->key, &config->key) : 0;
        if (wrong_key)
            wrong = wrong_key == ENOTSUP ? KEYS_NO_GMAC : "no such secret or MAC";
        else if (frame_prepare(&s->form, &s->config) || s->form.length > sizeof s->out.octets[0])
            wrong = "frame too long";
        if (wrong) {
            mac_key_forget(&s->key);
            free(s);
            s = NULL;
        }
    }
    if (!s) {
        snprintf(error, (size_t)size, "%s", wrong ? wrong : "memory");
        return NULL;
    }
    s->socket = -1;
    s->synch = 2;
    s->iv = config->iv_first;
    s->random = config->seed * 0x9E3779B97F4A7C15ull + 0x1234567ull;
    pthread_mutex_init(&s->lock, NULL);
    for (int i = 0; i < CORE_CHANNELS; i++) {
        double scale = i < 4 ? config->current_scale : config->voltage_scale;
        s->channels[i].scale = 1 / scale;
        s->channels[i].noise = (i < 4 ? config->current_noise_a : config->voltage_noise_v) / scale;
        s->channels[i].now.start_us = 0;
    }
    for (int i = 0; i < BATCH; i++) {
        s->out.vectors[i].iov_base = s->out.octets[i];
        s->out.messages[i].msg_hdr.msg_iov = &s->out.vectors[i];
        s->out.messages[i].msg_hdr.msg_iovlen = 1;
    }
    return s;
}

static int open_socket(core_source *s, char *error, int32_t size) {
    const source_config *c = &s->config;
    if (c->transport == 1) {
        struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = c->interface_index};
        int one = 1;
        s->socket = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
        if (s->socket < 0) return fail(error, size, "packet socket"), -1;
        if (bind(s->socket, (struct sockaddr *)&address, sizeof address)) return fail(error, size, "bind to the interface"), -1;
        setsockopt(s->socket, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);
        return 0;
    }
    unsigned char hops = 4, loop = 1;
    struct in_addr interface = {c->interface_address};
    s->group = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(c->port), .sin_addr.s_addr = c->group};
    s->socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s->socket < 0) return fail(error, size, "datagram socket"), -1;
    if (setsockopt(s->socket, IPPROTO_IP, IP_MULTICAST_IF, &interface, sizeof interface) ||
        setsockopt(s->socket, IPPROTO_IP, IP_MULTICAST_TTL, &hops, sizeof hops) ||
        setsockopt(s->socket, IPPROTO_IP, IP_MULTICAST_LOOP, &loop, sizeof loop))
        return fail(error, size, "multicast options"), -1;
    if (connect(s->socket, (struct sockaddr *)&s->group, sizeof s->group)) return fail(error, size, "connect to the group"), -1;
    return 0;
}

int32_t source_start(core_source *s, int32_t priority, char *error, int32_t size) {
    if (s->running || !s->config.transport) {
        snprintf(error, (size_t)size, "%s", s->running ? "already started" : "no link: frames to memory only");
        return -1;
    }
    s->stop = 0;
    if (open_socket(s, error, size) || thread_start(&s->thread, work, s, priority, error, size)) {
        if (s->socket >= 0) close(s->socket);
        s->socket = -1;
        return -1;
    }
    s->running = 1;
    return 0;
}

void source_stop(core_source *s) {
    if (!s->running) return;
    __atomic_store_n(&s->stop, 1, __ATOMIC_RELEASE);
    pthread_join(s->thread, NULL);
    close(s->socket);
    s->socket = -1;
    s->running = 0;
}

void source_close(core_source *s) {
    source_stop(s);
    pthread_mutex_destroy(&s->lock);
    mac_key_forget(&s->key);
    explicit_bzero(&s->config.key, sizeof s->config.key);
    free(s);
}

int32_t source_add(core_source *s, const source_segment *segment) {
    int refused = 0;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < CORE_CHANNELS; i++) refused |= !waveform_room(&s->channels[i], segment->start_us[i]);
    for (int i = 0; i < CORE_CHANNELS && !refused; i++) waveform_queue(&s->channels[i], segment, i);
    pthread_mutex_unlock(&s->lock);
    s->counters.refused_segments += (uint64_t)refused;
    return refused ? -1 : 0;
}

int32_t source_rekey(core_source *s, const core_key *key, uint32_t key_time, uint16_t key_next) {
    source_config config = s->config;
    frame_form form;
    mac_key next, former;
    if (!config.authenticate) return EINVAL;
    config.key = *key;
    config.key_time = key_time;
    config.key_next = key_next;
    int wrong = mac_key_prepare(&next, key);
    if (wrong) return wrong;
    if (frame_prepare(&form, &config) || form.length > sizeof s->out.octets[0]) {
        mac_key_forget(&next);
        return EINVAL;
    }
    pthread_mutex_lock(&s->lock);
    former = s->key;
    s->key = next;
    s->form = form;
    s->config.key = config.key;
    s->config.key_time = key_time;
    s->config.key_next = key_next;
    pthread_mutex_unlock(&s->lock);
    mac_key_forget(&former);
    return 0;
}

void source_quality(core_source *s, int32_t index, uint32_t quality) {
    if (index >= 0 && index < CORE_CHANNELS) __atomic_store_n(&s->quality[index], quality, __ATOMIC_RELAXED);
}

void source_synch(core_source *s, int32_t synch) { __atomic_store_n(&s->synch, synch, __ATOMIC_RELAXED); }

void source_pause(core_source *s, int32_t paused) { __atomic_store_n(&s->paused, paused, __ATOMIC_RELAXED); }

void source_count(core_source *s, source_counters *counters) { memcpy(counters, &s->counters, sizeof *counters); }

/* Looks at queued segments too, without using them up. */
void source_wave(core_source *s, int64_t t_us, int32_t *values) {
    double cosine, sine;
    double turns = (double)((t_us % 1000000 * s->config.frequency) % 1000000) / 1e6;
    sincos(2 * M_PI * turns, &sine, &cosine);
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < CORE_CHANNELS; i++) {
        const channel *c = &s->channels[i];
        values[i] = waveform_count(waveform_instant(waveform_at(c, t_us), t_us, cosine, sine) * c->scale);
    }
    pthread_mutex_unlock(&s->lock);
}

int32_t source_frame(core_source *s, int64_t second, int32_t sample, uint8_t *frame, int32_t size) {
    int32_t length = 0;
    pthread_mutex_lock(&s->lock);
    if (!s->running && sample >= 0 && sample % s->config.asdus == 0 && sample < s->config.rate && (int32_t)s->form.length <= size) {
        fill(s, second, sample);
        length = (int32_t)s->form.length;
        memcpy(frame, s->form.octets, s->form.length);
    }
    pthread_mutex_unlock(&s->lock);
    return length;
}
