/* Where packets end: a wildcard port that plays every transceiver (up) or every client (down).
 *
 * sink --listen ADDR:PORT --tally FILE [--numbers N] [--one-transceiver 1]
 * What arrives are plain packets, TURN's ChannelData, or trunk bundles (docs/trunk.md) whose frames are counted: the
 * first byte tells.
 * Stamps 0 … N−1 are expected once each: the page says how many came first and how many again.
 * Where it plays one transceiver alone, a bundle whose number is not above the one before it is refused, as a replay
 * window would: on one machine nothing overtakes, so a worker that follows another has to count on from there, or start
 * a later epoch.
 *
 * Commands on standard input, each answered by one line of JSON:
 *   drop     a classic BPF filter returns 0: the kernel drops each packet at next to no cost
 *   count    every packet is received and counted (how it starts)
 */
#include "program.h"
#include "traffic.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* receive slots: UDP_GRO may fill 64 KiB each */
#define SINK_BATCH 16
#define SINK_SLOT 65536
/* relay workers that send here; beyond them nothing is judged */
#define SINK_SENDERS 256
#define TRUNK_HEADER 32
#define TRUNK_KIND_UP 0x11
#define TRUNK_EPOCH 8
#define TRUNK_SEQUENCE 16
#define RTP_FIRST_BYTE 0x80
/* TURN's ChannelData, as RFC 8656 §12 tells it from all else that comes to a client */
#define CHANNEL_TOP_BITS 1
#define CHANNEL_HEADER 4

struct sink_page {
    struct fr_tally tally;
    uint64_t unique;        /* stamps seen for the first time */
    uint64_t duplicates;
    uint64_t latest_ns;     /* the longest any stamped packet took from when it was due */
    uint64_t pause_ns;      /* the longest time between two receive calls that brought packets */
};

static uint8_t slots[SINK_BATCH][SINK_SLOT];
static uint8_t controls[SINK_BATCH][CMSG_SPACE(sizeof(int))];
static struct iovec vectors[SINK_BATCH];
static struct mmsghdr messages[SINK_BATCH];
static struct sink_page *page;
static uint8_t *seen;
static uint64_t numbers;
static bool is_one_transceiver;
static uint64_t last_receive_ns;
static struct sockaddr_in sources[SINK_BATCH];

/* one sender of bundles, in the order of arrival */
struct sink_sender {
    uint64_t address;
    uint64_t epoch, sequence;
};
static struct sink_sender senders[SINK_SENDERS];
static uint32_t sender_count;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void take_packet(const uint8_t *packet, size_t length, uint64_t now)
{
    struct fr_stamp stamp;
    page->tally.packets++;
    page->tally.bytes += length;
    if (length < TRAFFIC_SIZE_MIN)
        return;
    memcpy(&stamp, packet + TRAFFIC_RTP_HEADER, sizeof stamp);
    if (stamp.magic != STAMP_MAGIC)
        return;
    if (stamp.number < numbers) {
        uint8_t bit = (uint8_t)(1u << (stamp.number & 7));
        if (seen[stamp.number >> 3] & bit)
            page->duplicates++;
        else
            page->unique++;
        seen[stamp.number >> 3] |= bit;
    }
    if (stamp.sent_ns && now - stamp.sent_ns > page->latest_ns)
        page->latest_ns = now - stamp.sent_ns;
}

static struct sink_sender *find_sender(const struct sockaddr_in *source)
{
    uint64_t address = (uint64_t)source->sin_addr.s_addr << 16 | source->sin_port;
    for (uint32_t i = 0; i < sender_count; i++)
        if (senders[i].address == address)
            return &senders[i];
    if (sender_count == SINK_SENDERS)
        return NULL;
    senders[sender_count] = (struct sink_sender){.address = address};
    return &senders[sender_count++];
}

static uint64_t read_u64(const uint8_t *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return be64toh(value);
}

static bool is_replayed(const uint8_t *datagram, const struct sockaddr_in *source)
{
    struct sink_sender *sender = find_sender(source);
    uint64_t epoch = read_u64(datagram + TRUNK_EPOCH), sequence = read_u64(datagram + TRUNK_SEQUENCE);
    if (!sender)
        return false;
    if (epoch < sender->epoch || (epoch == sender->epoch && sequence <= sender->sequence))
        return true;
    sender->epoch = epoch;
    sender->sequence = sequence;
    return false;
}

