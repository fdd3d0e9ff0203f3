/* Frequency of the voltage, and what it does to Fourier sums over a nominal cycle. */
#ifndef FLISR_FREQUENCY_H
#define FLISR_FREQUENCY_H

#include <complex.h>
#include <stdint.h>

#define FREQUENCY_TURNS 22 /* quarter cycles: four cycles of average, one and a half of delay */

/* What is known of the frequency. */
typedef struct {
    double hz;                             /* 0: not known yet */
    int32_t held;                          /* 1: of before; the voltage is not followed now */
    /* of a sum over the window: sum = direct X + image conj(X) e^(-2 j angle of the newest sample) */
    double complex direct, image;
    double scale;                          /* 1 / (|direct|^2 - |image|^2) */
    double complex behind_mimic;           /* what takes away the mimic impedance's own error */
} frequency_correction;

typedef struct {
    int32_t cycle;
    double nominal_hz, least2;             /* square of the positive sequence that can be followed */
    double mimic_cycles;
    double complex turn[FREQUENCY_TURNS];  /* of the positive sequence over the last cycle */
    int32_t turns;                         /* pushed since the last clearing */
    frequency_correction correction;
} frequency;

void frequency_prepare(frequency *f, int32_t cycle, double nominal_hz, double phase_v, double mimic_cycles);
/* The voltage is dead, faulted or unknown: what is known is held. */
void frequency_hold(frequency *f);
/* Every quarter cycle: positive sequence now and a cycle ago (V), in the nominal frame. */
void frequency_quarter(frequency *f, double complex now, double complex before);
/* Once a cycle: a new figure from what was pushed. */
void frequency_cycle(frequency *f);
/* The true phasor of one behind the mimic impedance; ``twice``: e^(-2 j angle of the newest sample). */
double complex frequency_corrected(const frequency_correction *f, double complex sum, double complex twice);

#endif
