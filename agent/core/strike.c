/* Whatever an earth fault does, the network on the other side of the device is capacitance and perhaps a coil. What flows
   into it follows from the residual voltage alone: q = C u + W, with W the voltage integrated twice over the coil's
   inductance, C and 1/L never negative. A fault behind the device leaves the network before it passive: -q obeys that
   law. A fault before it leaves the network behind it passive: q obeys it. So both are fitted by least squares, with
   coefficients that may not be negative; the direction is the one that fits, if the other one does not.

   All quantities are changes against one cycle ago (what instrument transformers and the network's asymmetry pretend is
   the same then) since the last moment at rest, when no coil's current had changed. In an isolated network W is left
   out. At the power frequency alone C and coil cannot be told apart: then both fit and nothing is said.

   A strike raises the residual voltage. When a fault goes out both sides are passive, and both laws hold. */
#include "strike.h"

#include <math.h>
#include <string.h>

#include "detector.h"
#include "phasor.h"

#define STILL_SHARE 0.015   /* of the crest: no change */
#define BEND_SHARE 0.04     /* of the crest, second difference: no power frequency bends so */
#define SWING_SHARE 0.10    /* of the crest, r.m.s.: what a strike changes the residual voltage by, at least */
#define RISE 1.5            /* of the residual voltage's square against the cycle before */
#define FITS 0.15           /* share of the charge's square that the law leaves unexplained */
#define FITS_NOT 0.45
#define GAP_CYCLES 25

void strike_prepare(strike *s, const core_config *config) {
    memset(s, 0, sizeof *s);
    s->cycle = config->rate / config->frequency;
    s->quarter = s->cycle / 4;
    s->gap = GAP_CYCLES * s->cycle;
    s->current_scale = config->current_scale;
    s->voltage_scale = config->voltage_scale / 3.0;
    s->crest = M_SQRT2 * config->nominal_v / sqrt(3.0);
    strike_adjust(s, config);
    s->coil = config->earth_mode == EARTH_WATTMETRIC;
    s->rest = s->coil ? s->cycle + s->quarter : s->quarter; /* the coil's current of before must not count */
    strike_forget(s);
}

void strike_adjust(strike *s, const core_config *config) { s->least_charge = config->earth_pickup_a * s->cycle / (2 * M_PI); }

void strike_forget(strike *s) {
    s->age = s->even = s->run = 0;
    s->waiting = 1;
    s->still = -s->cycle; /* what is a cycle old must be of after the gap */
    s->direction = NONE;
    s->itself[0] = s->itself[1] = s->volts = s->amperes = 0;
    s->last = s->judged = 0;
}

static void begin(strike *s) {
    s->age = 1;
    s->from = s->volts;
    s->charge = s->flux = s->twice = s->now2 = s->before2 = 0;
    s->sums = (strike_sums){0};
}

/* Share of the charge's square that q = sign (C u + W) explains, C and 1/L not negative. */
static double explained(const strike *s, double sign) {
    const strike_sums *m = &s->sums;
    double qu = sign * m->qu, qw = sign * m->qw;
    double best = qu > 0 ? qu * qu / m->uu : 0;
    if (s->coil && m->ww > 0) {
        best = larger(best, qw > 0 ? qw * qw / m->ww : 0);
        double determinant = m->uu * m->ww - m->uw * m->uw;
        double c = qu * m->ww - qw * m->uw, l = qw * m->uu - qu * m->uw;
        if (determinant > 1e-9 * m->uu * m->ww && c > 0 && l > 0) best = larger(best, (c * qu + l * qw) / determinant);
    }
    return m->qq > 0 ? best / m->qq : 0;
}

static int direction_of(const strike *s) {
    if (s->sums.qq < s->age * square(s->least_charge)) return UNKNOWN;
    double behind = explained(s, -1), before = explained(s, 1);
    if (behind >= 1 - FITS && before <= 1 - FITS_NOT) return INTO_B;
    if (before >= 1 - FITS && behind <= 1 - FITS_NOT) return INTO_A;
    return UNKNOWN;
}

static void judge(strike *s, int64_t index) {
    int last = s->age == s->cycle, swung = s->sums.uu >= s->age * square(SWING_SHARE * s->crest);
    int found = swung && s->now2 >= RISE * s->before2 ? direction_of(s) : NONE;
    if ((found == NONE || found == UNKNOWN) && !last) {
        s->age++;
        return;
    }
    s->age = 0;
    s->waiting = 1;
    if (found == NONE) return;
    s->strikes++;
    s->judged = index;
    s->direction = found;
    if (found == INTO_B) {
        s->run++;
        s->last = index;
    } else if (found == INTO_A) {
        s->run = 0;
    }
}

static void accumulate(strike *s, const strike_input *in, double amperes, double volts) {
    double u = volts - s->from, flux = s->flux;
    s->flux += 0.5 * (volts + s->volts);
    s->twice += 0.5 * (s->flux + flux);
    s->charge += 0.5 * (amperes + s->amperes);
    s->now2 += square((double)in->volts);
    s->before2 += square((double)in->volts_before);
    s->sums.uu += u * u;
    s->sums.uw += u * s->twice;
    s->sums.ww += s->twice * s->twice;
    s->sums.qu += s->charge * u;
    s->sums.qw += s->charge * s->twice;
    s->sums.qq += s->charge * s->charge;
}

void strike_sample(strike *s, const strike_input *in, int64_t index) {
    double volts = (double)(in->volts - in->volts_before) * s->voltage_scale;
    double amperes = (double)(in->amperes - in->amperes_before) * s->current_scale;
    double itself = (double)in->volts * s->voltage_scale;
    int still = fabs(volts) < STILL_SHARE * s->crest;
    /* of the voltage itself: in its change a strike comes again a cycle later */
    int bend = fabs(itself - 2 * s->itself[0] + s->itself[1]) >= BEND_SHARE * s->crest;
    s->still = still ? s->still + 1 : s->still < 0 ? s->still + 1 : 0;
    if (!s->age) {
        if (s->waiting && s->still >= s->quarter) s->waiting = 0;
        int anew = s->waiting && s->waiting++ > s->rest && s->still >= 0 && bend && s->even >= s->quarter;
        if ((!s->waiting && !still) || anew) begin(s);
    } else if (s->still >= s->cycle / 8) {
        s->age = 0;
    }
    if (s->age) {
        accumulate(s, in, amperes, volts);
        if (s->age % s->quarter)
            s->age++;
        else
            judge(s, index);
    }
    s->even = bend ? 0 : s->even + 1;
    s->itself[1] = s->itself[0];
    s->itself[0] = itself;
    s->volts = volts;
    s->amperes = amperes;
}
