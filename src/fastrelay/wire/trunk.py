"""The trunk's datagrams: bytes to values and back, as docs/trunk.md specifies them.

Lives here: header, bundle, frame and HELLO, the MAC, and how frames fill bundles.
Must not live here: sockets, the key ring, who may send (the checks between the functions below are the
receiver's: fastrelay.relay.dataplane.twin_trunk makes all of them in their order), replay (wire.replay).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.cmac import CMAC

from fastrelay.errors import WireError

VERSION = 1
HEADER_BYTES = 32
MAC_OFFSET = 24
MAC_BYTES = 8
FRAME_HEADER_BYTES_V4 = 8
FRAME_HEADER_BYTES_V6 = 24
HELLO_BYTES = 40
FRAMES_MAX = 64
BUNDLE_BYTES = 1400
PAYLOAD_MAX = 2048
ECHO_DELAY_MAX_US = 0xFFFF_FFFF

_FRAME_IS_V6 = 0x8000
_FRAME_CLOSES = 0x4000
_FRAME_RESERVED = 0x3000
_FRAME_LENGTH = 0x0FFF
_HELLO_DRAINING = 1

_HEADER = Struct("!BBHHHQQ8s")
_FRAME_V4 = Struct("!HH4s")
_FRAME_V6 = Struct("!HHI16s")
_HELLO = Struct("!QQIIQQ")


class Kind(IntEnum):
    """What a trunk datagram is and which way it travels."""

    BUNDLE_UP = 1
    BUNDLE_DOWN = 2
    HELLO_UP = 3
    HELLO_DOWN = 4

    @property
    def is_hello(self) -> bool:
        return self in (Kind.HELLO_UP, Kind.HELLO_DOWN)

    @property
    def is_up(self) -> bool:
        return self in (Kind.BUNDLE_UP, Kind.HELLO_UP)


class TrunkError(WireError):
    """A datagram that fails a check of docs/trunk.md; `verdict` is that check's counter in ext/verdict.h."""

    def __init__(self, verdict: str, field: str, offset: int, problem: str) -> None:
        super().__init__(field, offset, problem)
        self.verdict = verdict


class Client(NamedTuple):
    """A client's UDP address; `scope` is the interface index of a link-local IPv6 address, else 0."""

    ip: str
    port: int
    scope: int = 0


class Frame(NamedTuple):
    """One client datagram on the trunk, or the close of the client's session."""

    client: Client
    payload: bytes
    closes: bool = False


@dataclass(frozen=True, slots=True)
class Hello:
    """Proof of life, and what the sender has seen of the other end."""

    sent_at_us: int
    echo_us: int = 0
    echo_delay_us: int = 0
    draining: bool = False
    received: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Header:
    """The first 32 bytes of every trunk datagram."""

    kind: Kind
    key_id: int
    frame_count: int
    via: int
    covered_bytes: int
    epoch_us: int
    sequence: int
    mac: bytes


@dataclass(frozen=True, slots=True)
class Sender:
    """What a sender writes into each of its datagrams besides their contents and number."""

    key_id: int
    trunk_key: bytes
    epoch_us: int


def parse_header(datagram: bytes) -> Header:
    """Step 1 of the checks: length, version and kind."""
    if len(datagram) < HEADER_BYTES:
        raise TrunkError("TRUNK_TRUNCATED", "header", len(datagram), f"needs {HEADER_BYTES} bytes")
    version_and_kind, key_id, frame_count, via, covered, epoch_us, sequence, mac = _HEADER.unpack_from(datagram)
    if version_and_kind >> 4 != VERSION:
        raise TrunkError("TRUNK_MALFORMED", "version", 0, f"{version_and_kind >> 4} is not {VERSION}")
    if version_and_kind & 0x0F not in Kind.__members__.values():
        raise TrunkError("TRUNK_MALFORMED", "kind", 0, f"{version_and_kind & 0x0F} is unknown")
    return Header(Kind(version_and_kind & 0x0F), key_id, frame_count, via, covered, epoch_us, sequence, mac)


