/* The flow table beside a naive model: millions of random operations, eviction order, the probe limit, the page's size. */
#include "flow/table.h"

#include <errno.h>

#include "check.h"
#include "table_model.h"

/* --- one operation on both ------------------------------------------------- */

static void change(struct model *model, uint32_t number, struct fr_flow *flow)
{
    struct model_flow *expected = &model->clients[number];
    switch (random_below(8)) {
    case 0:
        fr_table_remove(&model->table, flow, FR_JOURNAL_closed);
        expected->is_there = false;
        model->flows--;
        break;
    case 1: case 2:
        expected->peer = (uint16_t)random_below(MODEL_PEERS);
        expected->session_id = random_below(MODEL_SESSIONS);
        expected->token_tag = random_below(1000);
        fr_table_repoint(&model->table, flow, expected->peer, expected->session_id, expected->token_tag);
        break;
    case 3:
        if (flow->state == FR_FLOW_UNCONFIRMED)
            fr_table_confirm(&model->table, flow);
        expected->state = FR_FLOW_CONFIRMED;
        break;
    default:
        flow->last_seen_ms = expected->last_seen_ms = model->now_ms;
    }
}

static bool is_old(const struct model *model, const struct model_flow *flow)
{
    uint32_t silent_ms = model->now_ms - flow->last_seen_ms;
    return flow->is_there && silent_ms > (flow->state == FR_FLOW_UNCONFIRMED ? UNCONFIRMED_MS : IDLE_MS);
}

/* A whole round must remove all that is old; a part of one, only what is old. */
static void sweep(struct model *model, bool is_whole)
{
    struct fr_swept swept = {0};
    uint32_t unconfirmed = 0, idle = 0;
    uint32_t count = is_whole ? model->table.page->used : random_below(model->capacity + 1);
    fr_table_sweep(&model->table, count, model->now_ms, UNCONFIRMED_MS, IDLE_MS, &swept);
    for (uint32_t number = 0; number < model->client_count; number++) {
        struct model_flow *expected = &model->clients[number];
        if (!is_old(model, expected) || find_client(&model->table, number))
            continue;
        unconfirmed += expected->state == FR_FLOW_UNCONFIRMED;
        idle += expected->state == FR_FLOW_CONFIRMED;
        expected->is_there = false;
        model->flows--;
    }
    CHECK(swept.unconfirmed == unconfirmed && swept.idle == idle);
    for (uint32_t number = 0; is_whole && number < model->client_count; number++)
        CHECK(!is_old(model, &model->clients[number]));
}

static void operate(struct model *model, uint32_t sweep_one_in)
{
    uint32_t number = random_below(model->client_count);
    struct fr_flow *flow = find_client(&model->table, number);
    check_flow(flow, &model->clients[number]);
    if (flow)
        change(model, number, flow);
    else
        model_insert(model, number);
    if (!random_below(64))
        model->now_ms += random_below(3000);
    if (!random_below(sweep_one_in))
        sweep(model, random_below(2));
}

static void any_operations_agree_with_a_naive_model(void)
{
    const struct { uint32_t capacity, clients, operations, compare_every; } rows[] = {
        {1, 3, 100000, 101},    {2, 5, 200000, 211},    {3, 9, 200000, 211},      {7, 20, 400000, 1009},
        {64, 100, 600000, 4999}, {64, 60, 300000, 4999}, {100, 300, 600000, 4999}, {4096, 5000, 400000, 100003},
    };
    for (unsigned row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct model model;
        model_open(&model, rows[row].capacity, rows[row].clients);
        for (uint32_t operation = 1; operation <= rows[row].operations; operation++) {
            operate(&model, rows[row].clients * 4);
            if (operation % rows[row].compare_every == 0)
                model_compare(&model, &model.table);
        }
        model_compare(&model, &model.table);
        model_close(&model);
    }
}

static void a_large_table_fills_and_empties(void)
{
    enum { CAPACITY = 100000 };
    struct model model;
    model_open(&model, CAPACITY, CAPACITY);
    for (uint32_t number = 0; number < CAPACITY; number++)
        model_insert(&model, number);
    CHECK(model.table.page->flows == CAPACITY);
    model_compare(&model, &model.table);
    for (uint32_t number = 0; number < CAPACITY; number++) {
        uint32_t scattered = (uint32_t)((uint64_t)number * 77777 % CAPACITY); /* 77,777 shares no factor with it */
        fr_table_remove(&model.table, find_client(&model.table, scattered), FR_JOURNAL_closed);
        model.clients[scattered].is_there = false;
        model.flows--;
    }
    model_compare(&model, &model.table);
    model_close(&model);
}

