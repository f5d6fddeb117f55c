/* Sorting a batch by where it goes. See group.h. */
#include "trunk/group.h"

struct fr_group *fr_group_find(struct fr_grouping *grouping, uint16_t i, uint16_t peer, uint16_t via)
{
    for (unsigned at = 0; at < grouping->count; at++) {
        struct fr_group *group = &grouping->groups[at];
        if (group->peer == peer && group->via == via) {
            grouping->next[group->last] = i;
            grouping->group_of_peer[peer] = (uint16_t)at;
            return group;
        }
    }
    grouping->group_of_peer[peer] = (uint16_t)grouping->count;
    struct fr_group *group = &grouping->groups[grouping->count++];
    *group = (struct fr_group){.peer = peer, .via = via, .first = i};
    return group;
}
