/* Reading is liberal about what implementations disagree on (session lengths, an octet 0x10 before the MAC), strict about
   every bound. Writing follows the profile in docs/reference: the one tshark decodes. */
#include "frame.h"

#include <string.h>

#define EXTENSION 11 /* version 1, TimeOfCurrentKey 4, TimeToNextKey 2, (GMAC: IV,) KeyID 4; then the MAC */
#define IV 12

static int is_hmac_length(size_t length) { return length == 10 || length == 16 || length == 32; }

static int is_gmac_length(size_t length) { return length == 8 || length == 16; }

typedef struct {
    const uint8_t *at, *end;
} span;

/* One TLV with a definite, minimal length of at most two octets. 0: none there or wrong. Inlined, the spans stay in
   registers: a fifth of a frame's time. */
static inline __attribute__((always_inline)) int next_tlv(span *in, uint8_t *tag, span *value) {
    if (in->end - in->at < 2) return 0;
    *tag = in->at[0];
    if ((*tag & 0x1F) == 0x1F) return 0;
    size_t length = in->at[1];
    const uint8_t *p = in->at + 2;
    if (__builtin_expect(length >= 0x80, 0)) {
        size_t octets = length - 0x80;
        if (octets < 1 || octets > 2 || (size_t)(in->end - p) < octets) return 0;
        length = octets == 1 ? *p : frame_load16(p);
        p += octets;
        if (length < (octets == 1 ? 0x80 : 0x100)) return 0;
    }
    if ((size_t)(in->end - p) < length) return 0;
    value->at = p;
    value->end = p + length;
    in->at = p + length;
    return 1;
}

int frame_open_ethernet(const uint8_t *frame, size_t length, frame_view *view) {
    memset(view, 0, offsetof(frame_view, asdu));
    size_t base = 12;
    if (length < base + 10) return -1;
    if (frame_load16(frame + base) == 0x8100) base += 4;
    if (length < base + 10 || frame_load16(frame + base) != 0x88BA) return -1;
    const uint8_t *p = frame + base;
    view->appid = frame_load16(p + 2);
    size_t counted = frame_load16(p + 4);
    if (counted < 10 || counted > FRAME_LIMIT || base + 2 + counted > length) return -1;
    view->simulated = (p[6] & 0x80) != 0;
    span rest = {p + 10, p + 2 + counted}, value;
    uint8_t tag;
    view->apdu = rest.at;
    if (!next_tlv(&rest, &tag, &value) || tag != 0x60) return -1;
    view->apdu_length = (size_t)(rest.at - view->apdu);
    if (rest.at == rest.end) return 0;
    const uint8_t *extension = rest.at;
    if (!next_tlv(&rest, &tag, &value) || tag != 0x85 || value.end - value.at < EXTENSION || rest.at != rest.end) return -1;
    /* The length tells the kind: no two of them have the same. */
    size_t mac = (size_t)(value.end - value.at) - EXTENSION, iv = is_hmac_length(mac) ? 0 : IV;
    if (value.at[0] != 1 || (iv && (mac < IV || !is_gmac_length(mac - IV)))) return -1;
    view->mac_length = mac - iv;
    view->secured = 1;
    view->iv = iv ? value.at + 7 : NULL;
    view->key = frame_load32(value.at + 7 + iv);
    view->mac = value.at + EXTENSION + iv;
    view->signed_from = p;
    view->signed_length = (size_t)(extension - p);
    return 0;
}

int frame_open_session(const uint8_t *datagram, size_t length, frame_view *view) {
    memset(view, 0, offsetof(frame_view, asdu));
    if (length < 40 || length > FRAME_LIMIT + 100 || datagram[0] != 0x01 || datagram[1] != 0x40 || datagram[2] != 0xA2 || datagram[4] != 0x80)
        return -1;
    view->session = 1;
    view->number = frame_load32(datagram + 10);
    uint16_t version = frame_load16(datagram + 14);
    size_t at, trailing_iv = 0;
    if (version == 2) {
        view->key = frame_load32(datagram + 22);
        at = 27;
        if (datagram[26] == IV) { /* GMAC; or encryption, whose payload is no element */
            view->iv = datagram + at;
            at += IV;
        } else if (datagram[26] != 0) {
            return -1;
        }
    } else if (version == 1) {
        view->key = frame_load32(datagram + 24);
        if (datagram[22] != 0) return -1;
        if (datagram[23] == 4 || datagram[23] == 5) trailing_iv = IV; /* GMAC: no place for it in the header */
        at = 28;
    } else {
        return -1;
    }
    if (at + 4 > length) return -1;
    size_t payload = frame_load32(datagram + at);
    at += 4;
    if (payload < 8 || payload > length - at) return -1;
    size_t end = at + payload;
    if (datagram[at] != 0x82) return -1;
    view->simulated = datagram[at + 1] != 0;
    view->appid = frame_load16(datagram + at + 2);
    span rest = {datagram + at + 6, datagram + end}, value;
    uint8_t tag;
    view->apdu = rest.at;
    if (!next_tlv(&rest, &tag, &value) || tag != 0x60) return -1;
    view->apdu_length = (size_t)(rest.at - view->apdu);
    size_t declared = frame_load16(datagram + at + 4);
    if (declared != view->apdu_length && declared != view->apdu_length + 2) return -1;
    if (rest.at != rest.end && *rest.at != 0xAF) return -1; /* one element, then at most padding */
    if (end == length) return 0;
    if (datagram[end] != 0x85) return -1;
    size_t tail = length - end - 1;
    int (*fits)(size_t) = trailing_iv || view->iv ? is_gmac_length : is_hmac_length;
    /* A length octet, or by chance the first octet of what has none: then one octet less would be no MAC's length. */
    if (tail > trailing_iv && datagram[end + 1] == tail - 1 && fits(tail - 1 - trailing_iv)) tail--;
    if (tail < trailing_iv || !fits(tail - trailing_iv)) return -1;
    view->mac_length = tail - trailing_iv;
    view->mac = datagram + length - view->mac_length;
    if (trailing_iv) view->iv = view->mac - IV;
    view->secured = 1;
    view->signed_from = datagram;
    view->signed_length = end;
    return 0;
}

