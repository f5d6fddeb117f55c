# cython: language_level=3
"""The transceiver's end of the trunk: batches of frames in, batches of frames out, one socket.

Lives here: TrunkPort, and Path, which names a client as it was last heard. Frames cross into Python once per batch.
Must not live here: sessions, waiting for the socket (an event loop's reader calls receive), opening it
(fastrelay.transceiver.trunk_port).
"""

import os
from collections import OrderedDict

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from core cimport *
from fastrelay._ext.trunk_end cimport end_hellos, end_read_errors, end_receive, end_send
from fastrelay._ext.values cimport fill_allowed, fill_keyring, parse_address, show_address

cdef extern from "wire/address.h" nogil:
    bint fr_address_is_link_local(const fr_address *address)

cdef enum:
    PATH_KEY = 2 * sizeof(fr_address) + sizeof(uint16_t)  # client, relay, via


cdef class Path:
    """A client, and the relay and local address it was heard through: where a reply goes.

    Paths are equal when all three are. `client` is (ip, port, scope), `relay` (ip, port); `via` is the relay's affair.
    Make one with Path(client, relay, via) only to reach a client that another process has heard.
    """

    def __init__(self, tuple client, tuple relay, int via):
        if not 0 <= via <= 0xffff:
            raise ValueError(f"via {via} is out of range")
        parse_address(&self.client_address, client[0], client[1], client[2] if len(client) > 2 else 0)
        # docs/trunk.md: a relay drops the whole datagram over such a frame, other clients' frames included
        if self.client_address.scope and not fr_address_is_link_local(&self.client_address):
            raise ValueError(f"{client[0]} is not link-local and has no scope, but {client[2]} was given")
        parse_address(&self.relay_address, relay[0], relay[1], 0)
        self.via = via
        self.slot = 0
        self.key = path_key(&self.client_address, &self.relay_address, <uint16_t>via)

    @property
    def client(self):
        """The client's (ip, port, scope)."""
        return show_address(&self.client_address)

    @property
    def relay(self):
        """The relay's (ip, port)."""
        return show_address(&self.relay_address)[:2]

    def __eq__(self, other):
        return isinstance(other, Path) and self.key == (<Path>other).key

    def __hash__(self):
        return hash(self.key)

    def __repr__(self):
        return f"Path({self.client!r}, {self.relay!r}, {self.via})"


cdef bytes path_key(const fr_address *client, const fr_address *relay, uint16_t via):
    cdef char[PATH_KEY] key
    memcpy(key, client, sizeof(fr_address))
    memcpy(key + sizeof(fr_address), relay, sizeof(fr_address))
    memcpy(key + 2 * sizeof(fr_address), &via, sizeof(uint16_t))
    return key[:PATH_KEY]


