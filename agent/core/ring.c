/* Many streams of one interface in one thread: a packet ring whose frames are dealt out by destination and APPID.

   Each stream keeps its own receiver, with its own order, age, authentication and filters; the ring only finds it. The
   kernel drops what is no Sampled Values multicast and, with few streams, what is not for one of them. Nothing is
   allocated after ring_start. */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "receiver.h"
#include "system.h"
#include "thread.h"

#define SLOT 512
#define BLOCK 65536
#define NOWHERE UINT32_MAX
#define BATCH 4096           /* frames dealt out at once */
#define TABLE 2048           /* power of two, at least twice the streams */
#define STREAMS 512
#define FILTERED 64          /* so many streams are told apart in the kernel */
#define LOOK_US 2500         /* between looks for silent streams */

struct core_ring {
    int interface_index, socket, stop, running;
    uint32_t tick_us, frames, cursor;
    uint8_t *map;
    size_t size;
    pthread_t thread;
    int streams, touched_count;
    core_receiver *receivers[STREAMS];
    int touched[STREAMS];            /* streams with frames in the present batch … */
    uint32_t first[STREAMS], last[STREAMS], *next; /* … and these: slots of the ring, linked */
    uint64_t keys[TABLE];            /* destination << 16 | APPID; 0: empty */
    int16_t found[TABLE];            /* its stream */
    ring_counters counters;
};

static uint64_t key_of(const uint8_t *mac, uint32_t appid) {
    return (uint64_t)frame_load32(mac) << 32 | (uint64_t)frame_load16(mac + 4) << 16 | appid;
}

static uint32_t place(uint64_t key) { return (uint32_t)(key * 0x9E3779B97F4A7C15ull >> 40) & (TABLE - 1); }

core_ring *ring_open(int32_t interface_index, int32_t megabytes, uint32_t tick_us, char *error, int32_t size) {
    if (megabytes < 1 || megabytes > 256) {
        snprintf(error, (size_t)size, "a ring has 1 to 256 MB");
        return NULL;
    }
    core_ring *ring = calloc(1, sizeof *ring);
    if (!ring) return fail(error, size, "memory"), NULL;
    ring->interface_index = interface_index;
    ring->tick_us = tick_us;
    ring->size = (size_t)megabytes << 20;
    ring->frames = (uint32_t)(ring->size / SLOT);
    ring->next = calloc(ring->frames, sizeof *ring->next);
    ring->socket = ring->stop = -1;
    if (!ring->next) {
        fail(error, size, "memory");
        free(ring);
        return NULL;
    }
    return ring;
}

int32_t ring_add(core_ring *ring, core_receiver *receiver, char *error, int32_t size) {
    const core_config *c = &receiver->config;
    const char *wrong = NULL;
    uint64_t key = key_of(c->destination, c->appid);
    uint32_t at = place(key);
    while (ring->keys[at] && ring->keys[at] != key) at = (at + 1) & (TABLE - 1);
    if (ring->running || receiver->running || receiver->dealt) wrong = "ring or receiver has been started";
    else if (c->transport != 1 || c->interface_index != ring->interface_index) wrong = "the stream is not on this interface";
    else if (ring->streams == STREAMS) wrong = "too many streams for a ring";
    else if (ring->keys[at]) wrong = "two streams with the same destination and APPID";
    if (wrong) {
        snprintf(error, (size_t)size, "%s", wrong);
        return -1;
    }
    ring->keys[at] = key;
    ring->found[at] = (int16_t)ring->streams;
    ring->first[ring->streams] = NOWHERE;
    ring->receivers[ring->streams++] = receiver;
    receiver->dealt = 1;
    return 0;
}

