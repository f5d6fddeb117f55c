# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Sending: bundles to transceivers, frames to clients, HELLOs.

Lives here: packing groups into bursts, and handing messages to the kernel until each has gone or been counted as
refused. Must not live here: what is sent and why (relay_up, relay_down).

A short sendmmsg is resumed where it stopped. A message the kernel refuses is counted and left behind: for live
audio, late is lost. UDP_SEGMENT is switched off for good at its first error, and that burst goes again in single datagrams.
"""

from libc.errno cimport (EAGAIN, ECONNREFUSED, EHOSTUNREACH, EINTR, EINVAL, EIO, EMSGSIZE, ENETUNREACH, ENOBUFS,
                         EOPNOTSUPP, errno)
from libc.stdint cimport uint8_t, uint16_t, uint64_t

from core cimport *

# milliseconds a turn may wait for room in a send buffer, in all: longer, and the next packets are late as well
cdef enum:
    SEND_PATIENCE_MS = 2


# --- up --------------------------------------------------------------------------

cdef void send_groups(fr_relay *relay) noexcept nogil:
    """Packs the groups of relay.up and sends them to their transceivers."""
    cdef fr_writer *writer = &relay.writer
    cdef unsigned at, burst = 0
    if relay.group_count == 0:
        return
    fr_writer_reset(writer)
    for at in range(relay.group_count):
        pack_group(relay, &relay.groups[at])
        while burst < writer.burst_count:
            relay.burst_peer[burst] = relay.groups[at].peer
            burst += 1
    relay.counters.events[FR_EVENT_bundles_sent] += writer.datagram_count
    send_bursts(relay)


cdef bint fill_head(fr_relay *relay, fr_peer *peer, fr_burst_head *head, uint8_t kind, uint16_t via) noexcept nogil:
    """False when no key of the ring may mint: nothing can be authenticated, so nothing is sent."""
    cdef int key_id = fr_keyring_minting_id(&relay.keyring, relay.unix_s)
    if key_id < 0:
        return False
    head.mac_key = relay.keyring.keys[key_id].trunk_key
    head.epoch_us = relay.epoch_us
    head.sequence = &peer.sequence_sent
    head.via = via
    head.key_id = <uint8_t>key_id
    head.kind = kind
    return True


cdef void pack_group(fr_relay *relay, const fr_group *group) noexcept nogil:
    cdef fr_up_batch *batch = &relay.up
    cdef fr_burst_head head
    cdef unsigned i = group.first, left
    if not fill_head(relay, &relay.table.peers.peers[group.peer], &head, FR_BUNDLE_UP, group.via):
        relay.counters.events[FR_EVENT_refused_up] += 1
        return
    fr_writer_begin(&relay.writer, &head)
    for left in range(group.count):
        fr_writer_add(&relay.writer, &batch.client[i], batch.payload[i], batch.length[i], 0)
        i = batch.next[i]
    fr_writer_end(&relay.writer)


cdef void send_bursts(fr_relay *relay) noexcept nogil:
    """The writer's bursts, each in one segmented send; datagram by datagram once that has failed."""
    cdef unsigned sent = 0
    if relay.is_offloading:
        queue_bursts(relay)
        sent = send_trunk(relay)
    if sent < relay.writer.burst_count and not relay.is_offloading:
        queue_datagrams(relay, sent)
        send_trunk(relay)


cdef void queue_bursts(fr_relay *relay) noexcept nogil:
    cdef fr_writer *writer = &relay.writer
    cdef fr_trunk_queue *queue = &relay.trunk_queue
    cdef const fr_burst *burst
    cdef const fr_datagram *last
    cdef msghdr *message
    cdef unsigned at
    for at in range(writer.burst_count):
        burst = &writer.bursts[at]
        last = &writer.datagrams[burst.first_datagram + burst.datagram_count - 1]
        message = &queue.messages[at].msg_hdr
        message.msg_iov = &writer.iovecs[writer.datagrams[burst.first_datagram].first_iovec]
        # the last padding is always empty, so it stays behind
        message.msg_iovlen = last.first_iovec + last.iovec_count - 1 - writer.datagrams[burst.first_datagram].first_iovec
        message.msg_namelen = fr_address_to_sockaddr(&relay.table.peers.peers[relay.burst_peer[at]].address,
                                                     relay.trunk_family, &queue.names[at])
        fr_trunk_queue_segment(queue, at, burst.segment_bytes if burst.datagram_count > 1 else 0)
    queue.count = writer.burst_count


cdef void queue_datagrams(fr_relay *relay, unsigned first_burst) noexcept nogil:
    cdef fr_writer *writer = &relay.writer
    cdef fr_trunk_queue *queue = &relay.trunk_queue
    cdef const fr_burst *burst
    cdef const fr_datagram *datagram
    cdef msghdr *message
    cdef unsigned at, i
    queue.count = 0
    for at in range(first_burst, writer.burst_count):
        burst = &writer.bursts[at]
        for i in range(burst.datagram_count):
            datagram = &writer.datagrams[burst.first_datagram + i]
            message = &queue.messages[queue.count].msg_hdr
            message.msg_iov = &writer.iovecs[datagram.first_iovec]
            message.msg_iovlen = datagram.iovec_count - 1
            message.msg_namelen = fr_address_to_sockaddr(&relay.table.peers.peers[relay.burst_peer[at]].address,
                                                         relay.trunk_family, &queue.names[queue.count])
            fr_trunk_queue_segment(queue, queue.count, 0)
            queue.count += 1


