"""What the micro benchmarks share: a key ring, a token, a check, and a relay's decisions without its sockets.

These figures include the call from Python (about 0.2 µs) and the making of its objects: compare them with each other
and with an earlier run, not with the cost of a packet, which bench/load measures.
"""

from ipaddress import ip_network

import pytest

from fastrelay._ext.codec import TokenCodec
from fastrelay.routing.keys import Key, KeyRing
from fastrelay.routing.token import MintedToken, mint_token
from fastrelay.wire.stun import build_check

NOW_S = 1_800_000_000
TRANSCEIVER = ("10.0.0.1", 7000)
ALLOWED = [ip_network("10.0.0.0/8")]


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing((Key(3, bytes(range(32)), 0),))


@pytest.fixture
def codec(ring: KeyRing) -> TokenCodec:
    return TokenCodec(ring.entries())


@pytest.fixture
def minted(ring: KeyRing) -> MintedToken:
    return mint_token(ring, to=TRANSCEIVER, now_s=NOW_S, session_id=bytes(8))


@pytest.fixture
def check(minted: MintedToken) -> bytes:
    return build_check(f"{minted.ufrag}:client", minted.password, transaction_id=bytes(12))
