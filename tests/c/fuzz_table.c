/* Operations on a small flow table, three bytes each; after every one the page must agree with a plain array.
 *
 * One operation in eight dies and attaches again, with what is derived overwritten by the input's own bytes. */
#include "flow/table.h"

#include <stdlib.h>

#include "io/local.h"

enum { CAPACITY = 6, CLIENTS = 16, PEERS = 3, PAGE_ALIGNMENT = 64 };

static const struct fr_hash_key hash_key = {{0x9e3779b97f4a7c15u, 0xbf58476d1ce4e5b9u, 0x94d049bb133111ebu, 5}};

struct known {
    bool is_there;
    uint8_t state;
    uint16_t peer;
    uint64_t session_id;
    uint32_t last_seen_ms;
};

static struct fr_table table;
static struct known clients[CLIENTS];
static void *memory;
static size_t bytes;
static uint32_t now_ms;

static void must(bool claim)
{
    if (!claim)
        abort();
}

static struct fr_address client_address(unsigned number)
{
    struct fr_address v6 = {.high = 0xb80d0120u, .low = number, .port_be = 1};
    return number % 2 ? v6 : fr_address_v4(0x0100000bu + (number << 24), 1);
}

static struct fr_flow *find(unsigned number)
{
    struct fr_address client = client_address(number);
    return fr_table_find(&table, fr_hash_address(&hash_key, &client), &client);
}

static void start(void)
{
    bytes = fr_table_page_bytes(CAPACITY);
    if (!memory)
        memory = aligned_alloc(PAGE_ALIGNMENT, bytes);
    must(memory != NULL);
    memset(memory, 0, sizeof(struct fr_flow_page));
    memset(clients, 0, sizeof clients);
    now_ms = 0;
    must(fr_table_attach(&table, memory, bytes, CAPACITY, &hash_key, 1) == 0);
    for (unsigned number = 0; number < PEERS; number++) {
        struct fr_address peer = fr_address_v4(0x0100000au + (number << 24), 4000);
        must(fr_peer_insert(table.peers, &hash_key, &peer, 1, 1) == (int)number);
    }
}

/* --- operations ------------------------------------------------------------ */

static void forget_what_is_gone(unsigned allowed)
{
    for (unsigned number = 0; number < CLIENTS; number++)
        if (clients[number].is_there && !find(number)) {
            clients[number].is_there = false;
            must(allowed-- > 0);
        }
}

static void insert(unsigned number, uint8_t choice)
{
    uint64_t evictions = 0;
    struct fr_flow_seed seed = {
        .client = client_address(number), .session_id = choice % 5, .token_tag = 1, .now_ms = now_ms,
        .peer = choice % PEERS, .state = choice & 0x80 ? FR_FLOW_CONFIRMED : FR_FLOW_UNCONFIRMED,
    };
    bool is_full = table.page->flows == CAPACITY, may_evict = table.page->unconfirmed;
    struct fr_flow *flow = fr_table_insert(&table, fr_hash_address(&hash_key, &seed.client), &seed, &evictions);
    must((flow != NULL) == (!is_full || may_evict) && evictions == (is_full && may_evict));
    forget_what_is_gone((unsigned)evictions);
    if (flow)
        clients[number] = (struct known){true, seed.state, seed.peer, seed.session_id, now_ms};
}

static void sweep(uint8_t count)
{
    struct fr_swept swept = {0};
    fr_table_sweep(&table, count, now_ms, 50, 600, &swept);
    forget_what_is_gone(swept.unconfirmed + swept.idle);
}

static void die_and_attach(uint8_t filling)
{
    struct fr_flow_page *page = table.page;
    memset(table.index, filling, 4 * ((size_t)table.index_mask + 1));
    memset(table.peers->index, filling, sizeof table.peers->index);
    memset(table.sessions.rows[0], filling, table.sessions.mask + 1);
    memset(table.sessions.rows[1], filling, table.sessions.mask + 1);
    memset(&page->free_list, filling, offsetof(struct fr_flow_page, reserved) - offsetof(struct fr_flow_page, free_list));
    for (uint32_t slot = 0; slot < page->used; slot++) {
        memset(&table.flows[slot].next, filling, 8);
        if (table.flows[slot].state == FR_FLOW_FREE)
            memset(&table.flows[slot], filling, offsetof(struct fr_flow, state));
    }
    must(fr_table_attach(&table, memory, bytes, CAPACITY, &hash_key, 2) == 1 && page->epoch_us == 1);
}

