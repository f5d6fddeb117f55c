/* The flow tables of a relay's other workers, read only. See sibling.h. */
#include "flow/sibling.h"

#include <errno.h>
#include <string.h>

/* --- reading what another process writes ------------------------------------ */

/* Word by word, so that the compiler neither reads twice nor assumes that nothing changes. */
static void copy_words(void *to, const void *from, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += sizeof(uint64_t)) {
        uint64_t word = __atomic_load_n((const uint64_t *)((const uint8_t *)from + at), __ATOMIC_RELAXED);
        memcpy((uint8_t *)to + at, &word, sizeof word);
    }
}

/* What was copied before is not read after this. */
static void copied(void)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
}

/* --- pages ------------------------------------------------------------------ */

/* A page as it was at one moment. */
struct view {
    const uint8_t *memory;
    struct fr_flow_page page;
    struct fr_table_layout layout;
};

static bool is_empty(const struct fr_flow_page *page)
{
    static const struct fr_flow_page nothing;

    return memcmp(page, &nothing, sizeof nothing) == 0;
}

/* 1: one of ours, and *view is of it; 0: it may become one; -EINVAL: it is something else. */
static int view_page(const struct fr_sibling *sibling, struct view *view)
{
    struct fr_flow_page *page = &view->page;

    copy_words(page, sibling->memory, sizeof *page);
    /* a page gets its magic last, and what is of another release is made anew by its next worker */
    bool is_being_made = page->magic == 0 && (is_empty(page) || page->layout == FR_PAGE_LAYOUT);
    if (is_being_made || (page->magic == FR_PAGE_MAGIC && page->layout != FR_PAGE_LAYOUT))
        return 0;
    size_t needed = fr_table_page_bytes(page->capacity);
    if (page->magic != FR_PAGE_MAGIC || !needed || page->bytes != needed || needed > sibling->bytes
        || page->used > page->capacity)
        return -EINVAL;
    view->memory = sibling->memory;
    view->layout = fr_table_layout_of(page->capacity);
    return 1;
}

int fr_siblings_add(struct fr_siblings *siblings, const void *memory, size_t bytes)
{
    struct fr_sibling sibling = {.memory = memory, .bytes = bytes};
    struct view view;

    if (siblings->count == FR_SIBLINGS)
        return -ENOSPC;
    if (bytes < sizeof(struct fr_flow_page) || (uintptr_t)memory % 64 || view_page(&sibling, &view) < 0)
        return -EINVAL;
    siblings->entries[siblings->count++] = sibling;
    return 0;
}

/* --- clients ---------------------------------------------------------------- */

static bool copy_peer(const struct view *view, unsigned slot, struct fr_address *address)
{
    const struct fr_peer_page *peers = (const struct fr_peer_page *)(view->memory + view->layout.peers);

    if (slot >= FR_PEERS || !__atomic_load_n(&peers->peers[slot].is_used, __ATOMIC_ACQUIRE))
        return false;
    copy_words(address, &peers->peers[slot].address, sizeof *address);
    return true;
}

static bool is_same(const struct fr_flow *a, const struct fr_flow *b)
{
    return fr_address_equal(&a->client, &b->client) && a->session_id == b->session_id && a->token_tag == b->token_tag
           && a->peer == b->peer && a->state == b->state;
}

/* The flow of a slot and its transceiver's address, if it is this client's and says the same after both were copied: as
 * long as it does, the transceiver's slot is not given to another. A repoint that stands still half way may mix the old
 * flow's token with the new one's transceiver; both were this client's, and its next check puts it right. */
static bool copy_flow(const struct view *view, uint32_t slot, const struct fr_address *client,
                      struct fr_flow *flow, struct fr_address *peer)
{
    const struct fr_flow *theirs = (const struct fr_flow *)(view->memory + view->layout.flows) + slot;
    struct fr_flow again;

