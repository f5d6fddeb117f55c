/* One end of the trunk: a socket, its peers, and who may speak to it. A relay worker has one; so has a transceiver.
 *
 * Lives here: the checks of docs/trunk.md up to an accepted datagram, which are the same on both sides but for
 * the direction. Must not live here: what a frame does to a flow or a session, and the socket calls (trunk_end.pyx).
 */
#ifndef FR_TRUNK_END_H
#define FR_TRUNK_END_H

#include <stdbool.h>
#include <stdint.h>

#include "clock.h"
#include "counters.h"
#include "flow/hash.h"
#include "io/batch.h"
#include "limits.h"
#include "route/keyring.h"
#include "trunk/bundle.h"
#include "trunk/group.h"
#include "trunk/peer.h"
#include "wire/address.h"

struct fr_network {
    uint64_t high, low, high_mask, low_mask; /* of the v4-mapped form, in memory order */
};

/* Where peers may live. */
struct fr_allowed {
    unsigned count;
    struct fr_network networks[FR_ALLOWED];
};

static inline bool fr_allowed_hold(const struct fr_allowed *allowed, const struct fr_address *address)
{
    for (unsigned i = 0; i < allowed->count; i++) {
        const struct fr_network *network = &allowed->networks[i];
        if (((address->high ^ network->high) & network->high_mask) == 0
            && ((address->low ^ network->low) & network->low_mask) == 0)
            return true;
    }
    return false;
}

struct fr_trunk_end {
    int fd;
    int family;
    bool is_relay;      /* sends up and hears down; a transceiver the reverse */
    bool is_offloading; /* UDP_SEGMENT works; once false, false for good */
    uint32_t hello_every_ms;
    uint32_t peer_forget_ms;
    uint32_t hello_flags;  /* what our HELLOs say of us: FR_HELLO_DRAINING or 0 */
    uint32_t kernel_drops; /* last SO_RXQ_OVFL reading */
    int last_peer;         /* the sender of the previous datagram, a guess */
    uint64_t epoch_us;
    struct fr_hash_key hash_key;
    /* borrowed from the owner for as long as the end lives */
    const struct fr_keyring *keyring;
    const struct fr_allowed *allowed;
    const struct fr_now *now;
    struct fr_peer_page *peers;
    struct fr_counters *counters;
    /* Tests run without a socket: when set, it takes what is queued in place of the kernel. */
    void (*sink)(void *sink_state, struct fr_trunk_end *end);
    void *sink_state;
    unsigned judged;       /* datagrams, since the owner last set it to 0 */
    /* scratch of one turn */
    struct fr_writer writer;
    uint16_t burst_peer[FR_BATCH]; /* whom each of the writer's bursts is for */
    struct fr_trunk_queue queue;
    struct fr_down_ring ring;
};

/* Takes one datagram through the checks. FR_TRUNK_BUNDLE: the header is filled, *slot names the sender, and the frames
 * are the caller's to read, which may still refuse it. FR_TRUNK_HELLO: taken in. Else the refusal. */
int fr_trunk_end_judge(struct fr_trunk_end *end, const struct fr_address *source, const uint8_t *datagram,
                       uint32_t length, struct fr_trunk_header *header, int *slot);

/* Packs groups of frames into the writer, which is reset first. Returns how many frames were left out because no key of
 * the ring opens. Payloads are borrowed until the writer's next reset. */
unsigned fr_trunk_end_pack(struct fr_trunk_end *end, const struct fr_grouping *grouping,
                           const struct fr_outgoing *outgoing);

/* The head of what is sent to this peer; false when no key of the ring opens, and then nothing may be sent. */
bool fr_trunk_end_head(struct fr_trunk_end *end, unsigned slot, enum fr_trunk_kind kind, uint16_t via,
                       struct fr_burst_head *head);

#endif
