/* Sorting a batch by where it goes. See group.h. */
#include "trunk/group.h"

void fr_group_join_slowly(struct fr_grouping *grouping, uint16_t i, uint32_t key)
{
    unsigned at = 0;

    while (at < grouping->count && grouping->groups[at].key != key)
        at++;
    struct fr_group *group = &grouping->groups[at];
    if (at == grouping->count) {
        *group = (struct fr_group){.key = key, .first = i};
        grouping->count++;
    } else {
        grouping->next[group->last] = i;
    }
    group->last = i;
    group->count++;
    grouping->group_of_peer[fr_group_peer(group)] = (uint16_t)at;
}
