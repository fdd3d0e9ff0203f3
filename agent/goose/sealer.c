/* See sealer.h. */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sealer.h"
#include "sha256.h"

#define BLOCK 16

struct sealer {
    uint32_t length, apdu, end, domain, mac, number;
    hmac_key prepared;
    uint8_t octets[SEALER_MAX];
};

sealer *sealer_new(void) { return calloc(1, sizeof(sealer)); }

void sealer_free(sealer *s) {
    explicit_bzero(s, sizeof *s);
    free(s);
}

int sealer_pattern(sealer *s, const uint8_t *octets, uint32_t length, uint32_t apdu, uint32_t end, uint32_t domain,
                   uint32_t mac, uint32_t number, const uint8_t *secret, uint32_t secret_length) {
    if (length > SEALER_MAX || apdu > end || domain > apdu || mac > 32 || mac > length || end > length - mac) return EINVAL;
    if (number > apdu || apdu - number < 4) return EINVAL;
    s->length = length;
    s->apdu = apdu;
    s->end = end;
    s->domain = domain;
    s->mac = mac;
    s->number = number;
    memcpy(s->octets, octets, length);
    hmac_prepare(&s->prepared, secret, secret_length);
    return 0;
}

/* What is hashed next is written as it will be read, in blocks from the domain's first octet on: loads that a write
   covers only in part would wait for it. */
void sealer_seal(const sealer *s, const uint8_t *values, uint32_t number, uint8_t *sealed) {
    uint8_t mac[32];
    uint32_t at = s->apdu + (BLOCK - (s->apdu - s->domain) % BLOCK) % BLOCK;
    if (at > s->end) at = s->end;
    memcpy(sealed, s->octets, at);
    for (uint32_t i = s->apdu; i < at; i++) sealed[i] |= values[i - s->apdu];
    for (; at + BLOCK <= s->end; at += BLOCK) {
        uint64_t given[BLOCK / 8], fixed[BLOCK / 8];
        memcpy(given, values + (at - s->apdu), BLOCK);
        memcpy(fixed, s->octets + at, BLOCK);
        for (int i = 0; i < BLOCK / 8; i++) fixed[i] |= given[i];
        memcpy(sealed + at, fixed, BLOCK);
    }
    for (; at < s->end; at++) sealed[at] = s->octets[at] | values[at - s->apdu];
    memcpy(sealed + s->end, s->octets + s->end, s->length - s->end);
    if (s->number)
        for (int i = 0; i < 4; i++) sealed[s->number + i] = (uint8_t)(number >> (24 - 8 * i));
    hmac_compute(&s->prepared, sealed + s->domain, s->end - s->domain, mac);
    memcpy(sealed + s->length - s->mac, mac, s->mac);
}
