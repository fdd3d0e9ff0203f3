/* One stream's receiver: socket or packet ring, supervision of the sample count, detector, published state.

   The thread allocates nothing and holds no Python lock. State goes out by a sequence lock, changes by an eventfd. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "detector.h"
#include "frame.h"

#define RECORD 16384 /* samples kept for the recorder, power of two: 3.4 s at 4800 Hz */
#define RING_SLOT 512
#define RING_BLOCK 65536
#define RING_BLOCKS 8
#define RING_FRAMES (RING_BLOCK / RING_SLOT * RING_BLOCKS)
#define STACK (256 * 1024) /* all of it is locked in memory where the process is */
#define BATCH 32
#define DATAGRAM 2048
#define BACKWARD_LIMIT 8 /* consecutive samples of another count before the stream is taken to have restarted */
#define FUTURE_US 5000
#define GOOD 0u
#define VALIDITY 3u
#define TEST 0x800u

struct core_receiver {
    core_config config;
    hmac_key keys[CORE_KEYS];
    detector detector;
    core_counters counters;
    /* supervision */
    int have_sample, last_sample, backward, backward_sample;
    int64_t last_time;
    int32_t last_values[CORE_CHANNELS];
    int have_number;
    uint32_t last_number;
    int have_offset;
    int64_t offset;           /* free-running stream: clock minus counted time */
    int64_t counted;          /* samples since have_offset */
    int64_t last_received;
    int quiet;
    uint32_t overflow;        /* last SO_RXQ_OVFL */
    /* published */
    uint32_t sequence;
    core_state shared;
    int64_t *times;
    int32_t *values;
    int64_t recorded;
    /* thread and sockets */
    pthread_t thread;
    int running, socket, stop, event;
    uint8_t *ring;
    size_t cursor;
    uint8_t *datagrams;
};

static int64_t clock_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void fail(char *error, int32_t size, const char *what) { snprintf(error, (size_t)size, "%s: %s", what, strerror(errno)); }

/* Publishing ------------------------------------------------------------------------------------------------------- */

static void publish(core_receiver *r) {
    detector_meter(&r->detector);
    r->detector.state.received_us = r->last_received;
    __atomic_store_n(&r->sequence, r->sequence + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    memcpy(&r->shared, &r->detector.state, sizeof r->shared);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    __atomic_store_n(&r->sequence, r->sequence + 1, __ATOMIC_RELEASE);
}

static void changed(core_receiver *r) {
    uint64_t one = 1;
    r->detector.state.changes++;
    publish(r);
    if (write(r->event, &one, sizeof one) < 0) return; /* already readable */
}

void core_read(core_receiver *r, core_state *state) {
    for (;;) {
        uint32_t before = __atomic_load_n(&r->sequence, __ATOMIC_ACQUIRE);
        if (before & 1) {
            sched_yield();
            continue;
        }
        memcpy(state, &r->shared, sizeof *state);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&r->sequence, __ATOMIC_RELAXED) == before) return;
    }
}

void core_drain(core_receiver *r) {
    uint64_t count;
    if (read(r->event, &count, sizeof count) < 0) return; /* was not readable */
}

static void record(core_receiver *r, const int32_t values[CORE_CHANNELS], int64_t time_us) {
    size_t at = (size_t)r->recorded & (RECORD - 1);
    r->times[at] = time_us;
    memcpy(r->values + at * CORE_CHANNELS, values, CORE_CHANNELS * sizeof *values);
    __atomic_store_n(&r->recorded, r->recorded + 1, __ATOMIC_RELEASE);
}

int64_t core_samples(core_receiver *r, int64_t since, int64_t *times, int32_t *values, int64_t maximum, int64_t *next) {
    int64_t head = __atomic_load_n(&r->recorded, __ATOMIC_ACQUIRE);
    int64_t oldest = head > RECORD - 64 ? head - (RECORD - 64) : 0;
    int64_t from = since < 0 ? head - maximum : since;
    if (from < oldest) from = oldest;
    int64_t count = head - from < maximum ? head - from : maximum;
    if (count < 0) count = 0;
    for (int64_t i = 0; i < count; i++) {
        size_t at = (size_t)(from + i) & (RECORD - 1);
        times[i] = r->times[at];
        memcpy(values + i * CORE_CHANNELS, r->values + at * CORE_CHANNELS, CORE_CHANNELS * sizeof *values);
    }
    *next = from + count;
    /* What the writer overtook while we copied is not given out. */
    int64_t lost = __atomic_load_n(&r->recorded, __ATOMIC_ACQUIRE) - RECORD - from;
    if (lost > 0) {
        if (lost > count) lost = count;
        memmove(times, times + lost, (size_t)(count - lost) * sizeof *times);
        memmove(values, values + lost * CORE_CHANNELS, (size_t)(count - lost) * CORE_CHANNELS * sizeof *values);
        count -= lost;
    }
    return count;
}

