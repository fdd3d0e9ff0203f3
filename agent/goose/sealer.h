#pragma once
/* Frames of one publisher with one key: a frame that Python sealed is the pattern, only values and MAC are new. */

#define SEALER_MAX 1518       /* longest pattern */

typedef struct sealer sealer;

sealer *sealer_new(void);     /* NULL: no memory */
void sealer_free(sealer *s);

/* A pattern with its APDU (all values zero) from apdu to end, a MAC of mac octets at the end of the frame over what lies
   from domain to covered, and a number of 32 bits at number (0: none). errno or 0. */
int sealer_pattern(sealer *s, const uint8_t *octets, uint32_t length, uint32_t apdu, uint32_t end, uint32_t domain,
                   uint32_t mac, uint32_t number, const uint8_t *secret, uint32_t secret_length);

/* The pattern's length of octets: values over the zeros of the APDU, the number, the MAC. */
void sealer_seal(const sealer *s, const uint8_t *values, uint32_t number, uint8_t *sealed);
