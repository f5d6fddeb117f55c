/* The flow table: client address to transceiver, in a page that outlives the worker.
 *
 * Lives here: the page's layout, and find, insert, evict, remove, sweep and recovery over it.
 * A flow is one cache line; its slot never changes. The index is an open-addressed array of
 * 32-bit words (8 bits of hash, 24 bits of slot), so a look-up touches two lines, both of which
 * a caller can prefetch for a whole batch before it reads any.
 * Must not live here: why a flow may be made or moved (relay_up, relay_down), clocks, allocation.
 *
 * Only the flows themselves are believed after a crash. The index, the lists and the counts are
 * derived from them, and attaching to a page derives them again.
 */
#ifndef FR_FLOW_TABLE_H
#define FR_FLOW_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flow/budget.h"
#include "flow/hash.h"
#include "flow/journal.h"
#include "flow/quality.h"
#include "limits.h"
#include "trunk/peer.h"
#include "wire/address.h"

#define FR_PAGE_MAGIC 0x66726c6179666c77u /* "frlayflw" */
#define FR_PAGE_LAYOUT 4
#define FR_FLOWS_MIN 1u
#define FR_FLOWS_MAX ((1u << 24) - 2) /* 24 bits of an index word, 0 being empty */

enum fr_flow_state { FR_FLOW_FREE, FR_FLOW_UNCONFIRMED, FR_FLOW_CONFIRMED };

struct fr_flow {
    struct fr_address client;
    uint64_t session_id;    /* the token's eight bytes as they stand; 0 when made again from the trunk */
    uint32_t token_tag;     /* keyed hash of the admitting token's text, never 0; 0 when made again from the trunk */
    uint32_t last_seen_ms;  /* last packet from the client, low bits of the monotonic clock */
    uint16_t peer;
    uint8_t via;            /* index of the local address the client reaches, in the page's list */
    uint8_t state;
    uint32_t next;          /* slot + 1: list of free or of unconfirmed flows; 0 ends it */
    uint32_t previous;
    uint32_t packets_up;
    uint32_t packets_down;
    uint32_t bytes_up;      /* wraps, which makes an unconfirmed flow's allowance smaller and never larger */
};

_Static_assert(sizeof(struct fr_flow) == 64, "one cache line");

/* The page starts with this; the parts follow at the offsets of struct fr_table_layout. */
struct fr_flow_page {
    uint64_t magic;
    uint32_t layout;
    uint32_t capacity;
    uint64_t bytes;
    uint64_t epoch_us; /* the relay's trunk epoch: kept, so that peers see one sender across a restart */
    struct fr_hash_key hash_key;
    uint32_t used;             /* slots below this have been in use */
    uint32_t free_list;        /* slot + 1 */
    uint32_t oldest_unconfirmed; /* slot + 1 */
    uint32_t newest_unconfirmed;
    uint32_t flows;
    uint32_t unconfirmed;
    uint32_t sweep_at;         /* slot the sweep looks at next */
    uint32_t reserved;
};

/* Where the parts of a page lie, in bytes from its start: the capacity alone says it. */
struct fr_table_layout {
    size_t peers, locals, sources, sessions, index, nobody, flows, qualities, end;
    uint32_t index_words, session_cells;
};

/* A worker's view of the page: pointers into it. Borrowed for as long as the page is mapped. */
struct fr_table {
    struct fr_flow_page *page;
    struct fr_peer_page *peers;
    struct fr_source_budget *sources;
    struct fr_session_counts sessions;
    uint32_t *index;
    struct fr_flow *nobody; /* all zero, in front of the flows: what index word 0 stands for */
    struct fr_flow *flows;
    uint32_t index_mask;
    struct fr_hash_key hash_key; /* the page's, kept beside the pointers that every look-up reads */
    struct fr_quality *qualities; /* by slot */
    struct fr_counters *counters; /* where calls and flow events are noted; the owner's, NULL for nowhere */
    struct fr_local_page *locals; /* io/local.h; last, so that what every packet reads stands together */
};