/* Supervision ------------------------------------------------------------------------------------------------------ */

static void evaluate(core_receiver *r, const int32_t values[CORE_CHANNELS], int64_t time_us, int voltage_good) {
    record(r, values, time_us);
    if (detector_sample(&r->detector, values, time_us, voltage_good)) changed(r);
}

static void blind(core_receiver *r) {
    if (detector_blind(&r->detector)) changed(r);
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

static void take(core_receiver *r, const frame_asdu *asdu, int64_t now_us) {
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
            blind(r);
            r->have_offset = 0;
            step = 1;
        } else if (step > 2) {
            if (step > c->rate / 4)
                n->jumps++;
            else
                n->gaps++;
            blind(r);
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
        evaluate(r, between, (r->last_time + time_us) / 2, voltage_quality == GOOD);
    }
    r->have_sample = 1;
    r->last_sample = sample;
    r->last_time = time_us;
    memcpy(r->last_values, values, sizeof values);
    n->samples++;
    if (current_quality != GOOD) {
        n->invalid++;
        record(r, values, time_us);
        blind(r);
        return;
    }
    r->last_received = now_us;
    r->quiet = 0;
    evaluate(r, values, time_us, voltage_quality == GOOD);
}

static int authentic(core_receiver *r, const frame_view *view) {
    uint8_t mac[32];
    if (!r->config.key_count) return 1;
    if (view->secured)
        for (int i = 0; i < r->config.key_count; i++)
            if (r->config.keys[i].identifier == view->key) {
                hmac_compute(&r->keys[i], view->signed_from, view->signed_length, mac);
                if (view->mac_length == r->config.keys[i].mac_length && hmac_equal(mac, view->mac, view->mac_length)) return 1;
                r->counters.bad_mac++;
                return 0;
            }
    r->counters.unauthenticated++;
    return 0;
}

static int process(core_receiver *r, const uint8_t *frame, size_t length, int64_t now_us, int session) {
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
    if (!authentic(r, &view)) return 0;
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
    if (view.session && c->key_count) {
        if (r->have_number && (int32_t)(view.number - r->last_number) <= 0) {
            n->replayed++;
            return 0;
        }
        r->have_number = 1;
        r->last_number = view.number;
    }
    for (int i = 0; i < view.asdus; i++) take(r, &view.asdu[i], now_us);
    return 1;
}

void core_quiet(core_receiver *r, int64_t now_us) {
    if (r->quiet || now_us - r->last_received < r->config.blind_after_us) return;
    r->quiet = 1;
    r->have_sample = 0;
    r->have_offset = 0;
    r->counters.silences++;
    blind(r);
}

int32_t core_frame(core_receiver *r, const uint8_t *frame, int64_t length, int64_t now_us) {
    int session = r->config.transport == 2 || (r->config.transport == 0 && length > 1 && frame[0] == 0x01 && frame[1] == 0x40);
    int taken = process(r, frame, (size_t)length, now_us, session);
    publish(r);
    return taken;
}

void core_feed(core_receiver *r, const int32_t *values, const int64_t *times, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        r->last_received = times[i];
        evaluate(r, values + i * CORE_CHANNELS, times[i], 1);
    }
    publish(r);
}

/* Sockets ---------------------------------------------------------------------------------------------------------- */

