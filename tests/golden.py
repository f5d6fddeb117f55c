"""Real packets of real calls: the captures in tests/data/captures, as typed records.

    for packet in golden.load("firefox153_dtls_client"): ...

What the captures are and how they were cut: tests/data/README.md.
"""

import base64
import hmac
import json
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from fastrelay.wire.stun import BINDING_REQUEST, HEADER_LENGTH, MESSAGE_INTEGRITY, USERNAME

CAPTURES = Path(__file__).parent / "data" / "captures"
NAMES = tuple(sorted(path.stem for path in CAPTURES.glob("*.jsonl")))
FINGERPRINT = 0x8028


@dataclass(frozen=True, slots=True)
class GoldenPacket:
    """One datagram of a call."""

    direction: Literal["client", "server"]
    """Who sent it: `client` is the browser or library, and its packets go up."""
    time_s: float
    """Seconds since the first packet of the capture."""
    kind: Literal["stun", "dtls", "srtp", "srtcp"]
    """Its protocol, told by its structure when the capture was cut, not by its first byte."""
    payload: bytes


@cache
def _records(name: str) -> tuple[dict[str, str | None], tuple[GoldenPacket, ...]]:
    lines = (CAPTURES / f"{name}.jsonl").read_text(encoding="ascii").splitlines()
    header, *records = map(json.loads, lines)
    packets = tuple(
        GoldenPacket(record["direction"], record["time_s"], record["kind"], base64.b64decode(record["payload"]))
        for record in records
    )
    return header, packets


def load(name: str) -> list[GoldenPacket]:
    """Return the packets of a capture, one of NAMES, in the order they were seen."""
    return list(_records(name)[1])


def client_password(name: str) -> str | None:
    """Return the client's ICE password where it is known: it signs checks to the client, and the client's responses."""
    return _records(name)[0]["client_password"]


def is_check(payload: bytes) -> bool:
    return payload[:2] == BINDING_REQUEST.to_bytes(2, "big") and payload[4:8] == bytes.fromhex("2112a442")


def with_ticket(captured: bytes, ufrag: str, password: str) -> bytes:
    """A captured check with our token before the colon, signed again. All else stays as the client wrote it."""
    attributes = b""
    for kind, value in walk(captured):
        if kind == USERNAME:
            attributes += attribute(kind, ufrag.encode() + value[value.index(b":") :])
        elif kind == MESSAGE_INTEGRITY:
            covered = message(captured, attributes, following=24)
            attributes += attribute(kind, hmac.digest(password.encode(), covered, "sha1"))
        elif kind == FINGERPRINT:
            checksum = zlib.crc32(message(captured, attributes, following=8)) ^ 0x5354554E
            attributes += attribute(kind, checksum.to_bytes(4, "big"))
        else:
            attributes += attribute(kind, value)
    return message(captured, attributes)


def signed(attributes: bytes, password: str) -> bytes:
    """A Binding request of our own: these attributes and a signature, without a fingerprint."""
    header = BINDING_REQUEST.to_bytes(2, "big") + bytes.fromhex("0000 2112a442") + b"transaction."
    covered = message(header, attributes, following=24)
    return covered + attribute(MESSAGE_INTEGRITY, hmac.digest(password.encode(), covered, "sha1"))


def walk(packet: bytes) -> list[tuple[int, bytes]]:
    attributes, offset = [], HEADER_LENGTH
    while offset < len(packet):
        kind, length = (int.from_bytes(packet[at : at + 2], "big") for at in (offset, offset + 2))
        attributes.append((kind, packet[offset + 4 : offset + 4 + length]))
        offset += 4 + length + -length % 4
    return attributes


def attribute(kind: int, value: bytes) -> bytes:
    return kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value + bytes(-len(value) % 4)


def message(captured: bytes, attributes: bytes, following: int = 0) -> bytes:
    """The captured header over these attributes, its length counting `following` bytes more."""
    return captured[:2] + (len(attributes) + following).to_bytes(2, "big") + captured[4:HEADER_LENGTH] + attributes
