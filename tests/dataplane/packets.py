"""The small world of the data-plane tests: keys, addresses, clients, and what they and their transceivers send.

Lives here: fixed names and builders of packets. Nothing random: the same call gives the same bytes.
Must not live here: expectations.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network

from fastrelay.relay.dataplane.limits import Limits
from fastrelay.routing.keys import Key, KeyRing
from fastrelay.routing.token import RouteToken, ice_password
from fastrelay.wire.stun import HEADER_LENGTH, Check, build_check, parse_check
from fastrelay.wire.trunk import Client, Frame, Hello, Kind, Sender, build_bundle, build_hello, mac_of

NOW_MS = 1_000_000
UNIX_S = 1_700_000_000
EPOCH_US = 1_700_000_000_000_001
PEER_EPOCH_US = 1_699_999_000_000_000

RETIRED = Key(0, b"retired." * 4, mint_from_s=0, open_until_s=UNIX_S)
CURRENT = Key(1, b"current." * 4, mint_from_s=UNIX_S - 1000)
COMING = Key(2, b"coming.." * 4, mint_from_s=UNIX_S + 1_000_000)
STRANGE = Key(1, b"strange." * 4, mint_from_s=0)
UNKNOWN = Key(9, b"unknown." * 4, mint_from_s=0)
RING = KeyRing((RETIRED, CURRENT, COMING))

CLUSTER = 7
ALLOWED = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
LOCALS = [("198.51.100.1", 3478), ("2001:db8:ffff::1", 3478), ("198.51.100.2", 3478)]
LIMITS = Limits(flows=64, peers=8)

T1, T2, T3, T6 = ("10.0.0.1", 4000), ("10.0.0.2", 4000), ("10.0.0.1", 4001), ("fd00::1", 4000)
OUTSIDE = ("172.16.0.1", 4000)

ALICE = Client("192.0.2.1", 50_000)
ALICE_MOVED = Client("192.0.2.1", 50_001)
BOB = Client("192.0.2.2", 50_000)
CAROL = Client("2001:db8::3", 50_000)
DAVE = Client("fe80::4", 50_000, scope=2)

DTLS = b"\x16\xfe\xfd" + bytes(10) + b"client hello"
SRTP = b"\x80\x6f" + bytes(10) + b"speech"
SRTCP = b"\x80\xc8" + bytes(26)
JUNK = b"GET / HTTP/1.1"
RESPONSE = bytes.fromhex("0101 0000 2112a442") + bytes(12)


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a client was given in its answer."""

    ufrag: str
    password: str


def ticket(
    session: int = 1,
    to: tuple[str, int] = T1,
    *,
    key: Key = CURRENT,
    cluster: int = CLUSTER,
    minted_at_s: int = UNIX_S,
) -> Ticket:
    ufrag = RouteToken(to, session.to_bytes(8, "big"), minted_at_s, cluster).seal(key)
    return Ticket(ufrag, ice_password(ufrag, key))


def check(admission: Ticket, count: int = 0, *, username: str | None = None, password: str | None = None) -> bytes:
    """A connectivity check; `count` tells several of one client apart."""
    return build_check(
        f"{admission.ufrag}:abcd" if username is None else username,
        admission.password if password is None else password,
        transaction_id=count.to_bytes(12, "big"),
    )


def down(
    *frames: Frame,
    sequence: int = 1,
    via: int = 0,
    key: Key = CURRENT,
    epoch_us: int = PEER_EPOCH_US,
    kind: Kind = Kind.BUNDLE_DOWN,
) -> bytes:
    return build_bundle(kind, Sender(key.id, key.trunk_key, epoch_us), sequence, via, frames)


def hello_down(sequence: int = 1, sent_at_us: int = 77, *, key: Key = CURRENT, kind: Kind = Kind.HELLO_DOWN) -> bytes:
    return build_hello(kind, Sender(key.id, key.trunk_key, PEER_EPOCH_US), sequence, Hello(sent_at_us))


def close(client: Client) -> Frame:
    return Frame(client, b"", closes=True)


def flipped(packet: bytes, offset: int, flip: int = 0x01) -> bytes:
    edited = bytearray(packet)
    edited[offset] ^= flip
    return bytes(edited)


def integrity_offset(packet: bytes) -> int:
    """Where MESSAGE-INTEGRITY begins in a sound check."""
    parsed = parse_check(packet)
    assert isinstance(parsed, Check)
    return parsed.integrity_offset


def cut_before(packet: bytes, end: int) -> bytes:
    """A STUN message as if it ended there, its length put right."""
    return packet[:2] + (end - HEADER_LENGTH).to_bytes(2, "big") + packet[4:end]


def resigned(datagram: bytes) -> bytes:
    """An edited trunk datagram with the MAC that fits it, as far as its covered bytes are there."""
    mac = mac_of(CURRENT.trunk_key, datagram, covered_bytes=int.from_bytes(datagram[6:8], "big"))
    return datagram[:24] + mac + datagram[32:]
