#pragma once
/* The doorman of a GOOSE socket: waits for it and for the owner's other descriptors without the interpreter, takes
   frames in, and returns only for what is worth waking Python for.

   It decides only *when* a frame is looked at, never whether: every frame is kept, in order, and Python judges each. A
   frame that equals what is expected in every octet of the expectation's mask can wait for the next turn; any other
   ends the wait. What an opener opens (form, address and HMAC are right) is told with the frame.

   One thread. A frame belongs to Python from inbox_look until the next inbox_look or inbox_wait. */

#define INBOX_FRAME 2032      /* longest payload; of a longer one nothing is kept */
#define INBOX_SLOTS 256
#define INBOX_STREAMS 256
#define INBOX_PATTERN 1024    /* longest region that is compared */
#define INBOX_WATCHED 16

typedef struct inbox inbox;

typedef struct {
    int64_t t_us;             /* when the kernel took it, UTC */
    uint32_t length;
    int32_t shape;            /* the opener's number of its stream; -1: not opened */
    opened found;
    int32_t news;             /* by Python: the new state of this stream; -1: it is not */
    uint32_t news_at;         /* by Python: where its APDU begins */
    uint8_t payload[INBOX_FRAME];
} inbox_slot;

typedef struct {
    uint64_t taken, urgent, full, oversized;
} inbox_counters;

/* NULL and errno in *wrong. The descriptor stays the caller's; it must be non-blocking. */
inbox *inbox_new(int descriptor, int *wrong);
void inbox_free(inbox *box);

int inbox_watch(inbox *box, int descriptor);       /* wait for this one, too; errno or 0 */
int inbox_unwatch(inbox *box, int descriptor);

/* What opens frames from now on; NULL: nothing. What waits is opened anew. It must outlive the box, or be replaced. */
void inbox_opener(inbox *box, const opener *o);

/* Of a stream, where its new state may differ from the last one and still wait: octets 0 in the mask. exact: always;
   loose (NULL: never): while relaxed. errno or 0. */
int inbox_stream(inbox *box, uint32_t number, const uint8_t *exact, const uint8_t *loose, uint32_t size);
void inbox_relax(inbox *box, int on);

/* Until a frame came that cannot wait, another descriptor is readable, a signal came, or the time is over: the number
   of readable descriptors in ready (INBOX_WATCHED + 1 at most), our own among them; -errno. */
int inbox_wait(inbox *box, int timeout_ms, int *ready);

/* How many frames there are, and in *first the number of the first of them: slot number % INBOX_SLOTS. */
uint32_t inbox_look(inbox *box, uint32_t *first);
inbox_slot *inbox_slots(inbox *box);
void inbox_count(const inbox *box, inbox_counters *counters);