/* --- eviction -------------------------------------------------------------- */

static struct fr_flow *insert_as(struct model *model, uint32_t number, uint8_t state, uint64_t *evictions)
{
    struct fr_flow_seed seed = {.client = client_address(number), .session_id = 7, .token_tag = 1, .state = state};
    return fr_table_insert(&model->table, fr_hash_address(&model_key, &seed.client), &seed, evictions);
}

static void the_oldest_unconfirmed_gives_way_and_a_confirmed_never(void)
{
    enum { CAPACITY = 8 };
    struct model model;
    uint64_t evictions = 0;
    model_open(&model, CAPACITY, 1);
    for (uint32_t number = 0; number < CAPACITY; number++)
        CHECK(insert_as(&model, number, FR_FLOW_UNCONFIRMED, &evictions));
    fr_table_confirm(&model.table, find_client(&model.table, 0));
    fr_table_confirm(&model.table, find_client(&model.table, 3));
    fr_table_remove(&model.table, find_client(&model.table, 2), FR_JOURNAL_closed);
    CHECK(insert_as(&model, 20, FR_FLOW_CONFIRMED, &evictions) && evictions == 0);
    const uint32_t order[] = {1, 4, 5, 6, 7};
    for (uint32_t at = 0; at < 5; at++) {
        CHECK(find_client(&model.table, order[at]));
        CHECK(insert_as(&model, 30 + at, FR_FLOW_CONFIRMED, &evictions) && evictions == at + 1);
        CHECK(!find_client(&model.table, order[at]));
    }
    CHECK(!insert_as(&model, 40, FR_FLOW_CONFIRMED, &evictions) && evictions == 5);
    CHECK(find_client(&model.table, 0) && find_client(&model.table, 3) && model.table.page->flows == CAPACITY);
    model_close(&model);
}

/* --- the probe limit ------------------------------------------------------- */

/* Clients that all live at one place of the index, as an attacker with the key could choose them. */
static uint32_t next_of_one_home(const struct model *model, uint32_t number)
{
    for (;; number++) {
        struct fr_address client = client_address(number);
        if (((uint32_t)fr_hash_address(&model_key, &client) & model->table.index_mask) == 5)
            return number;
    }
}

static void a_run_that_is_too_long_is_refused_and_leaves_no_trace(void)
{
    struct model model;
    uint32_t numbers[FR_PROBES + 1], number = 0;
    uint64_t evictions = 0;
    model_open(&model, 1024, 1);
    for (unsigned at = 0; at <= FR_PROBES; at++, number++)
        numbers[at] = number = next_of_one_home(&model, number);
    for (unsigned at = 0; at < FR_PROBES; at++)
        CHECK(insert_as(&model, numbers[at], FR_FLOW_UNCONFIRMED, &evictions));
    CHECK(!insert_as(&model, numbers[FR_PROBES], FR_FLOW_UNCONFIRMED, &evictions));
    CHECK(evictions == 0 && model.table.page->flows == FR_PROBES);
    CHECK(fr_table_session_flows(&model.table, 7) == FR_PROBES && model.table.peers->peers[0].flows == FR_PROBES);
    check_free_list(&model.table);
    check_index(&model.table);
    for (unsigned at = 0; at < FR_PROBES; at++)
        CHECK(find_client(&model.table, numbers[at]));
    CHECK(!find_client(&model.table, numbers[FR_PROBES]));
    fr_table_remove(&model.table, find_client(&model.table, numbers[40]), FR_JOURNAL_closed);
    CHECK(insert_as(&model, numbers[FR_PROBES], FR_FLOW_UNCONFIRMED, &evictions));
    for (unsigned at = 0; at <= FR_PROBES; at++)
        CHECK((find_client(&model.table, numbers[at]) != NULL) == (at != 40));
    model_close(&model);
}

/* --- what is beside the flows ---------------------------------------------- */

