/* The keys of a stream: verified by one thread, exchanged by another while frames come in. */
#ifndef FLISR_KEYS_H
#define FLISR_KEYS_H

#include <stdatomic.h>
#include <stdint.h>

#include "api.h"
#include "frame.h"
#include "sha256.h"

typedef struct {
    int32_t count;
    core_key keys[CORE_KEYS];
    hmac_key prepared[CORE_KEYS];
} key_set;

typedef struct {
    key_set sets[2];          /* one is read, the other is written and then takes its place */
    atomic_int present;
    int64_t exchanged_us;     /* monotonic */
} stream_keys;

enum { KEYS_GOOD, KEYS_UNKNOWN, KEYS_BAD_MAC };

void keys_first(stream_keys *s, const core_key *keys, int32_t count);
/* 0, or EINVAL: none or too many; or EAGAIN: the last exchange is less than a second old, and a frame may still be
   looked at with the keys before that. */
int keys_exchange(stream_keys *s, const core_key *keys, int32_t count, int64_t monotonic_us);
/* Is authentication on? It stays as it was when the receiver was opened. */
int keys_asked(stream_keys *s);
int keys_verify(stream_keys *s, const frame_view *view);

#endif