cdef class TrunkPort:
    """A transceiver's trunk socket.

    `fd` and `family` are of a bound non-blocking UDP socket that stays the caller's; `keys` are
    (id, secret, mint_from_s, open_until_s or None); `allowed` ipaddress networks that relays live in; `epoch_us` the
    time of the start. One thread at a time. `path_capacity` bounds how many paths are remembered; the oldest is
    forgotten, and made again when heard.
    """

    def __cinit__(self, *_, **__):
        self.port = <fr_port *>calloc(1, sizeof(fr_port))
        if self.port == NULL:
            raise MemoryError()

    def __init__(self, int fd, int family, keys, allowed, uint64_t epoch_us, *, bint is_offloading=True,
                 int path_capacity=65536, uint32_t hello_every_ms=1000, uint32_t peer_forget_ms=60000):
        cdef fr_trunk_end *trunk = &self.port.trunk
        cdef bytes random = os.urandom(sizeof(fr_hash_key))
        if path_capacity < 1:
            raise ValueError(f"path_capacity {path_capacity} must be at least 1")
        # ordered, because a plain dict looks for its first key past all that were deleted before it
        self.paths, self.path_capacity, self.arrived = OrderedDict(), path_capacity, []
        self.set_keys(keys)
        fill_allowed(&self.port.allowed, allowed)
        self.port.peers.capacity = FR_PEERS
        memcpy(&trunk.hash_key, <const char *>random, sizeof(fr_hash_key))
        trunk.fd, trunk.family = fd, family
        trunk.is_offloading = is_offloading
        trunk.hello_every_ms, trunk.peer_forget_ms = hello_every_ms, peer_forget_ms
        trunk.epoch_us = epoch_us
        trunk.keyring = &self.port.keyring
        trunk.allowed = &self.port.allowed
        trunk.now = &self.port.now
        trunk.peers = &self.port.peers
        trunk.counters = &self.port.counters
        self.port.counters.magic, self.port.counters.layout = FR_COUNTERS_MAGIC, FR_COUNTERS_LAYOUT
        self.port.counters.offload = is_offloading
        fr_down_ring_open(&trunk.ring)
        fr_trunk_queue_open(&trunk.queue)

    def __dealloc__(self):
        if self.port != NULL:
            fr_keyring_wipe(&self.port.keyring)
            free(self.port)

    def close(self):
        """Lets go of the socket, which stays the caller's. Calls that would use it raise ValueError from now on."""
        self.port.trunk.fd = -1

    cdef void begin(self) except *:
        """Before a closed descriptor's number is used, which may by now name another file."""
        if self.port.trunk.fd < 0:
            raise ValueError("the trunk port is closed")
        fr_read_now(&self.port.now)
        self.port.counters.alive_ms = self.port.now.ms

    def set_keys(self, keys):
        """Replaces the key ring: at start, and when an operator has rotated it."""
        fill_keyring(&self.port.keyring, keys)

    # --- in

    def receive(self):
        """What has arrived, as (path, payload) pairs in order; empty when nothing has. Never waits.

        A full socket is not emptied in one call, so that an event loop gets its turn: call again when it is readable.
        """
        cdef uint64_t sampled_ns
        self.begin()
        end_receive(&self.port.trunk, take_frames, <void *>self, &sampled_ns)
        arrived, self.arrived = self.arrived, []
        return arrived

    cdef Path path_of(self, int peer, int via, const fr_address *client):
        cdef const fr_address *relay = &self.port.peers.peers[peer].address
        cdef bytes key = path_key(client, relay, <uint16_t>via)
        cdef Path path = self.paths.get(key)
        if path is None:
            path = Path.__new__(Path)
            path.client_address, path.relay_address = client[0], relay[0]
            path.via, path.key = via, key
            if len(self.paths) >= self.path_capacity:
                self.paths.popitem(last=False)
            self.paths[key] = path
        path.slot = peer
        return path

    # --- out

    def send(self, frames):
        """Sends (path, payload) pairs of 1 to 2048 bytes: at once, in few datagrams, in order for each client.

        What the kernel refuses is counted and gone, as on any network. What stood before a bad pair is sent.
        """
        held = []  # the batch borrows the payloads
        self.begin()
        try:
            for path, payload in frames:
                if type(payload) is not bytes:
                    raise TypeError(f"a payload is bytes, not {type(payload).__name__}")
                if not 1 <= len(payload) <= FR_CLIENT_DATAGRAM_MAX:
                    raise ValueError(f"a payload of {len(payload)} bytes, must be 1 to {FR_CLIENT_DATAGRAM_MAX}")
                held.append(payload)
                self.add(path, <const uint8_t *><const char *>payload, <uint32_t>len(payload))
        finally:
            self.flush()

    def send_close(self, paths):
        """Tells the relays to forget these clients' flows."""
        self.begin()
        try:
            for path in paths:
                self.add(path, NULL, 0)
        finally:
            self.flush()

    cdef void add(self, path_or_other, const uint8_t *payload, uint32_t length) except *:
        cdef fr_port *port = self.port
        cdef Path path
        if type(path_or_other) is not Path:  # a typed variable would take None as well
            raise TypeError(f"a frame goes to a Path, not to {type(path_or_other).__name__}")
        path = <Path>path_or_other
        if port.count == FR_BATCH:
            self.flush()
        cdef int slot = self.slot_of(path)
        port.client[port.count] = path.client_address
        port.payload[port.count] = payload
        port.length[port.count] = length
        fr_group_join(&port.grouping, <uint16_t>port.count, <uint16_t>slot, <uint16_t>path.via)
        port.count += 1

    cdef int slot_of(self, Path path) except -1:
        """The relay's place among the peers; taken anew when it has been given up in the meantime."""
        cdef fr_peer *guess = &self.port.peers.peers[path.slot]
        if guess.is_used and fr_address_equal(&guess.address, &path.relay_address):
            return path.slot
        cdef int slot = fr_peer_insert(&self.port.peers, &self.port.trunk.hash_key, &path.relay_address,
                                       self.port.now.ms, self.port.trunk.peer_forget_ms)
        if slot < 0:
            raise OSError(-slot, f"no room for another relay than the {FR_PEERS} that are there")
        path.slot = slot
        return slot

    cdef void flush(self) except *:
        cdef fr_port *port = self.port
        cdef fr_outgoing outgoing
        if port.count == 0:
            return
        outgoing.client, outgoing.payload, outgoing.length = port.client, port.payload, port.length
        port.counters.events[FR_EVENT_refused_up] += fr_trunk_end_pack(&port.trunk, &port.grouping, &outgoing)
        with nogil:
            end_send(&port.trunk)
        port.count = 0
        fr_grouping_reset(&port.grouping)

    # --- time, and what an operator sees

    def tick(self):
        """Sends the HELLOs that are due and takes in ICMP errors; call it a few times a second."""
        self.begin()
        end_read_errors(&self.port.trunk)
        end_hellos(&self.port.trunk, fr_monotonic_us())

    def relays(self):
        """Every relay heard: ((ip, port), datagrams received, lost, round trip in us, last heard in ms)."""
        cdef fr_peer *peer
        records = []
        for slot in range(self.port.peers.used):
            peer = &self.port.peers.peers[slot]
            if peer.is_used:
                records.append((show_address(&peer.address)[:2], peer.received, fr_peer_lost(peer), peer.rtt_us,
                                peer.heard_ms))
        return sorted(records)

    def counters(self):
        """The port's counters as bytes, laid out as a worker's counter page."""
        return (<const char *>&self.port.counters)[:sizeof(fr_counters)]

    @property
    def is_offloading(self):
        """Whether UDP_SEGMENT is still in use."""
        return self.port.trunk.is_offloading


cdef int take_frames(void *owner, int peer, const fr_trunk_header *header, const uint8_t *datagram,
                     uint32_t length) noexcept with gil:
    """The frames of an accepted bundle. A relay sends no CLOSE and no empty frame; both are passed over."""
    cdef fr_frame[FR_BUNDLE_FRAMES] frames
    cdef TrunkPort port = <TrunkPort>owner
    cdef int refusal = fr_trunk_read_frames(datagram, length, header, frames)
    cdef unsigned i
    if refusal != 0:
        return refusal
    for i in range(header.frame_count):
        if frames[i].length:
            port.arrived.append((port.path_of(peer, header.via, &frames[i].client),
                                 (<const char *>frames[i].payload)[:frames[i].length]))
    return FR_TRUNK_BUNDLE
