/* What each call hears, for those who ask (--heard FILE): the longest time without a packet, how many came.
 *
 * Lives here: the mapped page (bench/restart/heard.py reads it), noting an arrival, closing the account at the end.
 * Must not live here: which packet is whose (crowd.c).
 */
#ifndef FR_BENCH_HEARING_H
#define FR_BENCH_HEARING_H

#include <netinet/in.h>
#include <stdint.h>

/* Of one call, both ways; nanoseconds of the monotonic clock. */
struct fr_heard {
    uint64_t last_ns[2];    /* the latest arrival; 0 before the first */
    uint64_t longest_ns[2]; /* between two arrivals, or from the last one to the end */
    uint32_t sent[2];
    uint32_t came[2];
};
_Static_assert(sizeof(struct fr_heard) == 48, "as heard.py reads it");

struct fr_hearing {
    uint64_t ended_ns; /* when media were to end: who was last heard long before has not been heard again */
    struct fr_heard calls[];
};

static inline void fr_heard_silence(struct fr_heard *heard, unsigned way, uint64_t until_ns)
{
    uint64_t last_ns = heard->last_ns[way];
    if (last_ns && until_ns > last_ns && until_ns - last_ns > heard->longest_ns[way])
        heard->longest_ns[way] = until_ns - last_ns;
}

static inline void fr_heard_packet(struct fr_heard *heard, unsigned way, uint64_t at_ns)
{
    fr_heard_silence(heard, way, at_ns);
    if (at_ns > heard->last_ns[way])
        heard->last_ns[way] = at_ns;
    heard->came[way]++;
}

#endif
