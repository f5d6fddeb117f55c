# cython: language_level=3
"""One worker's state and decisions, without sockets.

Lives here: taking configuration and pages from Python into struct fr_relay, and the face through which tests, tools
and the loop's owner see decisions, flows and counters. Must not live here: sockets and the loop (relay_loop).
"""

import mmap
import os
import time

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset, strerror

from core cimport *
from system cimport *
from fastrelay._ext.relay_down cimport down_datagram, down_flush
from fastrelay._ext.relay_up cimport up_enter, up_handle, up_sample
from fastrelay._ext.trunk_end cimport end_hellos
from fastrelay._ext.values cimport fill_allowed, fill_keyring, parse_address, show_address


cdef extern from "<stdlib.h>" nogil:
    void *aligned_alloc(size_t alignment, size_t size)


cdef extern from "verdict.h":
    """
    #define FR_NAME(name, text) #name,
    static const char *const fr_verdict_names[] = {FR_VERDICTS(FR_NAME)};
    """
    const char **fr_verdict_names


cdef extern from "counters.h":
    """
    static const char *const fr_event_names[] = {FR_EVENTS(FR_NAME)};
    """
    const char **fr_event_names


EVENT_NAMES = tuple((<bytes>fr_event_names[i]).decode() for i in range(<int>FR_EVENT_COUNT))
VERDICT_NAMES = tuple((<bytes>fr_verdict_names[i]).decode() for i in range(<int>FR_VERDICT_COUNT))

LIMIT_NAMES = ("unconfirmed_after_ms", "idle_after_ms", "sweep_period_ms", "session_flows", "source_admissions_per_s",
               "source_admissions_burst", "admissions_per_s", "admissions_burst", "recreations_per_s",
               "recreations_burst", "sibling_lookups_per_s", "sibling_lookups_burst", "token_lifetime_s",
               "clock_skew_s", "hello_every_ms", "peer_forget_ms")


def flow_page_bytes(capacity: int) -> int:
    """Bytes of shared memory a flow table of this capacity takes."""
    size = fr_table_page_bytes(capacity)
    if size == 0:
        raise ValueError(f"flow capacity {capacity} is out of range")
    return size


def flow_page_layout(capacity: int) -> dict:
    """Where readers of a flow page find its parts, in bytes from the start; `end` is the length of the page."""
    flow_page_bytes(capacity)
    cdef fr_table_layout layout = fr_table_layout_of(capacity)
    return {"peers": layout.peers, "flows": layout.flows, "qualities": layout.qualities, "end": layout.end}


def counter_page_bytes() -> int:
    """Bytes of shared memory the counters of one worker take."""
    return sizeof(fr_counters)


# --- sinks -----------------------------------------------------------------------

cdef void collect_trunk(void *state, fr_trunk_end *end) noexcept with gil:
    """In place of sending: the queued messages, cut as the kernel would cut them."""
    cdef fr_trunk_queue *queue = &end.queue
    cdef msghdr *message
    cdef fr_address destination
    cdef unsigned at
    cdef size_t i
    for at in range(queue.count):
        message = &queue.messages[at].msg_hdr
        fr_address_from_sockaddr(&destination, &queue.names[at])
        whole = b"".join([(<const char *>message.msg_iov[i].iov_base)[:message.msg_iov[i].iov_len]
                          for i in range(message.msg_iovlen)])
        step = end.writer.bursts[at].segment_bytes if message.msg_controllen else len(whole)
        for start in range(0, len(whole), step):
            (<RelayCore>state).sent.append((show_address(&destination)[:2], whole[start:start + step]))


cdef void collect_clients(void *state, fr_relay *relay, unsigned listener) noexcept with gil:
    """In place of sending: without sockets every local address has a listener of its own."""
    cdef fr_client_queue *queue = &relay.client_queues[listener]
    cdef fr_address client
    cdef unsigned at
    for at in range(queue.count):
        fr_address_from_sockaddr(&client, &queue.names[at])
        payload = (<const char *>queue.iovecs[at].iov_base)[:queue.iovecs[at].iov_len]
        (<RelayCore>state).sent.append((show_address(&client), relay.listeners[listener].first_local, payload))


