/* Small arithmetic of the detector, inlined. */
#ifndef FLISR_PHASOR_H
#define FLISR_PHASOR_H

#include <complex.h>
#include <math.h>

static inline double square(double x) { return x * x; }
static inline double norm2(double complex z) { return creal(z) * creal(z) + cimag(z) * cimag(z); }
static inline double larger(double a, double b) { return a > b ? a : b; }
static inline double smaller(double a, double b) { return a < b ? a : b; }
static inline double complex turn(double degrees) { return cos(degrees * (M_PI / 180.0)) + I * sin(degrees * (M_PI / 180.0)); }
/* Products without the C99 rescue of infinities, which is slow. */
static inline double complex times(double complex a, double complex b) {
    return creal(a) * creal(b) - cimag(a) * cimag(b) + I * (creal(a) * cimag(b) + cimag(a) * creal(b));
}
static inline double complex positive_sequence(const double complex v[3]) {
    return (v[0] + times(turn(120), v[1]) + times(turn(240), v[2])) / 3.0;
}

#endif
