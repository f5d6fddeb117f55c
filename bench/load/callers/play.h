/* What the program can be told to do with its calls: open them, let them talk, measure what sending alone costs.
 *
 * Lives here: when what is sent, and for how long. Must not live here: what packets look like, reading commands.
 */
#ifndef FR_BENCH_PLAY_H
#define FR_BENCH_PLAY_H

#include "clients.h"
#include "schedule.h"
#include "servers.h"

struct fr_play {
    struct fr_crowd *crowd;
    struct fr_clients *clients;
    struct fr_servers *servers;
    struct fr_schedule schedule;
    bool is_dropping; /* nobody looks at what arrives */
    uint64_t draws;   /* state of the jitter */
};

struct fr_talk {
    uint32_t calls;
    uint64_t interval_ns, jitter_ns, duration_ns;
    bool has_way[2];
    uint32_t calls_changed_per_s, addresses_changed_per_s;
    uint64_t check_every_ns; /* each call sends its opening again so often, as browsers check; 0: never */
};

/* Openings of `count` calls that are not open, at a rate; then waits until `patience_ns` have brought no answer. */
void fr_play_open(struct fr_play *, uint32_t first, uint32_t count, uint64_t rate, uint64_t patience_ns);
/* Media of all calls of `talk`, open loop: what is late is sent late, nothing is left out. Returns how long it took to
 * send; a generator that is far behind gives up, and its ways say how much was due and not sent. */
uint64_t fr_play_talk(struct fr_play *, const struct fr_talk *);
/* `count` packets of the same sizes to the same place by sendmmsg and nothing else: the floor. Returns how long. */
uint64_t fr_play_bare(struct fr_play *, uint64_t count);

#endif
