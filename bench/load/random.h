/* Seeded random numbers of the benchmarks: the same seed gives the same packets to every candidate. */
#ifndef FR_BENCH_RANDOM_H
#define FR_BENCH_RANDOM_H

#include <stdint.h>

/* xorshift64* (Marsaglia, Vigna); the state is never 0 */
static inline uint64_t fr_draw(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545f4914f6cdd1dULL;
}

/* A state that is as good for seed 0 as for any other. */
static inline uint64_t fr_draw_seed(uint64_t seed)
{
    return seed * 2 + 1;
}

#endif
