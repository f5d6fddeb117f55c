# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The way down: trunk datagrams become packets to clients.

Lives here: deciding each frame's verdict. The readable twin of these decisions is
fastrelay/relay/dataplane/twin.py. Must not live here: receiving (trunk_end), sending (relay_send).

Frames of several datagrams are gathered before they are looked up, for the same reason as on the way up: so that
memory is asked for before it is needed.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from core cimport *
from fastrelay._ext.relay_send cimport send_clients
from fastrelay._ext.relay_sibling cimport adopt_flow
from fastrelay._ext.trunk_end cimport end_datagram, end_receive


# --- the datagrams -----------------------------------------------------------------

cdef void down_receive(fr_relay *relay) noexcept nogil:
    """Takes what waits on the trunk all the way to the clients: in a turn about as much as the way up takes, FR_BATCH.

    Several receives, because transceivers that send often, and many of them, fill few frames into each datagram. The
    way up makes a turn last; in that time more of these come than one receive brings, and the wait would grow.
    """
    cdef uint64_t sampled_ns
    cdef int received = FR_TRUNK_BATCH
    cdef unsigned receives = 0
    relay.down.taken = 0
    relay.trunk.judged = 0
    # order matters: payloads lie in the ring until the next receive, so each is flushed before that. What is refused is
    # work as well: UDP_GRO brings hundreds of datagrams in one receive
    while (received == FR_TRUNK_BATCH and receives < FR_TRUNK_RECEIVES and relay.down.taken < FR_BATCH
           and relay.trunk.judged < FR_BATCH):
        received = end_receive(&relay.trunk, gather, relay, &sampled_ns)
        receives += 1
        down_flush(relay)
        # from the kernel's receipt of the batch's first datagram to the end of the sends
        fr_count_hop(relay.counters.hop_down_ns, sampled_ns)


cdef int down_datagram(fr_relay *relay, const fr_address *source, const uint8_t *datagram,
                       uint32_t length) noexcept nogil:
    """One datagram's verdict; frames of an accepted bundle are gathered in relay.down."""
    return end_datagram(&relay.trunk, source, datagram, length, gather, relay)


cdef int gather(void *owner, int peer, const fr_trunk_header *header, const uint8_t *datagram,
                uint32_t length) noexcept nogil:
    cdef fr_relay *relay = <fr_relay *>owner
    cdef fr_down_batch *batch = &relay.down
    cdef fr_table table = relay.table  # a copy that stores to the batch cannot touch stays in registers
    cdef uint64_t hashed
    cdef unsigned i
    cdef int refusal = fr_trunk_read_frames(datagram, length, header, &batch.frames[batch.count])
    if refusal != 0:
        return refusal
    for i in range(batch.count, batch.count + header.frame_count):
        hashed = fr_hash_address(&table.hash_key, &batch.frames[i].client)
        fr_table_prefetch(&table, hashed)
        batch.hash[i] = hashed
        batch.peer[i] = <uint16_t>peer
        batch.via[i] = header.via
    batch.count += header.frame_count
    batch.taken += header.frame_count
    if batch.count >= FR_SEND_BATCH:
        down_flush(relay)
    return FR_TRUNK_BUNDLE


# --- the frames --------------------------------------------------------------------

cdef void down_flush(fr_relay *relay) noexcept nogil:
    """Decides the gathered frames in order and sends what goes to clients."""
    cdef fr_down_batch *batch = &relay.down
    cdef fr_table table = relay.table  # a copy that stores to the batch cannot touch stays in registers
    cdef const fr_local *local
    cdef const fr_frame *frame
    cdef fr_flow *flow
    cdef unsigned i
    cdef int verdict
    for i in range(batch.count):
        flow = fr_table_guess(&table, batch.hash[i])
        fr_flow_prefetch(flow)
        batch.flow[i] = flow
    for i in range(batch.count):
        frame = &batch.frames[i]
        if is_usual(frame, batch.flow[i], batch.peer[i]):
            verdict = FR_DOWN_FORWARDED
            fr_count_verdict(relay.counters, FR_DOWN_FORWARDED, frame.length)
        else:
            verdict = judge_rarer_frame(relay, i)
            fr_count_verdict(relay.counters, verdict, frame.length)
        batch.verdict[i] = <uint8_t>verdict
        if verdict <= FR_DOWN_RECREATED:
            batch.flow[i].packets_down += 1
            local = &relay.locals.entries[batch.flow[i].via]
            if fr_client_queue_add(&relay.client_queues[local.listener], local, frame) == FR_SEND_BATCH:
                send_clients(relay, local.listener)
    for i in range(relay.listener_count):
        if relay.client_queues[i].count:
            send_clients(relay, i)
    batch.count = 0


