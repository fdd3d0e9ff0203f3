/* The opener on a good payload, and on mutilations of it, each in memory of exactly its length; then the sealer.
   usage: fuzz PAYLOAD SECRET MASK PATTERN ADDRESS|- KEY SIZE APPID SEED; prints how many of them were opened. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opener.h"
#include "sealer.h"

static uint8_t *octets(const char *text, uint32_t *length) {
    *length = text[0] == '-' ? 0 : (uint32_t)strlen(text) / 2;
    uint8_t *made = malloc(*length + 1);
    for (uint32_t i = 0; i < *length; i++) {
        unsigned value;
        sscanf(text + 2 * i, "%2x", &value);
        made[i] = (uint8_t)value;
    }
    return made;
}

static int opened_of(const opener *o, const uint8_t *payload, uint32_t length) {
    opened found;
    uint8_t *exact = malloc(length ? length : 1);
    memcpy(exact, payload, length);
    int number = opener_open(o, exact, length, &found);
    free(exact);
    return number >= 0;
}

int main(int argc, char **argv) {
    if (argc != 10) return 2;
    uint32_t size, secret_size, shape_size, pattern_size, address_size;
    uint8_t *payload = octets(argv[1], &size), *secret = octets(argv[2], &secret_size);
    uint8_t *mask = octets(argv[3], &shape_size), *pattern = octets(argv[4], &pattern_size);
    uint8_t *address = octets(argv[5], &address_size);
    uint32_t key = (uint32_t)atol(argv[6]), mac = (uint32_t)atol(argv[7]), appid = (uint32_t)atol(argv[8]);
    opener *o = opener_new();
    if (opener_key(o, 0, key, mac, secret, secret_size)) return 3;
    if (opener_shape(o, 0, address_size ? address : NULL, appid, shape_size, mask, pattern) != 0) return 4;
    srandom((unsigned)atol(argv[9]));
    int count = opened_of(o, payload, size);
    for (uint32_t cut = 0; cut < size; cut++) count += opened_of(o, payload, cut);
    for (int round = 0; round < 200000; round++) {
        uint8_t wrong[600];
        uint32_t length = size - (uint32_t)(random() % 3 ? 0 : random() % size);
        memcpy(wrong, payload, size);
        /* in what is authenticated: the address and what follows the source, but for the key's times */
        for (long n = random() % 4 + 1; n > 0; n--) wrong[random() % (address_size ? 6 : size)] ^= (uint8_t)(1 + random() % 255);
        if (address_size) wrong[16 + random() % 100] ^= (uint8_t)(1 + random() % 255);
        if (memcmp(wrong, payload, length) == 0) continue;
        count += opened_of(o, wrong, length);
    }
    printf("opened %d\n", count);
    opener_free(o);

    sealer *s = sealer_new();
    for (uint32_t at = 4; at <= size; at++)
        for (uint32_t end = at; end <= size; end += 3) {
            uint32_t domain = at % 17 > at ? 0 : at - at % 17, left = size - end < 32 ? size - end : 32;
            if (sealer_pattern(s, payload, size, at, end, domain, left, at % 5 ? at - 4 : 0, secret, secret_size)) continue;
            uint8_t *values = calloc(1, end - at + 1), *sealed = malloc(size);
            sealer_seal(s, values, 7, sealed);
            free(values);
            free(sealed);
        }
    sealer_free(s);
    free(payload), free(secret), free(mask), free(pattern), free(address);
    return 0;
}
