/* What Python sees of the core: plain C types, one declaration per line, read by build.py for cffi and by every C file. */

#pragma once

#define CORE_CHANNELS 8
#define CORE_KEYS 4
#define CORE_MODES 5
#define CORE_TEXT 68

/* ---- receiver and detector ------------------------------------------------------------------------------------- */

typedef struct {
    uint32_t identifier;
    uint32_t length;
    uint32_t mac_length;         /* octets on the wire: HMAC-SHA256 10, 16 or 32; AES-GMAC 8 or 16 */
    int32_t gmac;                /* 1: AES-GMAC, the secret has 16 or 32 octets */
    int32_t reserved;
    int64_t refused_from_us;     /* UTC, the grace included; 0: never */
    uint8_t secret[64];
} core_key;

typedef struct {
    int32_t transport;           /* 0: fed from memory, 1: layer 2, 2: UDP multicast */
    int32_t interface_index;     /* layer 2 */
    uint8_t destination[6];      /* layer 2: MAC of the stream */
    uint16_t appid;
    uint32_t group;              /* UDP: network byte order */
    uint32_t interface_address;  /* UDP: network byte order */
    uint16_t port;
    uint16_t asdus;              /* per frame */
    char sv_id[CORE_TEXT];
    uint32_t conf_rev;           /* 0: any */
    int32_t rate;                /* samples per second */
    int32_t frequency;           /* nominal, Hz */
    int32_t blind_after_us;      /* silence that makes the stream blind */
    int32_t maximum_age_us;      /* a synchronised sample older than this is stale */
    int32_t accept_simulated;    /* 1: frames with the simulation bit are taken instead of dropped */
    int32_t key_count;           /* 0: authentication off */
    core_key keys[CORE_KEYS];
    double current_scale;        /* A per count */
    double voltage_scale;        /* V per count */
    double phase_pickup_a;
    double earth_pickup_a;
    double start_factor;
    double reset_factor;
    double zero_current_a;       /* r.m.s.; below it a pole carries nothing */
    double earth_restraint;      /* share of the largest phase current that a residual must exceed */
    double second_harmonic;      /* restraint: share of the fundamental */
    double nominal_v;            /* line to line; 0: no voltage transformers */
    int32_t earth_mode;          /* 0: trip, 1: wattmetric alarm (compensated), 2: varmetric alarm (isolated), 3: off */
    int32_t reserved;
} core_config;

typedef struct {
    int32_t level;
    int32_t direction;
    int32_t current_zero;
    int32_t live;
    int32_t earth_alarm;
    int32_t synch;
    int64_t start_us;
    int64_t end_us;
    int64_t pickup_us;           /* of the present or last episode; 0: it did not pick up */
    int64_t upto_us;
    int64_t received_us;         /* clock when the newest sample was taken from the socket */
    int64_t changes;             /* grows with every change of the six fields at the top */
    double peak_a;
    double p_kw;
    double q_kvar;
    double frequency_hz;         /* of the voltage; 0: not known yet */
    int32_t frequency_held;      /* 1: of before a fault, a dead bus or a gap */
    int32_t elements;            /* of the present or last episode: 1 phase start, 2 earth start, 4 phase pick-up,
                                    8 earth pick-up; 16: second harmonic restrains now */
    int32_t earth_direction;     /* isolated and compensated: of the last strike, while its residual voltage lasts */
    int32_t earth_strikes;       /* earth faults and restrikes since the start */
    int32_t earth_again;         /* 1: they come again and again, all of them forward */
    double phase_pickup_a;       /* thresholds that the newest sample was compared with */
    double earth_pickup_a;
    double current_re[4];        /* r.m.s. phasors A, B, C, residual; full cycle, nominal frame, corrected for frequency */
    double current_im[4];
    double voltage_re[4];
    double voltage_im[4];
    double full_a[4];            /* full-cycle magnitude the low-set element compares */
    double half_a[4];            /* half-cycle magnitude the high-set element compares */
    double second_a[4];          /* second harmonic, A, B, C; largest in [3] */
} core_state;

