#include "lookup.h"
#include "../program.h"

#include "flow/table.h"

#include <stdio.h>
#include <sys/mman.h>

static struct fr_table table;

void fr_lookup_open(uint32_t flows)
{
    /* any secret will do: nobody attacks a benchmark, and the same one makes runs alike */
    const struct fr_hash_key secret = {
        {0x9e3779b97f4a7c15u, 0xbf58476d1ce4e5b9u, 0x94d049bb133111ebu, 0xd6e8feb86659fd93u}};
    size_t bytes = fr_table_page_bytes(flows);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || fr_table_attach(&table, memory, bytes, flows, &secret, 1) < 0)
        fr_fail("flow table");
}

void fr_lookup_insert(const struct sockaddr_in *client, uint32_t peer)
{
    uint64_t evictions = 0;
    struct fr_flow_seed seed = {
        .client = fr_address_v4(client->sin_addr.s_addr, client->sin_port),
        .peer = (uint16_t)peer,
        .state = FR_FLOW_CONFIRMED,
    };
    if (!fr_table_insert(&table, fr_hash_address(&table.hash_key, &seed.client), &seed, &evictions) || evictions)
        fr_fail("flow table is full");
}

void fr_lookup_find(const struct sockaddr_in *clients, int count, int32_t *peers)
{
    struct fr_address addresses[FLOOR_BATCH];
    uint64_t hashes[FLOOR_BATCH];
    for (int i = 0; i < count; i++) {
        addresses[i] = fr_address_v4(clients[i].sin_addr.s_addr, clients[i].sin_port);
        hashes[i] = fr_hash_address(&table.hash_key, &addresses[i]);
        fr_table_prefetch(&table, hashes[i]);
    }
    for (int i = 0; i < count; i++) {
        struct fr_flow *guess = fr_table_guess(&table, hashes[i]);
        if (guess)
            __builtin_prefetch(guess);
    }
    for (int i = 0; i < count; i++) {
        const struct fr_flow *flow = fr_table_find(&table, hashes[i], &addresses[i]);
        peers[i] = flow ? flow->peer : -1;
    }
}
