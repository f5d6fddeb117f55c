/* One transceiver behind a relay of others: it answers to the addresses that packets came from.
 *
 * generator_back --listen ADDR:PORT --clients N [--size-from N --size-to N --seed N --nap-us N]
 * A relay without bundles has a socket or a port for each client, so its source address is all a transceiver knows of a
 * client. Before it sends, it learns the sources of what waits in its socket; packets then go to them in turn.
 * Commands: generator.h. `to` has no meaning here: the first packet of each client says where answers go.
 */
#include "generator.h"
#include "program.h"
#include "traffic.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* a relay has one address here, so a port is a client */
#define PORTS 65536

static struct fr_traffic traffic;
static uint8_t packets[GENERATOR_BATCH][TRAFFIC_PACKET_MAX];
static struct iovec vectors[GENERATOR_BATCH];
static struct mmsghdr messages[GENERATOR_BATCH];
static struct sockaddr_in sources[GENERATOR_BATCH];
static struct sockaddr_in clients[PORTS];
static bool is_known[PORTS];
static uint32_t client_count;
static uint64_t next_number;

static void learn(int fd)
{
    int count;
    do {
        for (int i = 0; i < GENERATOR_BATCH; i++) {
            vectors[i] = (struct iovec){packets[i], sizeof packets[i]};
            messages[i].msg_hdr = (struct msghdr){
                .msg_name = &sources[i], .msg_namelen = sizeof sources[i], .msg_iov = &vectors[i], .msg_iovlen = 1};
        }
        count = recvmmsg(fd, messages, GENERATOR_BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < count; i++) {
            if (is_known[sources[i].sin_port])
                continue;
            is_known[sources[i].sin_port] = true;
            clients[client_count++] = sources[i];
        }
    } while (count > 0);
    if (errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED)
        fr_fail("recvmmsg");
}

static void send_media(struct fr_generator *generator, int count, uint64_t sent_ns)
{
    learn(generator->fd);
    if (client_count != traffic.flows) {
        fprintf(stderr, "%u clients have been seen, not %u\n", client_count, traffic.flows);
        exit(2);
    }
    for (int i = 0; i < count; i++, next_number++) {
        uint32_t flow = fr_traffic_flow(&traffic, next_number);
        vectors[i] = (struct iovec){packets[i], fr_traffic_packet(&traffic, flow, next_number, sent_ns, packets[i])};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &clients[flow],
                                              .msg_namelen = sizeof clients[flow],
                                              .msg_iov = &vectors[i],
                                              .msg_iovlen = 1};
    }
    int done = 0;
    while (done < count) {
        int sent = sendmmsg(generator->fd, messages + done, (unsigned)(count - done), 0);
        if (sent < 0 && errno != EINTR && errno != ECONNREFUSED)
            fr_fail("sendmmsg");
        done += sent > 0 ? sent : 0;
    }
}

int main(int argc, char **argv)
{
    fr_traffic_open(&traffic, argc, argv);
    struct sockaddr_in local = fr_parse_endpoint(fr_option_text(argc, argv, "--listen", NULL));
    struct fr_generator generator = {.send_media = send_media,
                                     .nap_us = (uint32_t)fr_option_number(argc, argv, "--nap-us", 0)};
    generator.fd = fr_open_udp(&local);
    fr_stop_on_signals();
    fr_say_ready(generator.fd, &local);
    fr_generator_run(&generator);
    return 0;
}