cdef void settle_vias(fr_relay *relay) noexcept nogil:
    """Points the flows of a page that was taken over at local addresses that can be sent from; once, at start. A flow
    whose client no address can reach any more ends, and counts as closed so that the sums come out."""
    cdef fr_flow *flow
    cdef uint32_t slot
    cdef int via
    for slot in range(relay.table.page.used):
        flow = &relay.table.flows[slot]
        if flow.state == FR_FLOW_FREE:
            continue
        via = fr_locals_usable(&relay.locals, flow.via, fr_address_is_v4(&flow.client))
        if via < 0:
            fr_table_remove(&relay.table, flow, FR_JOURNAL_closed)
            relay.counters.events[FR_EVENT_flows_closed] += 1
        else:
            flow.via = <uint8_t>via


cdef void sweep_slots(fr_relay *relay, uint32_t count) noexcept nogil:
    """Looks at the next slots of the table and lets go of what has been silent for too long."""
    cdef fr_swept swept
    swept.unconfirmed = swept.idle = 0
    fr_table_sweep(&relay.table, count, <uint32_t>relay.now.ms, relay.limits.unconfirmed_after_ms,
                   relay.limits.idle_after_ms, &swept)
    relay.counters.events[FR_EVENT_flows_expired_unconfirmed] += swept.unconfirmed
    relay.counters.events[FR_EVENT_flows_expired_idle] += swept.idle


# --- the core --------------------------------------------------------------------

