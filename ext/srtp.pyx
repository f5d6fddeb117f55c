# cython: language_level=3
"""SRTP of many calls at once: batches of packets in, batches of packets out, on libsrtp's own functions.

Lives here: the Python face of media/srtp.c, a packet's value, the memory of a batch. Must not live here: finding the
functions, contexts and keys (fastrelay.transceiver.libsrtp), formats, RTCP's meaning.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.long cimport PyLong_AsUnsignedLongMask
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

cimport cython

from media cimport *


cdef enum:
    # packets whose memory is laid out, and whose work is done, in one go
    CHUNK = 256
    # Packets from which that is done without the GIL (40 us of work). A thread that runs Python takes the GIL when it
    # is let go and keeps it for a switch interval: beside such a thread 64 packets took 300 us on average without the
    # GIL and 50 us with it, and 22 us nearly always.
    RELEASE_FROM = 128
    PAYLOAD_MAX = 1340  # fastrelay.transceiver.srtp_session.PAYLOAD_MAX_BYTES
    RTCP_MAX = 1352  # fastrelay.transceiver.libsrtp.SEAL_MAX_BYTES
    ALIGNMENT = 16

cdef struct opening:
    fr_srtp_inbound *inbound
    uint8_t *packet
    size_t length
    int verdict
    fr_srtp_opened opened

cdef struct sealing:
    fr_srtp_outbound *outbound
    uint8_t *packet
    size_t payload_length
    uint32_t timestamp
    bint is_marked
    bint is_sealed

cdef fr_srtp_calls calls
cdef tuple refusals = ()


def connect(uintptr_t protect, uintptr_t protect_rtcp, uintptr_t unprotect, uintptr_t unprotect_rtcp, names):
    """Say where libsrtp's functions are, and what open_rtp() returns for each refusal, in the order of media/srtp.h."""
    global refusals
    refused = tuple(names)
    if len(refused) != FR_SRTP_VERDICTS - 1:
        raise ValueError(f"{len(refused)} refusals, not {FR_SRTP_VERDICTS - 1}")
    if not (protect and protect_rtcp and unprotect and unprotect_rtcp):
        raise ValueError("a function's address is 0")
    refusals = refused
    calls.protect, calls.protect_rtcp = <fr_srtp_call *>protect, <fr_srtp_call *>protect_rtcp
    calls.unprotect, calls.unprotect_rtcp = <fr_srtp_call *>unprotect, <fr_srtp_call *>unprotect_rtcp


cdef int require_connection() except -1:
    if not refusals:
        raise RuntimeError("connect() has not said where libsrtp is")
    return 0


@cython.final
@cython.freelist(256)
cdef class RtpPacket:
    """One authenticated packet."""

    cdef readonly bytes payload
    cdef readonly uint64_t extended_sequence
    cdef readonly uint32_t timestamp
    cdef readonly uint32_t ssrc
    cdef readonly uint8_t payload_type
    cdef readonly bint is_marked

    def __init__(self, uint8_t payload_type, uint64_t extended_sequence, uint32_t timestamp, uint32_t ssrc,
                 bint is_marked, bytes payload not None):
        self.payload_type, self.extended_sequence, self.timestamp = payload_type, extended_sequence, timestamp
        self.ssrc, self.is_marked, self.payload = ssrc, is_marked, payload

    @property
    def sequence(self):
        """The 16 bits that were on the wire."""
        return <uint16_t>self.extended_sequence

    def __eq__(self, other):
        return isinstance(other, RtpPacket) and packet_values(self) == packet_values(other)

    def __hash__(self):
        return hash(packet_values(self))

    def __repr__(self):
        return (f"RtpPacket(payload_type={self.payload_type}, extended_sequence={self.extended_sequence}, "
                f"timestamp={self.timestamp}, ssrc={self.ssrc}, is_marked={self.is_marked}, "
                f"payload={len(self.payload)} bytes)")


