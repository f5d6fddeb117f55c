/* The rings: message headers, buffers and control room for recvmmsg and sendmmsg, laid out once.
 *
 * Lives here: their shape, preparing them for a receive, and reading what the kernel says beside
 * the bytes. The calls themselves are the loop's. Nothing here allocates.
 */
#ifndef FR_IO_BATCH_H
#define FR_IO_BATCH_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "limits.h"

/* Missing from older C libraries; the kernel's values. */
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define FR_RECEIVE_CONTROL 128 /* pktinfo, timestamp, drop count and segment size together need less */
#define FR_SEGMENT_CONTROL CMSG_SPACE(sizeof(uint16_t))

/* One line more than the datagram, so that equal offsets of neighbouring slots fall into different cache sets. The first
 * byte of it is the kernel's to fill: a datagram that reaches it is too long. */
#define FR_SLOT_BYTES (FR_CLIENT_DATAGRAM_MAX + 64)
#define FR_LENGTH_CUT (FR_CLIENT_DATAGRAM_MAX + 1)

union fr_sockaddr {
    struct sockaddr any;
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
    uint8_t bytes[32];
};

/* Client datagrams as they arrive. Zeroed, then fr_up_ring_open. */
struct fr_up_ring {
    struct mmsghdr messages[FR_BATCH];
    struct iovec iovecs[FR_BATCH];
    union fr_sockaddr names[FR_BATCH];
    uint8_t control[FR_BATCH][FR_RECEIVE_CONTROL] __attribute__((aligned(8)));
    uint8_t slots[FR_BATCH][FR_SLOT_BYTES] __attribute__((aligned(64)));
    /* what the slots are prepared for, see fr_up_ring_prepare */
    int family;
    bool takes_notes;
};

/* Trunk datagrams as they arrive, many in one buffer under UDP_GRO. */
struct fr_down_ring {
    struct mmsghdr messages[FR_TRUNK_BATCH];
    struct iovec iovecs[FR_TRUNK_BATCH];
    union fr_sockaddr names[FR_TRUNK_BATCH];
    uint8_t control[FR_TRUNK_BATCH][FR_RECEIVE_CONTROL] __attribute__((aligned(8)));
    uint8_t buffers[FR_TRUNK_BATCH][FR_TRUNK_BUFFER] __attribute__((aligned(64)));
};

/* Client datagrams about to leave, all through one socket. Payloads are borrowed from the down ring. */
struct fr_client_queue {
    unsigned count;
    struct mmsghdr messages[FR_SEND_BATCH];
    struct iovec iovecs[FR_SEND_BATCH];
    union fr_sockaddr names[FR_SEND_BATCH];
};

/* Bursts about to leave on the trunk; payloads are borrowed from the up ring. */
struct fr_trunk_queue {
    unsigned count;
    struct mmsghdr messages[FR_BATCH];
    union fr_sockaddr names[FR_BATCH];
    uint8_t control[FR_BATCH][FR_SEGMENT_CONTROL] __attribute__((aligned(8)));
};

void fr_up_ring_open(struct fr_up_ring *ring);
static inline const uint8_t *fr_up_slot(const struct fr_up_ring *ring, unsigned i)
{
    return ring->slots[i];
}
/* Prepares all slots for sockets of this family. Control messages cost the kernel time for every datagram: only a
 * socket bound to a wildcard address needs them from each, others from the first slot alone. */
void fr_up_ring_prepare(struct fr_up_ring *ring, int family, bool takes_notes);
void fr_down_ring_open(struct fr_down_ring *ring);
void fr_client_queue_open(struct fr_client_queue *queue);
void fr_trunk_queue_open(struct fr_trunk_queue *queue);

/* What the kernel says beside a datagram. */
struct fr_received_note {
    uint64_t received_ns;  /* CLOCK_REALTIME, 0 = not said */
    uint32_t segment_bytes; /* UDP_GRO, 0 = one datagram */
    uint32_t kernel_drops; /* SO_RXQ_OVFL, cumulative */
    bool has_kernel_drops;
};

void fr_read_note(struct msghdr *message, struct fr_received_note *note);

/* Sets or clears the UDP_SEGMENT control message of queue slot `at`. */
void fr_trunk_queue_segment(struct fr_trunk_queue *queue, unsigned at, uint16_t segment_bytes);

/* Reads one entry of a socket's error queue: the destination the error is about. 1 read, 0 empty, else -errno.
 * `destination` is all zero when the kernel does not name one. */
int fr_read_socket_error(int fd, union fr_sockaddr *destination);

#endif