/* Sampled Values to 01-0C-CD-04-xx-xx; with few streams, only their own. */
static int attach(core_ring *ring) {
    struct sock_filter code[5 + FILTERED];
    int n = 0, chosen = ring->streams <= FILTERED ? ring->streams : 0;
    int refuse = chosen ? chosen + 1 : 0; /* so many instructions lie between the second one and the refusal */
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12);
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x88BA, (uint8_t)(chosen ? 0 : 1), (uint8_t)refuse);
    if (chosen) code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2);
    for (int i = 0; i < chosen; i++)
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, frame_load32(ring->receivers[i]->config.destination + 2),
                                                 (uint8_t)(chosen - i), 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0xFFFF);
    struct sock_fprog program = {(unsigned short)n, code};
    return setsockopt(ring->socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

static int open_socket(core_ring *ring, char *error, int32_t size) {
    struct tpacket_req request = {BLOCK, (unsigned)(ring->size / BLOCK), SLOT, (unsigned)(ring->size / SLOT)};
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(0x88BA), .sll_ifindex = ring->interface_index};
    int version = TPACKET_V2;
    /* Protocol 0 first: nothing arrives before filter and ring stand. */
    ring->socket = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (ring->socket < 0) return fail(error, size, "packet socket"), -1;
    if (attach(ring)) return fail(error, size, "packet filter"), -1;
    if (setsockopt(ring->socket, SOL_PACKET, PACKET_VERSION, &version, sizeof version) ||
        setsockopt(ring->socket, SOL_PACKET, PACKET_RX_RING, &request, sizeof request))
        return fail(error, size, "packet ring"), -1;
    ring->map = mmap(NULL, ring->size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->socket, 0);
    if (ring->map == MAP_FAILED) {
        ring->map = NULL;
        return fail(error, size, "map of the packet ring"), -1;
    }
    ring->cursor = 0;
    if (bind(ring->socket, (struct sockaddr *)&address, sizeof address)) return fail(error, size, "bind to the interface"), -1;
    for (int i = 0; i < ring->streams; i++) {
        struct packet_mreq member = {.mr_ifindex = ring->interface_index, .mr_type = PACKET_MR_MULTICAST, .mr_alen = 6};
        memcpy(member.mr_address, ring->receivers[i]->config.destination, 6);
        if (setsockopt(ring->socket, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &member, sizeof member)) return fail(error, size, "multicast"), -1;
    }
    return 0;
}

/* Whose frame is it? The kernel has taken a VLAN tag off; one that is left is not looked behind. */
static int stream_of(const core_ring *ring, const uint8_t *frame, size_t length) {
    if (length < 24) return -1;
    uint64_t key = key_of(frame, frame_load16(frame + 14));
    for (uint32_t at = place(key); ring->keys[at]; at = (at + 1) & (TABLE - 1))
        if (ring->keys[at] == key) return ring->found[at];
    return -1;
}

static struct tpacket2_hdr *slot_at(const core_ring *ring, uint32_t index) {
    return (struct tpacket2_hdr *)(ring->map + (size_t)index * SLOT);
}

static void release(struct tpacket2_hdr *slot) { __atomic_store_n(&slot->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE); }

