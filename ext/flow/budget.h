/* Budgets: how often something may be tried, and how much of it one party may hold.
 *
 * Lives here: integer token buckets, one for a whole worker or a sketch of them over source
 * addresses, and a counting sketch over sessions. Memory is the caller's and bounded; a sketch
 * has two rows, and a party is refused only when both of its cells say so, so that a
 * flood from many addresses does not use up a bystander's share by one collision.
 * Must not live here: which verdict a refusal becomes.
 */
#ifndef FR_FLOW_BUDGET_H
#define FR_FLOW_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

/* Level in thousandths, so that one millisecond at one per second is one unit. All zero means full. */
struct fr_bucket {
    uint32_t level;
    uint32_t at_ms;
};

static inline void fr_bucket_refill(struct fr_bucket *bucket, uint32_t now_ms, uint32_t per_second, uint32_t burst)
{
    uint64_t full = (uint64_t)burst * 1000;
    uint64_t level = bucket->level + (uint64_t)(uint32_t)(now_ms - bucket->at_ms) * per_second;
    bool is_fresh = !(bucket->level | bucket->at_ms);
    bucket->level = (uint32_t)(is_fresh || level > full ? full : level);
    bucket->at_ms = now_ms;
}

static inline bool fr_bucket_take(struct fr_bucket *bucket, uint32_t now_ms, uint32_t per_second, uint32_t burst)
{
    fr_bucket_refill(bucket, now_ms, per_second, burst);
    if (bucket->level < 1000)
        return false;
    bucket->level -= 1000;
    return true;
}

#define FR_SOURCE_CELLS 16384u /* a row; a power of two */

struct fr_source_budget {
    struct fr_bucket rows[2][FR_SOURCE_CELLS];
};

static inline bool fr_source_take(struct fr_source_budget *budget, uint64_t hash, uint32_t now_ms, uint32_t per_second,
                                  uint32_t burst)
{
    struct fr_bucket *first = &budget->rows[0][hash & (FR_SOURCE_CELLS - 1)];
    struct fr_bucket *second = &budget->rows[1][(hash >> 32) & (FR_SOURCE_CELLS - 1)];
    bool first_had = fr_bucket_take(first, now_ms, per_second, burst);
    bool second_had = fr_bucket_take(second, now_ms, per_second, burst);
    return first_had || second_had;
}

/* Two rows of saturating counts; `cells` of a row is a power of two. */
struct fr_session_counts {
    uint8_t *rows[2];
    uint32_t mask;
};

static inline uint32_t fr_session_count(const struct fr_session_counts *counts, uint64_t hash)
{
    uint8_t first = counts->rows[0][hash & counts->mask], second = counts->rows[1][(hash >> 32) & counts->mask];
    return first < second ? first : second;
}

/* A saturated cell stays saturated until the counts are made anew: it then errs on the side of its other row. */
static inline void fr_session_cell_add(uint8_t *cell, int by)
{
    if (*cell != UINT8_MAX)
        *cell = (uint8_t)(*cell + by);
}

static inline void fr_session_add(struct fr_session_counts *counts, uint64_t hash, int by)
{
    fr_session_cell_add(&counts->rows[0][hash & counts->mask], by);
    fr_session_cell_add(&counts->rows[1][(hash >> 32) & counts->mask], by);
}

#endif