static int open_ring(core_receiver *r, char *error, int32_t size) {
    const core_config *c = &r->config;
    const uint8_t *mac = c->destination;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, frame_load32(mac), 0, 7),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, frame_load16(mac + 4), 0, 5),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x88BA, 0, 3),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 14),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, c->appid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0xFFFF),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};
    struct tpacket_req request = {RING_BLOCK, RING_BLOCKS, RING_SLOT, RING_FRAMES};
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(0x88BA), .sll_ifindex = c->interface_index};
    struct packet_mreq member = {.mr_ifindex = c->interface_index, .mr_type = PACKET_MR_MULTICAST, .mr_alen = 6};
    int version = TPACKET_V2;
    memcpy(member.mr_address, mac, 6);
    /* Protocol 0 first: nothing arrives before filter and ring stand. */
    r->socket = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (r->socket < 0) return fail(error, size, "packet socket"), -1;
    if (setsockopt(r->socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program)) return fail(error, size, "packet filter"), -1;
    if (setsockopt(r->socket, SOL_PACKET, PACKET_VERSION, &version, sizeof version) ||
        setsockopt(r->socket, SOL_PACKET, PACKET_RX_RING, &request, sizeof request))
        return fail(error, size, "packet ring"), -1;
    r->ring = mmap(NULL, (size_t)RING_BLOCK * RING_BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, r->socket, 0);
    if (r->ring == MAP_FAILED) {
        r->ring = NULL;
        return fail(error, size, "map of the packet ring"), -1;
    }
    if (bind(r->socket, (struct sockaddr *)&address, sizeof address)) return fail(error, size, "bind to the interface"), -1;
    if (setsockopt(r->socket, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &member, sizeof member)) return fail(error, size, "multicast"), -1;
    r->cursor = 0;
    return 0;
}

static int open_datagrams(core_receiver *r, char *error, int32_t size) {
    const core_config *c = &r->config;
    int one = 1, zero = 0, room = 1 << 20;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(c->port), .sin_addr.s_addr = c->group};
    struct ip_mreqn member = {.imr_multiaddr.s_addr = c->group, .imr_address.s_addr = c->interface_address};
    r->socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (r->socket < 0) return fail(error, size, "datagram socket"), -1;
    setsockopt(r->socket, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    setsockopt(r->socket, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof one);
    if (setsockopt(r->socket, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
        setsockopt(r->socket, IPPROTO_IP, IP_MULTICAST_ALL, &zero, sizeof zero))
        return fail(error, size, "datagram socket options"), -1;
    if (bind(r->socket, (struct sockaddr *)&address, sizeof address)) return fail(error, size, "bind to the group and port"), -1;
    if (setsockopt(r->socket, IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof member)) return fail(error, size, "join of the group"), -1;
    r->overflow = 0;
    return 0;
}

static int drain_ring(core_receiver *r) {
    int taken = 0;
    while (taken < RING_FRAMES) {
        struct tpacket2_hdr *slot = (struct tpacket2_hdr *)(r->ring + r->cursor * RING_SLOT);
        if (!(__atomic_load_n(&slot->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)) break;
        int64_t stamp = (int64_t)slot->tp_sec * 1000000 + slot->tp_nsec / 1000;
        if (slot->tp_snaplen < slot->tp_len || (size_t)slot->tp_mac + slot->tp_snaplen > RING_SLOT) {
            r->counters.frames++;
            r->counters.malformed++;
        } else {
            process(r, (const uint8_t *)slot + slot->tp_mac, slot->tp_snaplen, stamp, 0);
        }
        __atomic_store_n(&slot->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
        r->cursor = (r->cursor + 1) % RING_FRAMES;
        taken++;
    }
    return taken;
}

static int drain_datagrams(core_receiver *r) {
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    union {
        struct cmsghdr header;
        uint8_t octets[CMSG_SPACE(sizeof(uint32_t))];
    } control[BATCH];
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){r->datagrams + (size_t)i * DATAGRAM, DATAGRAM};
        messages[i].msg_hdr.msg_iov = &vectors[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        messages[i].msg_hdr.msg_control = &control[i];
        messages[i].msg_hdr.msg_controllen = sizeof control[i];
    }
    int count = recvmmsg(r->socket, messages, BATCH, MSG_DONTWAIT, NULL);
    int64_t now = clock_us();
    for (int i = 0; i < count; i++) {
        for (struct cmsghdr *h = CMSG_FIRSTHDR(&messages[i].msg_hdr); h; h = CMSG_NXTHDR(&messages[i].msg_hdr, h))
            if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SO_RXQ_OVFL) {
                uint32_t overflow;
                memcpy(&overflow, CMSG_DATA(h), sizeof overflow);
                __atomic_fetch_add(&r->counters.dropped_by_kernel, overflow - r->overflow, __ATOMIC_RELAXED);
                r->overflow = overflow;
            }
        process(r, r->datagrams + (size_t)i * DATAGRAM, messages[i].msg_len, now, 1);
    }
    return count;
}

static void *work(void *argument) {
    core_receiver *r = argument;
    struct pollfd waits[2] = {{r->socket, POLLIN, 0}, {r->stop, POLLIN, 0}};
    prctl(PR_SET_NAME, "flisr-sv-in");
    prctl(PR_SET_TIMERSLACK, 10000UL);
    for (;;) {
        int ready = poll(waits, 2, r->quiet ? 100 : 5);
        if (waits[1].revents) break;
        r->counters.wakes++;
        int taken = 0, now;
        while (ready > 0 && (now = r->ring ? drain_ring(r) : drain_datagrams(r)) > 0) {
            taken += now;
            if (taken >= RING_FRAMES) break; /* a flood does not keep us from the clock */
        }
        if (taken) publish(r);
        core_quiet(r, clock_us());
    }
    return NULL;
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
    r->times = calloc(RECORD, sizeof *r->times);
    r->values = calloc((size_t)RECORD * CORE_CHANNELS, sizeof *r->values);
    r->datagrams = config->transport == 2 ? malloc((size_t)BATCH * DATAGRAM) : NULL;
    r->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!r->times || !r->values || (config->transport == 2 && !r->datagrams) || r->event < 0) {
        fail(error, size, "memory or eventfd");
        core_close(r);
        return NULL;
    }
    for (int i = 0; i < config->key_count; i++) hmac_prepare(&r->keys[i], config->keys[i].secret, config->keys[i].length);
    detector_prepare(&r->detector, &r->config);
    r->quiet = 1;
    publish(r);
    return r;
}

