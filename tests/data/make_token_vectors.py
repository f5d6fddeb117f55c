"""Writes token_vectors.json from the Python implementation: `python tests/data/make_token_vectors.py`.

Everything in it is fixed, so a run changes nothing unless the format changes; a test holds the file to that. The
secrets are published here and protect nothing.
"""

from __future__ import annotations

import base64
import json
import struct
from ipaddress import ip_address
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from fastrelay.errors import TokenRefusal
from fastrelay.routing.keys import Key, KeyRing
from fastrelay.routing.token import RouteToken, ice_password

VECTORS = Path(__file__).with_name("token_vectors.json")
NOW_S = 1_800_000_000
RETIRED_AT_S = NOW_S - 10
CLUSTER = 7
SESSION_ID = bytes.fromhex("0123456789abcdef")

RING = KeyRing(
    (
        Key(0, bytes(range(32)), NOW_S - 200_000, RETIRED_AT_S),
        Key(3, bytes(range(100, 132)), NOW_S - 100_000, NOW_S + 80_000),
        Key(9, b"\xff" * 32, NOW_S + 3_600, None),
        Key(15, b"\x00" * 32, NOW_S - 6_400, None),
    )
)

# name: (key id, token)
SEALED = {
    "IPv4": (15, RouteToken(("10.0.0.7", 4000), SESSION_ID, NOW_S, CLUSTER)),
    "IPv6": (15, RouteToken(("2001:db8::7", 4000), SESSION_ID, NOW_S, CLUSTER)),
    "older key that still opens": (3, RouteToken(("10.0.0.7", 4000), SESSION_ID, NOW_S - 7_000, CLUSTER)),
    "key that does not mint yet": (9, RouteToken(("10.0.0.7", 4000), SESSION_ID, NOW_S, CLUSTER)),
    "lowest port, zero session": (15, RouteToken(("192.0.2.1", 1), bytes(8), NOW_S, CLUSTER)),
    "highest port, session of ones": (15, RouteToken(("192.0.2.255", 65535), b"\xff" * 8, NOW_S, CLUSTER)),
    "highest IPv6 address": (15, RouteToken(("ffff:" * 7 + "ffff", 65535), b"\xff" * 8, NOW_S, CLUSTER)),
    "IPv6 of zeros and one": (3, RouteToken(("::1", 3478), SESSION_ID, NOW_S, CLUSTER)),
    "oldest that opens": (3, RouteToken(("10.0.0.7", 4000), SESSION_ID, NOW_S - 86_400, CLUSTER)),
    "furthest ahead that opens": (15, RouteToken(("10.0.0.7", 4000), SESSION_ID, NOW_S + 60, CLUSTER)),
}


