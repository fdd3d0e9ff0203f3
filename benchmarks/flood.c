/* Sends the frames of a file in real time, again and again: flood INTERFACE FILE LENGTH STREAMS RATE FIRST COUNT
   The file holds one second: for each of RATE samples, one frame of LENGTH octets for each of STREAMS streams,
   of which COUNT from number FIRST on are sent. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DELAY_NS 500000 /* a sample leaves so long after its time */

int main(int argc, char **argv) {
    if (argc != 8) return 2;
    long length = atol(argv[3]), streams = atol(argv[4]), rate = atol(argv[5]);
    long first = atol(argv[6]), count = atol(argv[7]);
    int file = open(argv[2], O_RDONLY);
    struct stat about;
    if (file < 0 || fstat(file, &about) || about.st_size < length * streams * rate || first < 0 || first + count > streams) return 1;
    uint8_t *frames = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(0x88BA), .sll_ifindex = (int)if_nametoindex(argv[1])};
    int out = socket(AF_PACKET, SOCK_RAW, 0), room = 8 << 20;
    struct mmsghdr *messages = calloc((size_t)count, sizeof *messages);
    struct iovec *vectors = calloc((size_t)count, sizeof *vectors);
    if (frames == MAP_FAILED || out < 0 || !messages || !vectors || bind(out, (struct sockaddr *)&to, sizeof to)) return 1;
    setsockopt(out, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    for (long i = 0; i < count; i++) {
        vectors[i].iov_len = (size_t)length;
        messages[i].msg_hdr.msg_iov = &vectors[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    for (int64_t second = now.tv_sec + 1;; second++)
        for (long sample = 0; sample < rate; sample++) {
            int64_t due = sample * 1000000000LL / rate + DELAY_NS;
            struct timespec at = {second + due / 1000000000, due % 1000000000};
            if (sample % 2 == 0) clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, NULL);
            for (long i = 0; i < count; i++) vectors[i].iov_base = frames + (size_t)((sample * streams + first + i) * length);
            for (long sent = 0; sent < count;) {
                int done = sendmmsg(out, messages + sent, (unsigned)(count - sent), 0);
                if (done < 0) return 1;
                sent += done;
            }
        }
}
