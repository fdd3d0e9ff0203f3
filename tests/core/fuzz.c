/* Mutilated frames into the receiver, built with the address and undefined-behaviour sanitizers by test_sanitizers.py.
   Every frame lies at the end of its own allocation, so that one octet too far is seen. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>

#include "api.h"

static uint64_t state = 88172645463325252ull;

static uint32_t dice(uint32_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 11) % below;
}

enum { OPEN, HASHED, CIPHERED };

static core_key key_of(int kind) { return (core_key){.identifier = 7, .length = 16, .mac_length = 16, .gmac = kind == CIPHERED}; }

static core_receiver *receiver(int transport, int keys, int asdus) {
    core_config c = {.transport = transport, .appid = 0x4001, .asdus = (uint16_t)asdus, .rate = asdus == 2 ? 4800 : 4000};
    char error[160];
    c.frequency = 50;
    c.blind_after_us = 20000;
    c.maximum_age_us = 1 << 30;
    c.key_count = keys != OPEN;
    c.keys[0] = key_of(keys);
    c.current_scale = 0.001;
    c.voltage_scale = 0.01;
    c.phase_pickup_a = 600;
    c.earth_pickup_a = 120;
    c.start_factor = 0.8;
    c.reset_factor = 0.95;
    c.zero_current_a = 12;
    c.second_harmonic = 0.18;
    c.nominal_v = 10000;
    c.earth_mode = keys; /* trip, wattmetric, varmetric */
    strcpy(c.sv_id, "MU1");
    core_receiver *r = core_open(&c, error, sizeof error);
    if (!r) puts(error), exit(3);
    return r;
}

static core_source *source(int transport, int keys, int asdus) {
    source_config c = {.transport = transport, .vlan = -1, .appid = 0x4001, .rate = asdus == 2 ? 4800 : 4000};
    char error[160];
    c.asdus = asdus;
    c.frequency = 50;
    c.tick_us = 500;
    c.delay_us = 1000;
    c.optional = asdus == 2;
    c.reference_time = keys != OPEN;
    c.authenticate = keys != OPEN;
    c.key = key_of(keys);
    c.current_scale = 0.001;
    c.voltage_scale = 0.01;
    c.current_noise_a = 1e5; /* every sample a fault, every few a saturated count */
    c.voltage_noise_v = 1e5;
    c.seed = 3;
    strcpy(c.sv_id, "MU1");
    core_source *s = source_open(&c, error, sizeof error);
    if (!s) puts(error), exit(1);
    return s;
}

/* Keys are exchanged all the time while frames are looked at. */
typedef struct {
    core_receiver *receiver;
    int keys, stop, exchanged;
} locksmith;

static void *exchange(void *argument) {
    locksmith *l = argument;
    core_key two[2] = {key_of(l->keys), key_of(l->keys == HASHED ? CIPHERED : HASHED)};
    two[1].identifier = 8;
    while (!__atomic_load_n(&l->stop, __ATOMIC_ACQUIRE) || l->exchanged < 10) /* also on a machine that never let us run */
        l->exchanged += core_rekey(l->receiver, two, 1 + l->exchanged % 2) == 0;
    return NULL;
}

int main(int count, char **arguments) {
    int rounds = count > 1 ? atoi(arguments[1]) : 10000;
    uint64_t taken = 0;
    if (rounds == 0) receiver(0, CIPHERED, 1); /* can AES-GMAC be had? */
    for (int kind = 0; kind < 12; kind++) {
        int transport = kind & 1 ? 2 : 0, keys = kind / 2 % 3, asdus = 1 + kind / 6;
        core_source *s = source(transport, keys, asdus);
        core_receiver *r = receiver(transport, keys, asdus);
        int rate = asdus == 2 ? 4800 : 4000;
        uint8_t octets[1600];
        locksmith smith = {r, keys, 0, 0};
        pthread_t thread;
        if (keys != OPEN) pthread_create(&thread, NULL, exchange, &smith);
        for (int n = 0; n < rounds; n++) {
            int64_t second = 1700000000 + (int64_t)n * asdus / rate;
            int sample = (int)((int64_t)n * asdus % rate);
            size_t length = (size_t)source_frame(s, second, sample, octets, sizeof octets);
            int changes = dice(3) ? 0 : 1 + (int)dice(6);
            for (int i = 0; i < changes; i++) octets[dice((uint32_t)length)] = dice(4) ? (uint8_t)dice(256) : 0xFF;
            if (!dice(9)) length = dice((uint32_t)length + 1);
            uint8_t *exact = malloc(length ? length : 1);
            memcpy(exact, octets, length);
            taken += (uint64_t)core_frame(r, exact, (int64_t)length, second * 1000000 + (int64_t)sample * 1000000 / rate + 1000);
            free(exact);
            if (!dice(200)) core_quiet(r, second * 1000000 + 500000);
        }
        __atomic_store_n(&smith.stop, 1, __ATOMIC_RELEASE);
        if (keys != OPEN) pthread_join(thread, NULL);
        static int64_t times[4000], next;
        static int32_t values[4000 * CORE_CHANNELS];
        core_samples(r, dice(1000), times, values, 4000, &next);
        core_close(r);
        source_close(s);
    }
    printf("%llu taken\n", (unsigned long long)taken);
    return taken > (uint64_t)rounds ? 0 : 1;
}