def refused() -> dict[str, tuple[str, TokenRefusal]]:
    """Return name: (text, reason)."""
    key, other, retired = RING.keys[3], RING.keys[1], RING.keys[0]
    token = RouteToken(("10.0.0.7", 4000), SESSION_ID, NOW_S, CLUSTER)
    good = token.seal(key)
    good_v6 = RouteToken(("2001:db8::7", 4000), SESSION_ID, NOW_S, CLUSTER).seal(key)
    fields = _fields(token)
    mapped = fields[:16] + bytes(10) + b"\xff\xff" + fields[16:]
    malformed, forged = TokenRefusal.MALFORMED, TokenRefusal.FORGED
    return {
        "empty": ("", malformed),
        "one character short": (good[:-1], malformed),
        "one character long": (good + "A", malformed),
        "IPv6 cut to a length between": (good_v6[:58], malformed),
        "padded": (good + "==", malformed),
        "URL alphabet": (good[:20] + "-" + good[21:], malformed),
        "padding inside": (good[:49] + "=", malformed),
        "space at the end": (good[:49] + " ", malformed),
        "newline at the end": (good[:49] + "\n", malformed),
        "spare bit set": (good[:-1] + _next_digit(good[-1]), malformed),
        "spare bit set, IPv6": (good_v6[:-1] + _next_digit(good_v6[-1]), malformed),
        "version 0": ("A" + good[1:], malformed),
        "version 2": ("I" + good[1:], malformed),
        "port 0": (_seal_fields(key, fields[:14] + bytes(2) + fields[16:]), malformed),
        "IPv4 written as v4-mapped IPv6": (_seal_fields(key, mapped), malformed),
        "key id not in the ring": (_seal_fields(key, fields, header_key_id=5), TokenRefusal.UNKNOWN_KEY),
        "retired key": (token.seal(retired), TokenRefusal.RETIRED_KEY),
        "retired key, forged too": (_seal_fields(other, fields, header_key_id=retired.id), TokenRefusal.RETIRED_KEY),
        "sealed with another key": (_seal_fields(other, fields, header_key_id=key.id), forged),
        "relabelled to another key": (_relabelled(good, other.id), forged),
        "header not authenticated": (_seal_fields(key, fields, associated=[]), forged),
        "tag edited": (_edited(good, 1), forged),
        "address edited": (_edited(good, 36), forged),
        "IPv6 cut to the length of IPv4": (_build(_bytes(good_v6)[:37]), forged),
        "all zero but the header": (_build(bytes([0x1F]) + bytes(36)), forged),
        "another cluster": (
            RouteToken(("10.0.0.7", 4000), SESSION_ID, NOW_S, 8).seal(key),
            TokenRefusal.FOREIGN_CLUSTER,
        ),
        "another cluster, expired too": (
            RouteToken(("10.0.0.7", 4000), SESSION_ID, 0, 0).seal(key),
            TokenRefusal.FOREIGN_CLUSTER,
        ),
        "one second too old": (
            RouteToken(("10.0.0.7", 4000), SESSION_ID, NOW_S - 86_401, CLUSTER).seal(key),
            TokenRefusal.EXPIRED,
        ),
        "minted in 1970": (RouteToken(("10.0.0.7", 4000), SESSION_ID, 0, CLUSTER).seal(key), TokenRefusal.EXPIRED),
        "one second too far ahead": (
            RouteToken(("10.0.0.7", 4000), SESSION_ID, NOW_S + 61, CLUSTER).seal(key),
            TokenRefusal.NOT_YET,
        ),
        "minted in 2106": (
            RouteToken(("10.0.0.7", 4000), SESSION_ID, 0xFFFF_FFFF, CLUSTER).seal(key),
            TokenRefusal.NOT_YET,
        ),
    }


def build_vectors() -> str:
    """Return the file's text."""
    document = {
        "about": "Vectors of docs/route-token.md. now, cluster, lifetime and clock skew hold for all of them.",
        "now": NOW_S,
        "cluster": CLUSTER,
        "lifetime": 86_400,
        "clock_skew": 60,
        "ring": json.loads(RING.build()),
        "minting_key": RING.minting_key(NOW_S).id,
        "derived": [
            {"id": key.id, "siv": key.siv_key.hex(), "ice": key.ice_key.hex(), "trunk": key.trunk_key.hex()}
            for key in RING.keys
        ],
        "opens": [_opening(name, key_id, token) for name, (key_id, token) in SEALED.items()],
        "refused": [{"name": name, "text": text, "reason": reason.name} for name, (text, reason) in refused().items()],
    }
    return json.dumps(document, indent=1) + "\n"


def _opening(name: str, key_id: int, token: RouteToken) -> dict[str, object]:
    key = RING.find(key_id)
    assert key is not None
    text = token.seal(key)
    ip, port = token.transceiver
    return {
        "name": name,
        "key": key_id,
        "cluster": token.cluster,
        "session": token.session_id.hex(),
        "minted_at": token.minted_at_s,
        "address": ip,
        "port": port,
        "fields": _fields(token).hex(),
        "text": text,
        "password": ice_password(text, key),
    }


def _seal_fields(
    key: Key, fields: bytes, *, header_key_id: int | None = None, associated: list[bytes] | None = None
) -> str:
    """Seal what RouteToken would refuse to seal, or as it would not."""
    header = bytes([0x10 | (key.id if header_key_id is None else header_key_id)])
    return _build(header + AESSIV(key.siv_key).encrypt(fields, [header] if associated is None else associated))


def _fields(token: RouteToken) -> bytes:
    ip, port = token.transceiver
    numbers = struct.pack("!H8sIH", token.cluster, token.session_id, token.minted_at_s, port)
    return numbers + ip_address(ip).packed


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "==")


def _build(content: bytes) -> str:
    return base64.b64encode(content).decode().rstrip("=")


def _edited(text: str, index: int) -> str:
    content = bytearray(_bytes(text))
    content[index] ^= 0x80
    return _build(bytes(content))


def _relabelled(text: str, key_id: int) -> str:
    return _build(bytes([0x10 | key_id]) + _bytes(text)[1:])


def _next_digit(digit: str) -> str:
    """Return the base64 digit one above: the lowest spare bit is set."""
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return digits[digits.index(digit) | 1]


if __name__ == "__main__":
    VECTORS.write_text(build_vectors())
