/* Everything one relay worker works with, in one block allocated at start.
 *
 * Lives here: the layout that the hot loop's modules (relay_up, relay_down, relay_send, relay_loop)
 * share. Code that works on it is theirs; the parts inside are described in their own headers.
 */
#ifndef FR_RELAY_H
#define FR_RELAY_H

#include "counters.h"
#include "flow/sibling.h"
#include "flow/table.h"
#include "io/batch.h"
#include "io/local.h"
#include "limits.h"
#include "route/token.h"
#include "trunk/end.h"
#include "wire/demux.h"

/* A verdict of a forwarded client datagram is its class: the loop never translates one into the other. */
_Static_assert(FR_CLASS_STUN == (int)FR_UP_STUN && FR_CLASS_DTLS == (int)FR_UP_DTLS
                   && FR_CLASS_SRTP == (int)FR_UP_SRTP && FR_CLASS_SRTCP == (int)FR_UP_SRTCP,
               "classes and the first verdicts agree");

/* One receive batch of client datagrams, column by column. */
struct fr_up_batch {
    unsigned count;
    const uint8_t *payload[FR_BATCH]; /* borrowed until the batch has been sent */
    uint32_t length[FR_BATCH];
    uint8_t via[FR_BATCH];
    uint8_t verdict[FR_BATCH];
    struct fr_address client[FR_BATCH];
    uint64_t hash[FR_BATCH];
    struct fr_flow *flow[FR_BATCH];
    uint16_t strangers[FR_BATCH];     /* no flow, or a check with a token the flow does not know */
    unsigned stranger_count;
};

/* Frames that wait for their look-up, over several trunk datagrams so that prefetching has something to run ahead of. */
#define FR_DOWN_FRAMES (FR_SEND_BATCH + FR_BUNDLE_FRAMES)

struct fr_down_batch {
    unsigned count;
    unsigned taken; /* frames, in this turn */
    struct fr_frame frames[FR_DOWN_FRAMES]; /* payloads borrowed until the batch has been sent */
    uint16_t peer[FR_DOWN_FRAMES];
    uint16_t via[FR_DOWN_FRAMES];
    uint8_t verdict[FR_DOWN_FRAMES];
    uint64_t hash[FR_DOWN_FRAMES];
    struct fr_flow *flow[FR_DOWN_FRAMES];
};

struct fr_relay {
    /* set at start and at reload */
    struct fr_limits limits;
    struct fr_keyring keyring;
    struct fr_allowed allowed;
    uint16_t cluster;
    bool is_spinning; /* never sleep between turns */
    bool is_draining; /* new sessions are refused */
    struct fr_listener listeners[FR_LISTENERS];
    unsigned listener_count;

    /* shared memory */
    struct fr_table table;
    struct fr_counters *counters;
    struct fr_siblings siblings; /* read only */

    /* libcrypto's contexts */
    struct fr_token_codec codec;
    struct fr_hmac sha1;

    /* the worker's own state */
    struct fr_now now;
    struct fr_trunk_end trunk;
    struct fr_locals locals;
    struct fr_bucket admissions;
    struct fr_bucket recreations;
    struct fr_bucket sibling_lookups;
    uint64_t hello_check_ms;
    uint64_t swept_ms;
    uint64_t sweep_debt; /* slot-milliseconds not yet swept */
    uint32_t sample_draw; /* where in large batches the samples lie */

    /* scratch of one turn */
    struct fr_up_batch up;
    struct fr_grouping grouping;
    struct fr_down_batch down;
    struct fr_up_ring up_ring;
    struct fr_client_queue client_queues[FR_LISTENERS];
    /* Tests run without sockets: when set, it takes what is queued for the clients of one listener. */
    void (*client_sink)(void *sink_state, struct fr_relay *relay, unsigned listener);
};

/* Whether a datagram can be sent to this address at all: not unspecified, multicast, broadcast or port 0. */
static inline bool fr_address_is_sendable(const struct fr_address *address)
{
    if (!address->port_be)
        return false;
    if (fr_address_is_v4(address)) {
        uint32_t host = ntohl(fr_address_v4_be(address));
        return host != 0 && host < 0xe0000000u; /* 224.0.0.0/4 and up: multicast, reserved, broadcast */
    }
    const uint8_t *first = (const uint8_t *)&address->high;
    return (address->high | address->low) != 0 && first[0] != 0xff;
}

#endif
