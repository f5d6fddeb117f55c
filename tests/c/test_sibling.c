/* Another worker's flow table: its flows are found, whatever else its page says is survived. */
#include "flow/sibling.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "table_model.h"

enum { NOW_MS = 1000000, CLIENTS = 40 };

/* --- a worker's table, and a look into it ---------------------------------- */

struct worker {
    struct fr_table table;
    void *memory;
    size_t bytes;
};

static struct worker worker_of(uint32_t capacity, const struct fr_hash_key *key)
{
    struct worker worker = {.bytes = fr_table_page_bytes(capacity)};
    worker.memory = page_memory(worker.bytes);
    memset(worker.memory, 0, worker.bytes);
    CHECK(fr_table_attach(&worker.table, worker.memory, worker.bytes, capacity, key, 1) == 0);
    for (uint32_t number = 0; number < MODEL_PEERS; number++) {
        struct fr_address peer = fr_address_v4(htonl(0x0a000001u + number), htons(4000));
        CHECK(fr_peer_insert(worker.table.peers, &worker.table.hash_key, &peer, 1, 1) == (int)number);
    }
    return worker;
}

static struct fr_flow *insert(struct worker *worker, uint32_t number, uint8_t state, uint32_t last_seen_ms)
{
    struct fr_flow_seed seed = {
        .client = client_address(number), .session_id = 100 + number, .token_tag = 1 + number,
        .now_ms = last_seen_ms, .peer = (uint16_t)(number % MODEL_PEERS), .state = state,
    };
    uint64_t evictions = 0;
    uint64_t hash = fr_hash_address(&worker->table.hash_key, &seed.client);
    struct fr_flow *flow = fr_table_insert(&worker->table, hash, &seed, &evictions);
    CHECK(flow && !evictions);
    return flow;
}

static bool find(const struct fr_siblings *siblings, uint32_t number, struct fr_sibling_flow *found)
{
    struct fr_address client = client_address(number);
    return fr_siblings_find(siblings, &model_key, &client, NOW_MS, found);
}

static struct fr_siblings *siblings_of(const struct worker *workers, unsigned count)
{
    static struct fr_siblings siblings;
    siblings.count = 0;
    for (unsigned i = 0; i < count; i++)
        CHECK(fr_siblings_add(&siblings, workers[i].memory, workers[i].bytes) == 0);
    return &siblings;
}

/* --- finding --------------------------------------------------------------- */

static void every_confirmed_flow_is_found_as_it_is(void)
{
    const uint32_t capacities[] = {CLIENTS, 1000, 5000};
    struct worker workers[3];
    struct fr_sibling_flow found;
    for (unsigned i = 0; i < 3; i++)
        workers[i] = worker_of(capacities[i], &model_key);
    for (uint32_t number = 0; number < CLIENTS; number++)
        insert(&workers[number % 3], number, FR_FLOW_CONFIRMED, NOW_MS - number);
    const struct fr_siblings *siblings = siblings_of(workers, 3);
    for (uint32_t number = 0; number < CLIENTS; number++) {
        struct fr_address peer = fr_address_v4(htonl(0x0a000001u + number % MODEL_PEERS), htons(4000));
        CHECK(find(siblings, number, &found) && fr_address_equal(&found.peer, &peer));
        CHECK(found.session_id == 100 + number && found.token_tag == 1 + number && found.state == FR_FLOW_CONFIRMED);
        CHECK(found.last_seen_ms == NOW_MS - number);
        CHECK(fr_siblings_have_session(siblings, 100 + number));
    }
    CHECK(!find(siblings, CLIENTS, &found) && !fr_siblings_have_session(siblings, 99));
    for (unsigned i = 0; i < 3; i++)
        free(workers[i].memory);
}

static void only_flows_that_are_answered_or_vouched_for_count(void)
{
    struct worker worker = worker_of(8, &model_key);
    const struct fr_siblings *siblings = siblings_of(&worker, 1);
    struct fr_sibling_flow found;
    struct fr_flow *flow = insert(&worker, 1, FR_FLOW_UNCONFIRMED, NOW_MS);
    CHECK(!find(siblings, 1, &found));
    flow->token_tag = 0;
    CHECK(find(siblings, 1, &found) && found.state == FR_FLOW_UNCONFIRMED && found.token_tag == 0);
    fr_table_confirm(&worker.table, flow);
    CHECK(find(siblings, 1, &found) && found.state == FR_FLOW_CONFIRMED);
    fr_table_remove(&worker.table, flow, FR_JOURNAL_closed);
    CHECK(!find(siblings, 1, &found) && !fr_siblings_have_session(siblings, 101));
    free(worker.memory);
}

