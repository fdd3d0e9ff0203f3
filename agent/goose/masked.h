#pragma once
/* Octets compared under a mask, eight at a time. */

#include <stdint.h>
#include <string.h>

static inline int masked_equal(const uint8_t *octets, const uint8_t *expected, const uint8_t *mask, uint32_t size) {
    uint32_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t a, b, m;
        memcpy(&a, octets + i, 8);
        memcpy(&b, expected + i, 8);
        memcpy(&m, mask + i, 8);
        if ((a ^ b) & m) return 0;
    }
    for (; i < size; i++)
        if ((octets[i] ^ expected[i]) & mask[i]) return 0;
    return 1;
}
