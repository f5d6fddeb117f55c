/* When each leg of each call sends its next packet: a timing wheel, one list of legs in each slot.
 *
 * Lives here: putting a leg at a time, looking ahead, taking the legs whose time has come, in order and never early, none
 * left out however late. Must not live here: clocks, what a leg sends.
 * A slot is the wheel's tick: a leg is due at the beginning of its slot, and that is the time its packet carries.
 * Memory belongs to the caller.
 */
#ifndef FR_BENCH_SCHEDULE_H
#define FR_BENCH_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#define SCHEDULE_NONE UINT32_MAX
/* the tick for calls of 20 ms: half a microsecond, far below what a send call takes */
#define SCHEDULE_TICK_BITS_MIN 9
#define SCHEDULE_SLOT_BITS_MAX 20

struct fr_schedule {
    uint32_t *heads; /* the first leg of each slot, or SCHEDULE_NONE */
    uint32_t *next;  /* of each leg: the one behind it in its slot */
    uint64_t origin_ns;
    uint64_t cursor; /* ticks since the origin; no slot before it holds a leg */
    uint64_t reach;  /* ticks: what is taken at one go lies within, so that each leg can be put again behind it */
    unsigned tick_bits;
    unsigned slot_bits;
};

/* The finest tick with which times up to `horizon_ns` ahead fit into the wheel. */
static inline unsigned fr_schedule_tick_bits(uint64_t horizon_ns)
{
    unsigned bits = SCHEDULE_TICK_BITS_MIN;
    while ((horizon_ns >> bits) + 1 >= 1ull << SCHEDULE_SLOT_BITS_MAX)
        bits++;
    return bits;
}

/* `heads` has room for 1 << slot_bits legs; a leg that was taken is put again no nearer than `again_ns` from then. */
static inline void fr_schedule_open(struct fr_schedule *schedule, uint64_t origin_ns, uint64_t again_ns,
                                    unsigned tick_bits, unsigned slot_bits)
{
    schedule->reach = again_ns >> tick_bits > 1 ? again_ns >> tick_bits : 1;
    schedule->origin_ns = origin_ns;
    schedule->cursor = 0;
    schedule->tick_bits = tick_bits;
    schedule->slot_bits = slot_bits;
    for (uint64_t slot = 0; slot < 1ull << slot_bits; slot++)
        schedule->heads[slot] = SCHEDULE_NONE;
}

/* False when the time is before the cursor or too far ahead: the leg would be due at another time than it asks for. */
static inline bool fr_schedule_put(struct fr_schedule *schedule, uint32_t leg, uint64_t due_ns)
{
    uint64_t tick = (due_ns - schedule->origin_ns) >> schedule->tick_bits;
    if (due_ns < schedule->origin_ns || tick < schedule->cursor
        || tick - schedule->cursor >= 1ull << schedule->slot_bits)
        return false;
    uint64_t slot = tick & ((1ull << schedule->slot_bits) - 1);
    schedule->next[leg] = schedule->heads[slot];
    schedule->heads[slot] = leg;
    return true;
}

/* Whether a leg is due by then. Looks at one slot for each tick until that time: for the near future only. */
static inline bool fr_schedule_has_until(const struct fr_schedule *schedule, uint64_t until_ns)
{
    if (until_ns < schedule->origin_ns)
        return false;
    uint64_t last = (until_ns - schedule->origin_ns) >> schedule->tick_bits;
    for (uint64_t tick = schedule->cursor; tick <= last; tick++)
        if (schedule->heads[tick & ((1ull << schedule->slot_bits) - 1)] != SCHEDULE_NONE)
            return true;
    return false;
}

/* Takes at most `room` legs that are due, the earliest first, with the time each was due at. */
static inline unsigned fr_schedule_take(struct fr_schedule *schedule, uint64_t now_ns, uint32_t *legs,
                                        uint64_t *due_ns, unsigned room)
{
    if (now_ns < schedule->origin_ns)
        return 0;
    uint64_t last = (now_ns - schedule->origin_ns) >> schedule->tick_bits;
    unsigned count = 0;
    while (count < room && schedule->cursor <= last) {
        uint32_t *head = &schedule->heads[schedule->cursor & ((1ull << schedule->slot_bits) - 1)];
        if (*head == SCHEDULE_NONE) {
            /* the slot of the present stays open: what is put there now is still due now */
            if (schedule->cursor == last)
                break;
            schedule->cursor++;
            continue;
        }
        uint32_t leg = *head;
        if (count == 0 && last - schedule->cursor >= schedule->reach)
            last = schedule->cursor + schedule->reach - 1;
        *head = schedule->next[leg];
        legs[count] = leg;
        due_ns[count++] = schedule->origin_ns + (schedule->cursor << schedule->tick_bits);
    }
    return count;
}

#endif
