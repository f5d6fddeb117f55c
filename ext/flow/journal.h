/* The journal: what befell the last flows of a worker, in its counter page.
 *
 * Lives here: the ring's layout and writing an entry. The worker is the only writer, on slow paths alone. A reader copies
 * the ring between two readings of `next` and keeps the entries that the second cannot have begun to overwrite.
 * Must not live here: which events are written (table, relay_up, relay_down), showing them.
 */
#ifndef FR_FLOW_JOURNAL_H
#define FR_FLOW_JOURNAL_H

#include <stdint.h>

#include "wire/address.h"

/* name, text shown to operators; the order is part of the page's layout */
#define FR_JOURNAL_KINDS(K) \
    K(created, "made by a first check") \
    K(confirmed, "confirmed by a first frame back") \
    K(repointed, "moved by a check with another valid token") \
    K(recreated, "made again from the trunk") \
    K(adopted, "taken over from a sibling's table") \
    K(closed, "ended by CLOSE") \
    K(expired_unconfirmed, "no transceiver answered in time") \
    K(expired_idle, "the client fell silent") \
    K(evicted, "gave way, unconfirmed, at capacity")

enum fr_journal_kind {
#define FR_JOURNAL_ENUM(name, text) FR_JOURNAL_##name,
    FR_JOURNAL_KINDS(FR_JOURNAL_ENUM)
#undef FR_JOURNAL_ENUM
    FR_JOURNAL_KIND_COUNT
};

#define FR_JOURNAL_ENTRIES 2048 /* a power of two: half a minute of a busy worker's comings and goings, in 144 KiB */

struct fr_journal_entry {
    uint64_t unix_ms;
    uint64_t session_id;         /* the token's eight bytes as they stand; 0 when made again from the trunk */
    struct fr_address client;
    struct fr_address transceiver;
    uint32_t kind;
    uint32_t reserved;
};

_Static_assert(sizeof(struct fr_journal_entry) == 72, "as readers of the page have it");

struct fr_journal {
    uint64_t next; /* entries ever written; the next one goes to this, modulo the ring */
    uint64_t reserved;
    struct fr_journal_entry entries[FR_JOURNAL_ENTRIES];
};

void fr_journal_write(struct fr_journal *journal, enum fr_journal_kind kind, uint64_t session_id,
                      const struct fr_address *client, const struct fr_address *transceiver);

#endif
