/* A sum over a nominal cycle stands still while the frequency is nominal and turns by 2 pi (f / f0 - 1) a cycle else. The
   positive sequence of the three voltages has no image at minus f as long as they are balanced; what unbalance leaves
   alternates from quarter to quarter cycle and falls out of the average.

   The window does two things to a phasor X of another frequency: it turns and shortens it (direct), and it adds its
   mirror (image). With the frequency known both are, and the pair of equations is solved for X.

   The last one and a half cycles are left out of the average, so that a fault is not in what is held. A voltage that
   changed its size within a cycle may have jumped in phase: it starts the average anew.

   The mimic impedance works on the signal before the sum: what it adds to a phasor is taken away after the mirror. */
#include "frequency.h"

#include <math.h>
#include <string.h>

#include "phasor.h"

#define LEAST_SHARE 0.5
#define RANGE_HZ 5.5 /* 45 to 55 and 55 to 65 Hz, with some noise */
#define STEADY_SHARE 0.1
#define DELAY 6
#define SETTLE 4 /* quarter cycles that are not looked at after a hold: a window still has some of it */

/* Mean of e^(j x k), k from 0 to count - 1. */
static double complex mean_turn(double x, int32_t count) {
    double below = count * sin(x / 2), size = fabs(below) < 1e-12 ? 1.0 : sin(count * x / 2) / below;
    return size * (cos(x * (count - 1) / 2) + I * sin(x * (count - 1) / 2));
}

void frequency_prepare(frequency *f, int32_t cycle, double nominal_hz, double phase_v, double mimic_cycles) {
    memset(f, 0, sizeof *f);
    f->cycle = cycle;
    f->nominal_hz = nominal_hz;
    f->least2 = square(LEAST_SHARE * phase_v);
    f->mimic_cycles = mimic_cycles;
    f->correction.direct = f->correction.behind_mimic = f->correction.scale = 1;
    frequency_hold(f);
}

void frequency_hold(frequency *f) {
    f->turns = -SETTLE;
    f->correction.held = 1;
}

void frequency_quarter(frequency *f, double complex now, double complex before) {
    double now2 = norm2(now), before2 = norm2(before);
    int steady = now2 >= square(1 - STEADY_SHARE) * before2 && before2 >= square(1 - STEADY_SHARE) * now2;
    if (!steady || now2 < f->least2 || before2 < f->least2) {
        frequency_hold(f);
        return;
    }
    if (f->turns >= 0) f->turn[f->turns % FREQUENCY_TURNS] = times(now, conj(before));
    f->turns = f->turns + 1 < 2 * FREQUENCY_TURNS ? f->turns + 1 : FREQUENCY_TURNS;
}

void frequency_cycle(frequency *f) {
    if (f->turns < FREQUENCY_TURNS) return;
    double complex sum = 0;
    for (int i = DELAY; i < FREQUENCY_TURNS; i++) sum += f->turn[(f->turns - 1 - i) % FREQUENCY_TURNS];
    double off = carg(sum) / (2 * M_PI);
    if (fabs(off) * f->nominal_hz > RANGE_HZ) {
        frequency_hold(f);
        return;
    }
    double step = 2 * M_PI / f->cycle, tau = f->mimic_cycles * f->cycle;
    f->correction.hz = f->nominal_hz * (1 + off);
    f->correction.held = 0;
    f->correction.direct = mean_turn(-step * off, f->cycle);
    double complex here = (1 + tau) - tau * (cos(step * (1 + off)) - I * sin(step * (1 + off)));
    double complex there = (1 + tau) - tau * (cos(step) - I * sin(step));
    /* The mirror is of the signal behind the mimic before its nominal gain was taken out. */
    f->correction.image = times(mean_turn(step * (2 + off), f->cycle), times(conj(there), conj(there))) / norm2(there);
    f->correction.scale = 1 / (norm2(f->correction.direct) - norm2(f->correction.image));
    f->correction.behind_mimic = times(there, conj(here)) / norm2(here);
}

double complex frequency_corrected(const frequency_correction *f, double complex sum, double complex twice) {
    double complex seen = times(conj(f->direct), sum) - times(times(f->image, twice), conj(sum));
    return times(seen, f->behind_mimic) * f->scale;
}
