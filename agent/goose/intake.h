#pragma once
/* What waits at a socket, taken in one call. */

#define INTAKE_FRAME 2048     /* what is longer is cut: no frame of ours is */
#define INTAKE_SLOTS 64       /* a flood cannot keep the caller from its deadlines */

typedef struct intake intake;

typedef struct {
    int64_t t_us;             /* when the kernel took it, UTC */
    uint32_t length;
    uint32_t address;         /* of an IPv4 source, host order */
    uint32_t port;
    uint8_t payload[INTAKE_FRAME];
} intake_slot;

intake *intake_new(void);     /* NULL: no memory */
void intake_free(intake *in);
intake_slot *intake_slots(intake *in);

/* Number of payloads, of INTAKE_SLOTS at most; 0: none, or the interface is down; -errno for any other refusal. */
int intake_receive(intake *in, int descriptor);
