/* AES-GMAC (NIST SP 800-38D) by the OpenSSL that Python's ssl uses, loaded when the first key asks for it. */
#ifndef FLISR_GMAC_H
#define FLISR_GMAC_H

#include <stddef.h>
#include <stdint.h>

#define GMAC_IV 12
#define GMAC_TAG 16

typedef struct gmac_key gmac_key;

/* 1: AES-GMAC can be had in this process. */
int gmac_available(void);
/* Secret of 16 or 32 octets. NULL: it cannot be had, or no memory. One thread at a time may use a key. */
gmac_key *gmac_new(const uint8_t *secret, size_t length);
void gmac_free(gmac_key *key);
/* The whole tag, to be cut. 0, or -1: the library refused. */
int gmac_compute(gmac_key *key, const uint8_t iv[GMAC_IV], const uint8_t *data, size_t length, uint8_t tag[GMAC_TAG]);

#endif