    copy_words(flow, theirs, sizeof *flow);
    copied();
    if (!fr_address_equal(&flow->client, client) || flow->state == FR_FLOW_FREE
        || !copy_peer(view, flow->peer, peer))
        return false;
    copied();
    copy_words(&again, theirs, sizeof again);
    return is_same(flow, &again);
}

static bool find_in(const struct view *view, const struct fr_address *client, struct fr_flow *flow,
                    struct fr_address *peer)
{
    uint64_t hash = fr_hash_address(&view->page.hash_key, client);
    const uint32_t *index = (const uint32_t *)(view->memory + view->layout.index);
    uint32_t mask = view->layout.index_words - 1, at = (uint32_t)hash & mask;

    for (unsigned probe = 0; probe < FR_PROBES; probe++, at = (at + 1) & mask) {
        uint32_t word = __atomic_load_n(&index[at], __ATOMIC_ACQUIRE), link = word & 0xffffff;
        if (!word)
            return false;
        if ((word & 0xff000000u) == fr_index_tag(hash) && link && link <= view->page.capacity
            && copy_flow(view, link - 1, client, flow, peer))
            return true;
    }
    return false;
}

/* Heard on lately, and either answered by its transceiver or made at its word. */
static bool is_usable(const struct fr_flow *flow, uint32_t now_ms)
{
    int32_t silent_ms = (int32_t)(now_ms - flow->last_seen_ms); /* below 0: that worker's turn began after ours */
    bool is_vouched = flow->state == FR_FLOW_UNCONFIRMED && flow->token_tag == 0;

    return silent_ms < FR_SIBLING_FRESH_MS && (flow->state == FR_FLOW_CONFIRMED || is_vouched);
}

/* A worker's page is made with the hash key that all workers of its relay share. One that was not has hashed its tokens
 * otherwise: which token the flow was made with is then unknown here, as for one that was made again from the trunk, so
 * it comes as one of those, and its client's next check is authenticated anew. */
static struct fr_sibling_flow told(const struct fr_flow *flow, const struct fr_address *peer, bool is_comparable)
{
    return (struct fr_sibling_flow){
        .peer = *peer,
        .session_id = flow->session_id,
        .token_tag = is_comparable ? flow->token_tag : 0,
        .last_seen_ms = flow->last_seen_ms,
        .state = is_comparable ? flow->state : FR_FLOW_UNCONFIRMED,
    };
}

bool fr_siblings_find(const struct fr_siblings *siblings, const struct fr_hash_key *own_key,
                      const struct fr_address *client, uint32_t now_ms, struct fr_sibling_flow *found)
{
    bool has_found = false;

    for (unsigned i = 0; i < siblings->count; i++) {
        struct view view;
        struct fr_flow flow;
        struct fr_address peer;
        if (view_page(&siblings->entries[i], &view) <= 0 || !find_in(&view, client, &flow, &peer)
            || !is_usable(&flow, now_ms))
            continue;
        if (has_found && (int32_t)(flow.last_seen_ms - found->last_seen_ms) <= 0)
            continue;
        *found = told(&flow, &peer, memcmp(&view.page.hash_key, own_key, sizeof *own_key) == 0);
        has_found = true;
    }
    return has_found;
}

bool fr_siblings_have_session(const struct fr_siblings *siblings, uint64_t session_id)
{
    for (unsigned i = 0; i < siblings->count; i++) {
        struct view view;
        if (view_page(&siblings->entries[i], &view) <= 0)
            continue;
        uint64_t hash = fr_session_hash(&view.page.hash_key, session_id);
        uint32_t mask = view.layout.session_cells - 1;
        const uint8_t *cells = view.memory + view.layout.sessions;
        if (__atomic_load_n(&cells[hash & mask], __ATOMIC_RELAXED)
            && __atomic_load_n(&cells[view.layout.session_cells + ((hash >> 32) & mask)], __ATOMIC_RELAXED))
            return true;
    }
    return false;
}
