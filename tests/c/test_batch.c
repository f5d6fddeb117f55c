/* The rings as the kernel fills and empties them, its notes, its error queue, and the offloads it may have. */
#include "io/batch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "io/offload.h"

static int open_loopback(struct sockaddr_in *bound)
{
    socklen_t length = sizeof *bound;
    struct timeval patience = {.tv_sec = 5};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    *bound = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)bound, length) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)bound, &length) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
    return fd;
}

static void *zeroed(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    if (!memory)
        exit(2);
    return memset(memory, 0, bytes);
}

/* --- notes ----------------------------------------------------------------- */

static size_t put(uint8_t *control, size_t at, int level, int type, const void *value, size_t length)
{
    struct cmsghdr *header = (struct cmsghdr *)(control + at);
    header->cmsg_level = level;
    header->cmsg_type = type;
    header->cmsg_len = CMSG_LEN(length);
    memcpy(CMSG_DATA(header), value, length);
    return at + CMSG_SPACE(length);
}

static void every_note_is_read_in_any_company(void)
{
    uint8_t control[FR_RECEIVE_CONTROL] __attribute__((aligned(8))) = {0};
    const struct timespec at = {.tv_sec = 1700000000, .tv_nsec = 999999999};
    const uint32_t drops = 0xfffffff0u;
    const int segment_bytes = 1400;
    struct fr_received_note note;
    struct msghdr message = {.msg_control = control};
    fr_read_note(&message, &note);
    CHECK(!note.received_ns && !note.segment_bytes && !note.has_kernel_drops);
    size_t length = put(control, 0, IPPROTO_IP, IP_TTL, &segment_bytes, sizeof segment_bytes);
    length = put(control, length, IPPROTO_UDP, UDP_GRO, &segment_bytes, sizeof segment_bytes);
    length = put(control, length, SOL_SOCKET, SCM_TIMESTAMPNS, &at, sizeof at);
    length = put(control, length, SOL_SOCKET, SO_RXQ_OVFL, &drops, sizeof drops);
    message.msg_controllen = length;
    fr_read_note(&message, &note);
    CHECK(note.received_ns == 1700000000999999999u && note.segment_bytes == 1400);
    CHECK(note.has_kernel_drops && note.kernel_drops == drops);
}

/* --- rings ----------------------------------------------------------------- */

/* One byte more than a client packet may have is room enough to see that it has more. */
static void the_client_ring_takes_datagrams_to_the_byte(void)
{
    struct fr_up_ring *ring = zeroed(sizeof *ring);
    static const uint8_t bytes[FR_CLIENT_DATAGRAM_MAX + 9] = {0x80, [FR_CLIENT_DATAGRAM_MAX - 1] = 0x7e};
    const size_t lengths[] = {0, 1, FR_CLIENT_DATAGRAM_MAX, FR_CLIENT_DATAGRAM_MAX + 1, FR_CLIENT_DATAGRAM_MAX + 9};
    struct sockaddr_in receiver, sender;
    int in = open_loopback(&receiver), out = open_loopback(&sender);
    fr_up_ring_open(ring);
    fr_up_ring_prepare(ring, AF_INET, false);
    for (unsigned i = 0; i < 5; i++)
        CHECK(sendto(out, bytes, lengths[i], 0, (struct sockaddr *)&receiver, sizeof receiver) == (ssize_t)lengths[i]);
    CHECK(recvmmsg(in, ring->messages, FR_BATCH, MSG_DONTWAIT, NULL) == 5);
    for (unsigned i = 0; i < 5; i++) {
        const struct msghdr *message = &ring->messages[i].msg_hdr;
        size_t expected = lengths[i] <= FR_CLIENT_DATAGRAM_MAX ? lengths[i] : FR_LENGTH_CUT;
        CHECK(ring->messages[i].msg_len == expected);
        CHECK(memcmp(ring->slots[i], bytes, expected) == 0);
        CHECK(message->msg_namelen == sizeof sender && ring->names[i].in4.sin_port == sender.sin_port);
    }
    close(in);
    close(out);
    free(ring);
}

