#pragma once
/* Opens payloads that are just as they should be: form, address and HMAC of a known stream in the width it is known in.

   It only ever says yes. Whatever it does not open (another width, an IV, a wrong MAC, an unknown key) is Python's to
   judge, which finds out what is wrong with it; and what it opens, Python would have opened (`agent/goose/subscriber.py`
   is the specification). Sequence, age, mode and a key's time are not looked at here. */

#define OPENER_SHAPES 256
#define OPENER_KEYS 256

typedef struct opener opener;

typedef struct {
    uint32_t key;             /* KeyID whose HMAC is right */
    uint32_t at;              /* where the APDU begins */
    int32_t simulation;
} opened;

opener *opener_new(void);     /* NULL: no memory */
void opener_free(opener *o);

/* A key for HMAC-SHA256 of the group: its MAC has size octets (10, 16, 32). errno or 0. */
int opener_key(opener *o, uint32_t group, uint32_t identifier, uint32_t size, const uint8_t *secret, uint32_t length);

/* The next stream, authenticated by a key of the group: APDUs of this length that are octets under the mask.
   address: six octets of the destination, layer 2; NULL: a session over UDP. Number of the stream, or -errno. */
int opener_shape(opener *o, uint32_t group, const uint8_t *address, uint32_t appid, uint32_t length,
                 const uint8_t *mask, const uint8_t *octets);

/* Number of the stream, and what was found; -1: not opened. */
int opener_open(const opener *o, const uint8_t *payload, uint32_t length, opened *found);
