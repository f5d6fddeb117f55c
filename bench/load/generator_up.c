/* Thousands of clients from one socket: each packet leaves from its own 127.x.y.z by IP_PKTINFO.
 *
 * generator_up --clients N --first-client ADDR:PORT
 *              [--size-from N --size-to N --seed N --train N --checks FILE --nap-us N --channel N]
 * A train of packets leaves in one UDP_SEGMENT send: one processor then offers what a relay on another can just carry.
 * A channel (0x4000 = 16384 and above) puts TURN's ChannelData header before every packet.
 * FILE holds STUN checks, one per session: length u16 big-endian + bytes, repeated. Client i sends i mod their count.
 * Commands: generator.h.
 */
#include "generator.h"
#include "program.h"
#include "traffic.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* RFC 8656 §12.4: channel and length; over UDP nothing is padded */
#define CHANNEL_HEADER 4

static struct fr_traffic traffic;
/* source address, and the segment size of a train */
#define CONTROL_PLAIN CMSG_SPACE(sizeof(struct in_pktinfo))
#define CONTROL_TRAIN (CONTROL_PLAIN + CMSG_SPACE(sizeof(uint16_t)))

static uint8_t packets[GENERATOR_BATCH * (CHANNEL_HEADER + TRAFFIC_PACKET_MAX)];
static _Alignas(struct cmsghdr) uint8_t controls[GENERATOR_BATCH][CONTROL_TRAIN];
static struct iovec vectors[GENERATOR_BATCH];
static struct mmsghdr messages[GENERATOR_BATCH];
static struct iovec *checks;
static uint32_t check_count;
static uint16_t channel; /* 0 sends packets as they are */
static uint64_t next_number, next_check;

static void *put_control(struct cmsghdr *control, int level, int type, size_t length)
{
    control->cmsg_level = level;
    control->cmsg_type = type;
    control->cmsg_len = CMSG_LEN(length);
    return CMSG_DATA(control);
}

/* segment 0 is a single packet */
static void put_message(struct fr_generator *generator, int i, uint32_t flow, struct iovec bytes, uint16_t segment)
{
    struct in_pktinfo info = {.ipi_spec_dst = fr_traffic_client(&traffic, flow).sin_addr};
    struct msghdr *message = &messages[i].msg_hdr;
    vectors[i] = bytes;
    *message = (struct msghdr){.msg_name = &generator->target,
                               .msg_namelen = sizeof generator->target,
                               .msg_iov = &vectors[i],
                               .msg_iovlen = 1,
                               .msg_control = controls[i],
                               .msg_controllen = segment ? CONTROL_TRAIN : CONTROL_PLAIN};
    struct cmsghdr *control = CMSG_FIRSTHDR(message);
    memcpy(put_control(control, IPPROTO_IP, IP_PKTINFO, sizeof info), &info, sizeof info);
    if (segment)
        memcpy(put_control(CMSG_NXTHDR(message, control), SOL_UDP, UDP_SEGMENT, sizeof segment), &segment,
               sizeof segment);
}

static void send_batch(int fd, int count)
{
    int done = 0;
    while (done < count) {
        int sent = sendmmsg(fd, messages + done, (unsigned)(count - done), 0);
        if (sent < 0 && errno != EINTR && errno != ECONNREFUSED)
            fr_fail("sendmmsg");
        done += sent > 0 ? sent : 0;
    }
}

static uint32_t put_packet(uint32_t flow, uint64_t sent_ns, uint8_t *at)
{
    if (!channel)
        return fr_traffic_packet(&traffic, flow, next_number++, sent_ns, at);
    uint32_t size = fr_traffic_packet(&traffic, flow, next_number++, sent_ns, at + CHANNEL_HEADER);
    uint16_t head[2] = {htons(channel), htons((uint16_t)size)};
    memcpy(at, head, sizeof head);
    return CHANNEL_HEADER + size;
}

static void send_media(struct fr_generator *generator, int count, uint64_t sent_ns)
{
    int message_count = 0;
    uint8_t *at = packets;
    while (count > 0) {
        int cars = (int)(traffic.train - next_number % traffic.train);
        cars = cars < count ? cars : count;
        uint32_t flow = fr_traffic_flow(&traffic, next_number), size = fr_traffic_size(&traffic, next_number);
        size += channel ? CHANNEL_HEADER : 0;
        struct iovec bytes = {at, (size_t)cars * size};
        for (int i = 0; i < cars; i++)
            at += put_packet(flow, sent_ns, at);
        put_message(generator, message_count++, flow, bytes, cars > 1 ? (uint16_t)size : 0);
        count -= cars;
    }
    send_batch(generator->fd, message_count);
}

static void send_checks(struct fr_generator *generator, int count)
{
    for (int i = 0; i < count; i++, next_check++) {
        uint32_t flow = (uint32_t)(next_check % traffic.flows);
        put_message(generator, i, flow, checks[flow % check_count], 0);
    }
    send_batch(generator->fd, count);
}

static void load_checks(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t head[2];
    if (!file)
        fr_fail(path);
    while (fread(head, 1, 2, file) == 2) {
        size_t length = (size_t)head[0] << 8 | head[1];
        uint8_t *bytes = malloc(length);
        checks = realloc(checks, (check_count + 1) * sizeof *checks);
        if (!bytes || !checks || fread(bytes, 1, length, file) != length)
            fr_fail(path);
        checks[check_count++] = (struct iovec){bytes, length};
    }
    fclose(file);
}

int main(int argc, char **argv)
{
    fr_traffic_open(&traffic, argc, argv);
    channel = (uint16_t)fr_option_number(argc, argv, "--channel", 0);
    const char *check_file = fr_option_text(argc, argv, "--checks", "");
    if (*check_file)
        load_checks(check_file);
    /* bound to the wildcard: the source of each packet comes from its control message */
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = traffic.client_port_be};
    struct fr_generator generator = {.send_media = send_media,
                                     .nap_us = (uint32_t)fr_option_number(argc, argv, "--nap-us", 0)};
    if (check_count)
        generator.send_checks = send_checks;
    generator.fd = fr_open_udp(&local);
    fr_stop_on_signals();
    fr_say_ready(generator.fd, &local);
    fr_generator_run(&generator);
    return 0;
}