static void notes_are_taken_where_they_are_wanted(void)
{
    struct fr_up_ring *ring = zeroed(sizeof *ring);
    struct fr_received_note note;
    struct sockaddr_in receiver, sender;
    int in = open_loopback(&receiver), out = open_loopback(&sender), on = 1;
    CHECK(setsockopt(in, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) == 0);
    fr_up_ring_open(ring);
    for (unsigned wanted = 0; wanted < 2; wanted++) {
        fr_up_ring_prepare(ring, AF_INET, wanted);
        CHECK(ring->takes_notes == wanted && ring->family == AF_INET);
        ring->messages[0].msg_hdr.msg_controllen = FR_RECEIVE_CONTROL; /* the first is the loop's, every time */
        for (unsigned i = 0; i < 3; i++)
            CHECK(sendto(out, "x", 1, 0, (struct sockaddr *)&receiver, sizeof receiver) == 1);
        CHECK(recvmmsg(in, ring->messages, FR_BATCH, MSG_DONTWAIT, NULL) == 3);
        for (unsigned i = 0; i < 3; i++) {
            fr_read_note(&ring->messages[i].msg_hdr, &note);
            CHECK((note.received_ns != 0) == (wanted || i == 0));
        }
    }
    close(in);
    close(out);
    free(ring);
}

/* The kernel leaves the length of each name behind: an IPv4 one is too short for the next socket's IPv6. */
static void a_ring_that_served_ipv4_takes_ipv6_whole(void)
{
    struct fr_up_ring *ring = zeroed(sizeof *ring);
    fr_up_ring_open(ring);
    for (unsigned i = 0; i < FR_BATCH; i++)
        ring->messages[i].msg_hdr.msg_namelen = sizeof(struct sockaddr_in);
    fr_up_ring_prepare(ring, AF_INET6, false);
    for (unsigned i = 0; i < FR_BATCH; i++)
        CHECK(ring->messages[i].msg_hdr.msg_namelen >= sizeof(struct sockaddr_in6));
    CHECK(ring->family == AF_INET6);
    free(ring);
}

static void a_burst_goes_out_and_comes_in_whole(void)
{
    struct fr_trunk_queue *queue = zeroed(sizeof *queue);
    struct fr_down_ring *ring = zeroed(sizeof *ring);
    struct fr_received_note note;
    static uint8_t bytes[3 * 1400 + 10];
    struct iovec iovec = {bytes, sizeof bytes};
    struct sockaddr_in receiver, sender;
    int in = open_loopback(&receiver), out = open_loopback(&sender), on = 1;
    CHECK(setsockopt(in, IPPROTO_UDP, UDP_GRO, &on, sizeof on) == 0);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 >> 2);
    fr_trunk_queue_open(queue);
    fr_down_ring_open(ring);
    memcpy(&queue->names[5], &receiver, sizeof receiver);
    struct msghdr *message = &queue->messages[5].msg_hdr;
    message->msg_namelen = sizeof receiver;
    message->msg_iov = &iovec;
    message->msg_iovlen = 1;
    fr_trunk_queue_segment(queue, 5, 1400);
    CHECK(sendmmsg(out, &queue->messages[5], 1, 0) == 1 && queue->messages[5].msg_len == sizeof bytes);
    for (size_t heard = 0; heard < sizeof bytes;) {
        ring->messages[0].msg_hdr.msg_controllen = FR_RECEIVE_CONTROL;
        if (recvmmsg(in, ring->messages, 1, 0, NULL) != 1)
            break;
        fr_read_note(&ring->messages[0].msg_hdr, &note);
        CHECK(note.segment_bytes == 1400 || ring->messages[0].msg_len <= 1400);
        CHECK(memcmp(ring->buffers[0], bytes + heard, ring->messages[0].msg_len) == 0);
        heard += ring->messages[0].msg_len;
        CHECK(heard <= sizeof bytes);
    }
    iovec.iov_len = 20;
    fr_trunk_queue_segment(queue, 5, 0);
    CHECK(message->msg_control == NULL && message->msg_controllen == 0);
    CHECK(sendmmsg(out, &queue->messages[5], 1, 0) == 1);
    CHECK(recvmmsg(in, ring->messages, 1, 0, NULL) == 1 && ring->messages[0].msg_len == 20);
    close(in);
    close(out);
    free(queue);
    free(ring);
}

