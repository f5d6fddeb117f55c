/* Attaching to a page that a worker left behind: at any moment, with anything derived in ruins, half written, or foreign. */
#include "flow/table.h"

#include "check.h"
#include "table_model.h"

/* The page as the successor finds it, in memory of its own. */
static struct fr_table copy_of(const struct model *model, void **memory)
{
    struct fr_table copy = model->table;
    ptrdiff_t moved;
    *memory = page_memory(model->bytes);
    memcpy(*memory, model->memory, model->bytes);
    moved = (uint8_t *)*memory - (uint8_t *)model->memory;
    copy.page = *memory;
    copy.peers = (struct fr_peer_page *)((uint8_t *)model->table.peers + moved);
    copy.index = (uint32_t *)((uint8_t *)model->table.index + moved);
    copy.flows = (struct fr_flow *)((uint8_t *)model->table.flows + moved);
    for (unsigned row = 0; row < 2; row++)
        copy.sessions.rows[row] = model->table.sessions.rows[row] + moved;
    return copy;
}

static void scribble(void *memory, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)memory)[i] = (uint8_t)random_below(256);
}

/* --- what may be in ruins -------------------------------------------------- */

static void leave_alone(struct fr_table *table)
{
    (void)table;
}

static void ruin_index(struct fr_table *table)
{
    scribble(table->index, 4 * ((size_t)table->index_mask + 1));
    scribble(table->peers->index, sizeof table->peers->index);
}

static void ruin_lists(struct fr_table *table)
{
    struct fr_flow_page *page = table->page;
    scribble(&page->free_list, sizeof page->free_list);
    scribble(&page->oldest_unconfirmed, sizeof page->oldest_unconfirmed);
    scribble(&page->newest_unconfirmed, sizeof page->newest_unconfirmed);
    for (uint32_t slot = 0; slot < page->used; slot++) {
        scribble(&table->flows[slot].next, 4);
        scribble(&table->flows[slot].previous, 4);
    }
}

static void ruin_counts(struct fr_table *table)
{
    scribble(&table->page->flows, sizeof table->page->flows);
    scribble(&table->page->unconfirmed, sizeof table->page->unconfirmed);
    scribble(&table->page->sweep_at, sizeof table->page->sweep_at);
    for (unsigned row = 0; row < 2; row++)
        scribble(table->sessions.rows[row], (size_t)table->sessions.mask + 1);
    for (unsigned peer = 0; peer < MODEL_PEERS; peer++)
        scribble(&table->peers->peers[peer].flows, 4);
}

static void ruin_everything_derived(struct fr_table *table)
{
    ruin_index(table);
    ruin_lists(table);
    ruin_counts(table);
}

/* A worker that died within an insertion: the slot is written up to some byte, its state still free. */
static void half_write_a_flow(struct fr_table *table)
{
    for (uint32_t slot = 0; slot < table->page->used; slot++)
        if (table->flows[slot].state == FR_FLOW_FREE)
            scribble(&table->flows[slot], offsetof(struct fr_flow, state));
    if (table->page->used < table->page->capacity)
        memset(&table->flows[table->page->used++], 0, sizeof(struct fr_flow));
}

static void (*const ruins[])(struct fr_table *) = {
    leave_alone, ruin_index, ruin_lists, ruin_counts, ruin_everything_derived, half_write_a_flow,
};

/* --- every committed flow is found again ----------------------------------- */

static void churn(struct model *model, uint32_t operations)
{
    for (uint32_t operation = 0; operation < operations; operation++) {
        uint32_t number = random_below(model->client_count);
        struct fr_flow *flow = find_client(&model->table, number);
        if (!flow) {
            model_insert(model, number);
        } else if (random_below(2)) {
            fr_table_remove(&model->table, flow, FR_JOURNAL_closed);
            model->clients[number].is_there = false;
            model->flows--;
        } else if (flow->state == FR_FLOW_UNCONFIRMED) {
            fr_table_confirm(&model->table, flow);
            model->clients[number].state = FR_FLOW_CONFIRMED;
        }
    }
}

/* The recovered table must also work on: it takes as many flows as there is room for, and not one more. */
static void check_room(const struct model *model, struct fr_table *table)
{
    uint64_t evictions = 0;
    for (uint32_t slot = 0; slot < table->page->used; slot++)
        if (table->flows[slot].state == FR_FLOW_UNCONFIRMED)
            fr_table_confirm(table, &table->flows[slot]);
    for (uint32_t number = model->client_count; table->page->flows < model->capacity; number++) {
        struct fr_flow_seed seed = {.client = client_address(number), .state = FR_FLOW_CONFIRMED};
        CHECK(fr_table_insert(table, fr_hash_address(&model_key, &seed.client), &seed, &evictions));
    }
    struct fr_flow_seed seed = {.client = client_address(UINT16_MAX), .state = FR_FLOW_CONFIRMED};
    CHECK(!fr_table_insert(table, fr_hash_address(&model_key, &seed.client), &seed, &evictions) && evictions == 0);
    check_index(table);
}