cdef unsigned send_trunk(fr_relay *relay) noexcept nogil:
    """Sends relay.trunk_queue; returns how many messages are done with. Fewer than all only when UDP_SEGMENT failed."""
    cdef fr_trunk_queue *queue = &relay.trunk_queue
    cdef unsigned at = 0
    cdef int sent, patience_ms = SEND_PATIENCE_MS
    cdef bint is_second_try = False
    if relay.trunk_sink != NULL:
        relay.trunk_sink(relay.sink_state, relay)
        return queue.count
    while at < queue.count:
        sent = sendmmsg(relay.trunk_fd, &queue.messages[at], queue.count - at, MSG_DONTWAIT)
        relay.counters.events[FR_EVENT_sends_up] += 1
        if sent > 0:
            at += sent
            is_second_try = False
            if at < queue.count:
                relay.counters.events[FR_EVENT_sends_resumed] += 1
            continue
        if errno == EINTR:
            continue
        if (errno == ECONNREFUSED or errno == EHOSTUNREACH or errno == ENETUNREACH) and not is_second_try:
            # an ICMP error of an earlier send, perhaps to another transceiver: take it in, then send this one
            read_trunk_errors(relay)
            is_second_try = True
            continue
        if errno == EAGAIN or errno == ENOBUFS:
            if patience_ms:
                wait_for_room(relay.trunk_fd)
                patience_ms -= 1
                continue
            relay.counters.events[FR_EVENT_no_buffer_up] += queue.count - at
            return queue.count
        if queue.messages[at].msg_hdr.msg_controllen and is_offload_error(errno):
            relay.is_offloading = False
            relay.counters.offload = 0
            relay.counters.events[FR_EVENT_offload_failures] += 1
            return at
        relay.counters.events[FR_EVENT_refused_up] += 1
        at += 1
        is_second_try = False
    return at


cdef bint is_offload_error(int error) noexcept nogil:
    return error == EIO or error == EINVAL or error == EMSGSIZE or error == EOPNOTSUPP


cdef void wait_for_room(int fd) noexcept nogil:
    cdef pollfd waiting
    waiting.fd = fd
    waiting.events = POLLOUT
    waiting.revents = 0
    poll(&waiting, 1, 1)


# --- down ------------------------------------------------------------------------

cdef void send_clients(fr_relay *relay, unsigned at_listener) noexcept nogil:
    """Sends what waits for the clients of one listener, and empties the queue."""
    cdef fr_client_queue *queue = &relay.client_queues[at_listener]
    cdef int fd = relay.listeners[at_listener].fd
    cdef unsigned at = 0
    cdef int sent, patience_ms = SEND_PATIENCE_MS
    if relay.client_sink != NULL:
        relay.client_sink(relay.sink_state, relay, at_listener)
        queue.count = 0
        return
    while at < queue.count:
        sent = sendmmsg(fd, &queue.messages[at], queue.count - at, MSG_DONTWAIT)
        relay.counters.events[FR_EVENT_sends_down] += 1
        if sent > 0:
            at += sent
            if at < queue.count:
                relay.counters.events[FR_EVENT_sends_resumed] += 1
            continue
        if errno == EINTR:
            continue
        if errno == EAGAIN or errno == ENOBUFS:
            if patience_ms:
                wait_for_room(fd)
                patience_ms -= 1
                continue
            relay.counters.events[FR_EVENT_no_buffer_down] += queue.count - at
            break
        relay.counters.events[FR_EVENT_refused_down] += 1
        at += 1
    queue.count = 0


# --- the trunk's own traffic -------------------------------------------------------

cdef void send_hellos(fr_relay *relay, uint64_t now_us) noexcept nogil:
    """A HELLO to each peer whose turn it is."""
    cdef fr_peer_page *page = relay.table.peers
    cdef fr_trunk_queue *queue = &relay.trunk_queue
    cdef uint8_t[72] datagram
    cdef iovec part
    cdef fr_burst_head head
    cdef fr_peer *peer
    cdef unsigned slot
    cdef int length
    for slot in range(page.used):
        peer = &page.peers[slot]
        if not fill_head(relay, peer, &head, FR_HELLO_UP, 0):
            return
        length = fr_peer_hello(peer, &head, 0, now_us, relay.limits.hello_every_ms, relay.limits.peer_forget_ms,
                               datagram)
        if length == 0:
            continue
        part.iov_base = datagram
        part.iov_len = length
        queue.messages[0].msg_hdr.msg_iov = &part
        queue.messages[0].msg_hdr.msg_iovlen = 1
        queue.messages[0].msg_hdr.msg_namelen = fr_address_to_sockaddr(&peer.address, relay.trunk_family,
                                                                       &queue.names[0])
        fr_trunk_queue_segment(queue, 0, 0)
        queue.count = 1
        relay.counters.events[FR_EVENT_hellos_sent] += 1
        send_trunk(relay)


cdef void read_trunk_errors(fr_relay *relay) noexcept nogil:
    """Empties the trunk socket's error queue into counters: of the worker, and of the transceiver it names."""
    cdef fr_sockaddr name
    cdef fr_address destination
    cdef int slot
    while fr_read_socket_error(relay.trunk_fd, &name) > 0:
        relay.counters.events[FR_EVENT_trunk_errors] += 1
        if not fr_address_from_sockaddr(&destination, &name):
            continue
        slot = fr_peer_find(relay.table.peers, &relay.table.hash_key, &destination)
        if slot >= 0:
            relay.table.peers.peers[slot].unreachable += 1
