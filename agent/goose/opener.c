/* See opener.h. Where a check differs from `frame.parse`, `session.parse` and `parse_extension`, it is the stricter. */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "masked.h"
#include "opener.h"
#include "sha256.h"

#define FRAME_MAX 1518
#define HEADER 10             /* EtherType to Reserved2 */
#define EXTENSION 13          /* 85 L version TimeOfCurrentKey TimeToNextKey KeyID */
#define SESSION 31            /* session header of version 2 without an IV */
#define ELEMENT 6             /* tag, simulation, APPID, length of the APDU */

typedef struct {
    uint32_t group, identifier, size;
    hmac_key prepared;
} key;

typedef struct {
    uint32_t group, appid, length;
    int routed;
    uint8_t address[6];
    uint8_t *mask, *octets;
} shape;

struct opener {
    uint32_t keys, shapes;
    key known[OPENER_KEYS];
    shape expected[OPENER_SHAPES];
};

static uint32_t load16(const uint8_t *p) { return (uint32_t)p[0] << 8 | p[1]; }

static uint32_t load32(const uint8_t *p) { return load16(p) << 16 | load16(p + 2); }

opener *opener_new(void) { return calloc(1, sizeof(opener)); }

void opener_free(opener *o) {
    for (uint32_t i = 0; i < o->shapes; i++) {
        free(o->expected[i].mask);
        free(o->expected[i].octets);
    }
    explicit_bzero(o->known, sizeof o->known);
    free(o);
}

int opener_key(opener *o, uint32_t group, uint32_t identifier, uint32_t size, const uint8_t *secret, uint32_t length) {
    if (o->keys >= OPENER_KEYS) return ENOSPC;
    if (size == 0 || size > 32) return EINVAL;
    key *next = &o->known[o->keys++];
    next->group = group;
    next->identifier = identifier;
    next->size = size;
    hmac_prepare(&next->prepared, secret, length);
    return 0;
}

int opener_shape(opener *o, uint32_t group, const uint8_t *address, uint32_t appid, uint32_t length,
                 const uint8_t *mask, const uint8_t *octets) {
    if (o->shapes >= OPENER_SHAPES) return -ENOSPC;
    shape *next = &o->expected[o->shapes];
    next->mask = malloc(length);
    next->octets = malloc(length);
    if (next->mask == NULL || next->octets == NULL) {
        free(next->mask);
        free(next->octets);
        return -ENOMEM;
    }
    memcpy(next->mask, mask, length);
    memcpy(next->octets, octets, length);
    next->group = group;
    next->appid = appid;
    next->length = length;
    next->routed = address == NULL;
    if (address != NULL) memcpy(next->address, address, sizeof next->address);
    return (int)o->shapes++;
}

static int authentic(const opener *o, uint32_t group, uint32_t identifier, const uint8_t *domain, uint32_t length,
                     const uint8_t *mac, uint32_t size) {
    uint8_t right[32];
    for (uint32_t i = 0; i < o->keys; i++) {
        const key *k = &o->known[i];
        if (k->identifier != identifier || k->group != group) continue;
        if (k->size != size) return 0;
        hmac_compute(&k->prepared, domain, length, right);
        return hmac_equal(right, mac, size);
    }
    return 0;
}

static int open_frame(const opener *o, const uint8_t *p, uint32_t size, opened *found) {
    uint32_t at = 12;
    if (size > FRAME_MAX || size < 18) return -1;
    if (p[12] == 0x81 && p[13] == 0) at = 16;
    if (size < at + HEADER + 2 || p[at] != 0x88 || p[at + 1] != 0xB8) return -1;
    uint32_t appid = load16(p + at + 2), end = at + 2 + load16(p + at + 4), start = at + HEADER;
    if (end > size || end < start) return -1;
    for (uint32_t i = 0; i < o->shapes; i++) {
        const shape *s = &o->expected[i];
        if (s->routed || s->appid != appid || memcmp(s->address, p, 6) != 0) continue;
        if (end - start < s->length + EXTENSION || !masked_equal(p + start, s->octets, s->mask, s->length)) continue;
        uint32_t stop = start + s->length, mac = end - stop - EXTENSION;
        const uint8_t *extension = p + stop;
        if (extension[0] != 0x85 || extension[1] != mac + EXTENSION - 2 || extension[2] != 1) return -1;
        uint32_t identifier = load32(extension + 9);
        if (!authentic(o, s->group, identifier, p + at, stop - at, extension + EXTENSION, mac)) return -1;
        *found = (opened){identifier, start, (p[at + 6] & 0x80) != 0};
        return (int)i;
    }
    return -1;
}

static int open_session(const opener *o, const uint8_t *p, uint32_t size, opened *found) {
    if (size < SESSION + ELEMENT + 2 || p[0] != 1 || p[1] != 0x40 || p[2] != 0xA1 || p[4] != 0x80) return -1;
    if (load16(p + 14) != 2 || p[26] != 0) return -1;
    uint32_t payload = load32(p + 27), start = SESSION + ELEMENT;
    if (payload < ELEMENT + 2 || payload > size - SESSION - 2 || p[SESSION] != 0x81) return -1;
    uint32_t end = SESSION + payload, mac = size - end - 2, length = end - start;
    uint32_t appid = load16(p + SESSION + 2), declared = load16(p + SESSION + 4);
    if (p[end] != 0x85 || p[end + 1] != mac || (declared != length && declared != length + 2)) return -1;
    for (uint32_t i = 0; i < o->shapes; i++) {
        const shape *s = &o->expected[i];
        if (!s->routed || s->appid != appid || s->length != length) continue;
        if (!masked_equal(p + start, s->octets, s->mask, length)) continue;
        uint32_t identifier = load32(p + 22);
        if (!authentic(o, s->group, identifier, p, end, p + end + 2, mac)) return -1;
        *found = (opened){identifier, start, p[SESSION + 1] != 0};
        return (int)i;
    }
    return -1;
}

int opener_open(const opener *o, const uint8_t *payload, uint32_t length, opened *found) {
    if (o->shapes == 0) return -1;
    return o->expected[0].routed ? open_session(o, payload, length, found) : open_frame(o, payload, length, found);
}
