# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What leaves a relay worker: groups of client datagrams as bundles, frames as datagrams to clients.

Lives here: packing groups into bursts, and sending to clients until each datagram has gone or been counted as refused.
Must not live here: what is sent and why (relay_up, relay_down), sending on the trunk (trunk_end).
"""

from libc.errno cimport EAGAIN, EINTR, ENOBUFS, errno
from libc.stdint cimport uint64_t

from core cimport *
from fastrelay._ext.trunk_end cimport end_send, wait_for_room

# how often a turn may wait a millisecond for room in a send buffer: any longer and the next packets are late as well
cdef enum:
    SEND_PATIENCE = 2


# --- up --------------------------------------------------------------------------

cdef void send_groups(fr_relay *relay) noexcept nogil:
    """Packs the groups of relay.up and sends them to their transceivers."""
    cdef fr_writer *writer = &relay.trunk.writer
    cdef unsigned at, burst = 0
    if relay.group_count == 0:
        return
    fr_writer_reset(writer)
    for at in range(relay.group_count):
        pack_group(relay, &relay.groups[at])
        while burst < writer.burst_count:
            relay.trunk.burst_peer[burst] = relay.groups[at].peer
            burst += 1
    end_send(&relay.trunk)


cdef void pack_group(fr_relay *relay, const fr_group *group) noexcept nogil:
    cdef fr_up_batch *batch = &relay.up
    cdef fr_writer *writer = &relay.trunk.writer
    cdef fr_burst_head head
    cdef unsigned i = group.first
    cdef unsigned left = group.count
    if not fr_trunk_end_head(&relay.trunk, group.peer, FR_BUNDLE_UP, group.via, &head):
        relay.counters.events[FR_EVENT_refused_up] += left
        return
    fr_writer_begin(writer, &head)
    while left:
        fr_writer_add(writer, &batch.client[i], batch.payload[i], batch.length[i], 0)
        i = batch.next[i]
        left -= 1
    fr_writer_end(writer)


# --- down ------------------------------------------------------------------------

cdef void send_clients(fr_relay *relay, unsigned listener) noexcept nogil:
    """Sends what waits for the clients of one listener, and empties the queue."""
    cdef fr_client_queue *queue = &relay.client_queues[listener]
    cdef uint64_t *events = relay.counters.events
    cdef int fd = relay.listeners[listener].fd
    cdef unsigned at = 0
    cdef int sent, patience = SEND_PATIENCE
    if relay.client_sink != NULL:
        relay.client_sink(relay.trunk.sink_state, relay, listener)
        queue.count = 0
    while at < queue.count:
        sent = sendmmsg(fd, &queue.messages[at], queue.count - at, MSG_DONTWAIT)
        events[FR_EVENT_sends_down] += 1
        if sent > 0:
            at += sent
            events[FR_EVENT_sends_resumed] += at < queue.count
        elif errno == EINTR:
            pass
        elif errno == EAGAIN or errno == ENOBUFS:
            if patience == 0:
                events[FR_EVENT_no_buffer_down] += queue.count - at
                break
            patience -= 1
            wait_for_room(fd)
        else:
            events[FR_EVENT_refused_down] += 1
            at += 1
    queue.count = 0
