/* See adjust.h. Neither side waits for the other; the pair is never half one offer and half the next. */
#include "adjust.h"

#include <errno.h>
#include <math.h>

enum { NOTHING, WRITING, OFFERED, TAKING };

void adjust_prepare(adjustment *a) { atomic_store(&a->step, NOTHING); }

int adjust_offer(adjustment *a, double phase_pickup_a, double earth_pickup_a) {
    if (!(isfinite(phase_pickup_a) && isfinite(earth_pickup_a) && phase_pickup_a > 0 && earth_pickup_a > 0)) return EINVAL;
    int nothing = NOTHING, offered = OFFERED;
    if (!atomic_compare_exchange_strong(&a->step, &nothing, WRITING) &&
        !atomic_compare_exchange_strong(&a->step, &offered, WRITING))
        return EAGAIN;
    a->phase_pickup_a = phase_pickup_a;
    a->earth_pickup_a = earth_pickup_a;
    atomic_store_explicit(&a->step, OFFERED, memory_order_release);
    return 0;
}

int adjust_take(adjustment *a, double *phase_pickup_a, double *earth_pickup_a) {
    int offered = OFFERED;
    if (atomic_load_explicit(&a->step, memory_order_relaxed) != OFFERED) return 0; /* every sample comes by here */
    if (!atomic_compare_exchange_strong(&a->step, &offered, TAKING)) return 0;
    *phase_pickup_a = a->phase_pickup_a;
    *earth_pickup_a = a->earth_pickup_a;
    atomic_store_explicit(&a->step, NOTHING, memory_order_release);
    return 1;
}
