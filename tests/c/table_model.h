/* A flow table beside a naive one: the same operations on both, then everything compared.
 *
 * Lives here: the model (an array searched from end to end) and the comparison. The clients are numbered.
 */
#ifndef FR_TEST_TABLE_MODEL_H
#define FR_TEST_TABLE_MODEL_H

#include <arpa/inet.h>

#include "check.h"
#include "flow/table.h"

enum { MODEL_PEERS = 5, MODEL_SESSIONS = 40, UNCONFIRMED_MS = 5000, IDLE_MS = 60000 };

struct model_flow {
    bool is_there;
    uint8_t state;
    uint16_t peer;
    uint32_t token_tag;
    uint32_t last_seen_ms;
    uint64_t session_id;
    uint64_t order; /* of insertion */
};

struct model {
    struct fr_table table;
    void *memory;
    size_t bytes;
    uint32_t capacity;
    uint32_t client_count;
    uint32_t flows;
    uint32_t now_ms;
    uint64_t inserted;
    struct model_flow *clients;
};

static const struct fr_hash_key model_key = {{0x9e3779b97f4a7c15u, 0xbf58476d1ce4e5b9u, 0x94d049bb133111ebu, 0x1234567}};
static uint64_t random_state = 88172645463325252u;

static inline uint32_t random_below(uint32_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 20) % limit);
}

/* Every third client is IPv6; neighbours differ in the port alone. */
static inline struct fr_address client_address(uint32_t number)
{
    uint8_t bytes[16] = {0x20, 0x01, 0x0d, 0xb8, [5] = (uint8_t)(number >> 16), [15] = (uint8_t)(number >> 8)};
    struct fr_address address = fr_address_v4(htonl(0x0b000000u + number / 4), htons((uint16_t)(1024 + number % 4)));
    if (number % 3 == 0) {
        memcpy(&address.high, bytes, 8);
        memcpy(&address.low, bytes + 8, 8);
        address.port_be = htons((uint16_t)(1024 + number % 256));
    }
    return address;
}

static inline struct fr_flow *find_client(const struct fr_table *table, uint32_t number)
{
    struct fr_address client = client_address(number);
    return fr_table_find(table, fr_hash_address(&table->hash_key, &client), &client);
}

static inline void *page_memory(size_t bytes)
{
    void *memory = aligned_alloc(64, bytes);
    if (!memory)
        exit(2);
    return memory;
}

static inline void model_open(struct model *model, uint32_t capacity, uint32_t client_count)
{
    memset(model, 0, sizeof *model);
    model->capacity = capacity;
    model->client_count = client_count;
    model->now_ms = UINT32_MAX - 30000; /* the clock's low bits wrap within the test */
    model->bytes = fr_table_page_bytes(capacity);
    model->memory = page_memory(model->bytes);
    model->clients = calloc(client_count, sizeof *model->clients);
    if (!model->clients)
        exit(2);
    memset(model->memory, 0xa5, model->bytes);
    CHECK(fr_table_attach(&model->table, model->memory, model->bytes, capacity, &model_key, 42) == 0);
    for (uint32_t number = 0; number < MODEL_PEERS; number++) {
        struct fr_address peer = fr_address_v4(htonl(0x0a000001u + number), htons(4000));
        CHECK(fr_peer_insert(model->table.peers, &model_key, &peer, 1, 1) == (int)number);
    }
}

static inline void model_close(struct model *model)
{
    free(model->memory);
    free(model->clients);
}

static inline uint32_t oldest_unconfirmed(const struct model *model)
{
    uint32_t oldest = UINT32_MAX;
    for (uint32_t number = 0; number < model->client_count; number++) {
        const struct model_flow *flow = &model->clients[number];
        if (flow->is_there && flow->state == FR_FLOW_UNCONFIRMED
            && (oldest == UINT32_MAX || flow->order < model->clients[oldest].order))
            oldest = number;
    }
    return oldest;
}

