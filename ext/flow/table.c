/* The flow table: client address to transceiver, in a page that outlives the worker. See table.h. */
#include "flow/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "counters.h"
#include "io/local.h"

/* --- the page -------------------------------------------------------------- */

static size_t aligned(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

static uint32_t power_of_two_from(uint32_t least)
{
    uint32_t power = 1;

    while (power < least)
        power <<= 1;
    return power;
}

/* Load of the index is between a quarter and a half; a session row has a cell per flow, and never so few that two
 * of a small table's sessions share one. */
struct fr_table_layout fr_table_layout_of(uint32_t capacity)
{
    struct fr_table_layout layout = {
        .index_words = power_of_two_from(2 * capacity),
        .session_cells = power_of_two_from(capacity < 4096 ? 4096 : capacity),
    };
    layout.peers = aligned(sizeof(struct fr_flow_page));
    layout.locals = layout.peers + aligned(sizeof(struct fr_peer_page));
    layout.sources = layout.locals + aligned(sizeof(struct fr_local_page));
    layout.sessions = layout.sources + aligned(sizeof(struct fr_source_budget));
    layout.index = layout.sessions + 2 * (size_t)layout.session_cells;
    layout.nobody = layout.index + aligned(4 * (size_t)layout.index_words);
    layout.flows = layout.nobody + sizeof(struct fr_flow);
    layout.qualities = layout.flows + (size_t)capacity * sizeof(struct fr_flow);
    layout.end = layout.qualities + aligned((size_t)capacity * sizeof(struct fr_quality));
    return layout;
}

size_t fr_table_page_bytes(uint32_t capacity)
{
    return capacity < FR_FLOWS_MIN || capacity > FR_FLOWS_MAX ? 0 : fr_table_layout_of(capacity).end;
}

static void count_session(struct fr_table *table, uint64_t session_id, int by)
{
    if (session_id)
        fr_session_add(&table->sessions, fr_session_hash(&table->hash_key, session_id), by);
}

uint32_t fr_table_session_flows(const struct fr_table *table, uint64_t session_id)
{
    return fr_session_count(&table->sessions, fr_session_hash(&table->hash_key, session_id));
}

uint64_t fr_table_source_hash(const struct fr_table *table, const struct fr_address *client)
{
    bool is_v4 = fr_address_is_v4(client);
    return fr_hash_words(&table->hash_key, is_v4 ? client->low : 0x2f3634u, client->high, 0x736f75726365u);
}

/* --- lists ----------------------------------------------------------------- */

static struct fr_flow *at_link(const struct fr_table *table, uint32_t link)
{
    return &table->flows[link - 1];
}

static void append_unconfirmed(struct fr_table *table, struct fr_flow *flow)
{
    struct fr_flow_page *page = table->page;
    uint32_t link = fr_table_slot(table, flow) + 1;

    flow->next = 0;
    flow->previous = page->newest_unconfirmed;
    if (flow->previous)
        at_link(table, flow->previous)->next = link;
    else
        page->oldest_unconfirmed = link;
    page->newest_unconfirmed = link;
    page->unconfirmed++;
}

static void unlink_unconfirmed(struct fr_table *table, struct fr_flow *flow)
{
    struct fr_flow_page *page = table->page;

    if (flow->previous)
        at_link(table, flow->previous)->next = flow->next;
    else
        page->oldest_unconfirmed = flow->next;
    if (flow->next)
        at_link(table, flow->next)->previous = flow->previous;
    else
        page->newest_unconfirmed = flow->previous;
    flow->next = flow->previous = 0;
    page->unconfirmed--;
}

static void push_free(struct fr_table *table, struct fr_flow *flow)
{
    flow->next = table->page->free_list;
    table->page->free_list = fr_table_slot(table, flow) + 1;
}

/* --- the index ------------------------------------------------------------- */

struct fr_flow *fr_table_find(const struct fr_table *table, uint64_t hash, const struct fr_address *client)
{
    uint32_t tag = fr_index_tag(hash), at = (uint32_t)hash & table->index_mask;

    for (unsigned probe = 0; probe < FR_PROBES; probe++) {
        uint32_t word = table->index[at];
        if (!word)
            return NULL;
        if (((word ^ tag) >> 24) == 0) {
            struct fr_flow *flow = &table->flows[(word & 0xffffff) - 1];
            if (fr_address_equal(&flow->client, client))
                return flow;
        }
        at = (at + 1) & table->index_mask;
    }
    return NULL;
}

static bool index_insert(struct fr_table *table, uint64_t hash, uint32_t slot)
{
    uint32_t at = (uint32_t)hash & table->index_mask;

    for (unsigned probe = 0; probe < FR_PROBES; probe++) {
        if (!table->index[at]) {
            table->index[at] = fr_index_tag(hash) | (slot + 1);
            return true;
        }
        at = (at + 1) & table->index_mask;
    }
    return false;
}

/* Closes the gap at `hole`: whatever follows in the run and may live earlier moves up, so that no tombstones build up. */
static void index_remove(struct fr_table *table, uint32_t hole)
{
    uint32_t mask = table->index_mask, at = hole;

    for (;;) {
        at = (at + 1) & mask;
        uint32_t word = table->index[at];
        if (!word)
            break;
        const struct fr_flow *flow = &table->flows[(word & 0xffffff) - 1];
        uint32_t home = (uint32_t)fr_hash_address(&table->hash_key, &flow->client) & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            table->index[hole] = word;
            hole = at;
        }
    }
    table->index[hole] = 0;
}