/* The local addresses beside the flows may be in ruins too: what is made of them stays in bounds. */
static void attach_locals(uint8_t filling)
{
    static struct fr_locals locals;
    const struct fr_listener listener = {.family = AF_INET, .is_wildcard = true};
    memset(table.locals, filling, sizeof *table.locals);
    table.locals->count = filling;
    fr_locals_attach(&locals, table.locals, &listener, 1);
    must(locals.count <= FR_LOCALS && table.locals->count == locals.count);
    int via = fr_locals_add(&locals, &listener, 0, &(struct fr_address){.low = 7}, true);
    must(via >= 0 && via < FR_LOCALS && fr_locals_usable(&locals, filling, false) < FR_LOCALS);
}

static void change(unsigned number, struct fr_flow *flow, uint8_t choice)
{
    struct known *known = &clients[number];
    switch (choice % 4) {
    case 0:
        fr_table_remove(&table, flow, FR_JOURNAL_closed);
        known->is_there = false;
        break;
    case 1:
        known->peer = choice / 4 % PEERS;
        known->session_id = choice / 16;
        fr_table_repoint(&table, flow, known->peer, known->session_id, 9);
        break;
    case 2:
        if (flow->state == FR_FLOW_UNCONFIRMED)
            fr_table_confirm(&table, flow);
        known->state = FR_FLOW_CONFIRMED;
        break;
    default:
        flow->last_seen_ms = known->last_seen_ms = now_ms;
    }
}

/* --- what must hold after each --------------------------------------------- */

static void check_lists(void)
{
    uint32_t free_flows = 0, unconfirmed = 0, words = 0, previous = 0;
    for (uint32_t link = table.page->free_list; link; link = table.flows[link - 1].next)
        must(++free_flows <= CAPACITY && table.flows[link - 1].state == FR_FLOW_FREE);
    for (uint32_t link = table.page->oldest_unconfirmed; link; link = table.flows[link - 1].next) {
        must(++unconfirmed <= CAPACITY && table.flows[link - 1].state == FR_FLOW_UNCONFIRMED);
        must(table.flows[link - 1].previous == previous);
        previous = link;
    }
    for (uint32_t at = 0; at <= table.index_mask; at++)
        words += table.index[at] != 0;
    must(table.page->newest_unconfirmed == previous && table.page->unconfirmed == unconfirmed);
    must(table.page->used == free_flows + table.page->flows && words == table.page->flows);
}

static void check_all(void)
{
    uint32_t flows = 0, of_peer[PEERS] = {0}, of_session[16] = {0};
    for (unsigned number = 0; number < CLIENTS; number++) {
        const struct fr_flow *flow = find(number);
        const struct known *known = &clients[number];
        must((flow != NULL) == known->is_there);
        if (!flow)
            continue;
        must(flow->state == known->state && flow->peer == known->peer && flow->session_id == known->session_id);
        flows++;
        of_peer[known->peer]++;
        of_session[known->session_id]++;
    }
    must(table.page->flows == flows);
    for (unsigned peer = 0; peer < PEERS; peer++)
        must(table.peers->peers[peer].flows == of_peer[peer]);
    for (unsigned session = 1; session < 16; session++)
        must(fr_table_session_flows(&table, session) >= of_session[session]);
    check_lists();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    start();
    for (size_t at = 0; at + 3 <= size && at < 600; at += 3) {
        unsigned number = data[at] % CLIENTS;
        struct fr_flow *flow = find(number);
        now_ms += data[at + 1];
        switch (data[at] >> 5) {
        case 0:
            die_and_attach(data[at + 2]);
            attach_locals(data[at + 2]);
            break;
        case 1:
            sweep(data[at + 2]);
            break;
        default:
            if (flow)
                change(number, flow, data[at + 2]);
            else
                insert(number, data[at + 2]);
        }
        check_all();
    }
    return 0;
}
