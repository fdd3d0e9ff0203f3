/* See gmac.h. No header of the library is needed to build: the seven functions and three numbers are the same in
   OpenSSL 1.1 and 3. What a context allocates it allocates with the key; a frame allocates nothing. */
#include "gmac.h"

#include <dlfcn.h>
#include <pthread.h>

#include "api.h"

#ifndef GMAC_LIBRARIES
#define GMAC_LIBRARIES "libcrypto.so.3", "libcrypto.so.1.1"
#endif
#define GET_TAG 0x10 /* EVP_CTRL_AEAD_GET_TAG */

struct gmac_key {
    char opaque; /* an EVP_CIPHER_CTX */
};

typedef const struct cipher *(*cipher_function)(void);

static struct {
    gmac_key *(*context_new)(void);
    void (*context_free)(gmac_key *);
    cipher_function aes_128_gcm, aes_256_gcm;
    int (*init)(gmac_key *, const struct cipher *, void *, const uint8_t *, const uint8_t *);
    int (*update)(gmac_key *, uint8_t *, int *, const uint8_t *, int);
    int (*final)(gmac_key *, uint8_t *, int *);
    int (*control)(gmac_key *, int, int, void *);
} crypto;

static int loaded;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* POSIX lets a pointer to an object stand for one to a function here. */
static int find(void *library, const char *name, void *function) {
    return (*(void **)function = dlsym(library, name)) != NULL;
}

static void load(void) {
    static const char *const names[] = {GMAC_LIBRARIES};
    for (size_t i = 0; i < sizeof names / sizeof *names && !loaded; i++) {
        void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (!library) continue;
        loaded = find(library, "EVP_CIPHER_CTX_new", &crypto.context_new) &&
                 find(library, "EVP_CIPHER_CTX_free", &crypto.context_free) &&
                 find(library, "EVP_aes_128_gcm", &crypto.aes_128_gcm) && find(library, "EVP_aes_256_gcm", &crypto.aes_256_gcm) &&
                 find(library, "EVP_EncryptInit_ex", &crypto.init) && find(library, "EVP_EncryptUpdate", &crypto.update) &&
                 find(library, "EVP_EncryptFinal_ex", &crypto.final) && find(library, "EVP_CIPHER_CTX_ctrl", &crypto.control);
        if (!loaded) dlclose(library);
    }
}

int gmac_available(void) {
    pthread_once(&once, load);
    return loaded;
}

gmac_key *gmac_new(const uint8_t *secret, size_t length) {
    if (!gmac_available() || (length != 16 && length != 32)) return NULL;
    gmac_key *key = crypto.context_new();
    if (!key) return NULL;
    const struct cipher *cipher = length == 16 ? crypto.aes_128_gcm() : crypto.aes_256_gcm();
    if (cipher && crypto.init(key, cipher, NULL, secret, NULL) == 1) return key;
    crypto.context_free(key);
    return NULL;
}

/* The library wipes the key itself. */
void gmac_free(gmac_key *key) {
    if (key) crypto.context_free(key);
}

int gmac_compute(gmac_key *key, const uint8_t iv[GMAC_IV], const uint8_t *data, size_t length, uint8_t tag[GMAC_TAG]) {
    int count;
    uint8_t nothing[GMAC_TAG];
    if (length > INT32_MAX || crypto.init(key, NULL, NULL, NULL, iv) != 1) return -1;
    if (crypto.update(key, NULL, &count, data, (int)length) != 1 || crypto.final(key, nothing, &count) != 1) return -1;
    return crypto.control(key, GET_TAG, GMAC_TAG, tag) == 1 ? 0 : -1;
}

int32_t core_gmac(const uint8_t *key, int64_t key_length, const uint8_t *iv, const uint8_t *data, int64_t length, uint8_t *tag) {
    gmac_key *made = gmac_new(key, (size_t)key_length);
    int answer = made ? gmac_compute(made, iv, data, (size_t)length, tag) : -1;
    gmac_free(made);
    return answer;
}
