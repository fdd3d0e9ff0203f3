/* See keys.h. */
#define _GNU_SOURCE
#include "keys.h"

#include <errno.h>
#include <string.h>

#define NONE_READ (-1)

int mac_key_prepare(mac_key *key, const core_key *config) {
    uint32_t mac = config->mac_length;
    memset(key, 0, sizeof *key);
    key->identifier = config->identifier;
    key->mac_length = mac;
    key->refused_from_us = config->refused_from_us;
    if (!config->gmac) {
        if ((mac != 10 && mac != 16 && mac != 32) || config->length > sizeof config->secret) return EINVAL;
        hmac_prepare(&key->hash, config->secret, config->length);
        return 0;
    }
    if ((mac != 8 && mac != 16) || (config->length != 16 && config->length != 32)) return EINVAL;
    key->cipher = gmac_new(config->secret, config->length);
    return key->cipher ? 0 : ENOTSUP;
}

void mac_key_forget(mac_key *key) {
    gmac_free(key->cipher);
    explicit_bzero(key, sizeof *key);
}

int mac_key_compute(const mac_key *key, const uint8_t *iv, const uint8_t *data, size_t length, uint8_t mac[32]) {
    if (key->cipher) return gmac_compute(key->cipher, iv, data, length, mac);
    hmac_compute(&key->hash, data, length, mac);
    return 0;
}

static void forget(key_set *set) {
    for (int32_t i = 0; i < CORE_KEYS; i++) mac_key_forget(&set->keys[i]);
    set->count = 0;
}

static int prepare(key_set *set, const core_key *keys, int32_t count) {
    int wrong = 0;
    forget(set);
    for (int32_t i = 0; i < count && !wrong; i++) wrong = mac_key_prepare(&set->keys[i], &keys[i]);
    if (wrong)
        forget(set);
    else
        set->count = count;
    return wrong;
}

int keys_first(stream_keys *s, const core_key *keys, int32_t count) {
    atomic_store(&s->present, 0);
    atomic_store(&s->read, NONE_READ);
    atomic_flag_clear(&s->exchanging);
    return prepare(&s->sets[0], keys, count);
}

int keys_exchange(stream_keys *s, const core_key *keys, int32_t count) {
    if (count < 1 || count > CORE_KEYS) return EINVAL;
    if (atomic_flag_test_and_set(&s->exchanging)) return EAGAIN;
    int present = atomic_load(&s->present), other = !present, answer;
    if (s->sets[present].count == 0)
        answer = EINVAL; /* authentication is not turned on while frames come in */
    else if (atomic_load(&s->read) == other)
        answer = EAGAIN;
    else if (!(answer = prepare(&s->sets[other], keys, count)))
        atomic_store(&s->present, other);
    atomic_flag_clear(&s->exchanging);
    return answer;
}

void keys_forget(stream_keys *s) {
    forget(&s->sets[0]);
    forget(&s->sets[1]);
}

/* Say which set is read, then look whether it is still the present one: the exchanger looks the other way round, so one of
   the two sees the other. */
static const key_set *enter(stream_keys *s) {
    int present = atomic_load_explicit(&s->present, memory_order_relaxed), seen;
    for (;; present = seen) {
        atomic_store(&s->read, present);
        seen = atomic_load(&s->present);
        if (seen == present) return &s->sets[present];
    }
}

static int authentic(const mac_key *key, const frame_view *view) {
    uint8_t mac[32];
    if (view->mac_length != key->mac_length || (view->iv != NULL) != (key->cipher != NULL)) return 0;
    if (mac_key_compute(key, view->iv, view->signed_from, view->signed_length, mac)) return 0;
    return hmac_equal(mac, view->mac, view->mac_length);
}

static int look(const key_set *set, const frame_view *view, int64_t now_us) {
    for (int32_t i = 0; i < set->count; i++) {
        const mac_key *key = &set->keys[i];
        if (key->identifier != view->key) continue;
        if (key->refused_from_us && now_us >= key->refused_from_us) return KEYS_EXPIRED;
        return authentic(key, view) ? KEYS_GOOD : KEYS_BAD_MAC;
    }
    return KEYS_UNKNOWN;
}

int keys_verify(stream_keys *s, const frame_view *view, int64_t now_us) {
    if (!view->secured) return KEYS_UNKNOWN;
    int found = look(enter(s), view, now_us);
    atomic_store_explicit(&s->read, NONE_READ, memory_order_release);
    return found;
}
