/* What the files of the receiver share: one stream's state, and who does what with it. */
#ifndef FLISR_RECEIVER_H
#define FLISR_RECEIVER_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "adjust.h"
#include "detector.h"
#include "frame.h"
#include "keys.h"

#define RECEIVER_RECORD 16384 /* samples kept for the recorder, power of two: 3.4 s at 4800 Hz */
#define RECEIVER_BATCH 32     /* datagrams taken at once */
#define RECEIVER_DATAGRAM 2048

struct core_receiver {
    core_config config;
    stream_keys keys;
    int authenticated;
    detector detector;
    adjustment adjustment;
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
    detector_meters meters;
    int64_t *times;
    int32_t *values;
    int64_t recorded;
    /* thread and sockets */
    pthread_t thread;
    int running, socket, stop, event;
    int dealt;                /* its frames come from a ring */
    uint8_t *ring;
    size_t cursor;
    uint8_t *datagrams;
};

/* receiver.c: one frame from the wire, checked from the outside in. 1: taken. */
int receiver_frame(core_receiver *r, const uint8_t *frame, size_t length, int64_t now_us, int session);

/* supervision.c: the order and the time of samples. */
void supervision_take(core_receiver *r, const frame_asdu *asdu, int64_t now_us);
void supervision_evaluate(core_receiver *r, const int32_t values[CORE_CHANNELS], int64_t time_us, int voltage_good);
void supervision_blind(core_receiver *r);

/* publish.c: what other threads read. */
void publish_state(core_receiver *r);
void publish_change(core_receiver *r);
void publish_sample(core_receiver *r, const int32_t values[CORE_CHANNELS], int64_t time_us);

/* sockets.c: where frames come from. */
int sockets_open(core_receiver *r, char *error, int32_t size);
void sockets_close(core_receiver *r);
void sockets_count_drops(core_receiver *r);
/* The thread: takes frames and watches the clock until the stop event. */
void *sockets_work(void *receiver);

#endif
