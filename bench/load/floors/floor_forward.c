/* The plain C forwarder: recvmmsg, find the flow, sendmmsg one message per packet, payload unchanged.
 *
 * floor_forward --listen ADDR:PORT --tally FILE --to ADDR:PORT --peers N --clients N --first-client ADDR:PORT
 * Transceiver k is the address after --to by k; client i belongs to transceiver i mod N.
 */
#include "../program.h"
#include "../traffic.h"
#include "lookup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* as many as a relay may know */
#define PEERS_MAX 1024

static uint8_t slots[FLOOR_BATCH][FLOOR_SLOT];
static struct sockaddr_in sources[FLOOR_BATCH];
static struct iovec vectors[FLOOR_BATCH], out_vectors[FLOOR_BATCH];
static struct mmsghdr messages[FLOOR_BATCH], out_messages[FLOOR_BATCH];
static struct sockaddr_in peers[PEERS_MAX];

static void open_batches(void)
{
    for (int i = 0; i < FLOOR_BATCH; i++) {
        vectors[i] = (struct iovec){slots[i], FLOOR_SLOT};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &sources[i], .msg_namelen = sizeof sources[i], .msg_iov = &vectors[i], .msg_iovlen = 1};
        out_messages[i].msg_hdr =
            (struct msghdr){.msg_namelen = sizeof *peers, .msg_iov = &out_vectors[i], .msg_iovlen = 1};
    }
}

static void send_all(int fd, int count, struct fr_tally *tally)
{
    int done = 0;
    while (done < count) {
        int sent = sendmmsg(fd, out_messages + done, (unsigned)(count - done), 0);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            fr_fail("sendmmsg");
        done += sent;
        fr_tally_add(&tally->calls, 1);
    }
    fr_tally_add(&tally->sent, (uint64_t)count);
}

static void forward_batch(int fd, int count, struct fr_tally *tally)
{
    int32_t found[FLOOR_BATCH];
    uint64_t bytes = 0, refused = 0;
    int out = 0;
    fr_lookup_find(sources, count, found);
    for (int i = 0; i < count; i++) {
        bytes += messages[i].msg_len;
        if (found[i] < 0) {
            refused++;
            continue;
        }
        out_vectors[out] = (struct iovec){slots[i], messages[i].msg_len};
        out_messages[out++].msg_hdr.msg_name = &peers[found[i]];
    }
    send_all(fd, out, tally);
    fr_tally_add(&tally->refused, refused);
    fr_tally_add(&tally->bytes, bytes);
    fr_tally_add(&tally->packets, (uint64_t)count);
}

int main(int argc, char **argv)
{
    struct sockaddr_in local = fr_parse_endpoint(fr_option_text(argc, argv, "--listen", NULL));
    struct sockaddr_in first = fr_parse_endpoint(fr_option_text(argc, argv, "--to", NULL));
    struct fr_tally *tally = fr_map_tally(fr_option_text(argc, argv, "--tally", NULL));
    uint64_t peer_count = fr_option_number(argc, argv, "--peers", 1);
    struct fr_traffic traffic;
    fr_traffic_open(&traffic, argc, argv);
    if (peer_count < 1 || peer_count > PEERS_MAX)
        fr_fail("peers");
    for (uint32_t k = 0; k < peer_count; k++) {
        peers[k] = first;
        peers[k].sin_addr.s_addr = htonl(ntohl(first.sin_addr.s_addr) + k);
    }
    fr_lookup_open(traffic.flows);
    for (uint32_t i = 0; i < traffic.flows; i++) {
        struct sockaddr_in client = fr_traffic_client(&traffic, i);
        fr_lookup_insert(&client, (uint32_t)(i % peer_count));
    }
    int fd = fr_open_udp(&local);
    fr_stop_on_signals();
    open_batches();
    fr_say_ready(fd, &local);
    while (!fr_stop) {
        int count = recvmmsg(fd, messages, FLOOR_BATCH, MSG_WAITFORONE, NULL);
        fr_tally_add(&tally->calls, 1);
        if (count > 0)
            forward_batch(fd, count, tally);
        else if (count < 0 && errno != EINTR && errno != ECONNREFUSED)
            fr_fail("recvmmsg");
    }
    fr_say_totals(tally);
    return 0;
}
