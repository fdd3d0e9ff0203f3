/* Sampled Values frames: layer 2 (IEC 61850-9-2) and session datagrams (IEC 61850-8-1 ed. 2.1, TR 61850-90-5), read and
   written. Reading never goes past `length`, never allocates and never follows a count from the wire without a bound. */
#ifndef FLISR_FRAME_H
#define FLISR_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "api.h"

#define FRAME_ASDUS 8
#define FRAME_LIMIT 1500

typedef struct {
    uint16_t sample;
    uint32_t conf_rev;
    uint8_t synch;
    const uint8_t *text;      /* svID */
    size_t text_length;
    const uint8_t *reference; /* refrTm, 8 octets, or none */
    const uint8_t *data;      /* eight values with quality, 64 octets */
} frame_asdu;

typedef struct {
    uint16_t appid;
    int simulated;
    int session;              /* came as a datagram; number is its SPDU number */
    uint32_t number;
    const uint8_t *apdu;
    size_t apdu_length;
    int secured;
    uint32_t key;
    const uint8_t *iv;        /* 12 octets, or none: HMAC */
    const uint8_t *signed_from;
    size_t signed_length;
    const uint8_t *mac;
    size_t mac_length;
    int asdus;
    frame_asdu asdu[FRAME_ASDUS];
} frame_view;

/* The outer layers, up to the APDU and the authentication. 0: well formed. */
int frame_open_ethernet(const uint8_t *frame, size_t length, frame_view *view);
int frame_open_session(const uint8_t *datagram, size_t length, frame_view *view);
/* The APDU. 0: well formed. */
int frame_open_apdu(frame_view *view);

/* A frame whose fields of fixed width are filled in per sample. */
typedef struct {
    uint8_t octets[FRAME_LIMIT + 100];
    size_t length;
    size_t sample_at[FRAME_ASDUS], synch_at[FRAME_ASDUS], reference_at[FRAME_ASDUS], data_at[FRAME_ASDUS];
    size_t number_at;         /* session number, 0: none */
    size_t signed_at, mac_at; /* mac_at 0: not authenticated */
    size_t iv_at;             /* 0: none */
    size_t signed_length;
    size_t mac_length;
} frame_form;

int frame_prepare(frame_form *form, const source_config *config);

static inline uint32_t frame_load32(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }
static inline uint16_t frame_load16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline void frame_store32(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}
static inline void frame_store16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

#endif
