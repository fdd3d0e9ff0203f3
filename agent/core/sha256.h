/* SHA-256 (FIPS 180-4) and HMAC (RFC 2104) with the key's two states computed once. */
#ifndef FLISR_SHA256_H
#define FLISR_SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t inner[8];
    uint32_t outer[8];
} hmac_key;

void hmac_prepare(hmac_key *prepared, const uint8_t *key, size_t length);
void hmac_compute(const hmac_key *prepared, const uint8_t *data, size_t length, uint8_t mac[32]);
/* Compares in constant time; 1: equal. */
int hmac_equal(const uint8_t *left, const uint8_t *right, size_t length);

#endif
