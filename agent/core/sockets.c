/* Where frames come from: a packet ring or datagrams, and the thread that waits for them. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "receiver.h"
#include "system.h"

#define RING_SLOT 512
#define RING_BLOCK 65536
#define RING_BLOCKS 8
#define RING_FRAMES (RING_BLOCK / RING_SLOT * RING_BLOCKS)

static int open_ring(core_receiver *r, char *error, int32_t size) {
    const core_config *c = &r->config;
    const uint8_t *mac = c->destination;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, frame_load32(mac), 0, 7),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, frame_load16(mac + 4), 0, 5),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x88BA, 0, 3),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 14),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, c->appid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0xFFFF),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};
    struct tpacket_req request = {RING_BLOCK, RING_BLOCKS, RING_SLOT, RING_FRAMES};
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(0x88BA), .sll_ifindex = c->interface_index};
    struct packet_mreq member = {.mr_ifindex = c->interface_index, .mr_type = PACKET_MR_MULTICAST, .mr_alen = 6};
    int version = TPACKET_V2;
    memcpy(member.mr_address, mac, 6);
    /* Protocol 0 first: nothing arrives before filter and ring stand. */
    r->socket = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (r->socket < 0) return fail(error, size, "packet socket"), -1;
    if (setsockopt(r->socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program)) return fail(error, size, "packet filter"), -1;
    if (setsockopt(r->socket, SOL_PACKET, PACKET_VERSION, &version, sizeof version) ||
        setsockopt(r->socket, SOL_PACKET, PACKET_RX_RING, &request, sizeof request))
        return fail(error, size, "packet ring"), -1;
    r->ring = mmap(NULL, (size_t)RING_BLOCK * RING_BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, r->socket, 0);
    if (r->ring == MAP_FAILED) {
        r->ring = NULL;
        return fail(error, size, "map of the packet ring"), -1;
    }
    if (bind(r->socket, (struct sockaddr *)&address, sizeof address)) return fail(error, size, "bind to the interface"), -1;
    if (setsockopt(r->socket, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &member, sizeof member)) return fail(error, size, "multicast"), -1;
    r->cursor = 0;
    return 0;
}

static int open_datagrams(core_receiver *r, char *error, int32_t size) {
    const core_config *c = &r->config;
    int one = 1, zero = 0, room = 1 << 20;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(c->port), .sin_addr.s_addr = c->group};
    struct ip_mreqn member = {.imr_multiaddr.s_addr = c->group, .imr_address.s_addr = c->interface_address};
    r->socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (r->socket < 0) return fail(error, size, "datagram socket"), -1;
    setsockopt(r->socket, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    setsockopt(r->socket, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof one);
    if (setsockopt(r->socket, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
        setsockopt(r->socket, IPPROTO_IP, IP_MULTICAST_ALL, &zero, sizeof zero))
        return fail(error, size, "datagram socket options"), -1;
    if (bind(r->socket, (struct sockaddr *)&address, sizeof address)) return fail(error, size, "bind to the group and port"), -1;
    if (setsockopt(r->socket, IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof member)) return fail(error, size, "join of the group"), -1;
    r->overflow = 0;
    return 0;
}

static int drain_ring(core_receiver *r) {
    int taken = 0;
    while (taken < RING_FRAMES) {
        struct tpacket2_hdr *slot = (struct tpacket2_hdr *)(r->ring + r->cursor * RING_SLOT);
        if (!(__atomic_load_n(&slot->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)) break;
        int64_t stamp = (int64_t)slot->tp_sec * 1000000 + slot->tp_nsec / 1000;
        if (slot->tp_snaplen < slot->tp_len || (size_t)slot->tp_mac + slot->tp_snaplen > RING_SLOT) {
            r->counters.frames++;
            r->counters.malformed++;
        } else {
            receiver_frame(r, (const uint8_t *)slot + slot->tp_mac, slot->tp_snaplen, stamp, 0);
        }
        __atomic_store_n(&slot->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
        r->cursor = (r->cursor + 1) % RING_FRAMES;
        taken++;
    }
    return taken;
}

static int drain_datagrams(core_receiver *r) {
    struct mmsghdr messages[RECEIVER_BATCH];
    struct iovec vectors[RECEIVER_BATCH];
    union {
        struct cmsghdr header;
        uint8_t octets[CMSG_SPACE(sizeof(uint32_t))];
    } control[RECEIVER_BATCH];
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < RECEIVER_BATCH; i++) {
        vectors[i] = (struct iovec){r->datagrams + (size_t)i * RECEIVER_DATAGRAM, RECEIVER_DATAGRAM};
        messages[i].msg_hdr.msg_iov = &vectors[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        messages[i].msg_hdr.msg_control = &control[i];
        messages[i].msg_hdr.msg_controllen = sizeof control[i];
    }
    int count = recvmmsg(r->socket, messages, RECEIVER_BATCH, MSG_DONTWAIT, NULL);
    int64_t now = clock_us();
    for (int i = 0; i < count; i++) {
        for (struct cmsghdr *h = CMSG_FIRSTHDR(&messages[i].msg_hdr); h; h = CMSG_NXTHDR(&messages[i].msg_hdr, h))
            if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SO_RXQ_OVFL) {
                uint32_t overflow;
                memcpy(&overflow, CMSG_DATA(h), sizeof overflow);
                __atomic_fetch_add(&r->counters.dropped_by_kernel, overflow - r->overflow, __ATOMIC_RELAXED);
                r->overflow = overflow;
            }
        receiver_frame(r, r->datagrams + (size_t)i * RECEIVER_DATAGRAM, messages[i].msg_len, now, 1);
    }
    return count;
}

int sockets_open(core_receiver *r, char *error, int32_t size) {
    r->stop = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (r->stop < 0) return fail(error, size, "eventfd"), -1;
    return r->config.transport == 1 ? open_ring(r, error, size) : open_datagrams(r, error, size);
}

void sockets_close(core_receiver *r) {
    if (r->ring) munmap(r->ring, (size_t)RING_BLOCK * RING_BLOCKS);
    if (r->socket >= 0) close(r->socket);
    if (r->stop >= 0) close(r->stop);
    r->ring = NULL;
    r->socket = r->stop = -1;
}

void sockets_count_drops(core_receiver *r) {
    struct tpacket_stats drops;
    socklen_t length = sizeof drops;
    if (r->ring && !getsockopt(r->socket, SOL_PACKET, PACKET_STATISTICS, &drops, &length))
        __atomic_fetch_add(&r->counters.dropped_by_kernel, drops.tp_drops, __ATOMIC_RELAXED);
}

void *sockets_work(void *argument) {
    core_receiver *r = argument;
    struct pollfd waits[2] = {{r->socket, POLLIN, 0}, {r->stop, POLLIN, 0}};
    prctl(PR_SET_NAME, "flisr-sv-in");
    prctl(PR_SET_TIMERSLACK, 10000UL);
    for (;;) {
        int ready = poll(waits, 2, r->quiet ? 100 : 5);
        if (waits[1].revents) break;
        if (waits[0].revents & POLLERR) forget_error(waits[0].fd);
        r->counters.wakes++;
        if (ready > 0) {
            /* A batch that is not full was the last; a flood does not keep us from the clock. */
            int batches = r->ring ? 1 : RING_FRAMES / RECEIVER_BATCH;
            while (batches-- && (r->ring ? drain_ring(r) : drain_datagrams(r)) == RECEIVER_BATCH) {}
            publish_state(r);
        }
        core_quiet(r, clock_us());
    }
    return NULL;
}
