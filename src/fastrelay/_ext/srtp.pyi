"""SRTP of many calls at once: batches of packets in, batches of packets out, on libsrtp's own functions."""

from collections.abc import Iterable
from typing import Self, final

from typing_extensions import disjoint_base

from fastrelay.wire.rtp import SrtpRefusal

def connect(protect: int, protect_rtcp: int, unprotect: int, unprotect_rtcp: int, names: Iterable[SrtpRefusal]) -> None:
    """Say where libsrtp's functions are, and what open_rtp() returns for each refusal, in the order of media/srtp.h."""

@final
class RtpPacket:
    """One authenticated packet."""

    def __init__(
        self,
        payload_type: int,
        extended_sequence: int,
        timestamp: int,
        ssrc: int,
        is_marked: bool,
        payload: bytes,
    ) -> None: ...
    @property
    def payload_type(self) -> int: ...
    @property
    def extended_sequence(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def ssrc(self) -> int: ...
    @property
    def is_marked(self) -> bool: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def sequence(self) -> int:
        """The 16 bits that were on the wire."""

    def __hash__(self) -> int: ...

@final
class Reception:
    """One inbound stream's statistics, live. A new SSRC begins them again."""

    def __new__(cls, inbound: Inbound) -> Self: ...
    @property
    def ssrc(self) -> int: ...
    @property
    def packets(self) -> int: ...
    @property
    def octets(self) -> int: ...
    @property
    def first(self) -> int:
        """The extended sequence number that counting begins with."""

    @property
    def highest(self) -> int:
        """The highest extended sequence number."""

    @property
    def cycles(self) -> int:
        """How often the sequence number has rolled over."""

    @property
    def expected(self) -> int:
        """Packets that would be here, had none been lost."""

    @property
    def lost(self) -> int:
        """Packets that did not come, or not yet."""

    @property
    def jitter(self) -> int:
        """Interarrival jitter (RFC 3550 §6.4.1) in timestamp units."""

    def missing(self) -> list[int]:
        """The 16-bit sequence numbers, oldest first, of the latest 64 packets that are not here."""

@disjoint_base
class Inbound:
    """What a peer seals. `owner` keeps the srtp_t at address `context` alive, whose tags have `tag_length` bytes."""

    def __init__(self, owner: object, context: int, tag_length: int, payload_types: Iterable[int]) -> None: ...
    @property
    def reception(self) -> Reception:
        """Statistics of the stream that was heard last."""

    def open_rtcp(self, data: bytes) -> bytes | SrtpRefusal:
        """Open one SRTCP packet; what is refused comes back as its refusal."""

@disjoint_base
class Outbound:
    """Our stream: numbers and seals what it is given. `owner` keeps the srtp_t at address `context` alive."""

    def __init__(
        self, owner: object, context: int, tag_length: int, ssrc: int, payload_type: int, first_sequence: int
    ) -> None: ...
    @property
    def ssrc(self) -> int: ...
    @property
    def payload_type(self) -> int: ...
    @property
    def packets(self) -> int: ...
    @property
    def octets(self) -> int:
        """Of payload."""

    @property
    def last_timestamp(self) -> int: ...
    @property
    def next_sequence(self) -> int: ...
    def seal_rtcp(self, data: bytes) -> bytes:
        """Seal a compound packet whose sender is our SSRC."""

def open_rtp(batch: Iterable[tuple[Inbound, bytes]], now_us: int) -> list[RtpPacket | SrtpRefusal]:
    """Open (inbound, packet) pairs of many calls; one RtpPacket or refusal for each, in order."""

def seal_rtp(batch: Iterable[tuple[Outbound, bytes, int, bool]]) -> list[bytes]:
    """Seal (stream, payload, timestamp, is_marked) of many calls. ValueError if one is too big; then none is sealed."""
