# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The way down: trunk datagrams become packets to clients.

Lives here: receiving trunk datagrams, checking them in the order of docs/trunk.md, and deciding each frame's verdict.
The readable twin of these decisions is fastrelay/relay/dataplane/twin.py. Must not live here: sending (relay_send).

Frames of several datagrams are gathered before they are looked up, for the same reason as on the way up: so that
memory is asked for before it is needed.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from core cimport *
from fastrelay._ext.relay_send cimport send_clients


cdef extern from *:
    void prefetch_for_write "__builtin_prefetch"(const void *address, int for_write) nogil


# --- receive ---------------------------------------------------------------------

cdef unsigned down_receive(fr_relay *relay) noexcept nogil:
    """Takes what waits on the trunk socket, without waiting, all the way to the clients; returns the receives."""
    cdef fr_down_ring *ring = &relay.down_ring
    cdef fr_received_note note
    cdef fr_address source
    cdef mmsghdr *message
    cdef uint64_t sampled_ns = 0
    cdef int i, received
    for i in range(FR_TRUNK_BATCH):
        ring.messages[i].msg_hdr.msg_controllen = FR_RECEIVE_CONTROL
    received = recvmmsg(relay.trunk_fd, ring.messages, FR_TRUNK_BATCH, MSG_DONTWAIT, NULL)
    if received <= 0:
        # a pending ICMP error is reported here once; epoll's EPOLLERR brings its details
        if received < 0 and errno != EAGAIN and errno != EINTR:
            relay.counters.events[FR_EVENT_receive_errors] += 1
        return 0
    relay.counters.events[FR_EVENT_receives_down] += 1
    for i in range(received):
        message = &ring.messages[i]
        fr_address_from_sockaddr(&source, &ring.names[i])
        message.msg_hdr.msg_namelen = sizeof(fr_sockaddr)
        fr_read_note(&message.msg_hdr, &note)
        if note.has_kernel_drops:
            relay.counters.events[FR_EVENT_kernel_drops_down] += <uint32_t>(note.kernel_drops - relay.trunk_kernel_drops)
            relay.trunk_kernel_drops = note.kernel_drops
        if sampled_ns == 0:
            sampled_ns = note.received_ns
        if message.msg_hdr.msg_flags & MSG_TRUNC:
            relay.counters.events[FR_EVENT_trunk_cut] += 1
            continue
        take_segments(relay, &source, <const uint8_t *>message.msg_hdr.msg_iov.iov_base, message.msg_len,
                      note.segment_bytes)
    down_flush(relay)
    # from the kernel's receipt of the batch's first datagram to the end of the sends
    fr_count_hop(relay.counters.hop_down_ns, sampled_ns)
    return received


cdef void take_segments(fr_relay *relay, const fr_address *source, const uint8_t *bytes, uint32_t length,
                        uint32_t segment_bytes) noexcept nogil:
    """The datagrams that UDP_GRO has handed over as one; length 0 is a datagram too."""
    cdef uint32_t at = 0, part
    if segment_bytes == 0 or segment_bytes > length:
        segment_bytes = length
    while True:
        part = length - at if length - at < segment_bytes else segment_bytes
        down_datagram(relay, source, bytes + at, part)
        at += part
        if at >= length:
            return


# --- the datagram ------------------------------------------------------------------

cdef int down_datagram(fr_relay *relay, const fr_address *source, const uint8_t *datagram,
                       uint32_t length) noexcept nogil:
    """Its verdict; frames of an accepted bundle are gathered in relay.down."""
    cdef int verdict = judge_datagram(relay, source, datagram, length)
    fr_count_verdict(relay.counters, verdict, length)
    return verdict


