/* Sorting a batch by where it goes: the frames for one peer that share a `via` form a group.
 *
 * Lives here: groups as chains of indices through the batch, in the order of arrival. Two guesses make the usual case a
 * few instructions: the group a peer was last seen in, and the end of its chain.
 */
#ifndef FR_TRUNK_GROUP_H
#define FR_TRUNK_GROUP_H

#include <stdint.h>

#include "limits.h"

struct fr_group {
    uint16_t peer;
    uint16_t via;
    uint16_t first;
    uint16_t last;
    uint16_t count;
};

struct fr_grouping {
    unsigned count; /* set to 0 to start anew; nothing else needs clearing */
    struct fr_group groups[FR_BATCH];
    uint16_t next[FR_BATCH];          /* by index in the batch */
    uint16_t group_of_peer[FR_PEERS]; /* a guess, checked before use */
};

/* The group of this peer and via, with frame i as its only or its last one. */
struct fr_group *fr_group_find(struct fr_grouping *grouping, uint16_t i, uint16_t peer, uint16_t via);

/* Frame i, at most FR_BATCH of them, goes to this peer. */
static inline void fr_group_join(struct fr_grouping *grouping, uint16_t i, uint16_t peer, uint16_t via)
{
    unsigned at = grouping->group_of_peer[peer];
    struct fr_group *group = &grouping->groups[at];

    if (at >= grouping->count || group->peer != peer || group->via != via)
        group = fr_group_find(grouping, i, peer, via);
    else
        grouping->next[group->last] = i;
    group->last = i;
    group->count++;
}

#endif
