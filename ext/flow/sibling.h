/* The flow tables of a relay's other workers, read only: where a client's flow is when its packets have moved here.
 *
 * Lives here: which pages may be read, and finding a client in them. Their workers write them meanwhile, so nothing read
 * is believed: every index is bounded, no list is followed, a flow is copied and then looked at again, and where the
 * parts lie is computed from the page's capacity, copied once, and held against the page's length.
 * Must not live here: what a flow found is good for (relay_up, relay_down), the own table.
 *
 * What holds when several workers have a client's flow, because it has moved (and perhaps back): the worker that the
 * client's packets reach uses its own copy, if it has one, without asking. Of the others' the one its client was heard on
 * last is taken, and none on which it has been silent for FR_SIBLING_FRESH_MS: that client went elsewhere, or has hung up
 * there. A copy left behind is not told what became of the flow. It ends by silence, since only the client's own packets
 * keep it; until then it may send up to the transceiver the client had, or let that one's frames down to it, and the
 * client's next check brings the token that points it right, as after every repoint.
 */
#ifndef FR_FLOW_SIBLING_H
#define FR_FLOW_SIBLING_H

#include "flow/table.h"

/* One page. Borrowed for as long as it is mapped. */
struct fr_sibling {
    const uint8_t *memory;
    size_t bytes;
};

struct fr_siblings {
    unsigned count;
    struct fr_sibling entries[FR_SIBLINGS];
};

/* What is known of a client elsewhere. */
struct fr_sibling_flow {
    struct fr_address peer;
    uint64_t session_id;
    uint32_t token_tag; /* comparable with the own ones; 0 when made again from the trunk, or under another hash key */
    uint32_t last_seen_ms;
    uint8_t state;
};

/* Adds a page at the end. 0, also for one that is still empty or of another release: it is looked at again whenever a
 * client is searched. -EINVAL: not ours, too short or misaligned. -ENOSPC: there are FR_SIBLINGS already. */
int fr_siblings_add(struct fr_siblings *siblings, const void *memory, size_t bytes);

/* The client's flow that was heard on last, confirmed or vouched for by its transceiver; false when nobody has one.
 * `own_key` is the hash key of the asking worker's table. */
bool fr_siblings_find(const struct fr_siblings *siblings, const struct fr_hash_key *own_key, const struct fr_address *client,
                      uint32_t now_ms, struct fr_sibling_flow *found);

/* Whether one of them has flows of this session: by their sketches, so it may say so wrongly, but never wrongly deny it. */
bool fr_siblings_have_session(const struct fr_siblings *siblings, uint64_t session_id);

#endif