cdef tuple packet_values(RtpPacket packet):
    return (packet.payload_type, packet.extended_sequence, packet.timestamp, packet.ssrc, packet.is_marked,
            packet.payload)


@cython.final
cdef class Reception:
    """One inbound stream's statistics, live. A new SSRC begins them again."""

    cdef Inbound inbound

    def __cinit__(self, Inbound inbound not None):
        self.inbound = inbound

    @property
    def ssrc(self):
        return self.inbound.state.reception.ssrc

    @property
    def packets(self):
        return self.inbound.state.reception.packets

    @property
    def octets(self):
        return self.inbound.state.reception.octets

    @property
    def first(self):
        """The extended sequence number that counting begins with."""
        return self.inbound.state.reception.first

    @property
    def highest(self):
        """The highest extended sequence number."""
        return self.inbound.state.reception.highest

    @property
    def cycles(self):
        """How often the sequence number has rolled over."""
        return self.inbound.state.reception.highest >> 16

    @property
    def expected(self):
        """Packets that would be here, had none been lost."""
        return fr_reception_expected(&self.inbound.state.reception)

    @property
    def lost(self):
        """Packets that did not come, or not yet."""
        return fr_reception_lost(&self.inbound.state.reception)

    @property
    def jitter(self):
        """Interarrival jitter (RFC 3550 section 6.4.1) in timestamp units."""
        return fr_reception_jitter(&self.inbound.state.reception)

    def missing(self):
        """The 16-bit sequence numbers, oldest first, of the latest 64 packets that are not here."""
        cdef uint16_t[FR_RECEPTION_HISTORY] missing
        cdef int count = fr_reception_missing(&self.inbound.state.reception, missing)
        return [missing[at] for at in range(count)]


cdef class Inbound:
    """What a peer seals. `owner` keeps the srtp_t at address `context` alive, whose tags have `tag_length` bytes."""

    cdef fr_srtp_inbound state
    cdef object owner

    def __init__(self, owner, uintptr_t context, uint32_t tag_length, payload_types):
        require_connection()
        if context == 0 or not 0 < tag_length <= FR_SRTP_TAG_MAX:
            raise ValueError(f"context at {context}, tags of {tag_length} bytes")
        memset(&self.state, 0, sizeof(fr_srtp_inbound))
        for payload_type in payload_types:
            if not 0 <= payload_type <= 127:
                raise ValueError(f"payload type {payload_type} is out of range")
            self.state.payload_types[payload_type >> 6] |= <uint64_t>1 << (payload_type & 63)
        self.owner = owner
        self.state.tag_length = tag_length
        self.state.context = <void *>context

    @property
    def reception(self):
        """Statistics of the stream that was heard last."""
        return Reception(self)

    def open_rtcp(self, bytes data not None):
        """Open one SRTCP packet; what is refused comes back as its refusal."""
        cdef uint8_t[FR_RTP_PACKET_MAX] packet
        cdef int length = 0, verdict
        require_context(self.state.context)
        if len(data) <= FR_RTP_PACKET_MAX:
            length = <int>len(data)
            memcpy(packet, PyBytes_AS_STRING(data), length)
        verdict = fr_srtp_open_rtcp(&self.state, &calls, packet, &length)
        if verdict != FR_SRTP_OPENED:
            return refusals[verdict - 1]
        return PyBytes_FromStringAndSize(<char *>packet, length)


