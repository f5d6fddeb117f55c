/* Everything a transceiver's trunk port works with, in one block allocated at start. The code is trunk_port.pyx. */
#ifndef FR_PORT_H
#define FR_PORT_H

#include "counters.h"
#include "limits.h"
#include "route/keyring.h"
#include "trunk/end.h"

struct fr_port {
    struct fr_keyring keyring;
    struct fr_allowed allowed;
    struct fr_now now;
    struct fr_peer_page peers; /* the relays */
    struct fr_counters counters;
    struct fr_trunk_end trunk;
    /* frames about to be sent, column by column; payloads are borrowed until they have gone */
    struct fr_grouping grouping;
    unsigned count;
    struct fr_address client[FR_BATCH];
    const uint8_t *payload[FR_BATCH];
    uint32_t length[FR_BATCH];
};

#endif
