/* Sorting a batch by where it goes: the frames for one peer that share a `via` form a group.
 *
 * Lives here: groups as chains of indices through the batch, in the order of arrival. A guess
 * makes the usual case a few instructions: the group a peer was last seen in.
 */
#ifndef FR_TRUNK_GROUP_H
#define FR_TRUNK_GROUP_H

#include <stdint.h>

#include "limits.h"

struct fr_group {
    uint32_t key; /* peer + 1 and via; 0 when out of use */
    uint16_t first;
    uint16_t last;
    uint16_t count;
};

struct fr_grouping {
    unsigned count;
    struct fr_group groups[FR_BATCH];
    uint16_t next[FR_BATCH];          /* by index in the batch */
    uint16_t group_of_peer[FR_PEERS]; /* a guess, checked before use */
};

static inline uint32_t fr_group_key(uint16_t peer, uint16_t via)
{
    return ((uint32_t)peer + 1) << 16 | via;
}

static inline uint16_t fr_group_peer(const struct fr_group *group)
{
    return (uint16_t)((group->key >> 16) - 1);
}

static inline uint16_t fr_group_via(const struct fr_group *group)
{
    return (uint16_t)group->key;
}

/* Starts a batch. A grouping that is all zero is one that has been reset. */
static inline void fr_grouping_reset(struct fr_grouping *grouping)
{
    while (grouping->count)
        grouping->groups[--grouping->count].key = 0;
}

/* Finds the group of this key, or makes it, and puts frame i at its end. */
void fr_group_join_slowly(struct fr_grouping *grouping, uint16_t i, uint32_t key);

/* Frame i, at most FR_BATCH of them, goes to this peer. */
static inline void fr_group_join(struct fr_grouping *grouping, uint16_t i, uint16_t peer, uint16_t via)
{
    struct fr_group *group = &grouping->groups[grouping->group_of_peer[peer]];

    if (group->key != fr_group_key(peer, via)) {
        fr_group_join_slowly(grouping, i, fr_group_key(peer, via));
        return;
    }
    grouping->next[group->last] = i;
    group->last = i;
    group->count++;
}

#endif