/* Counts nothing behind the place where a bundle's lengths stop adding up; a HELLO is no bundle and passes silently. */
static void take_datagram(const uint8_t *datagram, size_t length, const struct sockaddr_in *source, uint64_t now)
{
    if (length && datagram[0] == RTP_FIRST_BYTE)
        take_packet(datagram, length, now);
    if (length >= CHANNEL_HEADER && datagram[0] >> 6 == CHANNEL_TOP_BITS)
        take_packet(datagram + CHANNEL_HEADER, length - CHANNEL_HEADER, now);
    if (length < TRUNK_HEADER || datagram[0] != TRUNK_KIND_UP)
        return;
    if (is_one_transceiver && is_replayed(datagram, source)) {
        page->tally.refused++;
        return;
    }
    size_t count = (size_t)datagram[2] << 8 | datagram[3];
    size_t header = TRUNK_HEADER, payload = TRUNK_HEADER + ((size_t)datagram[6] << 8 | datagram[7]);
    for (size_t i = 0; i < count; i++) {
        if (header + 8 > length)
            break;
        size_t size = ((size_t)datagram[header] << 8 | datagram[header + 1]) & 0xfff;
        header += datagram[header] & 0x80 ? 24 : 8;
        if (payload + size > length) {
            page->tally.refused++;
            break;
        }
        take_packet(datagram + payload, size, now);
        payload += size;
    }
}

static size_t segment_size(struct msghdr *message, size_t length)
{
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control))
        if (control->cmsg_level == SOL_UDP && control->cmsg_type == UDP_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(control), sizeof size);
            return (size_t)size;
        }
    return length ? length : 1;
}

static void note_arrival(uint64_t now)
{
    if (last_receive_ns && now - last_receive_ns > page->pause_ns)
        page->pause_ns = now - last_receive_ns;
    last_receive_ns = now;
}

static void receive(int fd)
{
    for (int i = 0; i < SINK_BATCH; i++) {
        vectors[i] = (struct iovec){slots[i], SINK_SLOT};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &sources[i], .msg_namelen = sizeof sources[i],
                                               .msg_iov = &vectors[i], .msg_iovlen = 1};
        messages[i].msg_hdr.msg_control = controls[i];
        messages[i].msg_hdr.msg_controllen = sizeof controls[i];
    }
    int count = recvmmsg(fd, messages, SINK_BATCH, MSG_DONTWAIT, NULL);
    if (count < 0 && errno != EINTR && errno != EAGAIN)
        fr_fail("recvmmsg");
    uint64_t now = now_ns(), packets = page->tally.packets;
    for (int i = 0; i < count; i++) {
        size_t length = messages[i].msg_len, segment = segment_size(&messages[i].msg_hdr, length);
        for (size_t at = 0; at < length; at += segment)
            take_datagram(slots[i] + at, length - at < segment ? length - at : segment, &sources[i], now);
    }
    fr_tally_add(&page->tally.calls, count > 0);
    if (page->tally.packets != packets)
        note_arrival(now);
}

static void set_dropping(int fd, bool dropping)
{
    struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog program = {.len = 1, .filter = code};
    int unused = 0; /* the kernel wants an int even where it reads none */
    int done = dropping ? setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program)
                        : setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused);
    if (done != 0 && errno != ENOENT)
        fr_fail("SO_ATTACH_FILTER");
}

/* False when standard input has ended. */
static bool obey(int fd)
{
    char line[32];
    ssize_t length = read(STDIN_FILENO, line, sizeof line - 1);
    if (length <= 0)
        return false;
    line[length] = 0;
    if (strcmp(line, "drop\n") == 0 || strcmp(line, "count\n") == 0) {
        set_dropping(fd, line[0] == 'd');
        printf("{\"done\": true}\n");
    } else {
        printf("{\"error\": \"unknown command\"}\n");
    }
    fflush(stdout);
    return true;
}

int main(int argc, char **argv)
{
    struct sockaddr_in local = fr_parse_endpoint(fr_option_text(argc, argv, "--listen", NULL));
    numbers = fr_option_number(argc, argv, "--numbers", 0);
    is_one_transceiver = fr_option_number(argc, argv, "--one-transceiver", 0);
    page = fr_map_file(fr_option_text(argc, argv, "--tally", NULL), sizeof *page + numbers / 8 + 1);
    seen = (uint8_t *)(page + 1);
    int fd = fr_open_udp(&local), gro = 1;
    if (setsockopt(fd, SOL_UDP, UDP_GRO, &gro, sizeof gro) != 0)
        fr_fail("UDP_GRO");
    fr_stop_on_signals();
    fr_say_ready(fd, &local);
    struct pollfd watched[] = {{.fd = fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    while (!fr_stop) {
        if (poll(watched, 2, -1) < 0)
            continue;
        if (watched[0].revents)
            receive(fd);
        if (watched[1].revents && !obey(fd))
            break;
    }
    fr_say_totals(&page->tally);
    return 0;
}
