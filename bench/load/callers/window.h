/* Which sequence numbers of one call and direction have come: the last 64 by a bit each, as RFC 3711 §3.3.2 does.
 *
 * Lives here: first, again, or too old to tell. Numbers start at 0 and do not wrap within a run.
 */
#ifndef FR_BENCH_WINDOW_H
#define FR_BENCH_WINDOW_H

#include <stdint.h>

#define WINDOW_BITS 64

enum fr_arrival {
    ARRIVAL_FIRST,
    ARRIVAL_OVERTAKEN, /* for the first time, but behind a later one */
    ARRIVAL_AGAIN,
    ARRIVAL_STRAY      /* further behind than the window: counted, and lost */
};

/* bit n of `mask` is number `next` − 1 − n */
struct fr_window {
    uint64_t mask;
    uint32_t next; /* one above the highest that has come */
};

static inline enum fr_arrival fr_window_add(struct fr_window *window, uint32_t number)
{
    if (number >= window->next) {
        uint32_t ahead = number + 1 - window->next;
        window->mask = ahead < WINDOW_BITS ? window->mask << ahead | 1 : 1;
        window->next = number + 1;
        return ARRIVAL_FIRST;
    }
    uint32_t behind = window->next - 1 - number;
    if (behind >= WINDOW_BITS)
        return ARRIVAL_STRAY;
    uint64_t bit = 1ull << behind;
    if (window->mask & bit)
        return ARRIVAL_AGAIN;
    window->mask |= bit;
    return ARRIVAL_OVERTAKEN;
}

#endif
