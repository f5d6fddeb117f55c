/* The clocks: coarse ones read once a turn, precise ones now and then. */
#ifndef FR_CLOCK_H
#define FR_CLOCK_H

#include <stdint.h>
#include <time.h>

/* The time of a turn, read once for everything done in it. */
struct fr_now {
    uint64_t ms; /* monotonic */
    uint64_t unix_s;
};

/* The coarse clocks step every few milliseconds: fine for everything that counts in milliseconds, at a fifth of the price. */
static inline void fr_read_now(struct fr_now *now)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &at);
    now->ms = (uint64_t)at.tv_sec * 1000u + (uint64_t)at.tv_nsec / 1000000u;
    clock_gettime(CLOCK_REALTIME_COARSE, &at);
    now->unix_s = (uint64_t)at.tv_sec;
}

static inline uint64_t fr_monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* The clock of the kernel's receive timestamps. */
static inline uint64_t fr_realtime_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#endif
