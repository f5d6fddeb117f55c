/* The flow lookup of floor_forward: a client's address in, the number of its transceiver out. */
#ifndef FR_BENCH_LOOKUP_H
#define FR_BENCH_LOOKUP_H

#include <netinet/in.h>
#include <stdint.h>

void fr_lookup_open(uint32_t flows);
void fr_lookup_insert(const struct sockaddr_in *client, uint32_t peer);
/* Finds `count` clients at once, as the relay does: hash and prefetch all, then compare. peers[i] is -1 when unknown. */
void fr_lookup_find(const struct sockaddr_in *clients, int count, int32_t *peers);

#endif
