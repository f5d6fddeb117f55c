"""Makes tests/data/trunk_vectors.json, the vectors of docs/trunk.md.

    python tests/data/make_trunk_vectors.py tests/data/trunk_vectors.json

Lives here: the choice of what is shown. A vector is one datagram with what a reader of the specification must make of
it: `frames` or `hello` when it is accepted, else the verdict. `receiver` names the end that reads ("transceiver" for
what goes up, "relay" for what goes down). Everything is fixed, so a second run makes the same file.
Must not live here: expectations about other languages, or packets of real calls (tests/data/captures).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastrelay.routing.keys import Key
from fastrelay.wire.trunk import (
    BUNDLE_BYTES,
    FRAMES_MAX,
    HEADER_BYTES,
    PAYLOAD_MAX,
    Client,
    Frame,
    Hello,
    Kind,
    Sender,
    build_bundle,
    build_hello,
    parse_header,
    signed,
)

KEY = Key(3, bytes(range(32)), mint_from_s=0)
OTHER_KEY = Key(4, bytes(range(32, 64)), mint_from_s=0)
EPOCH_US = 1_700_000_000_000_000
SENDER = Sender(KEY.id, KEY.trunk_key, EPOCH_US)
V4 = Client("192.0.2.7", 50_000)
V6 = Client("2001:db8::7", 50_001)
LINK_LOCAL = Client("fe80::1:2", 50_002, scope=3)
PACKET = bytes(range(128, 148))
HELLO = Hello(EPOCH_US + 5, echo_us=77, echo_delay_us=1500, draining=False, received=1000, lost=3)

Vector = dict[str, Any]


def main(path: str) -> None:
    document = {
        "about": "docs/trunk.md; made by tests/data/make_trunk_vectors.py",
        "keys": [
            {"id": key.id, "secret": key.secret.hex(), "trunk_key": key.trunk_key.hex()} for key in (KEY, OTHER_KEY)
        ],
        "accepted": list(accepted()),
        "refused": list(refused()),
    }
    Path(path).write_text(json.dumps(document, indent=1) + "\n", encoding="ascii")


def accepted() -> Iterator[Vector]:
    small = Frame(V4, b"\x16")
    yield bundle("one IPv4 client up", Kind.BUNDLE_UP, [Frame(V4, PACKET)])
    yield bundle("one IPv6 client up", Kind.BUNDLE_UP, [Frame(V6, PACKET)])
    yield bundle("link-local client up", Kind.BUNDLE_UP, [Frame(LINK_LOCAL, PACKET)])
    yield bundle("mixed families down", Kind.BUNDLE_DOWN, [Frame(V4, PACKET), Frame(V6, b"\x80\xc8"), small], via=2)
    yield bundle("close of one client down", Kind.BUNDLE_DOWN, [Frame(V4, b"", closes=True)])
    yield bundle("close between payloads", Kind.BUNDLE_DOWN, [small, Frame(V6, b"", closes=True), small])
    yield bundle("empty frame is the receiver's to count", Kind.BUNDLE_DOWN, [small, Frame(V4, b"")])
    yield bundle("padded", Kind.BUNDLE_UP, [Frame(V4, PACKET), small], padded_to=200)
    yield bundle("as many frames as there may be", Kind.BUNDLE_UP, [Frame(V6, b"\x14")] * FRAMES_MAX)
    yield bundle("a full bundle", Kind.BUNDLE_UP, [Frame(V4, bytes(BUNDLE_BYTES - HEADER_BYTES - 8))])
    yield bundle("the largest payload alone", Kind.BUNDLE_DOWN, [Frame(V4, bytes(PAYLOAD_MAX))])
    yield bundle("greatest via and sequence", Kind.BUNDLE_UP, [small], via=0xFFFF, sequence=2**64 - 1)
    yield hello("first HELLO up", Kind.HELLO_UP, Hello(EPOCH_US + 1))
    yield hello("HELLO down with an echo", Kind.HELLO_DOWN, HELLO)
    draining = Hello(EPOCH_US + 9, 78, 2**40, draining=True)
    yield hello("draining HELLO, echo older than its field", Kind.HELLO_UP, draining)
    body = HELLO_DOWN[HEADER_BYTES : HEADER_BYTES + 20] + b"\xff\xff\xff\xfe" + HELLO_DOWN[HEADER_BYTES + 24 :]
    yield hello("HELLO with unknown flags", Kind.HELLO_DOWN, HELLO, signed(Kind.HELLO_DOWN, SENDER, 9, 0, 0, body))
    yield hello("HELLO with bytes after its body", Kind.HELLO_DOWN, HELLO, HELLO_DOWN + b"later")


def refused() -> Iterator[Vector]:
    yield refusal("no bytes", b"", "TRUNK_TRUNCATED")
    yield refusal("truncated in the header", DOWN[: HEADER_BYTES - 1], "TRUNK_TRUNCATED")
    yield refusal("version 2", b"\x22" + DOWN[1:], "TRUNK_MALFORMED")
    yield refusal("kind 0", b"\x10" + DOWN[1:], "TRUNK_MALFORMED")
    yield refusal("kind 5", b"\x15" + DOWN[1:], "TRUNK_MALFORMED")
    yield refusal("key id not in the ring", DOWN[:1] + b"\x05" + DOWN[2:], "TRUNK_UNKNOWN_KEY")
    yield refusal("covered bytes pass the end", DOWN[: HEADER_BYTES + 7], "TRUNK_TRUNCATED")
    yield refusal("MAC edited", DOWN[:24] + bytes([DOWN[24] ^ 1]) + DOWN[25:], "TRUNK_BAD_MAC")
    yield refusal("MAC of another key", DOWN[:1] + bytes([OTHER_KEY.id]) + DOWN[2:], "TRUNK_BAD_MAC")
    yield refusal("frame header edited", DOWN[:34] + b"\xff" + DOWN[35:], "TRUNK_BAD_MAC")
    yield refusal("up where down is read", bundle("", Kind.BUNDLE_UP, [Frame(V4, PACKET)]), "TRUNK_DIRECTION")
    yield refusal("down where up is read", DOWN, "TRUNK_DIRECTION", receiver="transceiver")
    yield refusal("HELLO up where down is read", build_hello(Kind.HELLO_UP, SENDER, 7, HELLO), "TRUNK_DIRECTION")
    yield refusal("sequence 0", build_bundle(Kind.BUNDLE_DOWN, SENDER, 0, 0, [Frame(V4, PACKET)]), "TRUNK_REPLAYED")
    for name, frame_count, covered in MALFORMED_BUNDLES:
        datagram = signed(Kind.BUNDLE_DOWN, SENDER, 7, 0, frame_count, covered) + bytes(64)
        yield refusal(name, datagram, "TRUNK_MALFORMED")
    yield refusal("last payload passes the end", DOWN[:-1], "TRUNK_TRUNCATED")
    yield refusal("first payload passes the end", DOWN[: HEADER_BYTES + 8], "TRUNK_TRUNCATED")
    body = HELLO_DOWN[HEADER_BYTES:]
    yield refusal("HELLO with a frame", signed(Kind.HELLO_DOWN, SENDER, 7, 0, 1, body), "TRUNK_MALFORMED")
    yield refusal("HELLO of 39 bytes", signed(Kind.HELLO_DOWN, SENDER, 7, 0, 0, body[:39]), "TRUNK_MALFORMED")
    yield refusal("HELLO that covers 41", signed(Kind.HELLO_DOWN, SENDER, 7, 0, 0, body + b"\0"), "TRUNK_MALFORMED")


DOWN = build_bundle(Kind.BUNDLE_DOWN, SENDER, 7, 0, [Frame(V4, PACKET)])
HELLO_DOWN = build_hello(Kind.HELLO_DOWN, SENDER, 9, HELLO)
HEADER_V4 = bytes.fromhex("0014 c350 c0000207")
HEADER_V6 = bytes.fromhex("8014 c350 00000000 20010db8000000000000000000000007")
MALFORMED_BUNDLES = [
    ("no frames", 0, b""),
    ("frame headers without a count", 0, HEADER_V4),
    ("65 frames", FRAMES_MAX + 1, HEADER_V4 * (FRAMES_MAX + 1)),
    ("more frame headers than the count", 1, HEADER_V4 * 2),
    ("fewer frame headers than the count", 2, HEADER_V4),
    ("frame header cut", 1, HEADER_V4[:7]),
    ("IPv6 frame header cut", 1, HEADER_V6[:23]),
    ("covered bytes end within a frame header", 1, HEADER_V4 + b"\0"),
    ("reserved bit 12", 1, b"\x10" + HEADER_V4[1:]),
    ("reserved bit 13", 1, b"\x20" + HEADER_V4[1:]),
    ("payload of 2,049 bytes", 1, b"\x08\x01" + HEADER_V4[2:]),
    ("CLOSE with a payload", 1, b"\x40\x01" + HEADER_V4[2:]),
    ("IPv4 in the long form", 1, HEADER_V6[:8] + bytes(10) + b"\xff\xff" + HEADER_V4[4:]),
    ("malformed before truncated", 2, b"\x08\x00" + HEADER_V4[2:]),
]


def bundle(
    name: str, kind: Kind, frames: list[Frame], *, via: int = 0, sequence: int = 7, padded_to: int = 0
) -> Vector:
    datagram = build_bundle(kind, SENDER, sequence, via, frames, padded_to)
    contents = [
        {
            "ip": frame.client.ip,
            "port": frame.client.port,
            "scope": frame.client.scope,
            "payload": frame.payload.hex(),
            "closes": frame.closes,
        }
        for frame in frames
    ]
    return {**described(name, kind, datagram), "frames": contents}


def hello(name: str, kind: Kind, contents: Hello, datagram: bytes | None = None) -> Vector:
    datagram = build_hello(kind, SENDER, 9, contents) if datagram is None else datagram
    fields = {
        "sent_at_us": contents.sent_at_us,
        "echo_us": contents.echo_us,
        "echo_delay_us": min(contents.echo_delay_us, 0xFFFF_FFFF),
        "draining": contents.draining,
        "received": contents.received,
        "lost": contents.lost,
    }
    return {**described(name, kind, datagram), "hello": fields}


def described(name: str, kind: Kind, datagram: bytes) -> Vector:
    header = parse_header(datagram)
    return {
        "name": name,
        "receiver": "transceiver" if kind.is_up else "relay",
        "datagram": datagram.hex(),
        "kind": header.kind.name,
        "key_id": header.key_id,
        "via": header.via,
        "epoch_us": header.epoch_us,
        "sequence": header.sequence,
        "covered_bytes": header.covered_bytes,
    }


def refusal(name: str, datagram: bytes | Vector, verdict: str, receiver: str = "relay") -> Vector:
    shown = datagram.hex() if isinstance(datagram, bytes) else datagram["datagram"]
    return {"name": name, "receiver": receiver, "datagram": shown, "verdict": verdict}


if __name__ == "__main__":
    main(sys.argv[1])
