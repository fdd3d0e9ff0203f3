/* SHA-256 in portable C and with the SHA instructions of x86, chosen once at run time. */
#include "sha256.h"

#include <string.h>

#include "api.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static const uint32_t INITIAL[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static uint32_t load32(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

static void store32(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void compress_portable(uint32_t state[8], const uint8_t *data, size_t blocks) {
    while (blocks--) {
        uint32_t w[64], s[8];
        for (int i = 0; i < 16; i++) w[i] = load32(data + 4 * i);
        for (int i = 16; i < 64; i++) {
            uint32_t a = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
            uint32_t b = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
            w[i] = w[i - 16] + a + w[i - 7] + b;
        }
        memcpy(s, state, sizeof s);
        for (int i = 0; i < 64; i++) {
            uint32_t e = rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25);
            uint32_t t1 = s[7] + e + ((s[4] & s[5]) ^ (~s[4] & s[6])) + K[i] + w[i];
            uint32_t a = rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22);
            uint32_t t2 = a + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
            s[7] = s[6];
            s[6] = s[5];
            s[5] = s[4];
            s[4] = s[3] + t1;
            s[3] = s[2];
            s[2] = s[1];
            s[1] = s[0];
            s[0] = t1 + t2;
        }
        for (int i = 0; i < 8; i++) state[i] += s[i];
        data += 64;
    }
}

#if defined(__x86_64__)
__attribute__((target("sha,sse4.1,ssse3"))) static void compress_instructions(uint32_t state[8], const uint8_t *data, size_t blocks) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i low = _mm_loadu_si128((const __m128i *)state);
    __m128i high = _mm_loadu_si128((const __m128i *)(state + 4));
    low = _mm_shuffle_epi32(low, 0xB1);
    high = _mm_shuffle_epi32(high, 0x1B);
    __m128i abef = _mm_alignr_epi8(low, high, 8);
    __m128i cdgh = _mm_blend_epi16(high, low, 0xF0);
    while (blocks--) {
        __m128i abef_before = abef, cdgh_before = cdgh, w[4];
        for (int i = 0; i < 4; i++) w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * i)), swap);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            __m128i words = w[i & 3];
            if (i >= 4) {
                __m128i next = _mm_sha256msg1_epu32(words, w[(i + 1) & 3]);
                next = _mm_add_epi32(next, _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4));
                words = _mm_sha256msg2_epu32(next, w[(i + 3) & 3]);
                w[i & 3] = words;
            }
            __m128i input = _mm_add_epi32(words, _mm_loadu_si128((const __m128i *)(K + 4 * i)));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, input);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(input, 0x0E));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
        data += 64;
    }
    low = _mm_shuffle_epi32(abef, 0x1B);
    high = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(low, high, 0xF0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(high, low, 8));
}

static int has_instructions(void) {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA) && __builtin_cpu_supports("sse4.1");
}
#else
#define compress_instructions compress_portable
static int has_instructions(void) { return 0; }
#endif

static void compress(uint32_t state[8], const uint8_t *data, size_t blocks) {
    static int fast = -1;
    int chosen = __atomic_load_n(&fast, __ATOMIC_RELAXED);
    if (chosen < 0) {
        chosen = has_instructions();
        __atomic_store_n(&fast, chosen, __ATOMIC_RELAXED);
    }
    if (chosen)
        compress_instructions(state, data, blocks);
    else
        compress_portable(state, data, blocks);
}

/* Ends a hash of which `before` octets are already in the state. */
static void finish(uint32_t state[8], const uint8_t *data, size_t length, size_t before, uint8_t digest[32]) {
    uint8_t tail[128] = {0};
    size_t whole = length / 64, rest = length % 64, blocks = rest < 56 ? 1 : 2;
    uint64_t bits = (uint64_t)(before + length) * 8;
    if (whole) compress(state, data, whole);
    if (rest) memcpy(tail, data + 64 * whole, rest);
    tail[rest] = 0x80;
    store32(tail + 64 * blocks - 8, (uint32_t)(bits >> 32));
    store32(tail + 64 * blocks - 4, (uint32_t)bits);
    compress(state, tail, blocks);
    for (int i = 0; i < 8; i++) store32(digest + 4 * i, state[i]);
}

void hmac_prepare(hmac_key *prepared, const uint8_t *key, size_t length) {
    uint8_t block[64] = {0}, pad[64];
    if (length > 64) {
        uint32_t state[8];
        memcpy(state, INITIAL, sizeof state);
        finish(state, key, length, 0, block);
    } else if (length) {
        memcpy(block, key, length);
    }
    memcpy(prepared->inner, INITIAL, sizeof INITIAL);
    memcpy(prepared->outer, INITIAL, sizeof INITIAL);
    for (int i = 0; i < 64; i++) pad[i] = block[i] ^ 0x36;
    compress(prepared->inner, pad, 1);
    for (int i = 0; i < 64; i++) pad[i] = block[i] ^ 0x5c;
    compress(prepared->outer, pad, 1);
}

void hmac_compute(const hmac_key *prepared, const uint8_t *data, size_t length, uint8_t mac[32]) {
    uint32_t state[8];
    uint8_t digest[32];
    memcpy(state, prepared->inner, sizeof state);
    finish(state, data, length, 64, digest);
    memcpy(state, prepared->outer, sizeof state);
    finish(state, digest, 32, 64, mac);
}

int hmac_equal(const uint8_t *left, const uint8_t *right, size_t length) {
    uint8_t difference = 0;
    for (size_t i = 0; i < length; i++) difference |= left[i] ^ right[i];
    return difference == 0;
}

void core_hmac(const uint8_t *key, int64_t key_length, const uint8_t *data, int64_t length, uint8_t *mac) {
    hmac_key prepared;
    hmac_prepare(&prepared, key, (size_t)key_length);
    hmac_compute(&prepared, data, (size_t)length, mac);
}

int32_t core_hmac_accelerated(void) { return has_instructions(); }
