/* The load generator's schedule and windows: every leg in its turn, never early, none left out; every number once. */
#include "../../bench/load/callers/schedule.h"
#include "../../bench/load/callers/mix.h"
#include "../../bench/load/callers/window.h"

#include "check.h"

#define LEGS 1000
#define ORIGIN 5000000000u
#define INTERVAL 20000000u
#define ROUNDS 7

static struct fr_schedule schedule;
static uint64_t grid[LEGS], last_due[LEGS];
static unsigned turns[LEGS];

static void open_schedule(uint64_t horizon_ns)
{
    unsigned tick_bits = fr_schedule_tick_bits(horizon_ns), slot_bits = 1;
    while ((horizon_ns >> tick_bits) + 1 >= 1ull << slot_bits)
        slot_bits++;
    CHECK(slot_bits <= SCHEDULE_SLOT_BITS_MAX);
    schedule.heads = calloc(1ull << slot_bits, sizeof *schedule.heads);
    schedule.next = calloc(LEGS, sizeof *schedule.next);
    if (!schedule.heads || !schedule.next)
        exit(2);
    fr_schedule_open(&schedule, ORIGIN, INTERVAL - INTERVAL / 10, tick_bits, slot_bits);
}

static void close_schedule(void)
{
    free(schedule.heads);
    free(schedule.next);
}

/* A clock that now and then jumps ahead by more than a whole interval: a generator that was held up. */
static void every_leg_has_all_its_turns_in_order_and_none_early(uint32_t legs_used)
{
    uint64_t state = fr_draw_seed(7), now = ORIGIN, latest = 0;
    unsigned taken = 0;
    open_schedule(2 * INTERVAL + INTERVAL / 10);
    for (uint32_t leg = 0; leg < legs_used; leg++) {
        grid[leg] = ORIGIN + (uint64_t)INTERVAL * leg / legs_used;
        last_due[leg] = turns[leg] = 0;
        CHECK(fr_schedule_put(&schedule, leg, grid[leg] + fr_draw(&state) % (INTERVAL / 10)));
    }
    while (taken < legs_used * ROUNDS && now < ORIGIN + 100ull * INTERVAL) {
        uint32_t legs[64];
        uint64_t due[64];
        unsigned count = fr_schedule_take(&schedule, now, legs, due, 64);
        for (unsigned i = 0; i < count; i++) {
            uint32_t leg = legs[i];
            CHECK(due[i] <= now && due[i] >= latest && due[i] > last_due[leg]);
            CHECK(due[i] + (1u << schedule.tick_bits) > grid[leg]);
            latest = due[i];
            last_due[leg] = due[i];
            grid[leg] += INTERVAL;
            if (++turns[leg] < ROUNDS)
                CHECK(fr_schedule_put(&schedule, leg, grid[leg] + fr_draw(&state) % (INTERVAL / 10)));
        }
        taken += count;
        if (!count)
            now += fr_draw(&state) % 50 ? 10000 : 3 * INTERVAL;
    }
    CHECK(taken == legs_used * ROUNDS);
    for (uint32_t leg = 0; leg < legs_used; leg++)
        CHECK(turns[leg] == ROUNDS);
    close_schedule();
}

static void what_does_not_fit_is_refused(void)
{
    uint32_t legs[1];
    uint64_t due[1];
    open_schedule(INTERVAL);
    uint64_t span = 1ull << (schedule.tick_bits + schedule.slot_bits);
    CHECK(!fr_schedule_put(&schedule, 0, ORIGIN - 1));
    CHECK(!fr_schedule_put(&schedule, 0, ORIGIN + span));
    CHECK(fr_schedule_put(&schedule, 0, ORIGIN + span - 1));
    CHECK(fr_schedule_take(&schedule, ORIGIN - 1, legs, due, 1) == 0);
    CHECK(fr_schedule_take(&schedule, ORIGIN + span, legs, due, 1) == 1);
    CHECK(!fr_schedule_put(&schedule, 0, ORIGIN));
    close_schedule();
}

static void what_is_put_into_the_present_is_due_now(void)
{
    uint32_t legs[1];
    uint64_t due[1];
    open_schedule(INTERVAL);
    CHECK(fr_schedule_take(&schedule, ORIGIN + 5000, legs, due, 1) == 0);
    CHECK(fr_schedule_put(&schedule, 3, ORIGIN + 5000));
    CHECK(fr_schedule_take(&schedule, ORIGIN + 5000, legs, due, 1) == 1 && legs[0] == 3);
    close_schedule();
}