static void silence_is_told_by_a_clock_that_wraps(void)
{
    const struct { uint32_t last_seen_ms; bool counts; } rows[] = {
        {NOW_MS, true},
        {NOW_MS + 3, true}, /* that worker's turn began later */
        {NOW_MS - FR_SIBLING_FRESH_MS + 1, true},
        {NOW_MS - FR_SIBLING_FRESH_MS, false},
        {(uint32_t)NOW_MS - 60000, false},
    };
    for (unsigned row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct worker worker = worker_of(8, &model_key);
        struct fr_sibling_flow found;
        insert(&worker, 1, FR_FLOW_CONFIRMED, rows[row].last_seen_ms);
        CHECK(find(siblings_of(&worker, 1), 1, &found) == rows[row].counts);
        free(worker.memory);
    }
}

static void the_flow_heard_on_last_counts_and_of_equals_the_first(void)
{
    const uint32_t heard[][3] = {{3, 2, 1}, {1, 2, 3}, {2, 3, 1}, {3, 3, 3}, {1, 3, 3}};
    const unsigned expected[] = {0, 2, 1, 0, 1};
    for (unsigned row = 0; row < sizeof expected / sizeof *expected; row++) {
        struct worker workers[3];
        struct fr_sibling_flow found;
        for (unsigned i = 0; i < 3; i++) {
            workers[i] = worker_of(8, &model_key);
            insert(&workers[i], 1, FR_FLOW_CONFIRMED, NOW_MS - 10 + heard[row][i])->session_id = i;
        }
        CHECK(find(siblings_of(workers, 3), 1, &found) && found.session_id == expected[row]);
        for (unsigned i = 0; i < 3; i++)
            free(workers[i].memory);
    }
}

static void under_another_hash_key_a_flow_is_worth_a_vouched_one(void)
{
    const struct fr_hash_key other_key = {{1, 2, 3, 4}};
    struct worker worker = worker_of(8, &other_key);
    struct fr_sibling_flow found;
    insert(&worker, 1, FR_FLOW_CONFIRMED, NOW_MS);
    const struct fr_siblings *siblings = siblings_of(&worker, 1);
    CHECK(find(siblings, 1, &found) && found.token_tag == 0 && found.state == FR_FLOW_UNCONFIRMED);
    CHECK(found.session_id == 101 && fr_siblings_have_session(siblings, 101));
    free(worker.memory);
}

/* --- pages that are not, or not yet, ours ----------------------------------- */

static void an_empty_page_is_taken_and_found_full_later(void)
{
    static struct fr_siblings siblings;
    struct fr_sibling_flow found;
    struct worker worker = worker_of(8, &model_key);
    memset(worker.memory, 0, worker.bytes);
    siblings.count = 0;
    CHECK(fr_siblings_add(&siblings, worker.memory, worker.bytes) == 0 && siblings.count == 1);
    CHECK(!find(&siblings, 1, &found) && !fr_siblings_have_session(&siblings, 101));
    CHECK(fr_table_attach(&worker.table, worker.memory, worker.bytes, 8, &model_key, 1) == 0);
    struct fr_address peer = fr_address_v4(htonl(0x0a000001u), htons(4000));
    CHECK(fr_peer_insert(worker.table.peers, &model_key, &peer, 1, 1) == 0);
    insert(&worker, 5, FR_FLOW_CONFIRMED, NOW_MS);
    CHECK(find(&siblings, 5, &found));
    worker.table.page->layout++; /* as if another release had made it: looked at no more until it is made anew */
    CHECK(!find(&siblings, 5, &found));
    free(worker.memory);
}

static void spoil_magic(struct fr_flow_page *page) { page->magic ^= 1; }
static void spoil_capacity(struct fr_flow_page *page) { page->capacity++; }
static void spoil_capacity_wholly(struct fr_flow_page *page) { page->capacity = UINT32_MAX; }
static void spoil_bytes(struct fr_flow_page *page) { page->bytes += 64; }
static void spoil_used(struct fr_flow_page *page) { page->used = page->capacity + 1; }
static void claim_more_than_there_is(struct fr_flow_page *page)
{
    page->capacity = 100000;
    page->bytes = fr_table_page_bytes(page->capacity);
}

