/* The least that a round trip can cost here: every frame with this EtherType goes back unread, addresses swapped.
   usage: echo INTERFACE; prints a line when it listens, and runs until it is killed. */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
    unsigned char frame[2048], mac[6];
    if (argc != 2)
        return 2;
    int s = socket(AF_PACKET, SOCK_RAW, 0);
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(0x88B8)};
    at.sll_ifindex = (int)if_nametoindex(argv[1]);
    int on = 1;
    if (s < 0 || setsockopt(s, SOL_PACKET, 23 /* PACKET_IGNORE_OUTGOING */, &on, sizeof on) != 0)
        return 1;
    struct packet_mreq all = {.mr_ifindex = at.sll_ifindex, .mr_type = PACKET_MR_ALLMULTI};
    if (setsockopt(s, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all) != 0)
        return 1;
    if (bind(s, (struct sockaddr *)&at, sizeof at) != 0)
        return 1;
    puts("ready");
    fflush(stdout);
    for (;;) {
        ssize_t n = recv(s, frame, sizeof frame, 0);
        if (n < 14)
            continue;
        memcpy(mac, frame, 6);
        memcpy(frame + 6, mac, 6);
        if (send(s, frame, (size_t)n, 0) < 0)
            continue;
    }
}