/* A guess may be wrong, but it must be memory of the table, and right often enough to be worth its prefetch. */
static void a_guess_is_mostly_right_and_always_in_the_table(void)
{
    struct model model;
    uint64_t evictions = 0;
    unsigned right = 0;
    model_open(&model, 256, 1);
    for (uint32_t number = 0; number < 256; number++)
        CHECK(insert_as(&model, number, FR_FLOW_CONFIRMED, &evictions));
    for (uint32_t number = 0; number < 512; number++) {
        struct fr_address client = client_address(number);
        uint64_t hash = fr_hash_address(&model_key, &client);
        fr_table_prefetch(&model.table, hash);
        const struct fr_flow *guess = fr_table_guess(&model.table, hash), *flow = find_client(&model.table, number);
        const uint8_t *at = (const uint8_t *)guess, *page = model.memory;
        CHECK(!flow || guess);
        CHECK(!guess || (at >= page && at + sizeof *guess <= page + model.bytes));
        right += flow && guess == flow;
    }
    CHECK(right >= 256 / 2);
    model_close(&model);
}

static void a_source_is_an_ipv4_address_or_an_ipv6_network(void)
{
    struct model model;
    model_open(&model, 1, 1);
    struct fr_address v4 = fr_address_v4(htonl(0x0a000001), htons(1)), other_port = v4, other_v4 = v4;
    other_port.port_be = htons(2);
    other_v4 = fr_address_v4(htonl(0x0a000002), htons(1));
    CHECK(fr_table_source_hash(&model.table, &v4) == fr_table_source_hash(&model.table, &other_port));
    CHECK(fr_table_source_hash(&model.table, &v4) != fr_table_source_hash(&model.table, &other_v4));
    struct fr_address v6 = {.high = 77, .low = 1, .port_be = htons(1)}, same_network = v6, other_network = v6;
    same_network.low = 2;
    same_network.port_be = htons(9);
    other_network.high = 78;
    CHECK(fr_table_source_hash(&model.table, &v6) == fr_table_source_hash(&model.table, &same_network));
    CHECK(fr_table_source_hash(&model.table, &v6) != fr_table_source_hash(&model.table, &other_network));
    model_close(&model);
}

/* The index doubles at each power of two, so a page is dearest just above one. */
static void a_page_takes_96_bytes_a_flow_and_16_more_at_the_worst(void)
{
    const struct { uint32_t capacity, bytes; } rows[] = {
        {100000, 112}, {131072, 112}, {131073, 112}, {524288, 96}, {524289, 112}, {1000000, 96},
        {1048576, 96}, {1048577, 112}, {4194304, 96}, {4194305, 112}, {FR_FLOWS_MAX, 96},
    };
    for (unsigned row = 0; row < sizeof rows / sizeof *rows; row++) {
        size_t bytes = fr_table_page_bytes(rows[row].capacity);
        CHECK(bytes <= (size_t)rows[row].capacity * rows[row].bytes);
        CHECK(bytes >= (size_t)rows[row].capacity * 84 && bytes % 64 == 0);
    }
}

static void a_page_of_the_wrong_size_or_place_is_refused(void)
{
    struct fr_table table;
    size_t bytes = fr_table_page_bytes(100);
    uint8_t *memory = page_memory(bytes + 64);
    CHECK(fr_table_page_bytes(0) == 0 && fr_table_page_bytes(FR_FLOWS_MAX + 1) == 0);
    CHECK(fr_table_page_bytes(FR_FLOWS_MIN) != 0 && fr_table_page_bytes(FR_FLOWS_MAX) != 0);
    CHECK(fr_table_page_bytes(UINT32_MAX) == 0);
    CHECK(fr_table_attach(&table, memory, bytes, 0, &model_key, 1) == -EINVAL);
    CHECK(fr_table_attach(&table, memory, SIZE_MAX, FR_FLOWS_MAX + 1, &model_key, 1) == -EINVAL);
    CHECK(fr_table_attach(&table, memory, bytes - 1, 100, &model_key, 1) == -EINVAL);
    CHECK(fr_table_attach(&table, memory + 8, bytes, 100, &model_key, 1) == -EINVAL);
    free(memory);
}

int main(void)
{
    any_operations_agree_with_a_naive_model();
    a_large_table_fills_and_empties();
    the_oldest_unconfirmed_gives_way_and_a_confirmed_never();
    a_run_that_is_too_long_is_refused_and_leaves_no_trace();
    a_guess_is_mostly_right_and_always_in_the_table();
    a_source_is_an_ipv4_address_or_an_ipv6_network();
    a_page_takes_96_bytes_a_flow_and_16_more_at_the_worst();
    a_page_of_the_wrong_size_or_place_is_refused();
    return check_result();
}