static void what_is_no_page_of_ours_is_refused_and_never_read(void)
{
    void (*const spoils[])(struct fr_flow_page *) = {
        spoil_magic, spoil_capacity, spoil_capacity_wholly, spoil_bytes, spoil_used, claim_more_than_there_is,
    };
    for (unsigned row = 0; row < sizeof spoils / sizeof *spoils; row++) {
        static struct fr_siblings other;
        struct worker worker = worker_of(8, &model_key);
        struct fr_sibling_flow found;
        insert(&worker, 1, FR_FLOW_CONFIRMED, NOW_MS);
        const struct fr_siblings *siblings = siblings_of(&worker, 1);
        spoils[row](worker.memory);
        other.count = 0;
        CHECK(fr_siblings_add(&other, worker.memory, worker.bytes) == -EINVAL && other.count == 0);
        CHECK(!find(siblings, 1, &found));
        free(worker.memory);
    }
}

static void a_page_that_is_short_or_misaligned_is_refused(void)
{
    static struct fr_siblings siblings;
    struct worker worker = worker_of(8, &model_key);
    siblings.count = 0;
    CHECK(fr_siblings_add(&siblings, worker.memory, worker.bytes - 1) == -EINVAL);
    CHECK(fr_siblings_add(&siblings, worker.memory, sizeof(struct fr_flow_page) - 1) == -EINVAL);
    CHECK(fr_siblings_add(&siblings, (uint8_t *)worker.memory + 8, worker.bytes - 8) == -EINVAL);
    for (unsigned i = 0; i < FR_SIBLINGS; i++)
        CHECK(fr_siblings_add(&siblings, worker.memory, worker.bytes) == 0);
    CHECK(fr_siblings_add(&siblings, worker.memory, worker.bytes) == -ENOSPC && siblings.count == FR_SIBLINGS);
    free(worker.memory);
}

/* --- pages in ruins --------------------------------------------------------- */

static void ruin(uint8_t *from, uint8_t *to, uint32_t one_in)
{
    for (; from < to; from++)
        if (!random_below(one_in))
            *from = (uint8_t)random_below(256);
}

/* Whatever the parts hold, a look stays inside the page (ASan tells) and finds nothing but what is somewhere there. */
static void a_ruined_page_is_read_within_its_bounds(void)
{
    for (unsigned round = 0; round < 300; round++) {
        struct worker worker = worker_of(64, &model_key);
        struct fr_sibling_flow found;
        uint8_t *start = worker.memory, *end = start + worker.bytes;
        for (uint32_t number = 0; number < CLIENTS; number++)
            insert(&worker, number, FR_FLOW_CONFIRMED, NOW_MS);
        const struct fr_siblings *siblings = siblings_of(&worker, 1);
        uint8_t *parts[] = {(uint8_t *)worker.table.peers, (uint8_t *)worker.table.index, (uint8_t *)worker.table.flows};
        ruin(parts[round % 3], round % 2 ? end : parts[round % 3] + 4096, 1 + round % 7);
        for (uint32_t number = 0; number < CLIENTS; number++) {
            find(siblings, number, &found);
            fr_siblings_have_session(siblings, 100 + number);
        }
        free(worker.memory);
    }
}

static void a_flow_of_no_transceiver_is_not_found(void)
{
    const uint16_t peers[] = {MODEL_PEERS, FR_PEERS - 1, FR_PEERS, UINT16_MAX};
    for (unsigned row = 0; row < sizeof peers / sizeof *peers; row++) {
        struct worker worker = worker_of(8, &model_key);
        struct fr_sibling_flow found;
        insert(&worker, 1, FR_FLOW_CONFIRMED, NOW_MS)->peer = peers[row];
        CHECK(!find(siblings_of(&worker, 1), 1, &found));
        free(worker.memory);
    }
}

static void a_run_without_an_end_is_given_up(void)
{
    struct worker worker = worker_of(1000, &model_key);
    struct fr_sibling_flow found;
    const struct fr_siblings *siblings = siblings_of(&worker, 1);
    memset(worker.table.index, 0xff, 4 * ((size_t)worker.table.index_mask + 1));
    for (uint32_t number = 0; number < CLIENTS; number++)
        CHECK(!find(siblings, number, &found));
    free(worker.memory);
}