static void close_sockets(core_receiver *r) {
    if (r->ring) munmap(r->ring, (size_t)RING_BLOCK * RING_BLOCKS);
    if (r->socket >= 0) close(r->socket);
    if (r->stop >= 0) close(r->stop);
    r->ring = NULL;
    r->socket = r->stop = -1;
}

int32_t core_start(core_receiver *r, int32_t priority, char *error, int32_t size) {
    if (r->running || !r->config.transport) {
        snprintf(error, (size_t)size, "%s", r->running ? "already started" : "no link: fed from memory");
        return -1;
    }
    r->stop = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int bad = r->stop < 0 || (r->config.transport == 1 ? open_ring(r, error, size) : open_datagrams(r, error, size));
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    if (!bad && (errno = pthread_create(&r->thread, &attributes, work, r))) {
        fail(error, size, "thread");
        bad = 1;
    }
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (bad) {
        close_sockets(r);
        return -1;
    }
    if (priority > 0) {
        struct sched_param parameter = {.sched_priority = priority};
        pthread_setschedparam(r->thread, SCHED_FIFO, &parameter);
    }
    r->running = 1;
    return 0;
}

static void count_drops(core_receiver *r) {
    struct tpacket_stats drops;
    socklen_t length = sizeof drops;
    if (r->ring && !getsockopt(r->socket, SOL_PACKET, PACKET_STATISTICS, &drops, &length))
        __atomic_fetch_add(&r->counters.dropped_by_kernel, drops.tp_drops, __ATOMIC_RELAXED);
}

void core_stop(core_receiver *r) {
    uint64_t one = 1;
    if (!r->running) return;
    if (write(r->stop, &one, sizeof one) < 0) return;
    pthread_join(r->thread, NULL);
    r->running = 0;
    count_drops(r);
    close_sockets(r);
    r->quiet = 1;
    r->have_sample = 0;
    blind(r);
}

void core_close(core_receiver *r) {
    core_stop(r);
    if (r->event >= 0) close(r->event);
    free(r->times);
    free(r->values);
    free(r->datagrams);
    memset(r->keys, 0, sizeof r->keys);
    free(r);
}

int32_t core_event_fd(core_receiver *r) { return r->event; }

void core_count(core_receiver *r, core_counters *counters) {
    count_drops(r);
    memcpy(counters, &r->counters, sizeof *counters);
}
