/* Fills a flow table's page with confirmed flows, as if every client had been admitted and answered.
 *
 * populate --page FILE --capacity N --clients N --first-client ADDR:PORT --to ADDR:PORT --peers N [--flows N]
 * Transceiver k is the address after --to by k; client i belongs to transceiver i mod N; --flows 0 leaves it empty. The
 * relay that attaches to the page finds its calls there, as a worker does that takes over from a dead one. Prints the
 * page's bytes as JSON.
 */
#include "program.h"
#include "traffic.h"

#include "flow/table.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

static uint64_t clock_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000;
}

static void add_peers(struct fr_table *table, struct sockaddr_in first, uint64_t count, uint16_t *peers)
{
    for (uint32_t k = 0; k < count; k++) {
        uint32_t address_be = htonl(ntohl(first.sin_addr.s_addr) + k);
        struct fr_address address = fr_address_v4(address_be, first.sin_port);
        int peer = fr_peer_insert(table->peers, &table->hash_key, &address, clock_us(CLOCK_MONOTONIC) / 1000,
                                  FR_PEER_FORGET_MS);
        if (peer < 0)
            fr_fail("peer");
        peers[k] = (uint16_t)peer;
    }
}

int main(int argc, char **argv)
{
    struct fr_traffic traffic;
    struct fr_hash_key secret;
    struct fr_table table;
    uint16_t peers[FR_PEERS];
    fr_traffic_open(&traffic, argc, argv);
    uint32_t capacity = (uint32_t)fr_option_number(argc, argv, "--capacity", FR_FLOWS_DEFAULT);
    uint64_t flows = fr_option_number(argc, argv, "--flows", traffic.flows);
    uint64_t peer_count = fr_option_number(argc, argv, "--peers", 1);
    size_t bytes = fr_table_page_bytes(capacity);
    if (peer_count < 1 || peer_count > FR_PEERS || !bytes || getrandom(&secret, sizeof secret, 0) != sizeof secret)
        fr_fail("capacity or peers");
    void *page = fr_map_file(fr_option_text(argc, argv, "--page", NULL), bytes);
    if (fr_table_attach(&table, page, bytes, capacity, &secret, clock_us(CLOCK_REALTIME)) < 0)
        fr_fail("flow table");
    table.peers->capacity = FR_PEERS;
    add_peers(&table, fr_parse_endpoint(fr_option_text(argc, argv, "--to", NULL)), peer_count, peers);
    uint32_t now_ms = (uint32_t)(clock_us(CLOCK_MONOTONIC) / 1000);
    for (uint32_t i = 0; i < flows; i++) {
        struct sockaddr_in client = fr_traffic_client(&traffic, i);
        uint64_t evictions = 0;
        struct fr_flow_seed seed = {.client = fr_address_v4(client.sin_addr.s_addr, client.sin_port),
                                    .session_id = i + 1,
                                    .token_tag = 1,
                                    .now_ms = now_ms,
                                    .peer = peers[i % peer_count],
                                    .state = FR_FLOW_CONFIRMED};
        if (!fr_table_insert(&table, fr_hash_address(&table.hash_key, &seed.client), &seed, &evictions) || evictions)
            fr_fail("flow table is full");
    }
    printf("{\"bytes\": %zu, \"capacity\": %u, \"flows\": %u}\n", bytes, capacity, table.page->flows);
    return 0;
}