static void index_remove_flow(struct fr_table *table, const struct fr_flow *flow)
{
    uint32_t at = (uint32_t)fr_hash_address(&table->hash_key, &flow->client) & table->index_mask;

    for (unsigned probe = 0; probe < FR_PROBES; probe++) {
        if ((table->index[at] & 0xffffff) == fr_table_slot(table, flow) + 1) {
            index_remove(table, at);
            return;
        }
        at = (at + 1) & table->index_mask;
    }
}

/* --- flows ----------------------------------------------------------------- */

void fr_table_note(const struct fr_table *table, const struct fr_flow *flow, enum fr_journal_kind kind)
{
    if (table->counters)
        fr_journal_write(&table->counters->journal, kind, flow->session_id, &flow->client,
                         &table->peers->peers[flow->peer].address);
}

void fr_table_remove(struct fr_table *table, struct fr_flow *flow, enum fr_journal_kind why)
{
    if (table->counters)
        fr_quality_end(fr_table_quality(table, flow), flow->packets_up, table->counters);
    fr_table_note(table, flow, why);
    if (flow->state == FR_FLOW_UNCONFIRMED)
        unlink_unconfirmed(table, flow);
    index_remove_flow(table, flow);
    count_session(table, flow->session_id, -1);
    table->peers->peers[flow->peer].flows--;
    flow->state = FR_FLOW_FREE;
    push_free(table, flow);
    table->page->flows--;
}

static struct fr_flow *take_slot(struct fr_table *table, uint64_t *evictions)
{
    struct fr_flow_page *page = table->page;

    if (!page->free_list && page->used == page->capacity) {
        if (!page->oldest_unconfirmed)
            return NULL;
        fr_table_remove(table, at_link(table, page->oldest_unconfirmed), FR_JOURNAL_evicted);
        ++*evictions;
    }
    if (!page->free_list)
        return &table->flows[page->used++];
    struct fr_flow *flow = at_link(table, page->free_list);
    page->free_list = flow->next;
    return flow;
}

struct fr_flow *fr_table_insert(struct fr_table *table, uint64_t hash, const struct fr_flow_seed *seed,
                                uint64_t *evictions)
{
    struct fr_flow *flow = take_slot(table, evictions);
    if (!flow)
        return NULL;
    memset(flow, 0, sizeof *flow);
    memset(fr_table_quality(table, flow), 0, sizeof(struct fr_quality));
    flow->client = seed->client;
    if (!index_insert(table, hash, fr_table_slot(table, flow))) {
        push_free(table, flow);
        return NULL;
    }
    flow->session_id = seed->session_id;
    flow->token_tag = seed->token_tag;
    flow->last_seen_ms = seed->now_ms;
    flow->peer = seed->peer;
    flow->via = seed->via;
    count_session(table, flow->session_id, 1);
    table->peers->peers[flow->peer].flows++;
    table->page->flows++;
    if (seed->state == FR_FLOW_UNCONFIRMED)
        append_unconfirmed(table, flow);
    /* last: until here a crash leaves a free slot, from here a whole flow */
    __atomic_store_n(&flow->state, seed->state, __ATOMIC_RELEASE);
    return flow;
}

void fr_table_confirm(struct fr_table *table, struct fr_flow *flow)
{
    unlink_unconfirmed(table, flow);
    flow->state = FR_FLOW_CONFIRMED;
}

void fr_table_repoint(struct fr_table *table, struct fr_flow *flow, uint16_t peer, uint64_t session_id,
                      uint32_t token_tag)
{
    count_session(table, flow->session_id, -1);
    count_session(table, session_id, 1);
    table->peers->peers[flow->peer].flows--;
    table->peers->peers[peer].flows++;
    flow->peer = peer;
    flow->session_id = session_id;
    flow->token_tag = token_tag;
}

void fr_table_sweep(struct fr_table *table, uint32_t count, uint32_t now_ms, uint32_t unconfirmed_after_ms,
                    uint32_t idle_after_ms, struct fr_swept *swept)
{
    struct fr_flow_page *page = table->page;

    for (; count && page->used; count--) {
        if (page->sweep_at >= page->used)
            page->sweep_at = 0;
        struct fr_flow *flow = &table->flows[page->sweep_at++];
        uint32_t silent_ms = now_ms - flow->last_seen_ms;
        if (flow->state == FR_FLOW_UNCONFIRMED && silent_ms > unconfirmed_after_ms)
            swept->unconfirmed++;
        else if (flow->state == FR_FLOW_CONFIRMED && silent_ms > idle_after_ms)
            swept->idle++;
        else
            continue;
        fr_table_remove(table, flow, flow->state == FR_FLOW_CONFIRMED ? FR_JOURNAL_expired_idle
                                                                      : FR_JOURNAL_expired_unconfirmed);
    }
}