/* What has come, as a list for each stream, in order. */
static uint32_t deal(core_ring *ring) {
    uint32_t taken = 0;
    ring->touched_count = 0;
    while (taken < ring->frames && taken < BATCH) {
        uint32_t index = ring->cursor;
        struct tpacket2_hdr *slot = slot_at(ring, index);
        if (!(__atomic_load_n(&slot->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)) break;
        ring->cursor = index + 1 == ring->frames ? 0 : index + 1;
        taken++;
        int stream = -1;
        if (slot->tp_snaplen < slot->tp_len || (size_t)slot->tp_mac + slot->tp_snaplen > SLOT) ring->counters.oversized++;
        else if ((stream = stream_of(ring, (const uint8_t *)slot + slot->tp_mac, slot->tp_snaplen)) < 0) ring->counters.foreign++;
        if (stream < 0) {
            release(slot);
            continue;
        }
        ring->next[index] = NOWHERE;
        if (ring->first[stream] == NOWHERE) {
            ring->first[stream] = index;
            ring->touched[ring->touched_count++] = stream;
        } else {
            ring->next[ring->last[stream]] = index;
        }
        ring->last[stream] = index;
    }
    ring->counters.frames += taken;
    return taken;
}

/* A stream's frames one after the other: its windows are fetched from memory once, not once a frame. */
static void evaluate(core_ring *ring) {
    for (int i = 0; i < ring->touched_count; i++) {
        int stream = ring->touched[i];
        core_receiver *receiver = ring->receivers[stream];
        for (uint32_t index = ring->first[stream]; index != NOWHERE; index = ring->next[index]) {
            struct tpacket2_hdr *slot = slot_at(ring, index);
            receiver_frame(receiver, (const uint8_t *)slot + slot->tp_mac, slot->tp_snaplen,
                           (int64_t)slot->tp_sec * 1000000 + slot->tp_nsec / 1000, 0);
            release(slot);
        }
        ring->first[stream] = NOWHERE;
        publish_state(receiver);
    }
}

static void *work(void *argument) {
    core_ring *ring = argument;
    struct pollfd waits[2] = {{ring->socket, POLLIN, 0}, {ring->stop, POLLIN, 0}};
    struct timespec tick = {0, (long)ring->tick_us * 1000};
    int64_t looked = clock_us();
    prctl(PR_SET_NAME, "flisr-sv-ring");
    prctl(PR_SET_TIMERSLACK, 10000UL);
    for (;;) {
        int ready = poll(waits, 2, 5);
        if (waits[1].revents) break;
        if (waits[0].revents & POLLERR) forget_error(waits[0].fd);
        ring->counters.wakes++;
        /* With many streams, a pause gathers a batch: a wake-up for each frame would cost more than the frame. */
        if (ready > 0) {
            if (ring->tick_us) nanosleep(&tick, NULL);
            while (deal(ring)) evaluate(ring);
        }
        int64_t now = clock_us();
        if (now - looked >= LOOK_US || now < looked) {
            looked = now;
            for (int i = 0; i < ring->streams; i++) core_quiet(ring->receivers[i], now);
        }
    }
    return NULL;
}

int32_t ring_start(core_ring *ring, int32_t priority, char *error, int32_t size) {
    if (ring->running || !ring->streams) {
        snprintf(error, (size_t)size, "%s", ring->running ? "already started" : "a ring without streams");
        return -1;
    }
    ring->stop = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (ring->stop < 0) return fail(error, size, "eventfd"), -1;
    if (open_socket(ring, error, size) || thread_start(&ring->thread, work, ring, priority, error, size)) {
        ring_stop(ring);
        return -1;
    }
    ring->running = 1;
    return 0;
}

static void count_drops(core_ring *ring) {
    struct tpacket_stats drops;
    socklen_t length = sizeof drops;
    if (ring->map && !getsockopt(ring->socket, SOL_PACKET, PACKET_STATISTICS, &drops, &length))
        __atomic_fetch_add(&ring->counters.dropped_by_kernel, drops.tp_drops, __ATOMIC_RELAXED);
}

void ring_stop(core_ring *ring) {
    uint64_t one = 1;
    if (ring->running) {
        if (write(ring->stop, &one, sizeof one) < 0) return;
        pthread_join(ring->thread, NULL);
        ring->running = 0;
        for (int i = 0; i < ring->streams; i++) {
            ring->receivers[i]->quiet = 1;
            ring->receivers[i]->have_sample = 0;
            supervision_blind(ring->receivers[i]);
            publish_state(ring->receivers[i]);
        }
    }
    count_drops(ring);
    if (ring->map) munmap(ring->map, ring->size);
    if (ring->socket >= 0) close(ring->socket);
    if (ring->stop >= 0) close(ring->stop);
    ring->map = NULL;
    ring->socket = ring->stop = -1;
}

void ring_close(core_ring *ring) {
    ring_stop(ring);
    for (int i = 0; i < ring->streams; i++) ring->receivers[i]->dealt = 0;
    free(ring->next);
    free(ring);
}

void ring_count(core_ring *ring, ring_counters *counters) {
    count_drops(ring);
    memcpy(counters, &ring->counters, sizeof *counters);
}
