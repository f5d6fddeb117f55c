/* The sockets of the program: many addresses behind one port, arrival times by the kernel.
 *
 * Lives here: receiving in batches with address and time of each datagram, sending a prepared batch, clocks.
 * Must not live here: what datagrams mean.
 */
#ifndef FR_BENCH_WIRE_H
#define FR_BENCH_WIRE_H

#include "crowd.h"

#include <netinet/udp.h>
#include <sys/socket.h>

#define WIRE_RECEIVES 32
/* UDP_GRO may fill 64 KiB */
#define WIRE_SLOT 65536

struct fr_arrived {
    const uint8_t *bytes; /* valid until the next receive */
    uint32_t length;
    uint32_t segment;     /* datagrams of this length lie behind each other; else `length` */
    uint32_t local_be;    /* the address it was sent to */
    uint32_t from_be;
    uint16_t from_port_be;
    uint64_t at_ns;       /* monotonic: when the kernel took it in, not when we looked */
};

/* A batch of datagrams to send. Its packets have their filler from the start; only their heads are written. */
struct fr_outbox {
    uint8_t packets[CROWD_BATCH][PREFIX_MAX + PACKET_MAX];
    struct iovec vectors[CROWD_BATCH];
    struct sockaddr_in targets[CROWD_BATCH];
    _Alignas(struct cmsghdr) uint8_t controls[CROWD_BATCH][CMSG_SPACE(sizeof(struct in_pktinfo))];
    struct mmsghdr messages[CROWD_BATCH];
};

uint64_t fr_now_ns(void);
int fr_wire_open(struct sockaddr_in local);
/* Whatever waits, at most WIRE_RECEIVES datagrams; never blocks. */
unsigned fr_wire_receive(int fd, struct fr_arrived arrived[WIRE_RECEIVES]);
/* From now on the kernel drops what arrives here, at next to no cost; or no longer. */
void fr_wire_drop(int fd, bool is_dropping);

void fr_outbox_open(struct fr_outbox *, uint64_t seed);
static inline void fr_outbox_address(struct fr_outbox *outbox, unsigned i, uint32_t source_be, uint32_t target_be,
                                     uint16_t target_port_be)
{
    struct in_pktinfo *info = (struct in_pktinfo *)CMSG_DATA((struct cmsghdr *)outbox->controls[i]);
    info->ipi_spec_dst.s_addr = source_be;
    outbox->targets[i].sin_addr.s_addr = target_be;
    outbox->targets[i].sin_port = target_port_be;
}
/* Sends the first `count`; returns how many the kernel took. */
unsigned fr_outbox_send(struct fr_outbox *, int fd, unsigned count);

#endif