static int open_asdu(span in, frame_asdu *asdu) {
    uint8_t tag, seen = 0;
    span value;
    while (in.at < in.end) {
        if (!next_tlv(&in, &tag, &value)) return -1;
        size_t length = (size_t)(value.end - value.at);
        switch (tag) {
        case 0x80:
            asdu->text = value.at;
            asdu->text_length = length;
            seen |= 1;
            break;
        case 0x82:
            if (length != 2) return -1;
            asdu->sample = frame_load16(value.at);
            seen |= 2;
            break;
        case 0x83:
            if (length != 4) return -1;
            asdu->conf_rev = frame_load32(value.at);
            seen |= 4;
            break;
        case 0x84:
            if (length != 8) return -1;
            asdu->reference = value.at;
            break;
        case 0x85:
            if (length != 1) return -1;
            asdu->synch = value.at[0];
            seen |= 8;
            break;
        case 0x87:
            if (length != 8 * CORE_CHANNELS) return -1;
            asdu->data = value.at;
            seen |= 16;
            break;
        case 0x81: /* datSet */
        case 0x86: /* smpRate */
        case 0x88: /* smpMod */
        case 0x89: /* gmIdentity */
            break;
        default:
            return -1;
        }
    }
    return seen == 31 ? 0 : -1;
}

int frame_open_apdu(frame_view *view) {
    span in = {view->apdu, view->apdu + view->apdu_length}, body, value, list = {0, 0};
    uint8_t tag;
    int announced = -1;
    if (!next_tlv(&in, &tag, &body)) return -1;
    while (body.at < body.end) {
        if (!next_tlv(&body, &tag, &value)) return -1;
        if (tag == 0x80 && value.end - value.at == 1)
            announced = value.at[0];
        else if (tag == 0xA2 && !list.at)
            list = value;
        else if (tag != 0x81) /* security: reserved */
            return -1;
    }
    view->asdus = 0;
    if (!list.at || announced < 1 || announced > FRAME_ASDUS) return -1;
    while (list.at < list.end) {
        if (view->asdus == FRAME_ASDUS || !next_tlv(&list, &tag, &value) || tag != 0x30) return -1;
        frame_asdu *asdu = &view->asdu[view->asdus++];
        memset(asdu, 0, sizeof *asdu);
        if (open_asdu(value, asdu)) return -1;
    }
    return view->asdus == announced ? 0 : -1;
}

/* Writing ---------------------------------------------------------------------------------------------------------- */

static uint8_t *put_length(uint8_t *p, size_t length) {
    if (length >= 0x100) {
        *p++ = 0x82;
        *p++ = (uint8_t)(length >> 8);
    } else if (length >= 0x80) {
        *p++ = 0x81;
    }
    *p++ = (uint8_t)length;
    return p;
}

static size_t length_octets(size_t length) { return length >= 0x100 ? 3 : length >= 0x80 ? 2 : 1; }