cdef inline bint is_usual(const fr_frame *frame, const fr_flow *flow, uint16_t peer) noexcept nogil:
    """A payload for a confirmed flow of the transceiver that sent it, where the guess was right."""
    return (fr_address_equal(&flow.client, &frame.client) and flow.state == FR_FLOW_CONFIRMED and flow.peer == peer
            and frame.length != 0)


cdef int judge_rarer_frame(fr_relay *relay, unsigned i) noexcept nogil:
    cdef fr_down_batch *batch = &relay.down
    cdef const fr_frame *frame = &batch.frames[i]
    # looked up anew: an earlier frame of the batch may have removed or replaced what the guess points at
    cdef fr_flow *flow = fr_table_find(&relay.table, batch.hash[i], &frame.client)
    batch.flow[i] = flow
    if frame.length == 0:
        return close_flow(relay, flow, batch.peer[i]) if frame.flags & FR_FRAME_CLOSE else FR_DOWN_EMPTY
    if flow == NULL:
        return find_again(relay, i)
    if flow.peer != batch.peer[i]:
        return FR_DOWN_NOT_YOURS
    # made again from the trunk: its transceiver vouches for it until its client brings a token
    if flow.state == FR_FLOW_CONFIRMED or flow.token_tag == 0:
        return FR_DOWN_FORWARDED
    # the answer to a forged source may not be larger than the forgery
    if frame.length > flow.bytes_up:
        return FR_DOWN_AMPLIFIED
    fr_table_confirm(&relay.table, flow)
    relay.counters.events[FR_EVENT_flows_confirmed] += 1
    fr_table_note(&relay.table, flow, FR_JOURNAL_confirmed)
    return FR_DOWN_CONFIRMED


cdef int close_flow(fr_relay *relay, fr_flow *flow, uint16_t peer) noexcept nogil:
    if flow == NULL or flow.peer != peer:
        return FR_DOWN_CLOSE_UNKNOWN
    fr_table_remove(&relay.table, flow, FR_JOURNAL_closed)
    relay.counters.events[FR_EVENT_flows_closed] += 1
    return FR_DOWN_CLOSED


cdef int find_again(fr_relay *relay, unsigned i) noexcept nogil:
    """A client without a flow here: its flow moves over from another worker if it leads to this very transceiver, token
    and all; else the transceiver's word makes one."""
    cdef fr_down_batch *batch = &relay.down
    cdef const fr_frame *frame = &batch.frames[i]
    cdef int via = fr_locals_usable(&relay.locals, batch.via[i], fr_address_is_v4(&frame.client))
    if via < 0 or not fr_address_is_sendable(&frame.client):
        return FR_DOWN_BAD_ADDRESS
    batch.flow[i] = adopt_flow(relay, &frame.client, batch.hash[i], <uint8_t>via,
                               &relay.table.peers.peers[batch.peer[i]].address)
    return FR_DOWN_FORWARDED if batch.flow[i] != NULL else recreate_flow(relay, i, via)


cdef int recreate_flow(fr_relay *relay, unsigned i, int via) noexcept nogil:
    """The transceiver vouches for an address it has authenticated: a lost flow comes back before the client speaks.

    It stays unconfirmed, and gives way to others, until the client's next check has been authenticated here: a late
    answer to a forged source that has lost its flow already must not take up room for good.
    """
    cdef fr_down_batch *batch = &relay.down
    cdef fr_flow_seed seed
    if not fr_bucket_take(&relay.recreations, <uint32_t>relay.now.ms, relay.limits.recreations_per_s,
                          relay.limits.recreations_burst):
        return FR_DOWN_RECREATE_BUDGET
    seed.client = batch.frames[i].client
    seed.session_id = 0
    seed.token_tag = 0
    seed.now_ms = <uint32_t>relay.now.ms
    seed.peer = batch.peer[i]
    seed.via = <uint8_t>via
    seed.state = FR_FLOW_UNCONFIRMED
    batch.flow[i] = fr_table_insert(&relay.table, batch.hash[i], &seed,
                                    &relay.counters.events[FR_EVENT_flows_evicted])
    if batch.flow[i] == NULL:
        return FR_DOWN_TABLE_FULL
    relay.counters.events[FR_EVENT_flows_recreated] += 1
    fr_table_note(&relay.table, batch.flow[i], FR_JOURNAL_recreated)
    return FR_DOWN_RECREATED
