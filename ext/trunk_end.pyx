# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The trunk's socket calls, for relay and transceiver alike: receive datagrams, send bursts and HELLOs.

Lives here: recvmmsg with UDP_GRO, sendmmsg with UDP_SEGMENT, and what to do when the kernel takes less than it was
given. Must not live here: the checks (trunk/end.c), and what becomes of frames (relay_down, trunk_port).

A short sendmmsg is resumed where it stopped. A message the kernel refuses is counted and left behind: for live
audio, late is lost. UDP_SEGMENT is switched off for good at its first error, and that burst goes again in single
datagrams.
"""

from libc.errno cimport (EAGAIN, ECONNREFUSED, EHOSTUNREACH, EINTR, EINVAL, EIO, EMSGSIZE, ENETUNREACH, ENOBUFS,
                         EOPNOTSUPP, errno)
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from core cimport *
from system cimport *


# --- receiving -------------------------------------------------------------------

cdef int end_receive(fr_trunk_end *end, take_bundle take, void *owner, uint64_t *sampled_ns) noexcept nogil:
    """Takes what waits on the socket, without waiting, through the checks; returns how many buffers were filled.

    Payloads stay in the ring until the next call. *sampled_ns becomes the kernel's receipt of the first, 0 = unknown.
    """
    cdef fr_down_ring *ring = &end.ring
    cdef fr_received_note note
    cdef fr_address source
    cdef mmsghdr *message
    cdef int i, received
    sampled_ns[0] = 0
    for i in range(FR_TRUNK_BATCH):
        ring.messages[i].msg_hdr.msg_controllen = FR_RECEIVE_CONTROL
    received = recvmmsg(end.fd, ring.messages, FR_TRUNK_BATCH, MSG_DONTWAIT, NULL)
    if received <= 0:
        if received < 0:
            note_receive_error(end, errno)
        return 0
    end.counters.events[FR_EVENT_receives_down] += 1
    for i in range(received):
        message = &ring.messages[i]
        fr_address_from_sockaddr(&source, &ring.names[i])
        message.msg_hdr.msg_namelen = sizeof(fr_sockaddr)
        fr_read_note(&message.msg_hdr, &note)
        if note.has_kernel_drops:
            end.counters.events[FR_EVENT_kernel_drops_down] += <uint32_t>(note.kernel_drops - end.kernel_drops)
            end.kernel_drops = note.kernel_drops
        if i == 0:
            sampled_ns[0] = note.received_ns
        if message.msg_hdr.msg_flags & MSG_TRUNC:
            end.counters.events[FR_EVENT_trunk_cut] += 1
            continue
        take_segments(end, &source, <const uint8_t *>message.msg_hdr.msg_iov.iov_base, message.msg_len,
                      note.segment_bytes, take, owner)
    return received


cdef void note_receive_error(fr_trunk_end *end, int error) noexcept nogil:
    if error == EAGAIN or error == EINTR:
        return
    if is_unreachable(error):
        # an ICMP error of an earlier send, reported once here; the error queue says whom it is about
        end_read_errors(end)
    else:
        end.counters.events[FR_EVENT_receive_errors] += 1


cdef void take_segments(fr_trunk_end *end, const fr_address *source, const uint8_t *bytes, uint32_t length,
                        uint32_t segment_bytes, take_bundle take, void *owner) noexcept nogil:
    """The datagrams that UDP_GRO has handed over as one. Length 0 is a datagram too."""
    cdef uint32_t at = 0
    if segment_bytes == 0 or segment_bytes > length:
        segment_bytes = length
    while True:
        end_datagram(end, source, bytes + at, min(length - at, segment_bytes), take, owner)
        at += segment_bytes
        if at >= length:
            return


cdef int end_datagram(fr_trunk_end *end, const fr_address *source, const uint8_t *datagram, uint32_t length,
                      take_bundle take, void *owner) noexcept nogil:
    """Its verdict, counted."""
    cdef fr_trunk_header header
    cdef int slot
    cdef int verdict = fr_trunk_end_judge(end, source, datagram, length, &header, &slot)
    if verdict == FR_TRUNK_BUNDLE:
        verdict = take(owner, slot, &header, datagram, length)
    fr_count_verdict(end.counters, verdict, length)
    return verdict


# --- sending ---------------------------------------------------------------------

cdef void end_send(fr_trunk_end *end) noexcept nogil:
    """Sends the writer's bursts, each in one segmented send; datagram by datagram once that has failed."""
    cdef unsigned sent = 0
    end.counters.events[FR_EVENT_bundles_sent] += end.writer.datagram_count
    if end.is_offloading:
        queue_bursts(end)
        sent = send_queue(end)
    if sent < end.writer.burst_count and not end.is_offloading:
        queue_datagrams(end, sent)
        send_queue(end)


cdef inline void address_message(fr_trunk_end *end, unsigned at, unsigned peer) noexcept nogil:
    cdef const fr_address *to = &end.peers.peers[peer].address
    end.queue.messages[at].msg_hdr.msg_namelen = fr_address_to_sockaddr(to, end.family, &end.queue.names[at])