static uint8_t *put_apdu(frame_form *form, uint8_t *p, const source_config *c) {
    size_t text = strlen(c->sv_id);
    size_t asdu = 2 + text + 4 + 6 + 3 + 2 + 64 + (c->optional ? 4 + 4 : 0) + (c->reference_time ? 10 : 0);
    size_t list = (size_t)c->asdus * (1 + length_octets(asdu) + asdu);
    size_t body = 3 + 1 + length_octets(list) + list;
    *p++ = 0x60;
    p = put_length(p, body);
    *p++ = 0x80;
    *p++ = 1;
    *p++ = (uint8_t)c->asdus;
    *p++ = 0xA2;
    p = put_length(p, list);
    for (int i = 0; i < c->asdus; i++) {
        *p++ = 0x30;
        p = put_length(p, asdu);
        *p++ = 0x80;
        *p++ = (uint8_t)text;
        memcpy(p, c->sv_id, text);
        p += text;
        *p++ = 0x82;
        *p++ = 2;
        form->sample_at[i] = (size_t)(p - form->octets);
        p += 2;
        *p++ = 0x83;
        *p++ = 4;
        frame_store32(p, c->conf_rev);
        p += 4;
        if (c->reference_time) {
            *p++ = 0x84;
            *p++ = 8;
            form->reference_at[i] = (size_t)(p - form->octets);
            p += 8;
        }
        *p++ = 0x85;
        *p++ = 1;
        form->synch_at[i] = (size_t)(p - form->octets);
        p += 1;
        if (c->optional) {
            *p++ = 0x86;
            *p++ = 2;
            frame_store16(p, (uint16_t)c->rate);
            p += 2;
        }
        *p++ = 0x87;
        *p++ = 64;
        form->data_at[i] = (size_t)(p - form->octets);
        p += 64;
        if (c->optional) {
            *p++ = 0x88; /* smpMod: samples per second */
            *p++ = 2;
            frame_store16(p, 1);
            p += 2;
        }
    }
    return p;
}

static int prepare_session(frame_form *form, const source_config *c) {
    uint8_t *p = form->octets;
    p[0] = 0x01;
    p[1] = 0x40;
    p[2] = 0xA2;
    p[3] = 23;
    p[4] = 0x80;
    p[5] = 21;
    form->number_at = 10;
    frame_store16(p + 14, 2);
    frame_store32(p + 16, c->key_time);
    frame_store16(p + 20, c->key_next);
    frame_store32(p + 22, c->authenticate ? c->key.identifier : 0);
    size_t iv = c->authenticate && c->key.gmac ? IV : 0;
    p[3] = (uint8_t)(p[3] + iv);
    p[5] = (uint8_t)(p[5] + iv);
    p[26] = (uint8_t)iv;
    if (iv) form->iv_at = 27;
    uint8_t *element = p + 31 + iv;
    element[0] = 0x82;
    element[1] = (uint8_t)(c->simulation != 0);
    frame_store16(element + 2, c->appid);
    uint8_t *end = put_apdu(form, element + 6, c);
    frame_store16(element + 4, (uint16_t)(end - element - 6 + 2));
    uint32_t payload = (uint32_t)(end - element);
    frame_store32(p + 27 + iv, payload);
    frame_store32(p + 6, payload + 20 + (uint32_t)iv);
    form->length = (size_t)(end - p);
    if (c->authenticate) {
        form->signed_length = form->length;
        *end++ = 0x85;
        *end++ = (uint8_t)form->mac_length;
        form->mac_at = (size_t)(end - p);
        form->length = form->mac_at + form->mac_length;
    }
    return 0;
}

int frame_prepare(frame_form *form, const source_config *c) {
    memset(form, 0, sizeof *form);
    form->mac_length = c->key.mac_length;
    if (c->authenticate && !(c->key.gmac ? is_gmac_length : is_hmac_length)(form->mac_length)) return -1;
    if (c->asdus < 1 || c->asdus > FRAME_ASDUS || strlen(c->sv_id) > 64) return -1;
    if (c->transport == 2) return prepare_session(form, c);
    uint8_t *p = form->octets;
    memcpy(p, c->destination, 6);
    memcpy(p + 6, c->source, 6);
    p += 12;
    if (c->vlan >= 0) {
        frame_store16(p, 0x8100);
        frame_store16(p + 2, (uint16_t)c->vlan);
        p += 4;
    }
    uint8_t *domain = p;
    frame_store16(p, 0x88BA);
    frame_store16(p + 2, c->appid);
    p[6] = c->simulation ? 0x80 : 0;
    uint8_t *end = put_apdu(form, p + 10, c);
    form->signed_at = (size_t)(domain - form->octets);
    form->signed_length = (size_t)(end - domain);
    if (c->authenticate) {
        size_t iv = c->key.gmac ? IV : 0;
        *end++ = 0x85;
        *end++ = (uint8_t)(EXTENSION + iv + form->mac_length);
        *end++ = 1;
        frame_store32(end, c->key_time);
        frame_store16(end + 4, c->key_next);
        end += 6;
        if (iv) form->iv_at = (size_t)(end - form->octets);
        frame_store32(end + iv, c->key.identifier);
        form->mac_at = (size_t)(end + iv + 4 - form->octets);
        end = form->octets + form->mac_at + form->mac_length;
    }
    frame_store16(domain + 4, (uint16_t)(end - domain - 2));
    form->length = (size_t)(end - form->octets);
    return form->length <= FRAME_LIMIT ? 0 : -1;
}
