/* The transceivers' end of all calls: one socket, an address for each transceiver.
 *
 * Lives here: media up, plain or as the trunk's bundles (docs/trunk.md), answers to checks, media down.
 * Must not live here: when to send (play.c).
 */
#ifndef FR_BENCH_SERVERS_H
#define FR_BENCH_SERVERS_H

#include "wire.h"

#include "crypto/cmac.h"
#include "trunk/bundle.h"

/* One datagram to a client, by way of whatever stands between. */
struct fr_item {
    const uint8_t *payload;
    uint32_t length;
    uint32_t to_be;
    uint16_t to_port_be;
    uint8_t transceiver;
    struct sockaddr_in relay; /* where bundles go */
};

struct fr_servers {
    struct fr_crowd *crowd;
    int fd;
    bool has_trunk;
    struct sockaddr_in relay;  /* the relay's trunk */
    struct fr_cmac_key mac_key;
    uint8_t key_id;
    uint64_t epoch_us;
    uint64_t sequences[CROWD_TRANSCEIVERS];
    struct fr_writer writer;
    struct fr_outbox outbox;
    struct fr_item items[CROWD_BATCH];
    unsigned item_count;       /* answers that wait for the end of a receive */
};

/* FILE holds the 16 bytes of the trunk MAC key. */
void fr_servers_trunk(struct fr_servers *, const char *key_path, uint8_t key_id);
void fr_servers_send(struct fr_servers *, const uint32_t *calls, const uint64_t *due_ns, unsigned count);
unsigned fr_servers_receive(struct fr_servers *);

#endif
