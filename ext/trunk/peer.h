/* The other ends of the trunk: sequence numbers, replay windows, HELLO, silence.
 *
 * Lives here: a bounded table of peers in caller-owned memory. A peer's index is stable for as
 * long as it has flows, so flows and frames name a peer by it.
 * Must not live here: datagram layout (bundle.h), flows, sockets.
 */
#ifndef FR_TRUNK_PEER_H
#define FR_TRUNK_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "flow/hash.h"
#include "limits.h"
#include "trunk/bundle.h"
#include "wire/address.h"

#define FR_PEER_INDEX (2 * FR_PEERS) /* a power of two, at most half full */

struct fr_peer {
    struct fr_address address;
    uint64_t epoch_us;      /* of the peer's sending; 0 before its first datagram */
    uint64_t highest;       /* sequence number */
    uint64_t received;      /* datagrams accepted in this epoch */
    uint64_t first;         /* sequence number accepted first in this epoch: what came before was not ours to hear */
    uint64_t sequence_sent; /* our own last number towards it */
    uint64_t heard_ms;      /* last accepted datagram; 0 = never */
    uint64_t used_ms;       /* last time it was heard or a flow was pointed at it */
    uint64_t hello_sent_at_us;  /* `sent at` of its last HELLO */
    uint64_t hello_heard_us;    /* when that arrived, our clock */
    uint64_t hello_due_ms;
    uint32_t rtt_us;
    uint32_t hello_flags;
    uint32_t flows;
    uint32_t unreachable; /* ICMP errors the kernel reported for it */
    uint64_t is_used;
    uint64_t window[FR_REPLAY_WINDOW / 64];
};

_Static_assert(sizeof(struct fr_peer) == 256, "part of the page's layout");

/* As RFC 3550 appendix A.3 counts: what should have come since the first, less what came. Late numbers from below the
 * first are accepted too, so there may be more of the latter. */
static inline uint64_t fr_peer_lost(const struct fr_peer *peer)
{
    uint64_t expected = peer->highest ? peer->highest - peer->first + 1 : 0;

    return expected > peer->received ? expected - peer->received : 0;
}

/* In the page. All zero is empty. */
struct fr_peer_page {
    uint32_t capacity; /* at most FR_PEERS */
    uint32_t used;     /* slots below this have been in use */
    uint16_t index[FR_PEER_INDEX]; /* slot + 1, 0 = empty */
    struct fr_peer peers[FR_PEERS];
};

/* The peer of this address, or -ENOENT. */
int fr_peer_find(const struct fr_peer_page *page, const struct fr_hash_key *key, const struct fr_address *address);
/* Finds or makes it. When all slots are taken the longest unused peer without flows gives way, if it has been unused for
 * forget_ms; else -ENOSPC. */
int fr_peer_insert(struct fr_peer_page *page, const struct fr_hash_key *key, const struct fr_address *address,
                   uint64_t now_ms, uint32_t forget_ms);
/* Makes the index anew from the slots: after a crash only they are believed. */
void fr_peer_recover(struct fr_peer_page *page, const struct fr_hash_key *key);
/* Step 7 of the trunk's checks: false = replayed. Moves the window. */
bool fr_peer_accept(struct fr_peer *peer, uint64_t epoch_us, uint64_t sequence, uint64_t now_ms, uint32_t forget_ms);
/* Takes in a HELLO that has passed the checks. */
void fr_peer_heard_hello(struct fr_peer *peer, const struct fr_hello *hello, uint64_t now_us);
/* Writes the HELLO that is due to this peer and returns its length, or 0 when none is due. */
int fr_peer_hello(struct fr_peer *peer, const struct fr_burst_head *head, uint32_t flags, uint64_t now_us,
                  uint32_t every_ms, uint32_t forget_ms, uint8_t datagram[FR_TRUNK_HEADER + FR_HELLO_BODY]);

#endif
