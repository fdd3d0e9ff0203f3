/* See intake.h. Everything is laid out once, so that to take one frame touches the memory of one frame. */

#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "intake.h"
#include "stamp.h"

struct intake {
    struct mmsghdr messages[INTAKE_SLOTS];
    struct iovec parts[INTAKE_SLOTS];
    struct sockaddr_in sources[INTAKE_SLOTS];
    uint8_t control[INTAKE_SLOTS][64];
    intake_slot slots[INTAKE_SLOTS];
};

static void ready(intake *in, int i) {
    in->messages[i].msg_hdr.msg_namelen = sizeof in->sources[i];
    in->messages[i].msg_hdr.msg_controllen = sizeof in->control[i];
}

intake *intake_new(void) {
    intake *in = calloc(1, sizeof *in);
    for (int i = 0; in != NULL && i < INTAKE_SLOTS; i++) {
        in->parts[i] = (struct iovec){in->slots[i].payload, INTAKE_FRAME};
        in->messages[i].msg_hdr = (struct msghdr){
            .msg_name = &in->sources[i], .msg_iov = &in->parts[i], .msg_iovlen = 1, .msg_control = in->control[i]};
        ready(in, i);
    }
    return in;
}

void intake_free(intake *in) { free(in); }

intake_slot *intake_slots(intake *in) { return in->slots; }

int intake_receive(intake *in, int descriptor) {
    int count = recvmmsg(descriptor, in->messages, INTAKE_SLOTS, MSG_DONTWAIT, NULL);
    if (count < 0) {
        switch (errno) {
        case EAGAIN: case EINTR: case ENETDOWN: case ECONNREFUSED: case ENETUNREACH: return 0;
        default: return -errno;
        }
    }
    for (int i = 0; i < count; i++) {
        const struct sockaddr_in *source = &in->sources[i];
        int known = in->messages[i].msg_hdr.msg_namelen >= sizeof *source && source->sin_family == AF_INET;
        in->slots[i].t_us = stamp(&in->messages[i].msg_hdr);
        in->slots[i].length = in->messages[i].msg_len;
        in->slots[i].address = known ? ntohl(source->sin_addr.s_addr) : 0;
        in->slots[i].port = known ? ntohs(source->sin_port) : 0;
        ready(in, i);
    }
    return count;
}
