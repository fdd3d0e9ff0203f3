#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>

#include "system.h"
#include "thread.h"

#define STACK (256 * 1024)

int thread_start(pthread_t *thread, void *(*work)(void *), void *argument, int32_t priority, char *error, int32_t size) {
    sigset_t all, before;
    pthread_attr_t attributes;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    int number = pthread_create(thread, &attributes, work, argument);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (number) {
        errno = number;
        return fail(error, size, "thread"), -1;
    }
    if (priority > 0) {
        struct sched_param parameter = {.sched_priority = priority};
        pthread_setschedparam(*thread, SCHED_FIFO, &parameter);
    }
    return 0;
}
