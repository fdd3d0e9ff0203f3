/* See inbox.h. One thread writes slots, one (Python's) reads them; patterns change under a lock with inheritance. */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "inbox.h"
#include "masked.h"
#include "stamp.h"

#define STACK (256 * 1024)

typedef struct {
    uint32_t length, offset, size;
    int relaxed;
    uint8_t mask[INBOX_PATTERN], octets[INBOX_PATTERN];
} pattern;

struct inbox {
    int descriptor, bell, stop;
    int running;
    pthread_t thread;
    pthread_mutex_t lock;
    atomic_int relax;
    uint32_t patterns;
    atomic_uint head, tail;   /* head: next to write; tail: next to read */
    atomic_ullong taken, urgent, full, oversized;
    pattern expected[INBOX_PATTERNS];
    inbox_slot slots[INBOX_SLOTS];
};

inbox *inbox_open(int descriptor, char *error, uint32_t size) {
    inbox *box = calloc(1, sizeof *box);
    if (box == NULL) {
        snprintf(error, size, "no memory");
        return NULL;
    }
    box->descriptor = descriptor;
    box->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    box->stop = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setprotocol(&kind, PTHREAD_PRIO_INHERIT);
    int wrong = pthread_mutex_init(&box->lock, &kind);
    pthread_mutexattr_destroy(&kind);
    if (box->bell < 0 || box->stop < 0 || wrong) {
        snprintf(error, size, "no eventfd or lock");
        inbox_close(box);
        return NULL;
    }
    return box;
}

static void signal_event(int descriptor) {
    uint64_t one = 1;
    if (write(descriptor, &one, sizeof one) < 0) {
        return; /* the counter is at its limit: it has been signalled often enough */
    }
}

static int can_wait(inbox *box, const uint8_t *payload, uint32_t length) {
    int relaxed = atomic_load_explicit(&box->relax, memory_order_acquire), found = 0;
    pthread_mutex_lock(&box->lock);
    for (uint32_t i = 0; i < box->patterns && !found; i++) {
        const pattern *p = &box->expected[i];
        if (p->length == length && (relaxed || !p->relaxed)) found = masked_equal(payload + p->offset, p->octets, p->mask, p->size);
    }
    pthread_mutex_unlock(&box->lock);
    return found;
}

/* One frame into the next slot. 1: taken, 0: none there, -1: no room. */
static int take(inbox *box) {
    uint32_t head = atomic_load_explicit(&box->head, memory_order_relaxed);
    if (head - atomic_load_explicit(&box->tail, memory_order_acquire) >= INBOX_SLOTS) return -1;
    inbox_slot *slot = &box->slots[head % INBOX_SLOTS];
    uint8_t control[128];
    struct iovec part = {slot->payload, INBOX_FRAME};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t length = recvmsg(box->descriptor, &message, MSG_DONTWAIT | MSG_TRUNC);
    if (length < 0) return 0; /* nothing there, or the interface is down: poll tells when it is back */
    if (length > INBOX_FRAME) {
        atomic_fetch_add(&box->oversized, 1);
        return 1;
    }
    slot->t_us = stamp(&message);
    slot->length = (uint32_t)length;
    slot->urgent = !can_wait(box, slot->payload, slot->length);
    atomic_fetch_add(&box->taken, 1);
    atomic_store_explicit(&box->head, head + 1, memory_order_release);
    if (slot->urgent || head + 1 - atomic_load(&box->tail) >= INBOX_SLOTS / 2) {
        atomic_fetch_add(&box->urgent, 1);
        signal_event(box->bell);
    }
    return 1;
}

static void *work(void *argument) {
    inbox *box = argument;
    struct pollfd waits[2] = {{box->descriptor, POLLIN, 0}, {box->stop, POLLIN, 0}};
    for (;;) {
        if (poll(waits, 2, -1) < 0 && errno != EINTR) break;
        if (waits[1].revents) break;
        if (waits[0].revents & POLLNVAL) break; /* closed by somebody else: its number may be another file's next */
        int taken = 1;
        while ((taken = take(box)) > 0) continue;
        if (taken < 0) {
            /* Python is behind: the kernel keeps (and counts) what comes; look again in a moment. */
            atomic_fetch_add(&box->full, 1);
            signal_event(box->bell);
            if (poll(&waits[1], 1, 1) > 0) break;
        } else if (waits[0].revents & (POLLERR | POLLHUP)) {
            int wrong;
            socklen_t size = sizeof wrong;
            getsockopt(box->descriptor, SOL_SOCKET, SO_ERROR, &wrong, &size);
            if (poll(&waits[1], 1, 1) > 0) break;
        }
    }
    return NULL;
}

int inbox_start(inbox *box, int priority) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    int wrong = pthread_create(&box->thread, &attributes, work, box);
    pthread_attr_destroy(&attributes);
    if (wrong) return wrong;
    box->running = 1;
    pthread_setname_np(box->thread, "flisr-goose-in");
    if (priority > 0) {
        struct sched_param parameter = {.sched_priority = priority};
        pthread_setschedparam(box->thread, SCHED_FIFO, &parameter);
    }
    return 0;
}

void inbox_close(inbox *box) {
    if (box->running) {
        signal_event(box->stop);
        pthread_join(box->thread, NULL);
    }
    if (box->bell >= 0) close(box->bell);
    if (box->stop >= 0) close(box->stop);
    pthread_mutex_destroy(&box->lock);
    free(box);
}

int inbox_bell(inbox *box) { return box->bell; }

int inbox_expect(inbox *box, uint32_t index, const uint8_t *payload, uint32_t length, uint32_t offset,
                 const uint8_t *mask, uint32_t size, int relaxed) {
    if (index >= INBOX_PATTERNS || size > INBOX_PATTERN || offset > length || size > length - offset) return EINVAL;
    pthread_mutex_lock(&box->lock);
    pattern *p = &box->expected[index];
    p->length = length;
    p->offset = offset;
    p->size = size;
    p->relaxed = relaxed;
    memcpy(p->mask, mask, size);
    memcpy(p->octets, payload + offset, size);
    if (index >= box->patterns) box->patterns = index + 1;
    pthread_mutex_unlock(&box->lock);
    return 0;
}

void inbox_relax(inbox *box, int on) { atomic_store_explicit(&box->relax, on, memory_order_release); }

uint32_t inbox_look(inbox *box) {
    uint64_t rung;
    if (read(box->bell, &rung, sizeof rung) < 0) rung = 0; /* nobody has rung */
    return atomic_load_explicit(&box->head, memory_order_acquire) - atomic_load_explicit(&box->tail, memory_order_relaxed);
}

inbox_slot *inbox_slots(inbox *box) { return box->slots; }

void inbox_release(inbox *box, uint32_t count) {
    atomic_fetch_add_explicit(&box->tail, count, memory_order_release);
}

void inbox_count(inbox *box, inbox_counters *counters) {
    counters->taken = atomic_load(&box->taken);
    counters->urgent = atomic_load(&box->urgent);
    counters->full = atomic_load(&box->full);
    counters->oversized = atomic_load(&box->oversized);
}
