/* The packets the benchmarks send: who sends, in which order, how large, what is inside.
 *
 * Lives here: the mapping from a packet's number to its flow, size and bytes. The same
 * seed gives the same packets, so every candidate of a pair gets the same work.
 * Must not live here: sockets, clocks, trunk bundles.
 */
#ifndef FR_BENCH_TRAFFIC_H
#define FR_BENCH_TRAFFIC_H

#include <netinet/in.h>
#include <stdint.h>

/* sizes are drawn from a table so that the hot part is one load */
#define TRAFFIC_SIZES 4096
#define TRAFFIC_PACKET_MAX 1200
#define TRAFFIC_RTP_HEADER 12
#define TRAFFIC_TRAIN_MAX 32

struct fr_traffic {
    uint32_t flows;
    uint32_t train;               /* packets a client sends back to back, of one size; 1 but for the fastest open loops */
    uint32_t stride;              /* coprime to flows: neighbours in time are far apart in memory */
    uint32_t first_client;        /* host order; client i is this address + i, all with one port */
    uint16_t client_port_be;
    uint16_t sizes[TRAFFIC_SIZES];
    uint8_t filler[TRAFFIC_PACKET_MAX];
};

/* What a counting receiver finds behind the RTP header; host order, one machine. */
struct fr_stamp {
    uint64_t magic;
    uint64_t number;    /* 0, 1, 2 … over all flows of a run */
    uint64_t sent_ns;   /* CLOCK_MONOTONIC; 0 when nobody measures */
};
#define STAMP_MAGIC 0x6672626e63687631ULL
#define TRAFFIC_SIZE_MIN (TRAFFIC_RTP_HEADER + (unsigned)sizeof(struct fr_stamp))

/* Reads --clients, --first-client, --size-from, --size-to, --train, --seed. */
void fr_traffic_open(struct fr_traffic *, int argc, char **argv);
struct sockaddr_in fr_traffic_client(const struct fr_traffic *, uint32_t flow);
/* SRTP-shaped (RFC 3550 header, version 2, no padding): returns the length, at most TRAFFIC_PACKET_MAX. */
uint32_t fr_traffic_packet(const struct fr_traffic *, uint32_t flow, uint64_t number, uint64_t sent_ns, uint8_t *out);

/* Every flow once in each round of `flows` trains. */
static inline uint32_t fr_traffic_flow(const struct fr_traffic *traffic, uint64_t number)
{
    return (uint32_t)((number / traffic->train % traffic->flows) * traffic->stride % traffic->flows);
}

static inline uint32_t fr_traffic_size(const struct fr_traffic *traffic, uint64_t number)
{
    return traffic->sizes[number / traffic->train % TRAFFIC_SIZES];
}

#endif
