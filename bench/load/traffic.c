#include "traffic.h"
#include "program.h"
#include "random.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
    while (b) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

void fr_traffic_open(struct fr_traffic *traffic, int argc, char **argv)
{
    uint64_t flows = fr_option_number(argc, argv, "--clients", 1);
    uint64_t from = fr_option_number(argc, argv, "--size-from", 160);
    uint64_t to = fr_option_number(argc, argv, "--size-to", from);
    uint64_t train = fr_option_number(argc, argv, "--train", 1);
    uint64_t state = fr_draw_seed(fr_option_number(argc, argv, "--seed", 1));
    if (flows < 1 || flows > (1u << 24) || from < TRAFFIC_SIZE_MIN || to < from || to > TRAFFIC_PACKET_MAX
        || train < 1 || train > TRAFFIC_TRAIN_MAX) {
        fprintf(stderr, "clients 1..16777216, sizes %u..%u, train 1..%u\n", TRAFFIC_SIZE_MIN, TRAFFIC_PACKET_MAX,
                TRAFFIC_TRAIN_MAX);
        exit(2);
    }
    struct sockaddr_in first = fr_parse_endpoint(fr_option_text(argc, argv, "--first-client", "127.16.0.0:40000"));
    traffic->flows = (uint32_t)flows;
    traffic->train = (uint32_t)train;
    traffic->first_client = ntohl(first.sin_addr.s_addr);
    traffic->client_port_be = first.sin_port;
    /* the golden ratio of the range spreads neighbours best; step up until every flow is met */
    traffic->stride = (uint32_t)((double)flows * 0.6180339887) | 1u;
    while (common_divisor(traffic->stride, traffic->flows) != 1)
        traffic->stride += 2;
    for (unsigned i = 0; i < TRAFFIC_SIZES; i++)
        traffic->sizes[i] = (uint16_t)(from + fr_draw(&state) % (to - from + 1));
    for (unsigned i = 0; i < TRAFFIC_PACKET_MAX; i++)
        traffic->filler[i] = (uint8_t)(fr_draw(&state) >> 56);
}

struct sockaddr_in fr_traffic_client(const struct fr_traffic *traffic, uint32_t flow)
{
    struct sockaddr_in client = {.sin_family = AF_INET, .sin_port = traffic->client_port_be};
    client.sin_addr.s_addr = htonl(traffic->first_client + flow);
    return client;
}

uint32_t fr_traffic_packet(const struct fr_traffic *traffic, uint32_t flow, uint64_t number, uint64_t sent_ns,
                           uint8_t *out)
{
    uint32_t size = fr_traffic_size(traffic, number);
    uint64_t round = number / traffic->train / traffic->flows;
    uint64_t sequence = round * traffic->train + number % traffic->train;
    uint16_t sequence_be = htons((uint16_t)sequence);
    uint32_t timestamp_be = htonl((uint32_t)sequence * 960), ssrc_be = htonl(flow + 1);
    struct fr_stamp stamp = {STAMP_MAGIC, number, sent_ns};
    out[0] = 0x80;
    out[1] = 111;
    memcpy(out + 2, &sequence_be, 2);
    memcpy(out + 4, &timestamp_be, 4);
    memcpy(out + 8, &ssrc_be, 4);
    memcpy(out + TRAFFIC_RTP_HEADER, &stamp, sizeof stamp);
    memcpy(out + TRAFFIC_SIZE_MIN, traffic->filler + TRAFFIC_SIZE_MIN, size - TRAFFIC_SIZE_MIN);
    return size;
}
