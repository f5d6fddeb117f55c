/* The rings: message headers, buffers and control room for recvmmsg and sendmmsg. See batch.h. */
#include "io/batch.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <string.h>
#include <time.h>

/* Messages, iovecs and names of a ring run side by side: message i has iovec i and name i. */
static void join(struct mmsghdr *message, struct iovec *iovec, union fr_sockaddr *name)
{
    message->msg_hdr.msg_iov = iovec;
    message->msg_hdr.msg_iovlen = 1;
    message->msg_hdr.msg_name = name;
    message->msg_hdr.msg_namelen = sizeof *name;
}

void fr_up_ring_open(struct fr_up_ring *ring)
{
    for (unsigned i = 0; i < FR_BATCH; i++) {
        join(&ring->messages[i], &ring->iovecs[i], &ring->names[i]);
        ring->iovecs[i] = (struct iovec){ring->slots[i], FR_LENGTH_CUT};
        ring->messages[i].msg_hdr.msg_control = ring->control[i];
    }
}

void fr_up_ring_prepare(struct fr_up_ring *ring, int family, bool takes_notes)
{
    for (unsigned i = 0; i < FR_BATCH; i++) {
        ring->messages[i].msg_hdr.msg_namelen = sizeof(union fr_sockaddr);
        ring->messages[i].msg_hdr.msg_controllen = takes_notes ? FR_RECEIVE_CONTROL : 0;
    }
    ring->family = family;
    ring->takes_notes = takes_notes;
}

void fr_down_ring_open(struct fr_down_ring *ring)
{
    for (unsigned i = 0; i < FR_TRUNK_BATCH; i++) {
        join(&ring->messages[i], &ring->iovecs[i], &ring->names[i]);
        ring->iovecs[i] = (struct iovec){ring->buffers[i], FR_TRUNK_BUFFER};
        ring->messages[i].msg_hdr.msg_control = ring->control[i];
    }
}

void fr_client_queue_open(struct fr_client_queue *queue)
{
    for (unsigned i = 0; i < FR_SEND_BATCH; i++)
        join(&queue->messages[i], &queue->iovecs[i], &queue->names[i]);
}

void fr_trunk_queue_open(struct fr_trunk_queue *queue)
{
    for (unsigned i = 0; i < FR_BATCH; i++) {
        queue->messages[i].msg_hdr.msg_name = &queue->names[i];
        struct cmsghdr *header = (struct cmsghdr *)queue->control[i];
        header->cmsg_level = IPPROTO_UDP;
        header->cmsg_type = UDP_SEGMENT;
        header->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    }
}

void fr_trunk_queue_segment(struct fr_trunk_queue *queue, unsigned at, uint16_t segment_bytes)
{
    struct msghdr *message = &queue->messages[at].msg_hdr;

    message->msg_control = segment_bytes ? queue->control[at] : NULL;
    message->msg_controllen = segment_bytes ? FR_SEGMENT_CONTROL : 0;
    if (segment_bytes)
        memcpy(CMSG_DATA((struct cmsghdr *)queue->control[at]), &segment_bytes, sizeof segment_bytes);
}

void fr_read_note(struct msghdr *message, struct fr_received_note *note)
{
    memset(note, 0, sizeof *note);
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec at;
            memcpy(&at, CMSG_DATA(header), sizeof at);
            note->received_ns = (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
        } else if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SO_RXQ_OVFL) {
            memcpy(&note->kernel_drops, CMSG_DATA(header), sizeof note->kernel_drops);
            note->has_kernel_drops = true;
        } else if (header->cmsg_level == IPPROTO_UDP && header->cmsg_type == UDP_GRO) {
            int segment_bytes;
            memcpy(&segment_bytes, CMSG_DATA(header), sizeof segment_bytes);
            note->segment_bytes = (uint32_t)segment_bytes;
        }
    }
}

int fr_read_socket_error(int fd, union fr_sockaddr *destination)
{
    uint8_t control[512] __attribute__((aligned(8)));
    struct msghdr message = {
        .msg_name = destination,
        .msg_namelen = sizeof *destination,
        .msg_control = control,
        .msg_controllen = sizeof control,
    };

    memset(destination, 0, sizeof *destination);
    if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    return 1;
}