cdef int judge_datagram(fr_relay *relay, const fr_address *source, const uint8_t *datagram,
                        uint32_t length) noexcept nogil:
    """The checks of docs/trunk.md, in their order."""
    cdef fr_trunk_header header
    cdef fr_hello hello
    cdef fr_peer *peer
    cdef int refusal, slot
    refusal = fr_trunk_read_header(datagram, length, &header)
    if refusal != 0:
        return refusal
    slot = known_sender(relay, source)
    if slot < 0 and not fr_relay_allows(relay, source):
        return FR_TRUNK_SOURCE
    refusal = authenticate(relay, datagram, length, &header)
    if refusal != 0:
        return refusal
    if header.kind != FR_BUNDLE_DOWN and header.kind != FR_HELLO_DOWN:
        return FR_TRUNK_DIRECTION
    if slot < 0:
        slot = fr_peer_insert(relay.table.peers, &relay.table.hash_key, source, relay.now_ms,
                              relay.limits.peer_forget_ms)
        if slot < 0:
            return FR_TRUNK_PEERS_FULL
        relay.last_peer = slot
    peer = &relay.table.peers.peers[slot]
    if not fr_peer_accept(peer, header.epoch_us, header.sequence, relay.now_ms, relay.limits.peer_forget_ms):
        return FR_TRUNK_REPLAYED
    if header.kind == FR_BUNDLE_DOWN:
        return gather(relay, datagram, length, &header, slot)
    refusal = fr_trunk_read_hello(datagram, &header, &hello)
    if refusal != 0:
        return refusal
    fr_peer_heard_hello(peer, &hello, fr_monotonic_us())
    return FR_TRUNK_HELLO


cdef inline int known_sender(fr_relay *relay, const fr_address *source) noexcept nogil:
    cdef fr_peer *guess = &relay.table.peers.peers[relay.last_peer]
    cdef int slot
    # the segments of one burst come from one sender
    if guess.is_used and fr_address_equal(&guess.address, source):
        return relay.last_peer
    slot = fr_peer_find(relay.table.peers, &relay.table.hash_key, source)
    if slot >= 0:
        relay.last_peer = slot
    return slot


cdef inline int authenticate(const fr_relay *relay, const uint8_t *datagram, uint32_t length,
                             const fr_trunk_header *header) noexcept nogil:
    cdef const fr_key *key = fr_keyring_find(&relay.keyring, header.key_id)
    if key == NULL or relay.unix_s >= key.open_until_s:
        return FR_TRUNK_UNKNOWN_KEY
    return fr_trunk_check_mac(datagram, length, header, key.trunk_key)


cdef int gather(fr_relay *relay, const uint8_t *datagram, uint32_t length, const fr_trunk_header *header,
                int slot) noexcept nogil:
    cdef fr_down_batch *batch = &relay.down
    cdef unsigned i
    cdef int refusal = fr_trunk_read_frames(datagram, length, header, &batch.frames[batch.count])
    if refusal != 0:
        return refusal
    for i in range(batch.count, batch.count + header.frame_count):
        batch.peer[i] = <uint16_t>slot
        batch.via[i] = header.via
        batch.hash[i] = fr_hash_address(&relay.table.hash_key, &batch.frames[i].client)
        fr_table_prefetch(&relay.table, batch.hash[i])
    batch.count += header.frame_count
    if batch.count >= FR_SEND_BATCH:
        down_flush(relay)
    return FR_TRUNK_BUNDLE


# --- the frames --------------------------------------------------------------------

cdef void down_flush(fr_relay *relay) noexcept nogil:
    """Decides the gathered frames in order and sends what goes to clients."""
    cdef fr_down_batch *batch = &relay.down
    cdef unsigned i
    cdef int verdict
    for i in range(batch.count):
        batch.flow[i] = fr_table_guess(&relay.table, batch.hash[i])
        prefetch_for_write(batch.flow[i], 1)
    for i in range(batch.count):
        verdict = judge_frame(relay, i)
        batch.verdict[i] = <uint8_t>verdict
        fr_count_verdict(relay.counters, verdict, batch.frames[i].length)
        if verdict <= FR_DOWN_RECREATED:
            queue_client(relay, i)
    for i in range(relay.listener_count):
        if relay.client_queues[i].count:
            send_clients(relay, i)
    batch.count = 0