cdef class Outbound:
    """Our stream: numbers and seals what it is given. `owner` keeps the srtp_t at address `context` alive."""

    cdef fr_srtp_outbound state
    cdef object owner

    def __init__(self, owner, uintptr_t context, uint32_t tag_length, uint32_t ssrc, int payload_type,
                 int first_sequence):
        require_connection()
        if context == 0 or not 0 < tag_length <= FR_SRTP_TAG_MAX:
            raise ValueError(f"context at {context}, tags of {tag_length} bytes")
        if not 0 <= payload_type <= 127 or not 0 <= first_sequence <= 0xffff:
            raise ValueError(f"payload type {payload_type} or sequence number {first_sequence} is out of range")
        memset(&self.state, 0, sizeof(fr_srtp_outbound))
        self.owner = owner
        self.state.tag_length = tag_length
        self.state.next.ssrc, self.state.next.payload_type = ssrc, <uint8_t>payload_type
        self.state.next.sequence = <uint16_t>first_sequence
        self.state.context = <void *>context

    @property
    def ssrc(self):
        return self.state.next.ssrc

    @property
    def payload_type(self):
        return self.state.next.payload_type

    @property
    def packets(self):
        return self.state.packets

    @property
    def octets(self):
        """Of payload."""
        return self.state.octets

    @property
    def last_timestamp(self):
        return self.state.next.timestamp

    @property
    def next_sequence(self):
        return self.state.next.sequence

    def seal_rtcp(self, bytes data not None):
        """Seal a compound packet whose sender is our SSRC."""
        cdef uint8_t[RTCP_MAX + FR_SRTCP_INDEX + FR_SRTP_TAG_MAX] packet
        cdef int length
        require_context(self.state.context)
        if not FR_RTCP_HEADER <= len(data) <= RTCP_MAX or int.from_bytes(data[4:8], "big") != self.ssrc:
            raise ValueError(f"{len(data)} bytes are not RTCP of stream {self.ssrc}")
        length = <int>len(data)
        memcpy(packet, PyBytes_AS_STRING(data), length)
        if calls.protect_rtcp(self.state.context, packet, &length):
            raise RuntimeError(f"libsrtp does not seal RTCP of stream {self.ssrc}")
        return PyBytes_FromStringAndSize(<char *>packet, length)


cdef int require_context(void *context) except -1:
    if context == NULL:
        raise ValueError("the stream has no context")
    return 0


def open_rtp(batch, uint64_t now_us):
    """Open (inbound, packet) pairs of many calls; one RtpPacket or refusal for each, in order."""
    # a copy, because another thread may change the caller's list while the GIL is not held
    cdef tuple items = tuple(batch)
    cdef list results = [None] * len(items)
    cdef Py_ssize_t start
    for start in range(0, len(items), CHUNK):
        open_chunk(items, start, min(start + CHUNK, <Py_ssize_t>len(items)), now_us, results)
    return results


cdef int open_chunk(tuple items, Py_ssize_t start, Py_ssize_t end, uint64_t now_us, list results) except -1:
    cdef opening[CHUNK] openings
    cdef int at, count = <int>(end - start)
    cdef uint8_t *memory = copy_packets(items, start, count, openings)
    try:
        if count >= RELEASE_FROM:
            with nogil:
                open_all(openings, count, now_us)
        else:
            open_all(openings, count, now_us)
        for at in range(count):
            results[start + at] = make_result(&openings[at])
    finally:
        free(memory)
    return 0


cdef uint8_t *copy_packets(tuple items, Py_ssize_t start, int count, opening *openings) except NULL:
    """libsrtp works in place, and a `bytes` must not change. The caller frees what this returns."""
    cdef Inbound inbound
    cdef bytes packet
    cdef tuple item
    cdef opening *one
    cdef size_t room = 0
    cdef uint8_t *memory
    cdef int at
    for at in range(count):
        item = items[start + at]  # a tuple, so that what it holds stays while we point into it
        inbound, packet = item
        if inbound is None or packet is None:
            raise TypeError(f"item {start + at} is no stream and packet")
        require_context(inbound.state.context)
        one = &openings[at]
        one.inbound, one.length, one.packet = &inbound.state, len(packet), <uint8_t *>PyBytes_AS_STRING(packet)
        room += rounded(one.length)
    memory = <uint8_t *>malloc(room + ALIGNMENT)
    if memory == NULL:
        raise MemoryError()
    room = 0
    for at in range(count):
        one = &openings[at]
        if one.length <= FR_RTP_PACKET_MAX:  # one that is too long is refused before it is written to
            memcpy(memory + room, one.packet, one.length)
        one.packet = memory + room
        room += rounded(one.length)
    return memory