cdef void queue_bursts(fr_trunk_end *end) noexcept nogil:
    cdef fr_writer *writer = &end.writer
    cdef const fr_burst *burst
    cdef const fr_datagram *first
    cdef const fr_datagram *last
    cdef unsigned at
    for at in range(writer.burst_count):
        burst = &writer.bursts[at]
        first = &writer.datagrams[burst.first_datagram]
        last = first + burst.datagram_count - 1
        end.queue.messages[at].msg_hdr.msg_iov = &writer.iovecs[first.first_iovec]
        # the last padding is always empty, so it stays behind
        end.queue.messages[at].msg_hdr.msg_iovlen = last.first_iovec + last.iovec_count - 1 - first.first_iovec
        address_message(end, at, end.burst_peer[at])
        fr_trunk_queue_segment(&end.queue, at, burst.segment_bytes if burst.datagram_count > 1 else 0)
    end.queue.count = writer.burst_count


cdef void queue_datagrams(fr_trunk_end *end, unsigned first_burst) noexcept nogil:
    cdef fr_writer *writer = &end.writer
    cdef const fr_burst *burst
    cdef const fr_datagram *datagram
    cdef unsigned at, i, queued = 0
    for at in range(first_burst, writer.burst_count):
        burst = &writer.bursts[at]
        for i in range(burst.datagram_count):
            datagram = &writer.datagrams[burst.first_datagram + i]
            end.queue.messages[queued].msg_hdr.msg_iov = &writer.iovecs[datagram.first_iovec]
            end.queue.messages[queued].msg_hdr.msg_iovlen = datagram.iovec_count - 1
            address_message(end, queued, end.burst_peer[at])
            fr_trunk_queue_segment(&end.queue, queued, 0)
            queued += 1
    end.queue.count = queued


cdef unsigned send_queue(fr_trunk_end *end) noexcept nogil:
    """Sends what is queued; returns how many messages are done with: fewer than all only when UDP_SEGMENT failed."""
    cdef fr_trunk_queue *queue = &end.queue
    cdef uint64_t *events = end.counters.events
    cdef unsigned at = 0
    cdef int sent, patience = FR_SEND_PATIENCE
    cdef bint is_second_try = False
    if end.sink != NULL:
        end.sink(end.sink_state, end)
        return queue.count
    while at < queue.count:
        sent = sendmmsg(end.fd, &queue.messages[at], queue.count - at, MSG_DONTWAIT)
        events[FR_EVENT_sends_up] += 1
        if sent > 0:
            at += sent
            is_second_try = False
            events[FR_EVENT_sends_resumed] += at < queue.count
        elif errno == EINTR:
            pass
        elif is_unreachable(errno) and not is_second_try:
            # perhaps about an earlier send, and to another peer: take that in, then try this one again
            end_read_errors(end)
            is_second_try = True
        elif errno == EAGAIN or errno == ENOBUFS:
            if patience == 0:
                events[FR_EVENT_no_buffer_up] += queue.count - at
                return queue.count
            patience -= 1
            wait_for_room(end.fd)
        elif queue.messages[at].msg_hdr.msg_controllen and is_offload_error(errno):
            end.is_offloading = False
            end.counters.offload = 0
            events[FR_EVENT_offload_failures] += 1
            return at
        else:
            events[FR_EVENT_refused_up] += 1
            at += 1
            is_second_try = False
    return at


cdef inline bint is_unreachable(int error) noexcept nogil:
    return error == ECONNREFUSED or error == EHOSTUNREACH or error == ENETUNREACH


cdef inline bint is_offload_error(int error) noexcept nogil:
    return error == EIO or error == EINVAL or error == EMSGSIZE or error == EOPNOTSUPP


cdef void wait_for_room(int fd) noexcept nogil:
    """Until the socket takes more, a millisecond at most."""
    cdef pollfd waiting
    waiting.fd = fd
    waiting.events = POLLOUT
    waiting.revents = 0
    poll(&waiting, 1, 1)


# --- the trunk's own traffic -------------------------------------------------------

cdef void end_hellos(fr_trunk_end *end, uint64_t now_us) noexcept nogil:
    """A HELLO to each peer whose turn it is."""
    cdef uint8_t[FR_TRUNK_HEADER + FR_HELLO_BODY] datagram
    cdef fr_trunk_kind kind = FR_HELLO_UP if end.is_relay else FR_HELLO_DOWN
    cdef fr_burst_head head
    cdef iovec part
    cdef unsigned slot
    cdef int length
    for slot in range(end.peers.used):
        if not fr_trunk_end_head(end, slot, kind, 0, &head):
            return
        length = fr_peer_hello(&end.peers.peers[slot], &head, end.hello_flags, now_us, end.hello_every_ms,
                               end.peer_forget_ms, datagram)
        if length == 0:
            continue
        part.iov_base = datagram
        part.iov_len = length
        end.queue.messages[0].msg_hdr.msg_iov = &part
        end.queue.messages[0].msg_hdr.msg_iovlen = 1
        address_message(end, 0, slot)
        fr_trunk_queue_segment(&end.queue, 0, 0)
        end.queue.count = 1
        end.counters.events[FR_EVENT_hellos_sent] += 1
        send_queue(end)


cdef void end_read_errors(fr_trunk_end *end) noexcept nogil:
    """Empties the socket's error queue into counters: of the worker, and of the peer it names."""
    cdef fr_sockaddr name
    cdef fr_address destination
    cdef int slot
    while fr_read_socket_error(end.fd, &name) > 0:
        end.counters.events[FR_EVENT_trunk_errors] += 1
        if not fr_address_from_sockaddr(&destination, &name):
            continue
        slot = fr_peer_find(end.peers, &end.hash_key, &destination)
        if slot >= 0:
            end.peers.peers[slot].unreachable += 1
