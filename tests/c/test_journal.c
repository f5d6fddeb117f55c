/* The journal: entries in order, round the ring, from whatever a worker has left; and what the table writes into it. */
#include "flow/journal.h"

#include <time.h>

#include "check.h"
#include "counters.h"
#include "table_model.h"

static struct fr_journal journal;
static struct fr_counters counters;

static void entries_follow_one_another_round_the_ring(void)
{
    const struct fr_address transceiver = fr_address_v4(htonl(0x0a000001), htons(4000));
    for (uint32_t number = 0; number < 2 * FR_JOURNAL_ENTRIES + 5; number++) {
        struct fr_address client = client_address(number);
        fr_journal_write(&journal, number % FR_JOURNAL_KIND_COUNT, number, &client, &transceiver);
        const struct fr_journal_entry *entry = &journal.entries[number % FR_JOURNAL_ENTRIES];
        CHECK(journal.next == number + 1);
        CHECK(entry->session_id == number && entry->kind == number % FR_JOURNAL_KIND_COUNT && entry->reserved == 0);
        CHECK(fr_address_equal(&entry->client, &client) && fr_address_equal(&entry->transceiver, &transceiver));
        CHECK(entry->unix_ms / 1000 + 2 > (uint64_t)time(NULL) && entry->unix_ms / 1000 <= (uint64_t)time(NULL));
    }
    CHECK(journal.entries[5].session_id == FR_JOURNAL_ENTRIES + 5 && journal.entries[4].session_id == 2 * FR_JOURNAL_ENTRIES + 4);
}

static void any_number_found_is_in_the_ring(void)
{
    const uint64_t numbers[] = {UINT64_MAX, UINT64_MAX / 2, FR_JOURNAL_ENTRIES, FR_JOURNAL_ENTRIES - 1};
    const struct fr_address nobody = {0};
    for (unsigned row = 0; row < sizeof numbers / sizeof *numbers; row++) {
        journal.next = numbers[row];
        fr_journal_write(&journal, FR_JOURNAL_closed, 77, &nobody, &nobody);
        CHECK(journal.next == numbers[row] + 1 && journal.entries[numbers[row] % FR_JOURNAL_ENTRIES].session_id == 77);
    }
}

/* --- what the table writes ------------------------------------------------- */

static struct fr_flow *insert(struct model *model, uint32_t number, uint8_t state)
{
    uint64_t evictions = 0;
    struct fr_flow_seed seed = {.client = client_address(number), .session_id = number + 1, .peer = 2, .state = state};
    return fr_table_insert(&model->table, fr_hash_address(&model_key, &seed.client), &seed, &evictions);
}

static void check_last(enum fr_journal_kind kind, uint32_t number)
{
    const struct fr_journal_entry *entry = &counters.journal.entries[(counters.journal.next - 1) % FR_JOURNAL_ENTRIES];
    struct fr_address client = client_address(number), peer = fr_address_v4(htonl(0x0a000003u), htons(4000));
    CHECK(entry->kind == kind && entry->session_id == number + 1);
    CHECK(fr_address_equal(&entry->client, &client) && fr_address_equal(&entry->transceiver, &peer));
}

static uint64_t calls(void)
{
    uint64_t sum = 0;
    for (unsigned bucket = 0; bucket < FR_HISTOGRAM_BUCKETS; bucket++)
        sum += counters.call_loss[bucket];
    return sum;
}

static void have_called(struct model *model, struct fr_flow *flow)
{
    flow->packets_up = FR_CALL_PACKETS_MIN;
    fr_table_quality(&model->table, flow)->state = FR_QUALITY_MEDIA;
}

static void a_flow_that_ends_says_why_and_counts_as_a_call(void)
{
    enum { CAPACITY = 2 };
    struct model model;
    struct fr_swept swept = {0};
    model_open(&model, CAPACITY, CAPACITY);
    model.table.counters = &counters;
    have_called(&model, insert(&model, 0, FR_FLOW_CONFIRMED));
    have_called(&model, insert(&model, 1, FR_FLOW_UNCONFIRMED));
    CHECK(counters.journal.next == 0);
    insert(&model, 2, FR_FLOW_UNCONFIRMED);
    check_last(FR_JOURNAL_evicted, 1);
    CHECK(calls() == 1);
    fr_table_sweep(&model.table, CAPACITY, UNCONFIRMED_MS + 1, UNCONFIRMED_MS, IDLE_MS, &swept);
    check_last(FR_JOURNAL_expired_unconfirmed, 2);
    fr_table_sweep(&model.table, CAPACITY, IDLE_MS + 1, UNCONFIRMED_MS, IDLE_MS, &swept);
    check_last(FR_JOURNAL_expired_idle, 0);
    CHECK(calls() == 2 && counters.journal.next == 3 && swept.unconfirmed == 1 && swept.idle == 1);
    fr_table_remove(&model.table, insert(&model, 3, FR_FLOW_CONFIRMED), FR_JOURNAL_closed);
    check_last(FR_JOURNAL_closed, 3);
    CHECK(calls() == 2); /* what lived in the slot before counts no more */
    model_close(&model);
}

static void a_slot_forgets_the_call_before(void)
{
    struct model model;
    const struct fr_quality nothing = {0};
    model_open(&model, 1, 1); /* its memory is full of rubbish */
    for (unsigned round = 0; round < 3; round++) {
        struct fr_flow *flow = insert(&model, round, FR_FLOW_CONFIRMED);
        CHECK(memcmp(fr_table_quality(&model.table, flow), &nothing, sizeof nothing) == 0);
        memset(fr_table_quality(&model.table, flow), 0x77, sizeof nothing);
        fr_table_remove(&model.table, flow, FR_JOURNAL_closed);
    }
    model_close(&model);
}

static void the_last_record_lies_within_the_page(void)
{
    const uint32_t capacities[] = {1, 2, 3, 15, 16, 17, 1000};
    for (unsigned row = 0; row < sizeof capacities / sizeof *capacities; row++) {
        struct model model;
        model_open(&model, capacities[row], 1);
        const uint8_t *page = model.memory, *first = (const uint8_t *)model.table.qualities;
        CHECK(first == (const uint8_t *)&model.table.flows[capacities[row]]);
        CHECK(first + capacities[row] * sizeof(struct fr_quality) <= page + model.bytes);
        model_close(&model);
    }
}

int main(void)
{
    entries_follow_one_another_round_the_ring();
    any_number_found_is_in_the_ring();
    a_flow_that_ends_says_why_and_counts_as_a_call();
    a_slot_forgets_the_call_before();
    the_last_record_lies_within_the_page();
    return check_result();
}
