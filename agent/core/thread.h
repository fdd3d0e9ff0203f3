/* How every thread of the core begins. */
#ifndef FLISR_THREAD_H
#define FLISR_THREAD_H

#include <pthread.h>
#include <stdint.h>

/* With a small stack (all of it is locked in memory where the process is) and without signals: those are Python's.
   SCHED_FIFO above 0 is tried, and silently not had without the permission. 0, or -1 and why not. */
int thread_start(pthread_t *thread, void *(*work)(void *), void *argument, int32_t priority, char *error, int32_t size);

#endif
