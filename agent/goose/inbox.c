/* See inbox.h. tail <= looked <= head: free again, Python's, waiting. */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "opener.h"
#include "inbox.h"
#include "masked.h"
#include "stamp.h"

#define BATCH 64

typedef struct {
    uint32_t size;            /* of the masks; 0: no such stream */
    uint32_t length, offset;  /* of the payload that is expected; 0: none yet */
    int loosely;
    uint8_t exact[INBOX_PATTERN], loose[INBOX_PATTERN], octets[INBOX_PATTERN];
} expectation;

struct inbox {
    int descriptor, epoll;
    int relaxed, fresh;       /* fresh: the wait that has just ended took in all there was */
    uint32_t head, looked, tail, streams;
    const opener *opens;
    inbox_counters counters;
    struct mmsghdr messages[INBOX_SLOTS];
    struct iovec parts[INBOX_SLOTS];
    uint8_t control[INBOX_SLOTS][64];
    inbox_slot slots[INBOX_SLOTS];
    expectation expected[INBOX_STREAMS];
};

static int add(inbox *box, int descriptor) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
    return epoll_ctl(box->epoll, EPOLL_CTL_ADD, descriptor, &event) ? errno : 0;
}

inbox *inbox_new(int descriptor, int *wrong) {
    inbox *box = calloc(1, sizeof *box);
    if (box == NULL) {
        *wrong = ENOMEM;
        return NULL;
    }
    box->descriptor = descriptor;
    box->epoll = epoll_create1(EPOLL_CLOEXEC);
    *wrong = box->epoll < 0 ? errno : add(box, descriptor);
    if (*wrong) {
        inbox_free(box);
        return NULL;
    }
    for (int i = 0; i < INBOX_SLOTS; i++) {
        box->parts[i] = (struct iovec){box->slots[i].payload, INBOX_FRAME};
        box->messages[i].msg_hdr = (struct msghdr){
            .msg_iov = &box->parts[i], .msg_iovlen = 1, .msg_control = box->control[i],
            .msg_controllen = sizeof box->control[i]};
    }
    return box;
}

void inbox_free(inbox *box) {
    if (box->epoll >= 0) close(box->epoll);
    free(box);
}

int inbox_watch(inbox *box, int descriptor) { return add(box, descriptor); }

int inbox_unwatch(inbox *box, int descriptor) {
    return epoll_ctl(box->epoll, EPOLL_CTL_DEL, descriptor, NULL) ? errno : 0;
}

static void open_slot(const inbox *box, inbox_slot *slot) {
    slot->shape = box->opens == NULL ? -1 : opener_open(box->opens, slot->payload, slot->length, &slot->found);
}

void inbox_opener(inbox *box, const opener *o) {
    box->opens = o;
    for (uint32_t n = box->looked; n != box->head; n++) open_slot(box, &box->slots[n % INBOX_SLOTS]);
}

int inbox_stream(inbox *box, uint32_t number, const uint8_t *exact, const uint8_t *loose, uint32_t size) {
    if (number >= INBOX_STREAMS || size == 0 || size > INBOX_PATTERN) return EINVAL;
    expectation *e = &box->expected[number];
    e->size = size;
    e->length = 0;
    e->loosely = loose != NULL;
    memcpy(e->exact, exact, size);
    if (loose != NULL) memcpy(e->loose, loose, size);
    if (number >= box->streams) box->streams = number + 1;
    return 0;
}

void inbox_relax(inbox *box, int on) { box->relaxed = on; }

static int can_wait(const inbox *box, const uint8_t *payload, uint32_t length) {
    for (uint32_t i = 0; i < box->streams; i++) {
        const expectation *e = &box->expected[i];
        if (e->length != length || length == 0) continue;
        const uint8_t *mask = box->relaxed && e->loosely ? e->loose : e->exact;
        if (masked_equal(payload + e->offset, e->octets, mask, e->size)) return 1;
    }
    return 0;
}