static void every_committed_flow_is_found_again(void)
{
    const struct fr_hash_key other_key = {{1, 2, 3, 4}};
    const uint32_t capacities[] = {1, 3, 64, 1000};
    for (unsigned row = 0; row < sizeof capacities / sizeof *capacities; row++) {
        struct model model;
        model_open(&model, capacities[row], capacities[row] * 2);
        for (unsigned moment = 0; moment < 60; moment++) {
            void *memory;
            struct fr_table table;
            churn(&model, random_below(capacities[row] * 3) + 1);
            table = copy_of(&model, &memory);
            ruins[moment % (sizeof ruins / sizeof *ruins)](&table);
            CHECK(fr_table_attach(&table, memory, model.bytes, model.capacity, &other_key, 99) == 1);
            CHECK(table.page->epoch_us == 42);
            CHECK(memcmp(&table.hash_key, &model_key, sizeof model_key) == 0);
            model_compare(&model, &table);
            check_room(&model, &table);
            free(memory);
        }
        model_close(&model);
    }
}

static void a_sweep_after_recovery_stays_in_bounds(void)
{
    struct model model;
    struct fr_swept swept = {0};
    model_open(&model, 64, 100);
    churn(&model, 500);
    model.table.page->sweep_at = UINT32_MAX;
    CHECK(fr_table_attach(&model.table, model.memory, model.bytes, 64, &model_key, 1) == 1);
    fr_table_sweep(&model.table, 200, model.now_ms, UNCONFIRMED_MS, IDLE_MS, &swept);
    CHECK(swept.unconfirmed == 0 && swept.idle == 0);
    model_compare(&model, &model.table);
    model_close(&model);
}

/* --- flows that cannot be right -------------------------------------------- */

static void a_flow_that_cannot_be_right_is_given_up(void)
{
    enum { FLOWS = 6 };
    struct model model;
    uint64_t evictions = 0;
    model_open(&model, 8, 8);
    for (uint32_t number = 0; number < FLOWS; number++) {
        struct fr_flow_seed seed = {.client = client_address(number), .session_id = 3, .state = FR_FLOW_CONFIRMED};
        CHECK(fr_table_insert(&model.table, fr_hash_address(&model_key, &seed.client), &seed, &evictions));
    }
    find_client(&model.table, 1)->state = FR_FLOW_CONFIRMED + 1;
    find_client(&model.table, 2)->peer = MODEL_PEERS; /* never in use */
    find_client(&model.table, 3)->peer = UINT16_MAX;
    find_client(&model.table, 4)->peer = 4;
    model.table.peers->peers[4].is_used = 0;
    find_client(&model.table, 5)->client = client_address(0); /* the same client twice */
    CHECK(fr_table_attach(&model.table, model.memory, model.bytes, 8, &model_key, 1) == 1);
    CHECK(model.table.page->flows == 1 && find_client(&model.table, 0));
    for (uint32_t number = 1; number < FLOWS; number++)
        CHECK(!find_client(&model.table, number));
    CHECK(fr_table_session_flows(&model.table, 3) == 1 && model.table.peers->peers[0].flows == 1);
    check_free_list(&model.table);
    check_index(&model.table);
    model_close(&model);
}

/* --- foreign pages --------------------------------------------------------- */

static void spoil_magic(struct fr_table *table) { table->page->magic ^= 1; }
static void spoil_layout(struct fr_table *table) { table->page->layout++; }
static void spoil_capacity(struct fr_table *table) { table->page->capacity--; }
static void spoil_bytes(struct fr_table *table) { table->page->bytes += 64; }
static void spoil_used(struct fr_table *table) { table->page->used = table->page->capacity + 1; }
static void spoil_peers_used(struct fr_table *table) { table->peers->used = FR_PEERS + 1; }
static void spoil_peers_capacity(struct fr_table *table) { table->peers->capacity = FR_PEERS + 1; }

static void a_foreign_page_is_built_anew(void)
{
    void (*const spoils[])(struct fr_table *) = {
        spoil_magic, spoil_layout, spoil_capacity, spoil_bytes, spoil_used, spoil_peers_used, spoil_peers_capacity,
    };
    const struct fr_hash_key other_key = {{1, 2, 3, 4}};
    struct model model;
    model_open(&model, 64, 100);
    churn(&model, 1000);
    for (unsigned row = 0; row < sizeof spoils / sizeof *spoils; row++) {
        void *memory;
        struct fr_table table = copy_of(&model, &memory);
        spoils[row](&table);
        CHECK(fr_table_attach(&table, memory, model.bytes, 64, &other_key, 99) == 0);
        CHECK(table.page->epoch_us == 99 && memcmp(&table.hash_key, &other_key, sizeof other_key) == 0);
        CHECK(table.page->flows == 0 && table.page->used == 0 && table.peers->used == 0);
        CHECK(table.peers->capacity == FR_PEERS);
        for (uint32_t number = 0; number < model.client_count; number++)
            CHECK(!find_client(&table, number));
        CHECK(fr_table_attach(&table, memory, model.bytes, 64, &model_key, 1) == 1);
        CHECK(table.page->epoch_us == 99);
        free(memory);
    }
    model_close(&model);
}

static void a_page_of_another_capacity_is_built_anew(void)
{
    struct model model;
    struct fr_table table;
    model_open(&model, 64, 100);
    churn(&model, 1000);
    CHECK(fr_table_attach(&table, model.memory, model.bytes, 63, &model_key, 7) == 0);
    CHECK(table.page->capacity == 63 && table.page->flows == 0);
    check_index(&table);
    model_close(&model);
}

int main(void)
{
    every_committed_flow_is_found_again();
    a_sweep_after_recovery_stays_in_bounds();
    a_flow_that_cannot_be_right_is_given_up();
    a_foreign_page_is_built_anew();
    a_page_of_another_capacity_is_built_anew();
    return check_result();
}
