# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What leaves a relay worker: groups of client datagrams as bundles, frames as datagrams to clients.

Lives here: handing a batch's groups to the trunk, and sending to clients until each datagram has gone or been counted
as refused. Must not live here: what is sent and why (relay_up, relay_down), sending on the trunk (trunk_end).
"""

from libc.errno cimport EAGAIN, EINTR, ENOBUFS, errno
from libc.stdint cimport uint64_t

from core cimport *
from system cimport *
from fastrelay._ext.trunk_end cimport end_send, wait_for_room


# --- up --------------------------------------------------------------------------

cdef void send_groups(fr_relay *relay) noexcept nogil:
    """Packs what relay.grouping has sorted of the batch, and sends it to the transceivers."""
    cdef fr_outgoing outgoing
    if relay.grouping.count == 0:
        return
    outgoing.client = relay.up.client
    outgoing.payload = relay.up.payload
    outgoing.length = relay.up.length
    relay.counters.events[FR_EVENT_refused_up] += fr_trunk_end_pack(&relay.trunk, &relay.grouping, &outgoing)
    end_send(&relay.trunk)


# --- down ------------------------------------------------------------------------

cdef void send_clients(fr_relay *relay, unsigned listener) noexcept nogil:
    """Sends what waits for the clients of one listener, and empties the queue."""
    cdef fr_client_queue *queue = &relay.client_queues[listener]
    cdef uint64_t *events = relay.counters.events
    cdef int fd = relay.listeners[listener].fd
    cdef unsigned at = 0
    cdef int sent, patience = FR_SEND_PATIENCE
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
