# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Taking over a client's flow from another worker of this relay, when its packets have begun to arrive here.

Lives here: whether a sibling's flow counts here, and making the own one of it. Must not live here: reading another
worker's table (flow/sibling.c), what becomes of the packet (relay_up, relay_down).

Steering changes with the number of workers and with the host's queues, and then clients move while they speak. Their
flows follow with their next packet, either way, so a live call misses nothing and spends no admission.
"""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from core cimport *


cdef fr_flow *adopt_flow(fr_relay *relay, const fr_address *client, uint64_t hashed, uint8_t via,
                         const fr_address *peer) noexcept nogil:
    """The client's flow, new in the own table; NULL when no sibling has one that counts, or nothing may be asked now.

    With `peer` it must lead to this transceiver.
    """
    cdef uint32_t now_ms = <uint32_t>relay.now.ms
    cdef fr_sibling_flow found
    if relay.siblings.count == 0:
        return NULL
    if not fr_bucket_take(&relay.sibling_lookups, now_ms, relay.limits.sibling_lookups_per_s,
                          relay.limits.sibling_lookups_burst):
        relay.counters.events[FR_EVENT_sibling_lookups_refused] += 1
        return NULL
    if not fr_siblings_find(&relay.siblings, &relay.table.hash_key, client, now_ms, &found):
        return NULL
    if peer != NULL and not fr_address_equal(&found.peer, peer):
        return NULL
    # read from another process's memory: as little is taken for granted as of a token
    if not fr_allowed_hold(&relay.allowed, &found.peer) or not fr_address_is_sendable(&found.peer):
        return NULL
    return insert_found(relay, client, hashed, via, &found)


cdef fr_flow *insert_found(fr_relay *relay, const fr_address *client, uint64_t hashed, uint8_t via,
                           const fr_sibling_flow *found) noexcept nogil:
    cdef uint32_t now_ms = <uint32_t>relay.now.ms
    cdef fr_flow_seed seed
    cdef fr_flow *flow
    cdef int peer = fr_peer_insert(relay.table.peers, &relay.table.hash_key, &found.peer, relay.now.ms,
                                   relay.limits.peer_forget_ms)
    if peer < 0:
        return NULL
    seed.client = client[0]
    seed.session_id = found.session_id
    seed.token_tag = found.token_tag
    # the client's silence goes on; a worker whose turn began later than ours may have heard it after our now
    seed.now_ms = now_ms if <int32_t>(now_ms - found.last_seen_ms) < 0 else found.last_seen_ms
    seed.peer = <uint16_t>peer
    seed.via = via
    seed.state = found.state
    flow = fr_table_insert(&relay.table, hashed, &seed, &relay.counters.events[FR_EVENT_flows_evicted])
    if flow != NULL:
        relay.counters.events[FR_EVENT_flows_adopted] += 1
        fr_table_note(&relay.table, flow, FR_JOURNAL_adopted)
    return flow
