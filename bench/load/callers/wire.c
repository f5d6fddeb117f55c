#include "wire.h"

#include "../program.h"
#include "../random.h"

#include <errno.h>
#include <linux/filter.h>
#include <string.h>
#include <time.h>

/* how long the two clocks are taken to run alike before they are compared again */
#define CLOCKS_FRESH_NS 1000000u
/* a comparison that took longer than this was interrupted and says nothing */
#define CLOCKS_SHARP_NS 1000u

#define CONTROL_ROOM (CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(struct timespec)) + CMSG_SPACE(sizeof(int)))

static uint8_t slots[WIRE_RECEIVES][WIRE_SLOT];
static _Alignas(struct cmsghdr) uint8_t controls[WIRE_RECEIVES][CONTROL_ROOM];
static struct sockaddr_in sources[WIRE_RECEIVES];
static struct iovec vectors[WIRE_RECEIVES];
static struct mmsghdr messages[WIRE_RECEIVES];
static int64_t clocks_apart_ns; /* real time − monotonic */
static uint64_t compared_ns;

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t fr_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

/* The kernel stamps arrivals in real time, which may be set while we measure. */
static void compare_clocks(void)
{
    uint64_t before = fr_now_ns();
    if (compared_ns && before - compared_ns < CLOCKS_FRESH_NS)
        return;
    uint64_t real = clock_ns(CLOCK_REALTIME), after = fr_now_ns();
    if (compared_ns && after - before > CLOCKS_SHARP_NS)
        return;
    clocks_apart_ns = (int64_t)(real - (before + after) / 2);
    compared_ns = after;
}

static void enable(int fd, int level, int name)
{
    int on = 1;
    if (setsockopt(fd, level, name, &on, sizeof on) != 0)
        fr_fail("setsockopt");
}

/* Thousands of sources from one socket cost the kernel two things more than one source does, for each packet: it looks
 * the source up among its own addresses, unless the socket may send from any (inet_sk_flowi_flags), and it takes an IP
 * identification from a table, unless packets must not be split (ip_select_ident_segs). The right to the first
 * (CAP_NET_ADMIN) may be missing. */
static void make_sources_cheap(int fd)
{
    int on = 1, never_split = IP_PMTUDISC_DO;
    if (setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof on) != 0 && errno != EPERM)
        fr_fail("IP_TRANSPARENT");
    if (setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &never_split, sizeof never_split) != 0)
        fr_fail("IP_MTU_DISCOVER");
}

int fr_wire_open(struct sockaddr_in local)
{
    int fd = fr_open_udp(&local);
    make_sources_cheap(fd);
    enable(fd, SOL_SOCKET, SO_TIMESTAMPNS);
    enable(fd, IPPROTO_IP, IP_PKTINFO);
    enable(fd, SOL_UDP, UDP_GRO);
    return fd;
}

static void read_control(struct msghdr *message, struct fr_arrived *arrived)
{
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
        if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SO_TIMESTAMPNS) {
            struct timespec stamp;
            memcpy(&stamp, CMSG_DATA(control), sizeof stamp);
            uint64_t real = (uint64_t)stamp.tv_sec * 1000000000u + (uint64_t)stamp.tv_nsec;
            arrived->at_ns = real - (uint64_t)clocks_apart_ns;
        } else if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(control), sizeof info);
            arrived->local_be = info.ipi_addr.s_addr;
        } else if (control->cmsg_level == SOL_UDP && control->cmsg_type == UDP_GRO) {
            int segment;
            memcpy(&segment, CMSG_DATA(control), sizeof segment);
            arrived->segment = (uint32_t)segment;
        }
    }
}

unsigned fr_wire_receive(int fd, struct fr_arrived arrived[WIRE_RECEIVES])
{
    for (int i = 0; i < WIRE_RECEIVES; i++) {
        vectors[i] = (struct iovec){slots[i], WIRE_SLOT};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &sources[i], .msg_namelen = sizeof sources[i],
                                               .msg_iov = &vectors[i], .msg_iovlen = 1,
                                               .msg_control = controls[i], .msg_controllen = CONTROL_ROOM};
    }
    int count = recvmmsg(fd, messages, WIRE_RECEIVES, MSG_DONTWAIT, NULL);
    if (count <= 0) {
        if (count < 0 && errno != EINTR && errno != EAGAIN && errno != ECONNREFUSED)
            fr_fail("recvmmsg");
        return 0;
    }
    compare_clocks();
    for (int i = 0; i < count; i++) {
        arrived[i] = (struct fr_arrived){.bytes = slots[i], .length = messages[i].msg_len,
                                         .segment = messages[i].msg_len ? messages[i].msg_len : 1,
                                         .from_be = sources[i].sin_addr.s_addr,
                                         .from_port_be = sources[i].sin_port};
        read_control(&messages[i].msg_hdr, &arrived[i]);
    }
    return (unsigned)count;
}

void fr_wire_drop(int fd, bool is_dropping)
{
    struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog program = {.len = 1, .filter = code};
    int unused = 0; /* the kernel wants an int even where it reads none */
    int done = is_dropping ? setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program)
                           : setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused);
    if (done != 0 && errno != ENOENT)
        fr_fail("SO_ATTACH_FILTER");
}

void fr_outbox_open(struct fr_outbox *outbox, uint64_t seed)
{
    uint64_t state = fr_draw_seed(seed);
    memset(outbox->controls, 0, sizeof outbox->controls);
    for (unsigned i = 0; i < CROWD_BATCH; i++) {
        for (unsigned at = 0; at < sizeof outbox->packets[i]; at++)
            outbox->packets[i][at] = (uint8_t)(fr_draw(&state) >> 56);
        struct cmsghdr *control = (struct cmsghdr *)outbox->controls[i];
        control->cmsg_level = IPPROTO_IP;
        control->cmsg_type = IP_PKTINFO;
        control->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
        outbox->targets[i].sin_family = AF_INET;
        outbox->vectors[i].iov_base = outbox->packets[i] + PREFIX_MAX;
        outbox->messages[i].msg_hdr = (struct msghdr){.msg_name = &outbox->targets[i],
                                                      .msg_namelen = sizeof outbox->targets[i],
                                                      .msg_iov = &outbox->vectors[i],
                                                      .msg_iovlen = 1,
                                                      .msg_control = outbox->controls[i],
                                                      .msg_controllen = sizeof outbox->controls[i]};
    }
}

/* A message the kernel will not take is left out and told; those behind it still go. */
unsigned fr_outbox_send(struct fr_outbox *outbox, int fd, unsigned count)
{
    unsigned done = 0, taken = 0;
    while (done < count) {
        int sent = sendmmsg(fd, outbox->messages + done, count - done, 0);
        if (sent > 0) {
            taken += (unsigned)sent;
            done += (unsigned)sent;
        } else if (errno == ENOBUFS || errno == EPERM || errno == EAGAIN) {
            done++;
        } else if (errno != EINTR && errno != ECONNREFUSED) {
            fr_fail("sendmmsg");
        }
    }
    return taken;
}