/* Inserts into both; the table must do what the model says, eviction included. */
static inline void model_insert(struct model *model, uint32_t number)
{
    struct fr_flow_seed seed = {
        .client = client_address(number),
        .session_id = random_below(MODEL_SESSIONS), /* 0 is none */
        .token_tag = 1 + random_below(1000),
        .now_ms = model->now_ms,
        .peer = (uint16_t)random_below(MODEL_PEERS),
        .via = (uint8_t)random_below(FR_LOCALS),
        .state = random_below(3) ? FR_FLOW_UNCONFIRMED : FR_FLOW_CONFIRMED,
    };
    uint64_t evictions = 0;
    uint32_t victim = model->flows == model->capacity ? oldest_unconfirmed(model) : UINT32_MAX;
    bool is_refused = model->flows == model->capacity && victim == UINT32_MAX;
    struct fr_flow *flow
        = fr_table_insert(&model->table, fr_hash_address(&model_key, &seed.client), &seed, &evictions);

    CHECK((flow == NULL) == is_refused);
    CHECK(evictions == (victim != UINT32_MAX));
    if (victim != UINT32_MAX) {
        model->clients[victim].is_there = false;
        model->flows--;
    }
    if (!flow)
        return;
    CHECK(flow->packets_up == 0 && flow->packets_down == 0 && flow->bytes_up == 0 && flow->via == seed.via);
    model->flows++;
    model->clients[number] = (struct model_flow){
        .is_there = true, .state = seed.state, .peer = seed.peer, .token_tag = seed.token_tag,
        .last_seen_ms = seed.now_ms, .session_id = seed.session_id, .order = ++model->inserted,
    };
}

static inline void check_flow(const struct fr_flow *flow, const struct model_flow *expected)
{
    CHECK((flow != NULL) == expected->is_there);
    if (flow && expected->is_there)
        CHECK(flow->state == expected->state && flow->peer == expected->peer && flow->token_tag == expected->token_tag
              && flow->session_id == expected->session_id && flow->last_seen_ms == expected->last_seen_ms);
}

/* Whether the list of unconfirmed flows is whole, and in the order of insertion if that is asked for. */
static inline void check_unconfirmed_list(const struct fr_table *table, uint32_t expected)
{
    uint32_t length = 0, previous = 0;
    for (uint32_t link = table->page->oldest_unconfirmed; link && length <= expected; length++) {
        const struct fr_flow *flow = &table->flows[link - 1];
        CHECK(flow->previous == previous && flow->state == FR_FLOW_UNCONFIRMED);
        previous = link;
        link = flow->next;
    }
    CHECK(length == expected && table->page->unconfirmed == expected);
    CHECK(table->page->newest_unconfirmed == previous);
}

static inline void check_free_list(const struct fr_table *table)
{
    uint32_t length = 0, expected = table->page->used - table->page->flows;
    for (uint32_t link = table->page->free_list; link && length <= expected; link = table->flows[link - 1].next) {
        CHECK(table->flows[link - 1].state == FR_FLOW_FREE);
        length++;
    }
    CHECK(length == expected);
}

static inline void check_index(const struct fr_table *table)
{
    uint32_t words = 0;
    for (uint32_t at = 0; at <= table->index_mask; at++)
        words += table->index[at] != 0;
    CHECK(words == table->page->flows);
}

/* Everything the page derives from its flows, against the model. */
static inline void model_compare(const struct model *model, const struct fr_table *table)
{
    uint32_t unconfirmed = 0, of_peer[MODEL_PEERS] = {0}, of_session[MODEL_SESSIONS] = {0};
    for (uint32_t number = 0; number < model->client_count; number++) {
        const struct model_flow *expected = &model->clients[number];
        check_flow(find_client(table, number), expected);
        if (expected->is_there) {
            unconfirmed += expected->state == FR_FLOW_UNCONFIRMED;
            of_peer[expected->peer]++;
            of_session[expected->session_id]++;
        }
    }
    CHECK(table->page->flows == model->flows && table->page->used <= model->capacity);
    for (uint32_t peer = 0; peer < MODEL_PEERS; peer++)
        CHECK(table->peers->peers[peer].flows == of_peer[peer]);
    for (uint32_t session = 1; session < MODEL_SESSIONS; session++) {
        uint32_t counted = fr_table_session_flows(table, session);
        bool has_filled_up = model->capacity / MODEL_SESSIONS >= UINT8_MAX; /* and then a cell stays full */
        CHECK(counted == (has_filled_up ? UINT8_MAX : of_session[session]));
    }
    check_unconfirmed_list(table, unconfirmed);
    check_free_list(table);
    check_index(table);
}

#endif
