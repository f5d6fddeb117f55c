"""RTP's fixed header (RFC 3550 §5.1) and its extended sequence numbers: what is readable before and after SRTP.

Lives here: reading and writing one header, taking padding off, the estimate of the roll-over counter, the ways a sealed
packet can end; the readable twin of ext/media/rtp.c. Must not live here: keys, what a payload means, statistics.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum

from fastrelay.errors import WireError

VERSION = 2
HEADER_LENGTH = 12
PACKET_MAX_BYTES = 1500
"""No RTP packet is larger, sealed or open: an Ethernet frame's."""
CLOCK_RATE = 48_000
"""RFC 7587 §4.1: the only one Opus has in RTP, whatever rate it codes."""
SEQUENCE_MEDIAN = 1 << 15

_FIXED = struct.Struct("!BBHII")


class SrtpRefusal(StrEnum):
    """Why a sealed packet is not taken. The names and the order are those of ext/media/srtp.h."""

    MALFORMED = "too short or long, not RTP, or padded beyond its payload"
    FORGED = "not sealed with this call's keys"
    REPLAYED = "was here before"
    TOO_OLD = "too far behind the latest to tell whether it was here before"
    UNKNOWN_STREAM = "one SSRC more than a call may use"
    UNKNOWN_PAYLOAD = "a payload type that was not negotiated"
    EMPTY = "holds padding alone"
    FAILED = "libsrtp failed for another reason"


@dataclass(frozen=True, slots=True)
class RtpHeader:
    """One packet's header. The payload begins at `length`, behind contributing sources and header extension."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    is_marked: bool
    is_padded: bool
    length: int


def parse_header(packet: bytes) -> RtpHeader:
    """Read the header, whose extension is skipped. WireError when the packet cannot hold what it announces."""
    if len(packet) < HEADER_LENGTH:
        raise WireError("header", 0, "the packet is shorter than the fixed header")
    first, second, sequence, timestamp, ssrc = _FIXED.unpack_from(packet)
    if first >> 6 != VERSION:
        raise WireError("version", 0, "is not 2")
    length = HEADER_LENGTH + 4 * (first & 0x0F)
    if first & 0x10:
        if len(packet) < length + 4:
            raise WireError("extension", length, "its header reaches beyond the packet")
        length += 4 + 4 * int.from_bytes(packet[length + 2 : length + 4], "big")
    if len(packet) < length:
        raise WireError("header", 0, "its sources and extension reach beyond the packet")
    return RtpHeader(second & 0x7F, sequence, timestamp, ssrc, bool(second & 0x80), bool(first & 0x20), length)


def build_header(payload_type: int, sequence: int, timestamp: int, ssrc: int, *, is_marked: bool) -> bytes:
    """Write a header without sources, extension or padding."""
    return _FIXED.pack(VERSION << 6, payload_type | is_marked << 7, sequence, timestamp, ssrc)


def read_payload(packet: bytes, header: RtpHeader) -> bytes:
    """Return the payload without its padding (RFC 3550 §5.1: the last byte counts it, itself included)."""
    if not header.is_padded:
        return packet[header.length :]
    padding = packet[-1]
    if not 0 < padding <= len(packet) - header.length:
        raise WireError("padding", len(packet) - 1, "is zero or longer than the payload")
    return packet[header.length : len(packet) - padding]


def extend_sequence(sequence: int, highest: int) -> int:
    """Return the sequence number with its roll-over counter, the highest extended one so far being `highest`.

    RFC 3711 §3.3.1, with the rule libsrtp adds: nothing lies before the first roll-over. It must be that very rule,
    because the packet has been authenticated with the counter that libsrtp estimated.
    """
    if highest <= SEQUENCE_MEDIAN:
        return sequence
    counter, low = highest >> 16, highest & 0xFFFF
    if low < SEQUENCE_MEDIAN:
        counter -= sequence - low > SEQUENCE_MEDIAN
    else:
        counter += low - sequence > SEQUENCE_MEDIAN
    return counter << 16 | sequence
