/* A transceiver that talks to all its clients: trunk bundles to the relay, one UDP_SEGMENT send a step.
 *
 * generator_down --listen ADDR:PORT --clients N --first-client ADDR:PORT --key FILE --key-id N [--via N]
 *                [--size-from N --size-to N --seed N --nap-us N]
 * FILE holds the 16 bytes of the trunk MAC key. --listen is the transceiver's address, as the relay knows it.
 * Commands: generator.h.
 */
#include "generator.h"
#include "program.h"
#include "traffic.h"

#include "trunk/bundle.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static struct fr_traffic traffic;
static struct fr_writer writer;
static struct fr_burst_head head;
static struct fr_cmac_key mac_key;
static uint64_t sequence;
static uint8_t packets[GENERATOR_BATCH][TRAFFIC_PACKET_MAX];
static uint64_t next_number;

static void send_burst(struct fr_generator *generator, const struct fr_burst *burst)
{
    union {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
    } control = {.header = {.cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof(uint16_t))}};
    memcpy(CMSG_DATA(&control.header), &burst->segment_bytes, sizeof burst->segment_bytes);
    const struct fr_datagram *first = &writer.datagrams[burst->first_datagram];
    const struct fr_datagram *last = first + burst->datagram_count - 1;
    struct msghdr message = {.msg_name = &generator->target,
                             .msg_namelen = sizeof generator->target,
                             .msg_iov = &writer.iovecs[first->first_iovec],
                             .msg_iovlen = (size_t)(last->first_iovec + last->iovec_count - first->first_iovec)};
    if (burst->datagram_count > 1) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
    }
    while (sendmsg(generator->fd, &message, 0) < 0)
        if (errno != EINTR && errno != ECONNREFUSED)
            fr_fail("sendmsg");
}

static void send_media(struct fr_generator *generator, int count, uint64_t sent_ns)
{
    fr_writer_reset(&writer);
    fr_writer_begin(&writer, &head);
    for (int i = 0; i < count; i++, next_number++) {
        uint32_t flow = fr_traffic_flow(&traffic, next_number);
        uint32_t length = fr_traffic_packet(&traffic, flow, next_number, sent_ns, packets[i]);
        struct sockaddr_in client = fr_traffic_client(&traffic, flow);
        struct fr_address address = fr_address_v4(client.sin_addr.s_addr, client.sin_port);
        fr_writer_add(&writer, &address, packets[i], length, 0);
    }
    fr_writer_end(&writer);
    for (int i = 0; i < writer.burst_count; i++)
        send_burst(generator, &writer.bursts[i]);
}

/* What the relay sends to this transceiver is not looked at. */
static void drop_everything(int fd)
{
    struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog program = {.len = 1, .filter = code};
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0)
        fr_fail("SO_ATTACH_FILTER");
}

static void load_key(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t key[FR_CMAC_KEY];
    if (!file || fread(key, 1, sizeof key, file) != sizeof key)
        fr_fail(path);
    fclose(file);
    fr_cmac_open(&mac_key, key, FR_CMAC_FASTEST);
}

int main(int argc, char **argv)
{
    struct timespec now;
    fr_traffic_open(&traffic, argc, argv);
    load_key(fr_option_text(argc, argv, "--key", NULL));
    clock_gettime(CLOCK_REALTIME, &now);
    head = (struct fr_burst_head){.mac_key = &mac_key,
                                  .epoch_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000,
                                  .sequence = &sequence,
                                  .via = (uint16_t)fr_option_number(argc, argv, "--via", 0),
                                  .key_id = (uint8_t)fr_option_number(argc, argv, "--key-id", 0),
                                  .kind = FR_BUNDLE_DOWN};
    struct sockaddr_in local = fr_parse_endpoint(fr_option_text(argc, argv, "--listen", NULL));
    struct fr_generator generator = {.send_media = send_media,
                                     .nap_us = (uint32_t)fr_option_number(argc, argv, "--nap-us", 0)};
    generator.fd = fr_open_udp(&local);
    drop_everything(generator.fd);
    fr_stop_on_signals();
    fr_say_ready(generator.fd, &local);
    fr_generator_run(&generator);
    return 0;
}
