/* Which way the fault current flows: phase currents against a remembered positive-sequence voltage, residual current
   against the residual voltage or the remembered voltage of the phase that changed most. */
#include "detector.h"
#include "phasor.h"

#define RESIDUAL_VOLTAGE_SHARE 0.06
#define BAND 0.12
#define BAND_EARLY 0.4 /* while the half-cycle window still straddles the inception */

/* Sum of I conj(V) over the phases that carry the fault, V the polarising voltage in positive sequence. */
static double complex phase_torque(const double complex current[4], double complex polarising) {
    double most = larger(larger(norm2(current[0]), norm2(current[1])), norm2(current[2]));
    double complex sum = 0;
    for (int p = 0; p < 3; p++)
        if (norm2(current[p]) >= 0.36 * most) sum += times(current[p], conj(times(polarising, turn(-120.0 * p))));
    return sum;
}

/* By the residual voltage if there is enough of it, else by the phase whose current changed most. */
static double complex residual_torque(const detector *d, const double complex current[4], double complex polarising) {
    double phase = d->config.nominal_v / sqrt(3.0);
    if (norm2(d->voltage_full[3]) >= square(RESIDUAL_VOLTAGE_SHARE * phase))
        return times(times(d->current_full[3], conj(-d->voltage_full[3])), turn(45));
    int faulted = 0;
    double most = -1;
    for (int p = 0; p < 3; p++) {
        double change2 = norm2(current[p] - d->load[p]);
        if (change2 > most) {
            most = change2;
            faulted = p;
        }
    }
    return times(times(current[3], conj(times(polarising, turn(-120.0 * faulted)))), turn(50));
}

void detector_direction(detector *d) {
    double complex polarising = 0, torque;
    double phase = d->config.nominal_v / sqrt(3.0);
    if (d->voltage_good && d->index < d->memory_until)
        polarising = d->memory;
    else if (d->voltage_good)
        polarising = positive_sequence(d->voltage_full);
    int found = UNKNOWN;
    if (d->voltage_good && norm2(polarising) >= square(0.1 * phase)) {
        int64_t age = d->index - d->episode_index;
        const double complex *current = age < d->cycle ? d->current_half : d->current_full;
        double band = age < d->half ? BAND_EARLY : BAND;
        if (d->phase_start.on)
            torque = times(phase_torque(current, polarising), turn(50));
        else
            torque = residual_torque(d, current, polarising);
        double share = creal(torque) / larger(sqrt(norm2(torque)), 1e-12);
        found = share > band ? INTO_B : share < -band ? INTO_A : UNKNOWN;
    }
    if (d->state.direction == NONE) d->state.direction = UNKNOWN;
    if (found == UNKNOWN) {
        d->direction_count = 0;
        return;
    }
    d->direction_count = found == d->direction_next ? d->direction_count + 1 : 1;
    d->direction_next = found;
    if (d->direction_count >= (d->state.direction == UNKNOWN ? 2 : d->half)) d->state.direction = found;
}