typedef struct {
    uint64_t frames;
    uint64_t samples;
    uint64_t bytes;
    uint64_t wakes;
    uint64_t dropped_by_kernel;
    uint64_t malformed;
    uint64_t foreign;            /* other svID, APPID or ASDU count */
    uint64_t conf_rev;
    uint64_t simulated;
    uint64_t unauthenticated;    /* no extension although one is required, or unknown key */
    uint64_t bad_mac;
    uint64_t replayed;           /* session number not above the last */
    uint64_t stale;              /* sample or reference time too far from the clock */
    uint64_t late;               /* duplicate or out of order */
    uint64_t interpolated;
    uint64_t gaps;
    uint64_t jumps;
    uint64_t silences;
    uint64_t invalid;            /* samples whose quality is not good */
    uint64_t unsynchronised;
    uint64_t expired;            /* a key whose time and grace are over */
} core_counters;

typedef struct core_receiver core_receiver;

core_receiver *core_open(const core_config *config, char *error, int32_t error_size);
int32_t core_start(core_receiver *receiver, int32_t priority, char *error, int32_t error_size);
/* Other keys from the next frame on, while frames come in. 0, EINVAL (none, too many, or authentication is off), ENOTSUP
   (AES-GMAC cannot be had), EAGAIN (a frame is still looked at with the keys before the last exchange). */
int32_t core_rekey(core_receiver *receiver, const core_key *keys, int32_t count);
/* Other thresholds from the next sample on, both together; the newest call counts. 0, EINVAL (not positive and finite),
   EAGAIN (just now taken or offered by another thread: again later). */
int32_t core_adjust(core_receiver *receiver, double phase_pickup_a, double earth_pickup_a);
void core_stop(core_receiver *receiver);
void core_close(core_receiver *receiver);
int32_t core_event_fd(core_receiver *receiver);
void core_drain(core_receiver *receiver);
void core_read(core_receiver *receiver, core_state *state);
void core_count(core_receiver *receiver, core_counters *counters);
int64_t core_samples(core_receiver *receiver, int64_t since, int64_t *times, int32_t *values, int64_t maximum, int64_t *next);
int32_t core_frame(core_receiver *receiver, const uint8_t *frame, int64_t length, int64_t now_us);
int64_t core_frames(core_receiver *receiver, const uint8_t *frames, int64_t length, int64_t count, int64_t now_us, int64_t step_us);
void core_feed(core_receiver *receiver, const int32_t *values, const int64_t *times, int64_t count);
void core_quiet(core_receiver *receiver, int64_t now_us);

/* ---- many streams in one thread ---------------------------------------------------------------------------------- */

typedef struct {
    uint64_t frames;
    uint64_t foreign;            /* Sampled Values to nobody here */
    uint64_t oversized;
    uint64_t dropped_by_kernel;
    uint64_t wakes;
} ring_counters;

typedef struct core_ring core_ring;

core_ring *ring_open(int32_t interface_index, int32_t megabytes, uint32_t tick_us, char *error, int32_t error_size);
int32_t ring_add(core_ring *ring, core_receiver *receiver, char *error, int32_t error_size);
int32_t ring_start(core_ring *ring, int32_t priority, char *error, int32_t error_size);
void ring_stop(core_ring *ring);
void ring_close(core_ring *ring);
void ring_count(core_ring *ring, ring_counters *counters);

/* ---- source (merging unit) --------------------------------------------------------------------------------------- */

