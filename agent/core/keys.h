/* The keys of a stream: verified by one thread, exchanged by another while frames come in. */
#ifndef FLISR_KEYS_H
#define FLISR_KEYS_H

#include <stdatomic.h>
#include <stdint.h>

#include "api.h"
#include "frame.h"
#include "gmac.h"
#include "sha256.h"

/* One key, prepared. */
typedef struct {
    uint32_t identifier, mac_length;
    int64_t refused_from_us;
    hmac_key hash;
    gmac_key *cipher;         /* NULL: HMAC */
} mac_key;

/* 0, EINVAL: no such secret or MAC; ENOTSUP: AES-GMAC cannot be had. */
int mac_key_prepare(mac_key *key, const core_key *config);
void mac_key_forget(mac_key *key);
/* Before it is cut; iv for AES-GMAC only. 0, or -1: the library refused. */
int mac_key_compute(const mac_key *key, const uint8_t *iv, const uint8_t *data, size_t length, uint8_t mac[32]);

typedef struct {
    int32_t count;
    mac_key keys[CORE_KEYS];
} key_set;

typedef struct {
    key_set sets[2];          /* one is read, the other is written and then takes its place */
    atomic_int present;
    atomic_int read;          /* the set that a frame is looked at with just now; -1: none */
    atomic_flag exchanging;
} stream_keys;

#define KEYS_NO_GMAC "AES-GMAC needs OpenSSL: neither libcrypto.so.3 nor libcrypto.so.1.1 can be loaded"

enum { KEYS_GOOD, KEYS_UNKNOWN, KEYS_BAD_MAC, KEYS_EXPIRED };

/* As mac_key_prepare. */
int keys_first(stream_keys *s, const core_key *keys, int32_t count);
/* As mac_key_prepare, or EINVAL: none, too many, authentication is off; or EAGAIN: somebody else exchanges, or a frame is
   still looked at with the keys before the last exchange. Neither waits for the other. */
int keys_exchange(stream_keys *s, const core_key *keys, int32_t count);
void keys_forget(stream_keys *s);
int keys_verify(stream_keys *s, const frame_view *view, int64_t now_us);

#endif