/* What Python has looked at is free again; of what it found new, no repetition needs to wake it. */
static void settle(inbox *box) {
    for (; box->tail != box->looked; box->tail++) {
        const inbox_slot *slot = &box->slots[box->tail % INBOX_SLOTS];
        if (slot->news < 0 || (uint32_t)slot->news >= INBOX_STREAMS) continue;
        expectation *e = &box->expected[slot->news];
        if (slot->news_at > slot->length || e->size > slot->length - slot->news_at) continue;
        e->length = slot->length;
        e->offset = slot->news_at;
        memcpy(e->octets, slot->payload + e->offset, e->size);
    }
    /* Nothing waits: begin with the first slot again, whose memory is still in the cache. */
    if (box->tail == box->head) box->head = box->looked = box->tail = 0;
}

static int take(inbox *box, uint32_t number) {
    inbox_slot *slot = &box->slots[number % INBOX_SLOTS];
    struct mmsghdr *message = &box->messages[number % INBOX_SLOTS];
    slot->t_us = stamp(&message->msg_hdr);
    slot->length = message->msg_len;
    slot->news = -1;
    if (message->msg_hdr.msg_flags & MSG_TRUNC) {
        slot->length = 0;
        box->counters.oversized++;
    }
    message->msg_hdr.msg_controllen = sizeof box->control[0];
    box->counters.taken++;
    int urgent = !can_wait(box, slot->payload, slot->length);
    if (urgent) box->counters.urgent++;
    open_slot(box, slot);
    return urgent;
}

/* All that has come, while there is room. 1: something of it cannot wait, or there is no more room; -errno. */
static int fill(inbox *box) {
    int urgent = 0;
    for (;;) {
        uint32_t at = box->head % INBOX_SLOTS, room = INBOX_SLOTS - (box->head - box->tail);
        if (room == 0) {
            box->counters.full++;
            return 1;
        }
        if (room > INBOX_SLOTS - at) room = INBOX_SLOTS - at;
        if (room > BATCH) room = BATCH;
        int count = recvmmsg(box->descriptor, &box->messages[at], room, MSG_DONTWAIT, NULL);
        if (count < 0) {
            switch (errno) {
            case EAGAIN: case EINTR: case ENETDOWN: case ECONNREFUSED: case ENETUNREACH: return urgent;
            default: return -errno;
            }
        }
        for (int i = 0; i < count; i++) urgent |= take(box, box->head++);
        if ((uint32_t)count < room) return urgent;
    }
}

static int64_t milliseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int inbox_wait(inbox *box, int timeout_ms, int *ready) {
    int64_t until = milliseconds() + timeout_ms;
    settle(box);
    for (;;) {
        struct epoll_event events[INBOX_WATCHED + 1];
        int64_t left = until - milliseconds();
        int found = epoll_wait(box->epoll, events, INBOX_WATCHED + 1, left > 0 ? (int)left : 0), count = 0;
        if (found < 0) return errno == EINTR ? 0 : -errno;
        if (found == 0) return 0;
        for (int i = 0; i < found; i++) {
            if (events[i].data.fd != box->descriptor) {
                ready[count++] = events[i].data.fd;
                continue;
            }
            int wrong, urgent = fill(box);
            socklen_t size = sizeof wrong;
            if (events[i].events & EPOLLERR) getsockopt(box->descriptor, SOL_SOCKET, SO_ERROR, &wrong, &size);
            if (events[i].events & EPOLLHUP) inbox_unwatch(box, box->descriptor); /* nothing will ever come again */
            if (urgent < 0) return urgent;
            if (urgent || box->head - box->tail >= INBOX_SLOTS / 2) {
                box->fresh = 1;
                ready[count++] = box->descriptor;
            }
        }
        if (count) return count;
    }
}

uint32_t inbox_look(inbox *box, uint32_t *first) {
    settle(box);
    if (!box->fresh) fill(box);
    box->fresh = 0;
    *first = box->looked;
    box->looked = box->head;
    return box->looked - *first;
}

inbox_slot *inbox_slots(inbox *box) { return box->slots; }

void inbox_count(const inbox *box, inbox_counters *counters) { *counters = box->counters; }