/* Of a capacity that is in range. */
struct fr_table_layout fr_table_layout_of(uint32_t capacity);
/* Bytes of a page for `capacity` flows; 0 when the capacity is out of range. */
size_t fr_table_page_bytes(uint32_t capacity);
/* Takes over the page when it is one of ours for this capacity (and returns 1), else builds it anew (0).
 * -EINVAL: capacity out of range, page too small or misaligned. A new page takes hash_key and epoch_us.
 * Nothing is noted until the owner sets `counters`. */
int fr_table_attach(struct fr_table *table, void *memory, size_t bytes, uint32_t capacity,
                    const struct fr_hash_key *hash_key, uint64_t epoch_us);

static inline uint32_t fr_index_tag(uint64_t hash)
{
    return (uint32_t)(hash >> 32) & 0xff000000u;
}

static inline void fr_table_prefetch(const struct fr_table *table, uint64_t hash)
{
    __builtin_prefetch(&table->index[hash & table->index_mask]);
}

/* Asks for a flow that is about to be written to. */
static inline void fr_flow_prefetch(const struct fr_flow *flow)
{
    __builtin_prefetch(flow, 1);
}

/* Where the look-up of this hash will most likely end: a flow to prefetch, to be compared and, where it is not the one,
 * left to fr_table_find. Never NULL: an empty index word leads to `nobody`, which equals no client. */
static inline struct fr_flow *fr_table_guess(const struct fr_table *table, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & table->index_mask, word = table->index[at];

    for (unsigned probe = 1; (word >> 24) != (hash >> 56) && word && probe < FR_PROBES; probe++) {
        at = (at + 1) & table->index_mask;
        word = table->index[at];
    }
    return &table->nobody[word & 0xffffff];
}

struct fr_flow *fr_table_find(const struct fr_table *table, uint64_t hash, const struct fr_address *client);

static inline uint32_t fr_table_slot(const struct fr_table *table, const struct fr_flow *flow)
{
    return (uint32_t)(flow - table->flows);
}

static inline uint64_t fr_session_hash(const struct fr_hash_key *key, uint64_t session_id)
{
    return fr_hash_words(key, session_id, 0x73657373696f6eu, 0);
}

static inline struct fr_quality *fr_table_quality(const struct fr_table *table, const struct fr_flow *flow)
{
    return &table->qualities[fr_table_slot(table, flow)];
}

/* Writes what befell the flow into the journal. */
void fr_table_note(const struct fr_table *table, const struct fr_flow *flow, enum fr_journal_kind kind);

/* How many flows the session has, by the sketch: never too few. */
uint32_t fr_table_session_flows(const struct fr_table *table, uint64_t session_id);
/* The key of a source's budget: an IPv4 address, an IPv6 /64. */
uint64_t fr_table_source_hash(const struct fr_table *table, const struct fr_address *client);

/* What a new flow is. */
struct fr_flow_seed {
    struct fr_address client;
    uint64_t session_id;
    uint32_t token_tag;
    uint32_t now_ms;
    uint16_t peer;
    uint8_t via;
    uint8_t state;
};

/* The client must not be in the table. At capacity the oldest unconfirmed flow gives way, counted in *evictions.
 * NULL: full of confirmed flows, or the run for this hash is too long. */
struct fr_flow *fr_table_insert(struct fr_table *table, uint64_t hash, const struct fr_flow_seed *seed,
                                uint64_t *evictions);
void fr_table_confirm(struct fr_table *table, struct fr_flow *flow);
void fr_table_repoint(struct fr_table *table, struct fr_flow *flow, uint16_t peer, uint64_t session_id,
                      uint32_t token_tag);
/* Ends the flow, and its call with it; why goes into the journal. */
void fr_table_remove(struct fr_table *table, struct fr_flow *flow, enum fr_journal_kind why);

struct fr_swept {
    uint32_t unconfirmed;
    uint32_t idle;
};

/* Looks at the next `count` slots, wrapping, and removes what is too old. */
void fr_table_sweep(struct fr_table *table, uint32_t count, uint32_t now_ms, uint32_t unconfirmed_after_ms,
                    uint32_t idle_after_ms, struct fr_swept *swept);

#endif
