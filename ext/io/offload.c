/* Whether UDP_SEGMENT and UDP_GRO tell the truth on this kernel. See offload.h. */
#include "io/offload.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "io/batch.h"

enum { SEGMENT = 1400, TAIL = 100, TOTAL = 2 * SEGMENT + TAIL };

static int open_pair(int family, int pair[2], union fr_sockaddr *receiver)
{
    socklen_t length = sizeof *receiver;

    memset(receiver, 0, sizeof *receiver);
    receiver->any.sa_family = (sa_family_t)family;
    if (family == AF_INET6)
        receiver->in6.sin6_addr = in6addr_loopback;
    else
        receiver->in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    pair[0] = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    pair[1] = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = 1};
    if (pair[0] < 0 || pair[1] < 0 || bind(pair[1], &receiver->any, length)
        || getsockname(pair[1], &receiver->any, &length)
        || setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience))
        return -errno;
    return 0;
}

static int send_segmented(int fd, union fr_sockaddr *receiver, uint8_t *bytes)
{
    uint8_t control[FR_SEGMENT_CONTROL] __attribute__((aligned(8))) = {0};
    struct iovec iovec = {bytes, TOTAL};
    struct msghdr message = {
        .msg_name = receiver,
        .msg_namelen = receiver->any.sa_family == AF_INET6 ? sizeof receiver->in6 : sizeof receiver->in4,
        .msg_iov = &iovec,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof control,
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    uint16_t segment_bytes = SEGMENT;

    header->cmsg_level = IPPROTO_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof segment_bytes);
    memcpy(CMSG_DATA(header), &segment_bytes, sizeof segment_bytes);
    return sendmsg(fd, &message, 0) == TOTAL;
}

/* Reads until all bytes are there; each read must end on a segment border and hold the right bytes. */
static int receive_all(int fd, const uint8_t *expected)
{
    uint8_t bytes[TOTAL + 1];
    int at = 0;

    while (at < TOTAL) {
        ssize_t length = recv(fd, bytes, sizeof bytes, 0);
        if (length <= 0 || at + length > TOTAL || memcmp(bytes, expected + at, (size_t)length))
            return 0;
        at += (int)length;
        if (at != TOTAL && at % SEGMENT)
            return 0;
    }
    return 1;
}

int fr_offload_works(int family)
{
    int pair[2] = {-1, -1}, works;
    union fr_sockaddr receiver;
    uint8_t bytes[TOTAL];

    for (int i = 0; i < TOTAL; i++)
        bytes[i] = (uint8_t)(i * 31 >> 3);
    works = open_pair(family, pair, &receiver);
    for (int gro = 0; gro <= 1 && works >= 0; gro++) {
        if (setsockopt(pair[1], IPPROTO_UDP, UDP_GRO, &gro, sizeof gro) || !send_segmented(pair[0], &receiver, bytes)
            || !receive_all(pair[1], bytes)) {
            works = 0;
            break;
        }
        works = 1;
    }
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
    return works;
}