def check_mac(datagram: bytes, header: Header, trunk_key: bytes) -> None:
    """Steps 4 and 5 of the checks: covered bytes inside the datagram, and signed with this key."""
    if HEADER_BYTES + header.covered_bytes > len(datagram):
        raise TrunkError("TRUNK_TRUNCATED", "covered bytes", 6, f"{header.covered_bytes} pass the datagram's end")
    if not hmac.compare_digest(header.mac, mac_of(trunk_key, datagram, header.covered_bytes)):
        raise TrunkError("TRUNK_BAD_MAC", "MAC", MAC_OFFSET, "does not match")


def parse_bundle(datagram: bytes, header: Header) -> list[Frame]:
    """Step 8 of the checks for a bundle whose MAC was checked: its frames. Padding is left behind."""
    if not 1 <= header.frame_count <= FRAMES_MAX:
        raise TrunkError("TRUNK_MALFORMED", "frame count", 2, f"{header.frame_count} is not within 1-{FRAMES_MAX}")
    covered_end = HEADER_BYTES + header.covered_bytes
    offset = HEADER_BYTES
    described: list[tuple[Client, int, bool]] = []
    for _ in range(header.frame_count):
        client, length, closes, offset = _parse_frame_header(datagram, offset, covered_end)
        described.append((client, length, closes))
    if offset != covered_end:
        raise TrunkError("TRUNK_MALFORMED", "covered bytes", 6, f"{covered_end - offset} more than the frame headers")
    frames: list[Frame] = []
    for client, length, closes in described:
        if offset + length > len(datagram):
            raise TrunkError("TRUNK_TRUNCATED", "payload", offset, f"{length} bytes pass the datagram's end")
        frames.append(Frame(client, datagram[offset : offset + length], closes))
        offset += length
    return frames


def _parse_frame_header(datagram: bytes, offset: int, covered_end: int) -> tuple[Client, int, bool, int]:
    is_v6 = offset < covered_end and bool(datagram[offset] & _FRAME_IS_V6 >> 8)
    size = FRAME_HEADER_BYTES_V6 if is_v6 else FRAME_HEADER_BYTES_V4
    if offset + size > covered_end:
        raise TrunkError("TRUNK_MALFORMED", "frame header", offset, "passes the covered bytes")
    if is_v6:
        word, port, scope, packed = _FRAME_V6.unpack_from(datagram, offset)
        address: IPv4Address | IPv6Address = IPv6Address(packed)
    else:
        word, port, packed = _FRAME_V4.unpack_from(datagram, offset)
        address, scope = IPv4Address(packed), 0
    length, closes = word & _FRAME_LENGTH, bool(word & _FRAME_CLOSES)
    if word & _FRAME_RESERVED or length > PAYLOAD_MAX or (closes and length):
        raise TrunkError("TRUNK_MALFORMED", "frame length", offset, f"{word:#06x} is not a length with its flags")
    # one address, one form: a v4-mapped client, or a scope where none belongs, would be a second name for it
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        raise TrunkError("TRUNK_MALFORMED", "client address", offset + 8, "IPv4 in the long form")
    if scope and not address.is_link_local:
        raise TrunkError("TRUNK_MALFORMED", "scope", offset + 4, f"{scope} with {address}, which is not link-local")
    return Client(str(address), port, scope), length, closes, offset + size


def parse_hello(datagram: bytes, header: Header) -> Hello:
    """Step 8 of the checks for a HELLO whose MAC was checked. Bytes after the 40 are left behind."""
    if header.frame_count != 0:
        raise TrunkError("TRUNK_MALFORMED", "frame count", 2, f"{header.frame_count} frames in a HELLO")
    if header.covered_bytes != HELLO_BYTES:
        raise TrunkError("TRUNK_MALFORMED", "covered bytes", 6, f"{header.covered_bytes} is not {HELLO_BYTES}")
    sent_at_us, echo_us, echo_delay_us, flags, received, lost = _HELLO.unpack_from(datagram, HEADER_BYTES)
    return Hello(sent_at_us, echo_us, echo_delay_us, bool(flags & _HELLO_DRAINING), received, lost)