cdef class RelayCore:
    """A relay worker's decisions over its flow table: no sockets, and time is an argument.

    `keys` are (id, secret, mint_from_s, open_until_s or None); `allowed` ipaddress networks; `locals_` the (ip, port)
    pairs clients reach, whose index is the trunk's `via`; `limits` a Limits. Pages are writable buffers of
    flow_page_bytes and counter_page_bytes, made here when absent; a page of ours is taken over with its flows.
    `hash_key` is for a flow page that is made anew; all workers of a relay share one, so that they can take over each
    other's flows from `siblings` (see set_siblings). `leaving` are indices of locals_ that take no new sessions.
    """

    def __cinit__(self, *_, **__):
        cdef int failed
        self.relay = <fr_relay *>aligned_alloc(64, (sizeof(fr_relay) + 63) // 64 * 64)
        if self.relay == NULL:
            raise MemoryError()
        memset(self.relay, 0, sizeof(fr_relay))
        failed = fr_token_codec_open(&self.relay.codec) or fr_hmac_open(&self.relay.sha1, b"SHA1")
        if failed:
            raise OSError(-failed, f"libcrypto: {strerror(-failed).decode()}")

    def __init__(self, keys, allowed, int cluster, locals_, limits, uint64_t epoch_us, *, flow_page=None,
                 counter_page=None, siblings=(), hash_key=None, leaving=()):
        if not 0 <= cluster <= 0xffff:
            raise ValueError(f"cluster {cluster} is out of range 0-65535")
        self.sent = []
        self.relay.client_sink = collect_clients
        self.relay.cluster = cluster
        self.set_keys(keys)
        self.set_allowed(allowed)
        self.set_limits(limits)
        self.attach(flow_page, counter_page, hash_key, epoch_us)
        fr_up_ring_open(&self.relay.up_ring)
        self.open_trunk()
        self.open_locals(locals_)
        for listener in range(self.relay.listener_count):
            self.relay.listeners[listener].admits = listener not in leaving
        self.set_siblings(siblings)

    def __dealloc__(self):
        if self.relay != NULL:
            fr_token_codec_close(&self.relay.codec)
            fr_hmac_close(&self.relay.sha1)
            fr_keyring_wipe(&self.relay.keyring)
            free(self.relay)

    # --- configuration

    cpdef void set_keys(self, object keys) except *:
        """Replaces the key ring: at start, and when an operator has rotated it."""
        fill_keyring(&self.relay.keyring, keys)

    cpdef void set_allowed(self, object networks) except *:
        """Replaces the networks that transceivers may live in."""
        fill_allowed(&self.relay.allowed, networks)

    def set_limits(self, limits):
        """Replaces the limits; the capacity of the tables stays what it was. Limits says which values can work."""
        cdef uint32_t *fields = <uint32_t *>&self.relay.limits
        assert sizeof(fr_limits) == 4 * len(LIMIT_NAMES)
        for at, name in enumerate(LIMIT_NAMES):
            value = getattr(limits, name)
            if not 0 < value < 2**32:  # what the field holds
                raise ValueError(f"limit {name} is {value}, must be 1 to 4294967295")
            fields[at] = value
        self.relay.trunk.hello_every_ms = self.relay.limits.hello_every_ms
        self.relay.trunk.peer_forget_ms = self.relay.limits.peer_forget_ms
        self.limits = limits

    def set_draining(self, bint is_draining):
        """Draining, sessions without a flow are refused, and the HELLOs say so; the others go on as ever."""
        self.relay.is_draining = is_draining
        self.relay.trunk.hello_flags = FR_HELLO_DRAINING if is_draining else 0

    def set_siblings(self, pages):
        """Replaces the flow pages of the relay's other workers, which are read only, and held until the next call.

        One whose worker has not attached yet may be empty. ValueError: not a flow page, too short or misaligned.
        """
        cdef fr_siblings siblings
        memset(&siblings, 0, sizeof(fr_siblings))
        if len(pages) > FR_SIBLINGS:
            raise ValueError(f"{len(pages)} siblings, at most {FR_SIBLINGS}")
        views = [memoryview(page) for page in pages]
        for at, view in enumerate(views):
            if add_sibling(&siblings, view):
                raise ValueError(f"sibling {at} is not a flow page")
        self.relay.siblings = siblings
        self.sibling_views = views

    cdef void attach(self, flow_page, counter_page, hash_key, uint64_t epoch_us) except *:
        cdef fr_hash_key new_key
        cdef bytes key_bytes = os.urandom(sizeof(fr_hash_key)) if hash_key is None else hash_key
        cdef size_t flow_bytes = flow_page_bytes(self.limits.flows)
        cdef int attached
        if len(key_bytes) != sizeof(fr_hash_key):
            raise ValueError(f"the hash key has {len(key_bytes)} bytes, must be {sizeof(fr_hash_key)}")
        if not 1 <= self.limits.peers <= FR_PEERS:
            raise ValueError(f"limit peers is {self.limits.peers}, must be 1 to {FR_PEERS}")
        self.flow_page = mmap.mmap(-1, flow_bytes) if flow_page is None else flow_page
        self.counter_page = mmap.mmap(-1, sizeof(fr_counters)) if counter_page is None else counter_page
        memcpy(&new_key, <const char *>key_bytes, sizeof(fr_hash_key))
        attached = fr_table_attach(&self.relay.table, page_memory(self.flow_page, flow_bytes), flow_bytes,
                                   self.limits.flows, &new_key, epoch_us)
        if attached < 0:
            raise OSError(-attached, f"flow page for {self.limits.flows} flows: {strerror(-attached).decode()}")
        if not attached:
            self.relay.table.peers.capacity = self.limits.peers
        self.relay.counters = <fr_counters *>page_memory(self.counter_page, sizeof(fr_counters))
        if self.relay.counters.magic != FR_COUNTERS_MAGIC or self.relay.counters.layout != FR_COUNTERS_LAYOUT:
            memset(self.relay.counters, 0, sizeof(fr_counters))
            self.relay.counters.magic = FR_COUNTERS_MAGIC
            self.relay.counters.layout = FR_COUNTERS_LAYOUT
        self.relay.table.counters = self.relay.counters

    cdef void open_trunk(self) except *:
        """Without a socket: what would be sent is collected."""
        cdef fr_trunk_end *trunk = &self.relay.trunk
        trunk.fd = -1
        trunk.family = AF_INET6
        trunk.is_relay = True
        trunk.is_offloading = True
        trunk.epoch_us = self.relay.table.page.epoch_us
        trunk.hash_key = self.relay.table.hash_key
        trunk.keyring = &self.relay.keyring
        trunk.allowed = &self.relay.allowed
        trunk.now = &self.relay.now
        trunk.peers = self.relay.table.peers
        trunk.counters = self.relay.counters
        trunk.sink = collect_trunk
        trunk.sink_state = <void *>self
        fr_down_ring_open(&trunk.ring)
        fr_trunk_queue_open(&trunk.queue)

    cdef void open_locals(self, locals_) except *:
        """Without sockets: one listener, and one queue, for each local address."""
        cdef fr_address address
        if len(locals_) > FR_LISTENERS:
            raise ValueError(f"{len(locals_)} local addresses, at most {FR_LISTENERS}")
        for at, (ip, port) in enumerate(locals_):
            parse_address(&address, ip, port, 0)
            self.relay.listeners[at].fd = -1
            self.relay.listeners[at].family = AF_INET6
            self.relay.listeners[at].bound = address
            fr_client_queue_open(&self.relay.client_queues[at])
        self.relay.listener_count = len(locals_)
        fr_locals_attach(&self.relay.locals, self.relay.table.locals, self.relay.listeners, self.relay.listener_count)
        for at in range(self.relay.listener_count):
            address = self.relay.listeners[at].bound
            self.relay.listeners[at].first_local = fr_locals_add(&self.relay.locals, self.relay.listeners, at, &address,
                                                                 True)
        settle_vias(self.relay)

    # --- decisions

    def handle_up(self, packets, uint64_t now_ms, uint64_t unix_s):
        """One receive batch of (payload, (ip, port, scope), via): verdicts, and (transceiver, trunk datagram) pairs."""
        cdef fr_up_batch *batch = &self.relay.up
        cdef fr_address client
        cdef bytes payload
        if len(packets) > FR_BATCH:
            raise ValueError(f"{len(packets)} datagrams in one batch, at most {FR_BATCH}")
        held = []  # the batch borrows the payloads
        for at, (payload, (ip, port, scope), via) in enumerate(packets):
            held.append(payload)
            self.check_via(via)
            parse_address(&client, ip, port, scope)
            up_enter(self.relay, at, &client, <const uint8_t *><const char *>payload,
                     <uint32_t>min(len(payload), FR_LENGTH_CUT))
            batch.via[at] = via
        batch.count = len(packets)
        self.relay.now.ms, self.relay.now.unix_s = now_ms, unix_s
        self.sent = []
        up_handle(self.relay)
        up_sample(self.relay, now_ms * 1000)
        return [batch.verdict[at] for at in range(len(packets))], self.sent

    cdef int check_via(self, int via) except -1:
        if not 0 <= via < self.relay.locals.count or self.relay.locals.entries[via].listener == FR_NO_LISTENER:
            raise ValueError(f"via {via} is not the index of a local address")
        return 0

    def handle_down(self, datagrams, uint64_t now_ms, uint64_t unix_s):
        """(source, datagram) pairs: a verdict of each, of each frame, and (client, via, payload) by local address."""
        cdef fr_address source
        cdef bytes datagram
        self.relay.now.ms, self.relay.now.unix_s = now_ms, unix_s
        self.sent = []
        verdicts, frame_verdicts = [], []
        for (ip, port), datagram in datagrams:
            parse_address(&source, ip, port, 0)
            verdicts.append(down_datagram(self.relay, &source, <const uint8_t *><const char *>datagram, len(datagram)))
            frames = self.relay.down.count
            down_flush(self.relay)
            frame_verdicts += [self.relay.down.verdict[at] for at in range(frames)]
        return verdicts, frame_verdicts, self.sent

    def sweep(self, uint64_t now_ms):
        """Looks at every flow once."""
        self.relay.now.ms = now_ms
        sweep_slots(self.relay, self.relay.table.page.used)

    def hello(self, uint64_t now_us, uint64_t unix_s):
        """The HELLOs that are due, as (transceiver, datagram) pairs."""
        self.relay.now.ms, self.relay.now.unix_s = now_us // 1000, unix_s
        self.sent = []
        end_hellos(&self.relay.trunk, now_us)
        return self.sent

    def insert_flow(self, client, transceiver, int via=0, uint64_t now_ms=0):
        """Makes a confirmed flow as a trunk frame would, budgets aside: for benchmarks and tools that fill tables."""
        cdef fr_flow_seed seed
        cdef fr_address peer_address
        cdef int peer
        self.check_via(via)
        memset(&seed, 0, sizeof(fr_flow_seed))
        parse_address(&seed.client, client[0], client[1], client[2] if len(client) > 2 else 0)
        parse_address(&peer_address, transceiver[0], transceiver[1], 0)
        now_ms = now_ms or time.monotonic_ns() // 1_000_000
        peer = fr_peer_insert(self.relay.table.peers, &self.relay.table.hash_key, &peer_address, now_ms,
                              self.relay.limits.peer_forget_ms)
        if peer < 0:
            raise OSError(-peer, "no room for another transceiver")
        seed.peer, seed.via, seed.state, seed.now_ms = peer, via, FR_FLOW_CONFIRMED, <uint32_t>now_ms
        hash_ = fr_hash_address(&self.relay.table.hash_key, &seed.client)
        if (fr_table_find(&self.relay.table, hash_, &seed.client) == NULL
                and fr_table_insert(&self.relay.table, hash_, &seed,
                                    &self.relay.counters.events[FR_EVENT_flows_evicted]) == NULL):
            raise MemoryError("the flow table is full")

    # --- what an operator sees

    @property
    def hash_key(self):
        """The flow page's: of the page that was taken over, or as it was given for a new one."""
        return (<const char *>&self.relay.table.page.hash_key)[:sizeof(fr_hash_key)]

    def flows(self):
        """Every flow: client, via, transceiver, session id, confirmed, last seen, packets up and down, bytes up."""
        cdef fr_flow *flow
        records = []
        for slot in range(self.relay.table.page.used):
            flow = &self.relay.table.flows[slot]
            if flow.state != FR_FLOW_FREE:
                records.append((show_address(&flow.client), flow.via,
                                show_address(&self.relay.table.peers.peers[flow.peer].address)[:2],
                                (<const char *>&flow.session_id)[:8], flow.state == FR_FLOW_CONFIRMED,
                                flow.last_seen_ms, flow.packets_up, flow.packets_down, flow.bytes_up))
        return sorted(records)

    def peers(self):
        """Every transceiver: address, flows, datagrams received and lost, round trip in us, last heard, ICMP errors."""
        cdef fr_peer *peer
        records = []
        for slot in range(self.relay.table.peers.used):
            peer = &self.relay.table.peers.peers[slot]
            if peer.is_used:
                records.append((show_address(&peer.address)[:2], peer.flows, peer.received, fr_peer_lost(peer),
                                peer.rtt_us, peer.heard_ms, peer.unreachable))
        return sorted(records)

    def counters(self):
        """(packets by verdict, bytes by verdict, events), by name."""
        cdef fr_counters *counters = self.relay.counters
        return ({name: counters.verdict_packets[at] for at, name in enumerate(VERDICT_NAMES)},
                {name: counters.verdict_bytes[at] for at, name in enumerate(VERDICT_NAMES)},
                {name: counters.events[at] for at, name in enumerate(EVENT_NAMES)})


cdef void *page_memory(page, size_t needed) except NULL:
    """The address of a writable buffer, which the caller keeps alive by keeping `page`."""
    cdef Py_buffer view
    PyObject_GetBuffer(page, &view, PyBUF_WRITABLE)
    cdef void *memory = view.buf
    cdef size_t length = view.len
    PyBuffer_Release(&view)
    if length < needed:
        raise ValueError(f"the page has {length} bytes and needs {needed}")
    return memory


cdef int add_sibling(fr_siblings *siblings, page) except? -1:
    """0, or a negative errno. The caller keeps the buffer alive."""
    cdef Py_buffer view
    PyObject_GetBuffer(page, &view, PyBUF_SIMPLE)
    cdef int failed = fr_siblings_add(siblings, view.buf, view.len)
    PyBuffer_Release(&view)
    return failed