/* --- attaching ------------------------------------------------------------- */

/* Siblings look flows up here meanwhile, so a word is only touched where it differs, and cleared last: what stays in
 * its place, which is nearly all, is never missing. */
static void publish_index(uint32_t *index, const uint32_t *fresh, uint32_t words)
{
    for (uint32_t at = 0; at < words; at++)
        if (fresh[at] && index[at] != fresh[at])
            __atomic_store_n(&index[at], fresh[at], __ATOMIC_RELEASE);
    for (uint32_t at = 0; at < words; at++)
        if (!fresh[at] && index[at])
            __atomic_store_n(&index[at], 0, __ATOMIC_RELEASE);
}

/* Derives everything but the flows and the peers' own records from them. A flow that cannot be right is given up.
 * `fresh` is an empty index to build the new one in. */
static void recover(struct fr_table *table, const struct fr_table_layout *layout, uint32_t *fresh)
{
    struct fr_flow_page *page = table->page;
    struct fr_peer_page *peers = table->peers;
    uint32_t *index = table->index;

    table->index = fresh;
    memset(table->nobody, 0, sizeof *table->nobody);
    memset(table->sessions.rows[0], 0, 2 * (size_t)layout->session_cells);
    page->free_list = page->oldest_unconfirmed = page->newest_unconfirmed = 0;
    page->flows = page->unconfirmed = 0;
    fr_peer_recover(peers, &table->hash_key);
    for (unsigned slot = 0; slot < peers->used; slot++)
        peers->peers[slot].flows = 0;

    for (uint32_t slot = 0; slot < page->used; slot++) {
        struct fr_flow *flow = &table->flows[slot];
        uint64_t hash = fr_hash_address(&table->hash_key, &flow->client);
        bool is_flow = (flow->state == FR_FLOW_UNCONFIRMED || flow->state == FR_FLOW_CONFIRMED)
                       && flow->peer < peers->used && peers->peers[flow->peer].is_used
                       && !fr_table_find(table, hash, &flow->client);
        if (!is_flow || !index_insert(table, hash, slot)) {
            flow->state = FR_FLOW_FREE;
            push_free(table, flow);
            continue;
        }
        count_session(table, flow->session_id, 1);
        peers->peers[flow->peer].flows++;
        page->flows++;
        if (flow->state == FR_FLOW_UNCONFIRMED)
            append_unconfirmed(table, flow);
    }
    table->index = index;
    publish_index(index, fresh, layout->index_words);
}

int fr_table_attach(struct fr_table *table, void *memory, size_t bytes, uint32_t capacity,
                    const struct fr_hash_key *hash_key, uint64_t epoch_us)
{
    size_t needed = fr_table_page_bytes(capacity);
    struct fr_flow_page *page = memory;

    if (!needed || bytes < needed || (uintptr_t)memory % 64)
        return -EINVAL;
    struct fr_table_layout layout = fr_table_layout_of(capacity);
    uint32_t *fresh = calloc(layout.index_words, sizeof *fresh);
    if (!fresh)
        return -ENOMEM;
    uint8_t *base = memory;
    table->page = page;
    table->peers = (struct fr_peer_page *)(base + layout.peers);
    table->locals = (struct fr_local_page *)(base + layout.locals);
    table->sources = (struct fr_source_budget *)(base + layout.sources);
    table->sessions.rows[0] = base + layout.sessions;
    table->sessions.rows[1] = base + layout.sessions + layout.session_cells;
    table->sessions.mask = layout.session_cells - 1;
    table->index = (uint32_t *)(base + layout.index);
    table->index_mask = layout.index_words - 1;
    table->nobody = (struct fr_flow *)(base + layout.nobody);
    table->flows = table->nobody + 1;
    table->qualities = (struct fr_quality *)(base + layout.qualities);
    table->counters = NULL;

    bool is_ours = page->magic == FR_PAGE_MAGIC && page->layout == FR_PAGE_LAYOUT && page->capacity == capacity
                   && page->bytes == needed && page->used <= capacity && table->peers->used <= FR_PEERS
                   && table->peers->capacity <= FR_PEERS;
    if (!is_ours) {
        /* flows and qualities are not cleared: slots at or above `used` are never read before they are written */
        memset(memory, 0, layout.flows);
        page->layout = FR_PAGE_LAYOUT;
        page->capacity = capacity;
        page->bytes = needed;
        page->epoch_us = epoch_us;
        page->hash_key = *hash_key;
        table->peers->capacity = FR_PEERS;
        __atomic_store_n(&page->magic, FR_PAGE_MAGIC, __ATOMIC_RELEASE);
    }
    table->hash_key = page->hash_key;
    recover(table, &layout, fresh);
    free(fresh);
    return is_ours;
}