def build_bundle(
    kind: Kind, sender: Sender, sequence: int, via: int, frames: Sequence[Frame], padded_to: int = 0
) -> bytes:
    """One bundle datagram of 1-64 frames, with zeroes after the last payload up to `padded_to` bytes."""
    if kind.is_hello or not 1 <= len(frames) <= FRAMES_MAX:
        raise ValueError(f"a bundle is 1-{FRAMES_MAX} frames, not {len(frames)} in a {kind.name}")
    covered = b"".join(_build_frame_header(frame) for frame in frames)
    datagram = signed(kind, sender, sequence, via, len(frames), covered)
    return (datagram + b"".join(frame.payload for frame in frames)).ljust(padded_to, b"\0")


def build_hello(kind: Kind, sender: Sender, sequence: int, hello: Hello) -> bytes:
    """One HELLO datagram; an echo delay beyond 32 bits is written as their greatest value."""
    if not kind.is_hello:
        raise ValueError(f"{kind.name} is not a HELLO")
    delay_us = min(hello.echo_delay_us, ECHO_DELAY_MAX_US)
    flags = _HELLO_DRAINING if hello.draining else 0
    body = _HELLO.pack(hello.sent_at_us, hello.echo_us, delay_us, flags, hello.received, hello.lost)
    return signed(kind, sender, sequence, 0, 0, body)


def frame_header_bytes(client: Client) -> int:
    """Eight for an IPv4 client, also when it is given v4-mapped."""
    return FRAME_HEADER_BYTES_V4 if isinstance(_unmapped(client.ip), IPv4Address) else FRAME_HEADER_BYTES_V6


def fill_bundles(frames: Iterable[Frame]) -> list[list[Frame]]:
    """The frames in their order, cut where one more would pass 1,400 bytes or 64 frames.

    A frame too large for any bundle is cut from those before and after it, and so travels alone.
    """
    bundles: list[list[Frame]] = []
    room = 0
    for frame in frames:
        size = frame_header_bytes(frame.client) + len(frame.payload)
        if not bundles or size > room or len(bundles[-1]) == FRAMES_MAX:
            bundles.append([])
            room = BUNDLE_BYTES - HEADER_BYTES
        bundles[-1].append(frame)
        room -= size
    return bundles


def without_padding(datagram: bytes) -> bytes:
    """A sound bundle up to the end of its last payload; a HELLO up to the end of its body."""
    header = parse_header(datagram)
    end = HEADER_BYTES + header.covered_bytes
    if not header.kind.is_hello:
        end += sum(len(frame.payload) for frame in parse_bundle(datagram, header))
    return datagram[:end]


def signed(kind: Kind, sender: Sender, sequence: int, via: int, frame_count: int, covered: bytes) -> bytes:
    """A header with its MAC, and the bytes it covers. Sound contents are the caller's affair."""
    fields = (VERSION << 4 | kind, sender.key_id, frame_count, via, len(covered), sender.epoch_us, sequence)
    unsigned = _HEADER.pack(*fields, b"") + covered
    mac = mac_of(sender.trunk_key, unsigned, len(covered))
    return _HEADER.pack(*fields, mac) + covered


def mac_of(trunk_key: bytes, datagram: bytes, covered_bytes: int) -> bytes:
    """The first bytes of the AES-128-CMAC over the header, its MAC field as zeroes, and what the header covers."""
    cmac = CMAC(AES128(trunk_key))
    cmac.update(datagram[:MAC_OFFSET] + bytes(MAC_BYTES) + datagram[HEADER_BYTES : HEADER_BYTES + covered_bytes])
    return cmac.finalize()[:MAC_BYTES]


def _build_frame_header(frame: Frame) -> bytes:
    if len(frame.payload) > PAYLOAD_MAX or (frame.closes and frame.payload):
        raise ValueError(f"a frame carries at most {PAYLOAD_MAX} bytes, and none when it closes")
    word = len(frame.payload) | (_FRAME_CLOSES if frame.closes else 0)
    address = _unmapped(frame.client.ip)
    if isinstance(address, IPv4Address):
        return _FRAME_V4.pack(word, frame.client.port, address.packed)
    return _FRAME_V6.pack(word | _FRAME_IS_V6, frame.client.port, frame.client.scope, address.packed)


def _unmapped(ip: str) -> IPv4Address | IPv6Address:
    address = ip_address(ip)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
