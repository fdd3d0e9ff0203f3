/* An energised transformer draws nothing but its load until its flux has swept from the remanence (at most 0.8 of the
   rated crest) to the knee (at least 1.2): 0.4 of the crest. A fault draws current with the first voltage that its loop
   sees, in proportion to the flux that this voltage would have swept: i = flux / L. So every loop is judged once, when
   0.3 of the crest has been swept since the current began to change, by three questions:

   - Is change over flux a prospective current that a near fault has? A load step or a dwell divides to less.
   - Has the loop's own voltage dropped, as behind every source impedance it must? (Not asked for a residual current.)
   - Is there more current now than a cycle ago? A fault that goes away changes the current too.

   Yes lets the half-cycle elements through for a cycle. Without voltage the crest is taken for it: less flux was swept,
   so less is let through. What is refused is left to the full-cycle elements with their second-harmonic restraint. */
#include "onset.h"

#include <math.h>
#include <string.h>

#define SLIGHT_SHARE 0.06
#define SLIGHT_SHARE_EARTH 0.25
#define PROSPECTIVE 1.8
#define SWEPT 0.3
#define DROP_SHARE 0.06
#define LARGEST_SHARE 0.8   /* a loop that is judged carries about the largest change of the three */
#define RESIDUAL_SHARE 0.5  /* share of a phase's change that flows back through earth in an earth fault */

void onset_prepare(onset *o, const core_config *config) {
    double crest = M_SQRT2 * config->nominal_v / sqrt(3.0);
    memset(o, 0, sizeof *o);
    o->cycle = config->rate / config->frequency;
    o->step = 2 * M_PI / o->cycle;
    onset_adjust(o, config);
    for (int l = 0; l < ONSET_LOOPS; l++) o->crest[l] = l < 3 ? crest * sqrt(3.0) : crest;
}

void onset_adjust(onset *o, const core_config *config) {
    o->slight_a = M_SQRT2 * fmin(SLIGHT_SHARE * config->phase_pickup_a, SLIGHT_SHARE_EARTH * config->earth_pickup_a);
    o->phase_a = M_SQRT2 * PROSPECTIVE * config->phase_pickup_a;
    o->earth_a = M_SQRT2 * PROSPECTIVE * config->earth_pickup_a;
}

void onset_forget(onset *o) { o->calm = o->age = o->phase_open = o->earth_open = 0; }

static void loops(const double phase[3], double loop[ONSET_LOOPS]) {
    for (int p = 0; p < 3; p++) {
        loop[p] = phase[p] - phase[(p + 1) % 3];
        loop[3 + p] = phase[p];
    }
}

static void sweep(onset *o, const double volts[3], const double volts_before[3], int voltage_good) {
    double now[ONSET_LOOPS], before[ONSET_LOOPS];
    loops(volts, now);
    loops(volts_before, before);
    for (int l = 0; l < ONSET_LOOPS; l++) {
        o->flux_before[l] += voltage_good ? before[l] / o->crest[l] * o->step : o->step;
        o->flux_now[l] += voltage_good ? now[l] / o->crest[l] * o->step : 0;
    }
}

static void judge(onset *o, int l, const double change[ONSET_LOOPS], const double now[ONSET_LOOPS]) {
    double flux = fabs(o->flux_before[l]), size = fabs(change[l]);
    double residual = fabs(change[3] + change[4] + change[5]);
    if (now[l] * change[l] <= 0 || fabs(now[l]) < 0.5 * size) return;
    int dropped = fabs(o->flux_now[l]) <= (1 - DROP_SHARE) * flux;
    if (l < 3) {
        double largest = fmax(fabs(change[0]), fmax(fabs(change[1]), fabs(change[2])));
        if (dropped && size >= LARGEST_SHARE * largest && size >= sqrt(3.0) * o->phase_a * flux) o->phase_open = o->earth_open = o->cycle;
        return;
    }
    if (residual < RESIDUAL_SHARE * size) return;
    if (dropped && size >= o->phase_a * flux) o->phase_open = o->cycle;
    if (residual >= o->earth_a * flux) o->earth_open = o->cycle;
}

void onset_sample(onset *o, const double now[3], const double before[3], const double volts[3], const double volts_before[3],
                  int voltage_good) {
    double phase[3], change[ONSET_LOOPS], current[ONSET_LOOPS];
    int slight = 0;
    for (int p = 0; p < 3; p++) {
        phase[p] = now[p] - before[p];
        slight |= fabs(phase[p]) >= o->slight_a;
    }
    if (o->phase_open) o->phase_open--;
    if (o->earth_open) o->earth_open--;
    if (slight && o->calm >= o->cycle / 2) {
        o->age = 1;
        o->judged = 0;
        memset(o->flux_before, 0, sizeof o->flux_before);
        memset(o->flux_now, 0, sizeof o->flux_now);
    }
    o->calm = slight ? 0 : o->calm + 1;
    if (!o->age) return;
    sweep(o, volts, volts_before, voltage_good);
    loops(phase, change);
    loops(now, current);
    for (int l = 0; l < ONSET_LOOPS; l++)
        if (!(o->judged >> l & 1) && fabs(o->flux_before[l]) >= SWEPT) {
            o->judged |= 1u << l;
            judge(o, l, change, current);
        }
    o->age = o->age < o->cycle / 2 ? o->age + 1 : 0;
}
