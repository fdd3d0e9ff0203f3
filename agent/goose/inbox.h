#pragma once
/* The doorman of a GOOSE socket: a thread that takes frames in, and decides which of them are worth waking Python for.

   It decides only *when* a frame is looked at, never whether: every frame is kept, in order, and Python authenticates
   and judges each. A frame that equals what is expected in every octet of the expectation's mask can wait for the next
   turn; any other rings the bell. */

#define INBOX_FRAME 2032      /* longest payload */
#define INBOX_SLOTS 256
#define INBOX_PATTERNS 256
#define INBOX_PATTERN 1024    /* longest region that is compared */

typedef struct inbox inbox;

typedef struct {
    int64_t t_us;             /* when the kernel took it, UTC */
    uint32_t length;
    uint32_t urgent;
    uint8_t payload[INBOX_FRAME];
} inbox_slot;

typedef struct {
    uint64_t taken, urgent, full, oversized;
} inbox_counters;

/* NULL and a text in error on failure. The descriptor stays the caller's; it must be non-blocking. */
inbox *inbox_open(int descriptor, char *error, uint32_t size);
int inbox_start(inbox *box, int priority);   /* errno or 0; a refused priority is not an error */
void inbox_close(inbox *box);
int inbox_bell(inbox *box);                  /* eventfd */

/* Pattern number index: payloads of this length that equal this one from offset on, under the mask, can wait.
   relaxed: only while inbox_relax(box, 1). errno or 0. */
int inbox_expect(inbox *box, uint32_t index, const uint8_t *payload, uint32_t length, uint32_t offset,
                 const uint8_t *mask, uint32_t size, int relaxed);
void inbox_relax(inbox *box, int on);

uint32_t inbox_look(inbox *box);             /* silences the bell; how many frames wait */
inbox_slot *inbox_slots(inbox *box);         /* the number-th frame ever is in number % INBOX_SLOTS */
void inbox_release(inbox *box, uint32_t count);
void inbox_count(inbox *box, inbox_counters *counters);
