/* Token buckets and sketches: rates, bursts, a wrapping clock, and that a flood leaves bystanders their share. */
#include "flow/budget.h"

#include "check.h"

static uint64_t random_state = 88172645463325252u;

static uint64_t random_word(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * 0x9e3779b97f4a7c15u;
}

static unsigned take_all(struct fr_bucket *bucket, uint32_t now_ms, uint32_t per_second, uint32_t burst)
{
    unsigned taken = 0;
    while (taken < 100000 && fr_bucket_take(bucket, now_ms, per_second, burst))
        taken++;
    return taken;
}

static void a_fresh_bucket_holds_its_burst(void)
{
    const uint32_t bursts[] = {0, 1, 2, 256, 5000};
    for (unsigned row = 0; row < sizeof bursts / sizeof *bursts; row++) {
        struct fr_bucket bucket = {0};
        CHECK(take_all(&bucket, 123456, 10, bursts[row]) == bursts[row]);
        CHECK(!fr_bucket_take(&bucket, 123456, 10, bursts[row]));
    }
}

static void a_bucket_fills_at_its_rate(void)
{
    const struct { uint32_t per_second, after_ms, taken; } rows[] = {
        {1, 999, 0}, {1, 1000, 1}, {1, 1999, 1}, {10, 99, 0}, {10, 100, 1}, {10, 950, 9},
        {1000, 1, 1}, {20000, 5, 100}, {20000, 1000000, 100}, {0, 1000000, 0},
    };
    for (unsigned row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct fr_bucket bucket = {0};
        CHECK(take_all(&bucket, 5000, rows[row].per_second, 100) == 100);
        CHECK(take_all(&bucket, 5000 + rows[row].after_ms, rows[row].per_second, 100) == rows[row].taken);
    }
}

static void no_fraction_is_lost_however_often_it_is_asked(void)
{
    struct fr_bucket bucket = {0};
    unsigned taken = 0;
    CHECK(take_all(&bucket, 1, 7, 50) == 50);
    for (uint32_t now_ms = 2; now_ms <= 10001; now_ms++)
        taken += fr_bucket_take(&bucket, now_ms, 7, 50);
    CHECK(taken == 70);
}

static void the_clock_may_wrap(void)
{
    struct fr_bucket bucket = {0};
    CHECK(take_all(&bucket, UINT32_MAX - 499, 10, 20) == 20);
    CHECK(take_all(&bucket, 500, 10, 20) == 10);
}

static struct fr_source_budget sources;

static void a_source_is_held_to_its_own_budget(void)
{
    memset(&sources, 0, sizeof sources);
    uint64_t first = random_word(), second = random_word();
    for (unsigned i = 0; i < 400; i++)
        CHECK(fr_source_take(&sources, first, 77, 200, 400));
    CHECK(!fr_source_take(&sources, first, 77, 200, 400));
    CHECK(fr_source_take(&sources, second, 77, 200, 400));
    CHECK(fr_source_take(&sources, first, 77 + 5, 200, 400));
    CHECK(!fr_source_take(&sources, first, 77 + 5, 200, 400));
}

/* A bystander is refused only when both of its cells are empty: two hundred spent sources of 16,384 cells leave
 * about one in seven thousand without a share. */
static void a_flood_leaves_bystanders_their_share(void)
{
    unsigned refused = 0;
    memset(&sources, 0, sizeof sources);
    for (unsigned source = 0; source < 200; source++) {
        uint64_t hash = random_word();
        while (fr_source_take(&sources, hash, 77, 200, 400))
            ;
    }
    for (unsigned bystander = 0; bystander < 10000; bystander++)
        refused += !fr_source_take(&sources, random_word(), 77, 200, 400);
    CHECK(refused <= 10);
}

/* Cells end exactly where the rows do, so that a step beyond is seen. */
static struct fr_session_counts counts_of(uint32_t cells)
{
    struct fr_session_counts counts = {.mask = cells - 1};
    for (unsigned row = 0; row < 2; row++) {
        counts.rows[row] = calloc(cells, 1);
        if (!counts.rows[row])
            exit(2);
    }
    return counts;
}

static void free_counts(struct fr_session_counts *counts)
{
    free(counts->rows[0]);
    free(counts->rows[1]);
}

static void a_session_is_never_counted_too_low(void)
{
    enum { SESSIONS = 64, CELLS = 128 };
    struct fr_session_counts counts = counts_of(CELLS);
    uint64_t hashes[SESSIONS];
    unsigned exact[SESSIONS] = {0}, total = 0;
    for (unsigned session = 0; session < SESSIONS; session++)
        hashes[session] = random_word();
    for (unsigned step = 0; step < 20000; step++) {
        unsigned session = (unsigned)(random_word() >> 40) % SESSIONS;
        int by = exact[session] && (random_word() >> 40) % 2 ? -1 : exact[session] < 16 ? 1 : 0;
        fr_session_add(&counts, hashes[session], by);
        exact[session] += (unsigned)by;
        CHECK(fr_session_count(&counts, hashes[session]) >= exact[session]);
    }
    for (unsigned session = 0; session < SESSIONS; session++)
        for (; exact[session]; exact[session]--)
            fr_session_add(&counts, hashes[session], -1);
    for (unsigned cell = 0; cell < CELLS; cell++)
        total += counts.rows[0][cell] + counts.rows[1][cell];
    CHECK(total == 0);
    free_counts(&counts);
}

static void a_full_cell_stays_full(void)
{
    struct fr_session_counts counts = counts_of(2);
    for (unsigned i = 0; i < UINT8_MAX - 1; i++)
        fr_session_add(&counts, 0, 1);
    CHECK(fr_session_count(&counts, 0) == UINT8_MAX - 1);
    fr_session_add(&counts, 0, -1);
    CHECK(fr_session_count(&counts, 0) == UINT8_MAX - 2);
    for (unsigned i = 0; i < 10; i++)
        fr_session_add(&counts, 0, 1);
    CHECK(fr_session_count(&counts, 0) == UINT8_MAX);
    fr_session_add(&counts, 0, -1);
    CHECK(fr_session_count(&counts, 0) == UINT8_MAX);
    CHECK(fr_session_count(&counts, 0x0000000100000001u) == 0);
    free_counts(&counts);
}

int main(void)
{
    a_fresh_bucket_holds_its_burst();
    a_bucket_fills_at_its_rate();
    no_fraction_is_lost_however_often_it_is_asked();
    the_clock_may_wrap();
    a_source_is_held_to_its_own_budget();
    a_flood_leaves_bystanders_their_share();
    a_session_is_never_counted_too_low();
    a_full_cell_stays_full();
    return check_result();
}
