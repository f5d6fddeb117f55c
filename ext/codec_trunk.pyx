"""The trunk's datagrams as Python sees them: the door for tests and vectors, beside codec.pyx.

Lives here: CMAC, the readers with the checks they make on the way, and whole bursts by the writer. Addresses are
packed bytes, 4 or 16 of them; verdicts are numbered as in ext/verdict.h, 0 where a datagram is sound.
Must not live here: decisions, sockets, anything that the packet path would call.
"""

from core cimport *
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastrelay._ext.codec cimport _ExactCopy


cdef extern from "crypto/cmac.h" nogil:
    enum:
        FR_CMAC_KEY
        FR_CMAC_BLOCK
    enum fr_cmac_way:
        FR_CMAC_FASTEST, FR_CMAC_PORTABLE
    void fr_cmac_open(fr_cmac_key *key, const uint8_t *content, fr_cmac_way way)
    void fr_cmac(const fr_cmac_key *key, const uint8_t *message, size_t length, uint8_t *mac)

cdef extern from "trunk/bundle.h" nogil:
    void fr_trunk_write_hello(uint8_t *datagram, const fr_trunk_header *header, const fr_hello *hello,
                              const fr_cmac_key *key)

cdef extern from "wire/address.h" nogil:
    fr_address fr_address_v4(uint32_t address_be, uint16_t port_be)
    uint32_t fr_address_v4_be(const fr_address *address)

cdef extern from "<endian.h>" nogil:
    uint16_t htobe16(uint16_t)
    uint16_t be16toh(uint16_t)


cdef int open_key(fr_cmac_key *key, bytes content, fr_cmac_way way) except -1:
    if len(content) != FR_CMAC_KEY:
        raise ValueError(f"a trunk key has {FR_CMAC_KEY} bytes, not {len(content)}")
    fr_cmac_open(key, <const uint8_t *><const char *>content, way)
    return 0


def cmac(bytes key not None, bytes message not None, bint is_portable=False):
    """The sixteen bytes of AES-128-CMAC, by libcrypto's AES if asked to, else by the fastest there is."""
    cdef _ExactCopy copy = _ExactCopy(message)
    cdef fr_cmac_key opened
    cdef uint8_t[FR_CMAC_BLOCK] mac
    open_key(&opened, key, FR_CMAC_PORTABLE if is_portable else FR_CMAC_FASTEST)
    fr_cmac(&opened, copy.at, copy.length, mac)
    return (<const char *>mac)[:FR_CMAC_BLOCK]


# --- addresses -------------------------------------------------------------

cdef fr_address address_of(bytes packed, uint16_t port, uint32_t scope) except *:
    cdef fr_address address
    cdef uint32_t address_be
    cdef const char *at = packed
    if len(packed) != 4 and len(packed) != 16:
        raise ValueError(f"an address has 4 or 16 bytes, not {len(packed)}")
    memset(&address, 0, sizeof(address))
    if len(packed) == 4:
        memcpy(&address_be, at, 4)
        return fr_address_v4(address_be, htobe16(port))
    memcpy(&address.high, at, 8)
    memcpy(&address.low, at + 8, 8)
    address.scope = scope
    address.port_be = htobe16(port)
    return address


cdef bytes packed_of(const fr_address *address):
    cdef uint32_t address_be
    if fr_address_is_v4(address):
        address_be = fr_address_v4_be(address)
        return (<const char *>&address_be)[:4]
    return (<const char *>&address.high)[:8] + (<const char *>&address.low)[:8]


# --- reading ---------------------------------------------------------------

cdef tuple fields_of(const fr_trunk_header *header):
    return (header.kind, header.key_id, header.frame_count, header.via, header.covered_bytes, header.epoch_us,
            header.sequence)


cdef int read_checked(_ExactCopy copy, bytes trunk_key, fr_trunk_header *header) except -1:
    """Steps 1, 4 and 5 of the specification's checks."""
    cdef fr_cmac_key key
    open_key(&key, trunk_key, FR_CMAC_FASTEST)
    cdef int verdict = fr_trunk_read_header(copy.at, copy.length, header)
    if verdict == 0:
        verdict = fr_trunk_check_mac(copy.at, copy.length, header, &key)
    return verdict


