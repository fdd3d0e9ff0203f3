/* See keys.h. To verify a frame takes less than a microsecond; a second between two exchanges is time enough that nobody
   reads the set that is written. */
#include <errno.h>
#include <string.h>

#include "keys.h"

#define APART_US 1000000

static void prepare(key_set *set, const core_key *keys, int32_t count) {
    memset(set, 0, sizeof *set);
    for (int32_t i = 0; i < count; i++) {
        set->keys[i] = keys[i];
        hmac_prepare(&set->prepared[i], keys[i].secret, keys[i].length);
    }
    set->count = count;
}

void keys_first(stream_keys *s, const core_key *keys, int32_t count) {
    prepare(&s->sets[0], keys, count);
    atomic_store_explicit(&s->present, 0, memory_order_release);
}

int keys_exchange(stream_keys *s, const core_key *keys, int32_t count, int64_t monotonic_us) {
    int other = !atomic_load_explicit(&s->present, memory_order_relaxed);
    if (count < 1 || count > CORE_KEYS || !keys_asked(s)) return EINVAL;
    if (s->exchanged_us && monotonic_us - s->exchanged_us < APART_US) return EAGAIN;
    prepare(&s->sets[other], keys, count);
    atomic_store_explicit(&s->present, other, memory_order_release);
    s->exchanged_us = monotonic_us;
    return 0;
}

int keys_asked(stream_keys *s) { return s->sets[atomic_load_explicit(&s->present, memory_order_acquire)].count != 0; }

int keys_verify(stream_keys *s, const frame_view *view) {
    const key_set *set = &s->sets[atomic_load_explicit(&s->present, memory_order_acquire)];
    uint8_t mac[32];
    if (!view->secured) return KEYS_UNKNOWN;
    for (int32_t i = 0; i < set->count; i++)
        if (set->keys[i].identifier == view->key) {
            hmac_compute(&set->prepared[i], view->signed_from, view->signed_length, mac);
            int good = view->mac_length == set->keys[i].mac_length && hmac_equal(mac, view->mac, view->mac_length);
            return good ? KEYS_GOOD : KEYS_BAD_MAC;
        }
    return KEYS_UNKNOWN;
}