static void the_client_queue_sends_each_to_its_own(void)
{
    struct fr_client_queue *queue = zeroed(sizeof *queue);
    struct sockaddr_in receivers[3], sender;
    int in[3], out = open_loopback(&sender);
    uint8_t byte;
    fr_client_queue_open(queue);
    for (unsigned i = 0; i < 3; i++) {
        in[i] = open_loopback(&receivers[i]);
        memcpy(&queue->names[i], &receivers[i], sizeof receivers[i]);
        queue->messages[i].msg_hdr.msg_namelen = sizeof receivers[i];
        queue->iovecs[i] = (struct iovec){(void *)&"abc"[i], 1};
    }
    CHECK(sendmmsg(out, queue->messages, 3, 0) == 3);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(recv(in[i], &byte, 1, 0) == 1 && byte == "abc"[i]);
        close(in[i]);
    }
    close(out);
    free(queue);
}

/* --- what the kernel reports ----------------------------------------------- */

static void the_error_queue_names_the_unreachable(void)
{
    union fr_sockaddr destination;
    struct sockaddr_in gone, sender;
    int nobody = open_loopback(&gone), out = open_loopback(&sender), on = 1;
    CHECK(setsockopt(out, IPPROTO_IP, IP_RECVERR, &on, sizeof on) == 0);
    CHECK(fr_read_socket_error(out, &destination) == 0);
    close(nobody);
    CHECK(sendto(out, "x", 1, 0, (struct sockaddr *)&gone, sizeof gone) == 1);
    struct pollfd waiting = {.fd = out};
    CHECK(poll(&waiting, 1, 5000) == 1 && waiting.revents & POLLERR);
    CHECK(fr_read_socket_error(out, &destination) == 1);
    CHECK(destination.in4.sin_family == AF_INET && destination.in4.sin_port == gone.sin_port);
    CHECK(destination.in4.sin_addr.s_addr == gone.sin_addr.s_addr);
    CHECK(fr_read_socket_error(out, &destination) == 0);
    CHECK(destination.any.sa_family == 0);
    close(out);
    CHECK(fr_read_socket_error(-1, &destination) == -EBADF);
}

static int descriptors(void)
{
    int probe = dup(0);
    close(probe);
    return probe; /* the lowest that is free */
}

static void the_offload_test_answers_and_leaves_nothing_open(void)
{
    const int before = descriptors();
    int works = fr_offload_works(AF_INET);
    CHECK(works == 0 || works == 1);
    works = fr_offload_works(AF_INET6);
    CHECK(works == 0 || works == 1 || works == -EAFNOSUPPORT || works == -EADDRNOTAVAIL);
    CHECK(fr_offload_works(-1) < 0);
    CHECK(descriptors() == before);
}

int main(void)
{
    every_note_is_read_in_any_company();
    the_client_ring_takes_datagrams_to_the_byte();
    notes_are_taken_where_they_are_wanted();
    a_ring_that_served_ipv4_takes_ipv6_whole();
    a_burst_goes_out_and_comes_in_whole();
    the_client_queue_sends_each_to_its_own();
    the_error_queue_names_the_unreachable();
    the_offload_test_answers_and_leaves_nothing_open();
    return check_result();
}
