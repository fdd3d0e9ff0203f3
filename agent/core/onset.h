/* Fault or inrush, a millisecond after the current changed: what the half-cycle pick-up elements wait for. */
#ifndef FLISR_ONSET_H
#define FLISR_ONSET_H

#include <stdint.h>

#include "api.h"

#define ONSET_LOOPS 6   /* AB, BC, CA, then A, B, C to earth */

typedef struct {
    double slight_a;                   /* a change of this crest value starts an onset */
    double phase_a, earth_a;           /* crest of the prospective current a fault must have */
    double crest[ONSET_LOOPS];         /* of the loops' voltages, V */
    double step;                       /* rad a sample */
    int32_t cycle;
    int32_t calm;                      /* samples without a change */
    int32_t age;                       /* samples since the onset; 0: none under judgement */
    int32_t phase_open, earth_open;    /* samples that the half-cycle elements are still let through */
    uint32_t judged;                   /* loops, one bit each */
    double flux_before[ONSET_LOOPS], flux_now[ONSET_LOOPS]; /* swept since the onset, of the rated crest */
} onset;

void onset_prepare(onset *o, const core_config *config);
/* The pick-up values of the configuration are others. */
void onset_adjust(onset *o, const core_config *config);
void onset_forget(onset *o);
/* Phase currents and voltages (A, V) of this sample and of one cycle before. */
void onset_sample(onset *o, const double now[3], const double before[3], const double volts[3], const double volts_before[3],
                  int voltage_good);

#endif