static void what_is_due_soon_is_seen_before_it_is_due(void)
{
    uint32_t legs[1];
    uint64_t due[1], at = ORIGIN + 10000, tick = 1u << SCHEDULE_TICK_BITS_MIN;
    open_schedule(INTERVAL);
    CHECK(fr_schedule_put(&schedule, 0, at));
    CHECK(!fr_schedule_has_until(&schedule, ORIGIN - 1) && !fr_schedule_has_until(&schedule, at - tick));
    CHECK(fr_schedule_has_until(&schedule, at) && fr_schedule_has_until(&schedule, at + 3000));
    CHECK(fr_schedule_take(&schedule, at, legs, due, 1) == 1 && !fr_schedule_has_until(&schedule, at + 3000));
    close_schedule();
}

static void long_intervals_get_a_coarser_tick(void)
{
    CHECK(fr_schedule_tick_bits(INTERVAL) == SCHEDULE_TICK_BITS_MIN);
    CHECK(fr_schedule_tick_bits(20ull * 1000000000) > SCHEDULE_TICK_BITS_MIN);
    CHECK(20ull * 1000000000 >> fr_schedule_tick_bits(20ull * 1000000000) < 1u << SCHEDULE_SLOT_BITS_MAX);
}

static void numbers_arrive_once_however_they_come(void)
{
    struct fr_window window = {0};
    CHECK(fr_window_add(&window, 0) == ARRIVAL_FIRST);
    CHECK(fr_window_add(&window, 0) == ARRIVAL_AGAIN);
    CHECK(fr_window_add(&window, 5) == ARRIVAL_FIRST);
    CHECK(fr_window_add(&window, 3) == ARRIVAL_OVERTAKEN);
    CHECK(fr_window_add(&window, 3) == ARRIVAL_AGAIN);
    CHECK(fr_window_add(&window, 64) == ARRIVAL_FIRST);
    CHECK(fr_window_add(&window, 1) == ARRIVAL_OVERTAKEN);
    CHECK(fr_window_add(&window, 0) == ARRIVAL_STRAY);
    CHECK(fr_window_add(&window, 64 + 63) == ARRIVAL_FIRST);
    CHECK(fr_window_add(&window, 64) == ARRIVAL_AGAIN);
    CHECK(fr_window_add(&window, 1000) == ARRIVAL_FIRST);
    CHECK(fr_window_add(&window, 999) == ARRIVAL_OVERTAKEN);
    CHECK(fr_window_add(&window, 936) == ARRIVAL_STRAY);
}

static void the_first_number_may_have_been_lost(void)
{
    struct fr_window window = {0};
    CHECK(fr_window_add(&window, 63) == ARRIVAL_FIRST);
    CHECK(fr_window_add(&window, 0) == ARRIVAL_OVERTAKEN);
}

static void voice_has_the_stated_mean_and_a_seed_repeats_it(void)
{
    static uint16_t sizes[MIX_SIZES], again[MIX_SIZES], other[MIX_SIZES];
    uint64_t sum = 0;
    fr_mix_fill(sizes, 1, 0, 0);
    fr_mix_fill(again, 1, 0, 0);
    fr_mix_fill(other, 2, 0, 0);
    for (unsigned i = 0; i < MIX_SIZES; i++) {
        CHECK(sizes[i] >= 14 + MIX_RTP_AND_TAG && sizes[i] <= 220 + MIX_RTP_AND_TAG);
        sum += sizes[i];
    }
    CHECK(sum / MIX_SIZES >= 112 && sum / MIX_SIZES <= 118);
    CHECK(memcmp(sizes, again, sizeof sizes) == 0 && memcmp(sizes, other, sizeof sizes) != 0);
    fr_mix_fill(sizes, 1, 160, 160);
    for (unsigned i = 0; i < MIX_SIZES; i++)
        CHECK(sizes[i] == 160);
}

int main(void)
{
    every_leg_has_all_its_turns_in_order_and_none_early(LEGS);
    /* so few that all are taken at once, however far behind */
    every_leg_has_all_its_turns_in_order_and_none_early(5);
    every_leg_has_all_its_turns_in_order_and_none_early(1);
    what_does_not_fit_is_refused();
    what_is_put_into_the_present_is_due_now();
    what_is_due_soon_is_seen_before_it_is_due();
    long_intervals_get_a_coarser_tick();
    numbers_arrive_once_however_they_come();
    the_first_number_may_have_been_lost();
    voice_has_the_stated_mean_and_a_seed_repeats_it();
    return check_result();
}
