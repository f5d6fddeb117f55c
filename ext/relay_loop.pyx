# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loop of one relay worker: epoll, the way up, the way down, and what is due.

Lives here: RelayLoop, which gives a RelayCore its sockets and runs it in time slices without the GIL.
Must not live here: opening sockets (fastrelay.io.sockets), decisions (relay_up, relay_down), sending (relay_send).

One turn: wait; up, one batch per readable listener; down; HELLOs; one sweep step. A turn never waits to fill a batch.
Python gets the thread back once per slice, for signals and control words.
"""

from libc.errno cimport EINTR, errno
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport strerror
from posix.unistd cimport close

from core cimport *
from system cimport *
from fastrelay._ext.relay_core cimport RelayCore, settle_vias, sweep_slots
from fastrelay._ext.relay_down cimport down_receive
from fastrelay._ext.relay_up cimport up_handle, up_receive, up_sample
from fastrelay._ext.trunk_end cimport end_hellos, end_read_errors
from fastrelay._ext.values cimport parse_address


cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        uint32_t u32
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int EPOLL_CLOEXEC, EPOLL_CTL_ADD
    uint32_t EPOLLIN, EPOLLERR
    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int operation, int fd, epoll_event *event)
    int epoll_wait(int epoll, epoll_event *events, int count, int timeout_ms)


cdef enum:
    TRUNK = FR_LISTENERS       # the trunk's number among the epoll events; listeners have their own index
    HELLO_CHECK_MS = 50        # how often the peers are looked over for a HELLO that is due


cdef class RelayLoop(RelayCore):
    """A relay worker with its sockets.

    `listeners` are (fd, family, ip, port, is_wildcard, admits), `trunk` is (fd, family); both stay the caller's; one
    that does not admit takes no new sessions. `locals_` are (listener index, ip, port, scope): for a socket bound to
    one address that address, for a wildcard socket the host's addresses; later ones are learned from what arrives.
    `is_offloading` lets the trunk use UDP_SEGMENT; `is_spinning` never sleeps between turns.
    """

    cdef int epoll

    def __cinit__(self, *_, **__):
        self.epoll = -1

    def __init__(self, keys, allowed, int cluster, locals_, limits, uint64_t epoch_us, *, listeners, trunk,
                 bint is_offloading=True, bint is_spinning=False, flow_page=None, counter_page=None,
                 siblings=(), hash_key=None):
        RelayCore.__init__(self, keys, allowed, cluster, locals_, limits, epoch_us, flow_page=flow_page,
                           counter_page=counter_page, siblings=siblings, hash_key=hash_key)
        if not 1 <= len(listeners) <= FR_LISTENERS:
            raise ValueError(f"{len(listeners)} listeners, must be 1 to {FR_LISTENERS}")
        self.relay.trunk.sink = NULL
        self.relay.client_sink = NULL
        self.relay.trunk.fd, self.relay.trunk.family = trunk
        self.relay.trunk.is_offloading = is_offloading
        self.relay.is_spinning = is_spinning
        self.relay.counters.offload = is_offloading
        for at, (fd, family, ip, port, is_wildcard, admits) in enumerate(listeners):
            self.relay.listeners[at].fd = fd
            self.relay.listeners[at].family = family
            self.relay.listeners[at].is_wildcard = is_wildcard
            self.relay.listeners[at].admits = admits
            parse_address(&self.relay.listeners[at].bound, ip, port, 0)
            fr_client_queue_open(&self.relay.client_queues[at])
        self.relay.listener_count = len(listeners)
        self.name_locals(locals_)
        self.watch()

    def __dealloc__(self):
        if self.epoll >= 0:
            close(self.epoll)

    cdef void open_locals(self, object locals_) except *:
        """The listeners come first here: name_locals does it."""

    cdef void name_locals(self, object locals_) except *:
        cdef fr_address address
        cdef int local
        named = set()
        fr_locals_attach(&self.relay.locals, self.relay.table.locals, self.relay.listeners, self.relay.listener_count)
        for listener, ip, port, scope in locals_:
            parse_address(&address, ip, port, scope)
            local = fr_locals_add(&self.relay.locals, self.relay.listeners, listener, &address, True)
            if local < 0:
                raise ValueError(f"more than {FR_LOCALS} local addresses")
            if listener not in named:
                self.relay.listeners[listener].first_local = local
                named.add(listener)
        if len(named) != self.relay.listener_count:
            raise ValueError("every listener needs at least one local address")
        settle_vias(self.relay)

    cdef void watch(self) except *:
        cdef epoll_event event
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll < 0:
            raise OSError(errno, f"epoll: {strerror(errno).decode()}")
        event.events = EPOLLIN
        for at in range(self.relay.listener_count + 1):
            is_trunk = at == self.relay.listener_count
            event.data.u32 = TRUNK if is_trunk else at
            fd = self.relay.trunk.fd if is_trunk else self.relay.listeners[at].fd
            if epoll_ctl(self.epoll, EPOLL_CTL_ADD, fd, &event) < 0:
                raise OSError(errno, f"epoll: {strerror(errno).decode()}")

    def run(self, uint32_t slice_ms):
        """Works for one slice, without the GIL; returns early when a signal arrives."""
        with nogil:
            run_slice(self.relay, self.epoll, slice_ms)

    def listener_flows(self):
        """How many flows clients have on each listener, in the order of the listeners."""
        cdef fr_flow *flow
        cdef uint32_t[FR_LISTENERS] counts
        cdef uint32_t slot
        for at in range(FR_LISTENERS):
            counts[at] = 0
        for slot in range(self.relay.table.page.used):
            flow = &self.relay.table.flows[slot]
            if flow.state != FR_FLOW_FREE and flow.via < self.relay.locals.count:
                listener = self.relay.locals.entries[flow.via].listener
                if listener < FR_LISTENERS:
                    counts[listener] += 1
        return [counts[at] for at in range(self.relay.listener_count)]

    @property
    def is_offloading(self):
        """Whether UDP_SEGMENT is still in use."""
        return self.relay.trunk.is_offloading


# --- the loop ----------------------------------------------------------------------

cdef void run_slice(fr_relay *relay, int epoll, uint32_t slice_ms) noexcept nogil:
    cdef epoll_event[FR_LISTENERS + 1] events
    cdef uint64_t end_ms
    cdef int ready, timeout_ms
    fr_read_now(&relay.now)
    end_ms = relay.now.ms + slice_ms
    while relay.now.ms < end_ms:
        timeout_ms = 0 if relay.is_spinning or is_sweep_due(relay) else <int>min(end_ms - relay.now.ms, HELLO_CHECK_MS)
        ready = epoll_wait(epoll, events, FR_LISTENERS + 1, timeout_ms)
        fr_read_now(&relay.now)
        if ready < 0 and errno == EINTR:
            break
        turn(relay, events, ready)
    relay.counters.flows = relay.table.page.flows
    relay.counters.unconfirmed = relay.table.page.unconfirmed


cdef void turn(fr_relay *relay, const epoll_event *events, int ready) noexcept nogil:
    cdef int at
    relay.counters.alive_ms = relay.now.ms
    relay.counters.events[FR_EVENT_turns] += 1
    for at in range(ready):
        if events[at].data.u32 != TRUNK:
            forward_up(relay, events[at].data.u32)
            continue
        if events[at].events & EPOLLERR:
            end_read_errors(&relay.trunk)
        down_receive(relay)
    if relay.now.ms >= relay.hello_check_ms:
        relay.hello_check_ms = relay.now.ms + HELLO_CHECK_MS
        end_hellos(&relay.trunk, fr_monotonic_us())
    sweep(relay)


cdef void forward_up(fr_relay *relay, unsigned listener) noexcept nogil:
    cdef fr_received_note note
    if up_receive(relay, listener) == 0:
        return
    # the note lies in the ring, which the sends leave alone; it is read after them because it is not urgent
    up_handle(relay)
    fr_read_note(&relay.up_ring.messages[0].msg_hdr, &note)
    if note.has_kernel_drops:
        relay.counters.events[FR_EVENT_kernel_drops_up] += <uint32_t>(note.kernel_drops
                                                                      - relay.listeners[listener].kernel_drops)
        relay.listeners[listener].kernel_drops = note.kernel_drops
    # from the kernel's receipt of the batch's first datagram, which has waited longest, to the end of the sends
    fr_count_hop(relay.counters.hop_up_ns, note.received_ns)
    up_sample(relay, fr_monotonic_us())


# --- sweeping ----------------------------------------------------------------------

cdef bint is_sweep_due(const fr_relay *relay) noexcept nogil:
    return relay.sweep_debt >= <uint64_t>relay.limits.sweep_period_ms * FR_SWEEP_STEP


cdef void sweep(fr_relay *relay) noexcept nogil:
    """One step, if time has made one due. The debt is one round at most: a worker that slept does not make it up."""
    cdef uint64_t used = relay.table.page.used
    cdef uint64_t period_ms = relay.limits.sweep_period_ms
    cdef uint64_t slots
    relay.sweep_debt += used * (relay.now.ms - relay.swept_ms if relay.swept_ms else 0)
    relay.swept_ms = relay.now.ms
    relay.sweep_debt = min(relay.sweep_debt, used * period_ms)
    slots = min(relay.sweep_debt // period_ms, <uint64_t>FR_SWEEP_STEP)
    if slots == 0:
        return
    relay.sweep_debt -= slots * period_ms
    sweep_slots(relay, <uint32_t>slots)