/* --- while their worker writes ---------------------------------------------- */

/* Makes, confirms and removes flows, so that their slots go round among the clients, until it is killed. */
static void churn_for_ever(struct worker *worker)
{
    for (uint32_t round = 0;; round++) {
        uint32_t number = random_below(CLIENTS);
        struct fr_flow *flow = find_client(&worker->table, number);
        if (flow)
            fr_table_remove(&worker->table, flow, FR_JOURNAL_closed);
        else if (worker->table.page->flows < worker->table.page->capacity)
            insert(worker, number, FR_FLOW_CONFIRMED, NOW_MS);
    }
}

/* A worker whose page another process works on meanwhile. */
static struct worker shared_worker_of(uint32_t capacity)
{
    struct worker worker = {.bytes = fr_table_page_bytes(capacity)};
    worker.memory = mmap(NULL, worker.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(worker.memory != MAP_FAILED);
    CHECK(fr_table_attach(&worker.table, worker.memory, worker.bytes, capacity, &model_key, 1) == 0);
    for (uint32_t number = 0; number < MODEL_PEERS; number++) {
        struct fr_address peer = fr_address_v4(htonl(0x0a000001u + number), htons(4000));
        CHECK(fr_peer_insert(worker.table.peers, &model_key, &peer, 1, 1) == (int)number);
    }
    return worker;
}

static void a_flow_is_found_at_every_moment_of_its_workers_successions(void)
{
    struct worker worker = shared_worker_of(CLIENTS);
    struct fr_sibling_flow found;
    for (uint32_t number = 0; number < CLIENTS; number++)
        insert(&worker, number, FR_FLOW_CONFIRMED, NOW_MS);
    const struct fr_siblings *siblings = siblings_of(&worker, 1);
    pid_t successors = fork();
    if (successors == 0)
        for (;;)
            fr_table_attach(&worker.table, worker.memory, worker.bytes, CLIENTS, &model_key, 1);
    CHECK(successors > 0);
    for (uint32_t look = 0; look < 2000000; look++)
        CHECK(find(siblings, look % CLIENTS, &found));
    kill(successors, SIGKILL);
    CHECK(waitpid(successors, NULL, 0) == successors);
    munmap(worker.memory, worker.bytes);
}

static void a_flow_that_is_found_is_one_flow_though_its_worker_goes_on(void)
{
    struct worker worker = shared_worker_of(CLIENTS / 2);
    const struct fr_siblings *siblings = siblings_of(&worker, 1);
    struct fr_sibling_flow found;
    unsigned times_found = 0;
    pid_t writer = fork();
    if (writer == 0)
        churn_for_ever(&worker);
    CHECK(writer > 0);
    for (uint32_t look = 0; look < 3000000 && times_found < 20000; look++) {
        uint32_t number = random_below(CLIENTS);
        struct fr_address peer = fr_address_v4(htonl(0x0a000001u + number % MODEL_PEERS), htons(4000));
        if (!find(siblings, number, &found))
            continue;
        times_found++;
        CHECK(found.session_id == 100 + number && found.token_tag == 1 + number && fr_address_equal(&found.peer, &peer));
    }
    CHECK(times_found > 0);
    kill(writer, SIGKILL);
    CHECK(waitpid(writer, NULL, 0) == writer);
    munmap(worker.memory, worker.bytes);
}

int main(void)
{
    every_confirmed_flow_is_found_as_it_is();
    only_flows_that_are_answered_or_vouched_for_count();
    silence_is_told_by_a_clock_that_wraps();
    the_flow_heard_on_last_counts_and_of_equals_the_first();
    under_another_hash_key_a_flow_is_worth_a_vouched_one();
    an_empty_page_is_taken_and_found_full_later();
    what_is_no_page_of_ours_is_refused_and_never_read();
    a_page_that_is_short_or_misaligned_is_refused();
    a_ruined_page_is_read_within_its_bounds();
    a_flow_of_no_transceiver_is_not_found();
    a_run_without_an_end_is_given_up();
    a_flow_is_found_at_every_moment_of_its_workers_successions();
    a_flow_that_is_found_is_one_flow_though_its_worker_goes_on();
    return check_result();
}