cdef inline size_t rounded(size_t length) noexcept:
    """The room that a packet takes in a batch's memory."""
    if length > FR_RTP_PACKET_MAX:
        return 0
    return (length + ALIGNMENT - 1) & ~<size_t>(ALIGNMENT - 1)


cdef void open_all(opening *openings, int count, uint64_t now_us) noexcept nogil:
    cdef int at
    cdef opening *one
    for at in range(count):
        one = &openings[at]
        one.verdict = fr_srtp_open(one.inbound, &calls, one.packet, one.length, now_us, &one.opened)


cdef object make_result(const opening *one):
    cdef RtpPacket packet
    cdef const fr_rtp_header *header = &one.opened.header
    if one.verdict != FR_SRTP_OPENED:
        return refusals[one.verdict - 1]
    packet = RtpPacket.__new__(RtpPacket)
    packet.payload = PyBytes_FromStringAndSize(<char *>one.packet + header.length, one.opened.payload_length)
    packet.extended_sequence = one.opened.extended_sequence
    packet.timestamp = header.timestamp
    packet.ssrc = header.ssrc
    packet.payload_type = header.payload_type
    packet.is_marked = header.is_marked
    return packet


def seal_rtp(batch):
    """Seal (stream, payload, timestamp, is_marked) of many calls. ValueError if one is too big; then none is sealed."""
    cdef tuple items = tuple(batch)
    cdef list results = [None] * len(items)
    cdef Py_ssize_t start
    for start in range(<Py_ssize_t>len(items)):
        check_item(items[start], start)
    for start in range(0, len(items), CHUNK):
        seal_chunk(items, start, min(start + CHUNK, <Py_ssize_t>len(items)), results)
    return results


cdef int check_item(tuple item, Py_ssize_t at) except -1:
    cdef Outbound outbound
    cdef bytes payload
    outbound, payload, _, _ = item
    if outbound is None or payload is None:
        raise TypeError(f"item {at} has no stream or no payload")
    require_context(outbound.state.context)
    if not 0 < len(payload) <= PAYLOAD_MAX:
        raise ValueError(f"item {at} has a payload of {len(payload)} bytes, not 1 to {PAYLOAD_MAX}")
    return 0


cdef int seal_chunk(tuple items, Py_ssize_t start, Py_ssize_t end, list results) except -1:
    cdef sealing[CHUNK] sealings
    cdef int at, count = <int>(end - start)
    for at in range(count):
        results[start + at] = make_packet(items[start + at], &sealings[at])
    if count >= RELEASE_FROM:
        with nogil:
            seal_all(sealings, count)
    else:
        seal_all(sealings, count)
    for at in range(count):
        if not sealings[at].is_sealed:
            raise RuntimeError(f"libsrtp does not seal item {start + at}")
    return 0


cdef bytes make_packet(tuple item, sealing *one):
    """The packet to be, which nobody has seen yet: so it may be written into, and sealed in place."""
    cdef Outbound outbound
    cdef bytes payload, packet
    outbound, payload, timestamp, is_marked = item
    one.outbound, one.payload_length = &outbound.state, len(payload)
    one.timestamp, one.is_marked = <uint32_t>PyLong_AsUnsignedLongMask(timestamp), is_marked
    packet = PyBytes_FromStringAndSize(NULL, FR_RTP_HEADER + one.payload_length + outbound.state.tag_length)
    one.packet = <uint8_t *>PyBytes_AS_STRING(packet)
    memcpy(one.packet + FR_RTP_HEADER, PyBytes_AS_STRING(payload), one.payload_length)
    return packet


cdef void seal_all(sealing *sealings, int count) noexcept nogil:
    cdef int at
    cdef sealing *one
    for at in range(count):
        one = &sealings[at]
        one.is_sealed = fr_srtp_seal(one.outbound, &calls, one.packet, one.payload_length, one.timestamp,
                                     one.is_marked) == 0