typedef struct {
    int32_t transport;           /* 0: memory, 1: layer 2, 2: UDP multicast */
    int32_t interface_index;
    uint8_t destination[6];
    uint8_t source[6];
    int32_t vlan;                /* -1: untagged; else priority << 13 | identifier */
    uint16_t appid;
    uint16_t port;
    uint32_t group;
    uint32_t interface_address;
    char sv_id[CORE_TEXT];
    uint32_t conf_rev;
    int32_t rate;
    int32_t asdus;
    int32_t frequency;
    int32_t tick_us;
    int32_t delay_us;
    int32_t optional;            /* 1: 61869-9 (smpRate and smpMod in each ASDU) */
    int32_t simulation;
    int32_t authenticate;
    int32_t reference_time;      /* 1: refrTm in each ASDU */
    core_key key;
    uint32_t key_time;           /* TimeOfCurrentKey, s */
    uint16_t key_next;           /* TimeToNextKey, min */
    uint16_t reserved;
    uint8_t iv_fixed[4];         /* AES-GMAC: who publishes, then a counter that never comes twice */
    uint32_t reserved_too;
    uint64_t iv_first;
    double current_scale;
    double voltage_scale;
    double current_noise_a;
    double voltage_noise_v;
    uint64_t seed;
} source_config;

typedef struct {
    int64_t start_us[CORE_CHANNELS];
    double re[CORE_CHANNELS];         /* r.m.s. phasor, A or V primary, against cos(w t) of UTC */
    double im[CORE_CHANNELS];
    double dc[CORE_CHANNELS];         /* instantaneous value at start */
    double dc_tau_s[CORE_CHANNELS];
    double decay_re[CORE_CHANNELS];   /* second phasor, decaying */
    double decay_im[CORE_CHANNELS];
    double decay_tau_s[CORE_CHANNELS];
    double second_re[CORE_CHANNELS];  /* second harmonic (inrush), decaying */
    double second_im[CORE_CHANNELS];
    double second_tau_s[CORE_CHANNELS];
    double ring_rate[CORE_MODES];     /* damped swings, 1/s, of all channels: real part of ring e^((rate + i turn) s) */
    double ring_turn[CORE_MODES];     /* rad/s */
    double ring_re[CORE_CHANNELS][CORE_MODES]; /* instantaneous values at start */
    double ring_im[CORE_CHANNELS][CORE_MODES];
} source_segment;

typedef struct {
    uint64_t frames;
    uint64_t ticks;
    uint64_t late_ticks;
    uint64_t skipped;            /* frames never sent because the clock jumped or the thread starved */
    uint64_t errors;
    uint64_t refused_segments;
} source_counters;

typedef struct core_source core_source;

core_source *source_open(const source_config *config, char *error, int32_t error_size);
int32_t source_start(core_source *source, int32_t priority, char *error, int32_t error_size);
void source_stop(core_source *source);
void source_close(core_source *source);
int32_t source_add(core_source *source, const source_segment *segment);
/* Another key from the next frame on; times as in the configuration. 0, EINVAL (authentication is off, no such key),
   ENOTSUP (AES-GMAC cannot be had). */
int32_t source_rekey(core_source *source, const core_key *key, uint32_t key_time, uint16_t key_next);
void source_quality(core_source *source, int32_t channel, uint32_t quality);
void source_synch(core_source *source, int32_t synch);
void source_pause(core_source *source, int32_t paused);
void source_count(core_source *source, source_counters *counters);
void source_wave(core_source *source, int64_t sample_us, int32_t *values);
int32_t source_frame(core_source *source, int64_t second, int32_t sample_count, uint8_t *frame, int32_t size);

/* ---- authentication ---------------------------------------------------------------------------------------------- */

void core_hmac(const uint8_t *key, int64_t key_length, const uint8_t *data, int64_t length, uint8_t *mac);
int32_t core_hmac_accelerated(void);
/* The whole tag of AES-GMAC, 16 octets. 0, or -1: it cannot be had. */
int32_t core_gmac(const uint8_t *key, int64_t key_length, const uint8_t *iv, const uint8_t *data, int64_t length, uint8_t *tag);