cdef inline int judge_frame(fr_relay *relay, unsigned i) noexcept nogil:
    cdef fr_down_batch *batch = &relay.down
    cdef const fr_frame *frame = &batch.frames[i]
    cdef fr_flow *flow = batch.flow[i]
    # an earlier frame of the batch may have removed or replaced what the guess points at
    if flow != NULL and (flow.state == FR_FLOW_FREE or not fr_address_equal(&flow.client, &frame.client)):
        flow = NULL
    if flow == NULL:
        flow = fr_table_find(&relay.table, batch.hash[i], &frame.client)
        batch.flow[i] = flow
    if frame.length == 0:
        return close_flow(relay, flow, batch.peer[i]) if frame.flags & FR_FRAME_CLOSE else FR_DOWN_EMPTY
    if flow == NULL:
        return recreate_flow(relay, i)
    if flow.peer != batch.peer[i]:
        return FR_DOWN_NOT_YOURS
    if flow.state == FR_FLOW_UNCONFIRMED:
        # the answer to a forged source may not be larger than the forgery
        if frame.length > flow.bytes_up:
            return FR_DOWN_AMPLIFIED
        fr_table_confirm(&relay.table, flow)
        relay.counters.events[FR_EVENT_flows_confirmed] += 1
        flow.packets_down += 1
        return FR_DOWN_CONFIRMED
    flow.packets_down += 1
    return FR_DOWN_FORWARDED


cdef int close_flow(fr_relay *relay, fr_flow *flow, uint16_t peer) noexcept nogil:
    if flow == NULL or flow.peer != peer:
        return FR_DOWN_CLOSE_UNKNOWN
    fr_table_remove(&relay.table, flow)
    relay.counters.events[FR_EVENT_flows_closed] += 1
    return FR_DOWN_CLOSED


cdef int recreate_flow(fr_relay *relay, unsigned i) noexcept nogil:
    """The transceiver vouches for an address it has authenticated: a lost flow comes back before the client speaks."""
    cdef fr_down_batch *batch = &relay.down
    cdef const fr_frame *frame = &batch.frames[i]
    cdef bint is_v4 = fr_address_is_v4(&frame.client)
    cdef int via = batch.via[i]
    cdef fr_flow_seed seed
    if via >= <int>relay.locals.count or fr_address_is_v4(&relay.locals.entries[via].address) != is_v4:
        via = fr_locals_of_family(&relay.locals, is_v4)
    if via < 0 or not fr_address_is_sendable(&frame.client):
        return FR_DOWN_BAD_ADDRESS
    if not fr_bucket_take(&relay.recreations, <uint32_t>relay.now_ms, relay.limits.recreations_per_s,
                          relay.limits.recreations_burst):
        return FR_DOWN_RECREATE_BUDGET
    seed.client = frame.client
    seed.session_id = 0
    seed.token_tag = 0
    seed.now_ms = <uint32_t>relay.now_ms
    seed.peer = batch.peer[i]
    seed.via = <uint8_t>via
    seed.state = FR_FLOW_CONFIRMED
    batch.flow[i] = fr_table_insert(&relay.table, batch.hash[i], &seed,
                                    &relay.counters.events[FR_EVENT_flows_evicted])
    if batch.flow[i] == NULL:
        return FR_DOWN_TABLE_FULL
    batch.flow[i].packets_down = 1
    relay.counters.events[FR_EVENT_flows_recreated] += 1
    return FR_DOWN_RECREATED


cdef inline void queue_client(fr_relay *relay, unsigned i) noexcept nogil:
    """To the client, from the local address it knows."""
    cdef const fr_frame *frame = &relay.down.frames[i]
    cdef const fr_local *local = &relay.locals.entries[relay.down.flow[i].via]
    cdef fr_client_queue *queue = &relay.client_queues[local.listener]
    cdef msghdr *message
    if queue.count == FR_SEND_BATCH:
        send_clients(relay, local.listener)
    message = &queue.messages[queue.count].msg_hdr
    message.msg_namelen = fr_address_to_sockaddr(&frame.client, relay.listeners[local.listener].family,
                                                 &queue.names[queue.count])
    message.msg_control = <void *>local.control if local.control_bytes else NULL
    message.msg_controllen = local.control_bytes
    queue.iovecs[queue.count].iov_base = <void *>frame.payload
    queue.iovecs[queue.count].iov_len = frame.length
    queue.count += 1