def parse_bundle(bytes datagram not None, bytes trunk_key not None):
    """The verdict; and if it is 0 the header's fields and (address, port, scope, payload, closes) of each frame."""
    cdef _ExactCopy copy = _ExactCopy(datagram)
    cdef fr_trunk_header header
    cdef fr_frame[FR_BUNDLE_FRAMES] frames
    cdef fr_frame *frame
    cdef int verdict = read_checked(copy, trunk_key, &header)
    if verdict == 0:
        verdict = fr_trunk_read_frames(copy.at, copy.length, &header, frames)
    if verdict != 0:
        return verdict, None, []
    parsed = []
    for i in range(header.frame_count):
        frame = &frames[i]
        parsed.append((packed_of(&frame.client), be16toh(frame.client.port_be), frame.client.scope,
                       (<const char *>frame.payload)[:frame.length], frame.flags == FR_FRAME_CLOSE))
    return 0, fields_of(&header), parsed


def parse_hello(bytes datagram not None, bytes trunk_key not None):
    """The verdict; and if it is 0 the header's fields and (sent at, echo, echo delay, flags, received, lost)."""
    cdef _ExactCopy copy = _ExactCopy(datagram)
    cdef fr_trunk_header header
    cdef fr_hello hello
    cdef int verdict = read_checked(copy, trunk_key, &header)
    if verdict == 0:
        verdict = fr_trunk_read_hello(copy.at, &header, &hello)
    if verdict != 0:
        return verdict, None, None
    body = (hello.sent_at_us, hello.echo_us, hello.echo_delay_us, hello.flags, hello.received, hello.lost)
    return 0, fields_of(&header), body


# --- writing ---------------------------------------------------------------

def build_hello(uint8_t kind, uint8_t key_id, bytes trunk_key not None, uint64_t epoch_us, uint64_t sequence, hello):
    """One HELLO of (sent at, echo, echo delay, flags, received, lost)."""
    cdef uint8_t[FR_TRUNK_HEADER + FR_HELLO_BODY] datagram
    cdef fr_trunk_header header
    cdef fr_hello body
    cdef fr_cmac_key key
    open_key(&key, trunk_key, FR_CMAC_FASTEST)
    memset(&header, 0, sizeof(header))
    header.kind = kind
    header.key_id = key_id
    header.epoch_us = epoch_us
    header.sequence = sequence
    body.sent_at_us, body.echo_us, body.echo_delay_us, body.flags, body.received, body.lost = hello
    fr_trunk_write_hello(datagram, &header, &body, &key)
    return (<const char *>datagram)[:FR_TRUNK_HEADER + FR_HELLO_BODY]


cdef bytes datagram_of(const fr_writer *writer, unsigned at):
    """What the iovecs of a datagram make together."""
    cdef const fr_datagram *datagram = &writer.datagrams[at]
    cdef const iovec *part
    content = b""
    for i in range(datagram.iovec_count):
        part = &writer.iovecs[datagram.first_iovec + i]
        content += (<const char *>part.iov_base)[:part.iov_len]
    return content


cdef add_frame(fr_writer *writer, bytes address, uint16_t port, uint32_t scope, bytes payload, bint closes):
    """The payload is borrowed: it must live until the writer has been read."""
    cdef fr_address client = address_of(address, port, scope)
    if len(payload) > FR_CLIENT_DATAGRAM_MAX or (closes and payload):
        raise ValueError(f"a frame carries at most {FR_CLIENT_DATAGRAM_MAX} bytes, and none when it closes")
    cdef const uint8_t *at = <const uint8_t *><const char *>payload
    fr_writer_add(writer, &client, at, len(payload), FR_FRAME_CLOSE if closes else 0)


def build_bundles(uint8_t kind, uint8_t key_id, bytes trunk_key not None, uint64_t epoch_us, uint64_t first_sequence,
                  uint16_t via, list frames not None):
    """The bursts that these frames make, each as its segment size and its datagrams as they would travel."""
    cdef fr_burst_head head
    cdef fr_burst *burst
    cdef fr_cmac_key key
    cdef uint64_t sequence = first_sequence - 1
    if len(frames) > FR_BATCH:
        raise ValueError(f"a writer has room for {FR_BATCH} frames, not {len(frames)}")
    open_key(&key, trunk_key, FR_CMAC_FASTEST)
    cdef fr_writer *writer = <fr_writer *>calloc(1, sizeof(fr_writer))
    if writer == NULL:
        raise MemoryError
    head.mac_key = &key
    head.epoch_us = epoch_us
    head.sequence = &sequence
    head.via = via
    head.key_id = key_id
    head.kind = kind
    bursts = []
    try:
        fr_writer_reset(writer)
        fr_writer_begin(writer, &head)
        for address, port, scope, payload, closes in frames:
            add_frame(writer, address, port, scope, payload, closes)
        fr_writer_end(writer)
        for i in range(writer.burst_count):
            burst = &writer.bursts[i]
            datagrams = [datagram_of(writer, burst.first_datagram + at) for at in range(burst.datagram_count)]
            bursts.append((burst.segment_bytes, datagrams))
    finally:
        free(writer)
    return bursts
