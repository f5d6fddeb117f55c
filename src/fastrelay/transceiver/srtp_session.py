"""SRTP through pylibsrtp's public Session, packet by packet: the readable twin of ext/srtp.pyx, and its fallback.

Lives here: what is checked in which order, on packets in and out. Must not live here: the choice between the two
(fastrelay.transceiver.srtp), pylibsrtp's details (libsrtp.py), statistics (reception.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from fastrelay._ext.srtp import RtpPacket
from fastrelay.errors import WireError
from fastrelay.transceiver.keying import SrtpKeys
from fastrelay.transceiver.libsrtp import (
    RTCP_INDEX_LENGTH,
    SEAL_MAX_BYTES,
    TAG_LENGTHS,
    call_session,
    open_inbound,
    open_outbound,
)
from fastrelay.transceiver.reception import Reception
from fastrelay.wire.rtp import HEADER_LENGTH, PACKET_MAX_BYTES, SrtpRefusal, build_header, parse_header, read_payload

STREAMS_MAX = 16
"""SSRCs of one peer in a call. libsrtp keeps a context for each, and scans them: a call needs one or two."""
PAYLOAD_MAX_BYTES = SEAL_MAX_BYTES - HEADER_LENGTH
RTCP_HEADER_LENGTH = 8


class SrtpInbound:
    """What the peer seals with its key: RTP of the negotiated payload types, and RTCP."""

    def __init__(self, keys: SrtpKeys, *, payload_types: frozenset[int]) -> None:
        self.reception = Reception()
        self._session = open_inbound(keys)
        self._tag_length = TAG_LENGTHS[keys.profile]
        self._payload_types = payload_types
        self._streams: set[int] = set()

    def open_rtp(self, packet: bytes, now_us: int) -> RtpPacket | SrtpRefusal:
        """Open one packet and count it."""
        try:
            header = parse_header(packet)
        except WireError:
            return SrtpRefusal.MALFORMED
        if not header.length + self._tag_length <= len(packet) <= PACKET_MAX_BYTES:
            return SrtpRefusal.MALFORMED
        if not self._has_room(header.ssrc):
            return SrtpRefusal.UNKNOWN_STREAM
        opened = call_session(self._session.unprotect, packet)
        if isinstance(opened, SrtpRefusal):
            return opened
        self._streams.add(header.ssrc)
        is_negotiated = header.payload_type in self._payload_types
        if header.ssrc != self.reception.ssrc or not self.reception.packets:
            if not is_negotiated:
                return SrtpRefusal.UNKNOWN_PAYLOAD
            self.reception.begin(header.ssrc)
        octets = len(opened) - header.length
        extended = self.reception.count(header.sequence, header.timestamp, octets, now_us)
        if not is_negotiated:
            return SrtpRefusal.UNKNOWN_PAYLOAD
        try:
            payload = read_payload(opened, header)
        except WireError:
            return SrtpRefusal.MALFORMED
        if not payload:
            return SrtpRefusal.EMPTY
        return RtpPacket(header.payload_type, extended, header.timestamp, header.ssrc, header.is_marked, payload)

    def open_rtcp(self, data: bytes) -> bytes | SrtpRefusal:
        """Open one SRTCP packet."""
        smallest = RTCP_HEADER_LENGTH + RTCP_INDEX_LENGTH + self._tag_length
        if not smallest <= len(data) <= PACKET_MAX_BYTES or data[0] >> 6 != 2:
            return SrtpRefusal.MALFORMED
        ssrc = int.from_bytes(data[4:8], "big")
        if not self._has_room(ssrc):
            return SrtpRefusal.UNKNOWN_STREAM
        opened = call_session(self._session.unprotect_rtcp, data)
        if isinstance(opened, bytes):
            self._streams.add(ssrc)
        return opened

    def _has_room(self, ssrc: int) -> bool:
        return ssrc in self._streams or len(self._streams) < STREAMS_MAX


class SrtpOutbound:
    """Our stream: numbers and seals what it is given."""

    def __init__(self, keys: SrtpKeys, *, ssrc: int, payload_type: int, first_sequence: int) -> None:
        """Begin below 2^15, or a receiver that misses the first packets may miss a roll-over (RFC 3711 §3.3.1)."""
        if not (0 <= ssrc < 1 << 32 and 0 <= payload_type < 1 << 7 and 0 <= first_sequence < 1 << 16):
            raise ValueError(f"SSRC {ssrc}, payload type {payload_type} or sequence number {first_sequence} is too big")
        self.ssrc = ssrc
        self.payload_type = payload_type
        self.packets = 0
        self.octets = 0
        self.last_timestamp = 0
        self.next_sequence = first_sequence
        self._session = open_outbound(keys, ssrc)

    def seal_rtp(self, payload: bytes, timestamp: int, *, is_marked: bool) -> bytes:
        """Seal one packet and count it."""
        timestamp &= 0xFFFF_FFFF
        header = build_header(self.payload_type, self.next_sequence, timestamp, self.ssrc, is_marked=is_marked)
        sealed = call_session(self._session.protect, header + payload)
        if isinstance(sealed, SrtpRefusal):
            raise RuntimeError(f"libsrtp does not seal packet {self.packets} of stream {self.ssrc}")
        self.next_sequence = (self.next_sequence + 1) & 0xFFFF
        self.packets += 1
        self.octets += len(payload)
        self.last_timestamp = timestamp
        return sealed

    def seal_rtcp(self, data: bytes) -> bytes:
        """Seal a compound packet whose sender is our SSRC."""
        if not RTCP_HEADER_LENGTH <= len(data) <= SEAL_MAX_BYTES or int.from_bytes(data[4:8], "big") != self.ssrc:
            raise ValueError(f"{len(data)} bytes are not RTCP of stream {self.ssrc}")
        sealed = call_session(self._session.protect_rtcp, data)
        if isinstance(sealed, SrtpRefusal):
            raise RuntimeError(f"libsrtp does not seal RTCP of stream {self.ssrc}")
        return sealed


def open_rtp(batch: Sequence[tuple[SrtpInbound, bytes]], now_us: int) -> list[RtpPacket | SrtpRefusal]:
    """Open packets of many calls; one result for each, in order."""
    return [inbound.open_rtp(packet, now_us) for inbound, packet in batch]


def seal_rtp(batch: Sequence[tuple[SrtpOutbound, bytes, int, bool]]) -> list[bytes]:
    """Seal (stream, payload, timestamp, is_marked) of many calls. ValueError, and nothing sealed, for a wrong size."""
    for at, (_, payload, _, _) in enumerate(batch):
        if not 0 < len(payload) <= PAYLOAD_MAX_BYTES:
            raise ValueError(f"item {at} has a payload of {len(payload)} bytes, not 1 to {PAYLOAD_MAX_BYTES}")
    return [
        outbound.seal_rtp(payload, timestamp, is_marked=is_marked) for outbound, payload, timestamp, is_marked in batch
    ]
