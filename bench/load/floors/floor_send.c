/* The floor of the way down: sendmmsg to N clients, and nothing is received.
 * Sends as many packets as each 8-byte number on standard input says, then waits for the next.
 *
 * floor_send --listen ADDR:PORT --tally FILE --clients N --first-client ADDR:PORT --size-from N --size-to N
 */
#include "../program.h"
#include "../traffic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* payload buffers, reused: what is sent lies in cache, as it does after a receive */
#define PAYLOADS 256

static uint8_t payloads[PAYLOADS][FLOOR_SLOT];
static struct iovec vectors[FLOOR_BATCH];
static struct mmsghdr messages[FLOOR_BATCH];

static void send_batch(int fd, int count, struct fr_tally *tally)
{
    int done = 0;
    while (done < count) {
        int sent = sendmmsg(fd, messages + done, (unsigned)(count - done), 0);
        fr_tally_add(&tally->calls, 1);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            fr_fail("sendmmsg");
        done += sent;
        fr_tally_add(&tally->sent, (uint64_t)sent);
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in local = fr_parse_endpoint(fr_option_text(argc, argv, "--listen", NULL));
    struct fr_tally *tally = fr_map_tally(fr_option_text(argc, argv, "--tally", NULL));
    struct fr_traffic traffic;
    fr_traffic_open(&traffic, argc, argv);
    struct sockaddr_in *clients = calloc(traffic.flows, sizeof *clients);
    if (!clients)
        fr_fail("clients");
    for (uint32_t i = 0; i < traffic.flows; i++)
        clients[i] = fr_traffic_client(&traffic, i);
    for (uint64_t i = 0; i < PAYLOADS; i++)
        fr_traffic_packet(&traffic, (uint32_t)i, i, 0, payloads[i]);
    int fd = fr_open_udp(&local);
    fr_stop_on_signals();
    fr_say_ready(fd, &local);
    uint64_t wanted, next = 0;
    while (!fr_stop && read(STDIN_FILENO, &wanted, sizeof wanted) == sizeof wanted) {
        while (wanted > 0) {
            int count = wanted < FLOOR_BATCH ? (int)wanted : FLOOR_BATCH;
            for (int i = 0; i < count; i++, next++) {
                vectors[i] = (struct iovec){payloads[next % PAYLOADS], fr_traffic_size(&traffic, next)};
                messages[i].msg_hdr = (struct msghdr){.msg_name = &clients[fr_traffic_flow(&traffic, next)],
                                                      .msg_namelen = sizeof *clients,
                                                      .msg_iov = &vectors[i],
                                                      .msg_iovlen = 1};
            }
            send_batch(fd, count, tally);
            wanted -= (uint64_t)count;
        }
    }
    fr_say_totals(tally);
    return 0;
}
