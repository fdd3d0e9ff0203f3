/* Clock and error text, for every file that talks to the system. */
#ifndef FLISR_SYSTEM_H
#define FLISR_SYSTEM_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static inline int64_t clock_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static inline void fail(char *error, int32_t size, const char *what) {
    snprintf(error, (size_t)size, "%s: %s", what, strerror(errno));
}

/* An interface that went down is told by poll again and again until somebody asks. */
static inline void forget_error(int socket) {
    int number;
    socklen_t length = sizeof number;
    getsockopt(socket, SOL_SOCKET, SO_ERROR, &number, &length);
}

#endif
