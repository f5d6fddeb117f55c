"""What the micro benchmarks share: a key ring, a token, a check, and a relay's decisions without its sockets.

These figures include the call from Python (about 0.2 µs) and the making of its objects: compare them with each other
and with an earlier run, not with the cost of a packet, which bench/load measures.

Lives here: fixtures, and the reference that runs beside each benchmark. Must not live here: the baseline (baseline.py).
"""

import hashlib
import time
from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fastrelay._ext.codec import TokenCodec
from fastrelay.routing.keys import Key, KeyRing
from fastrelay.routing.token import MintedToken, mint_token
from fastrelay.wire.stun import build_check

NOW_S = 1_800_000_000
TRANSCEIVER = ("10.0.0.1", 7000)
ALLOWED = [ip_network("10.0.0.0/8")]
REFERENCE_ROUNDS = 150
REFERENCE_BLOCK = bytes(2048)


@pytest.fixture(autouse=True)
def reference(benchmark: BenchmarkFixture) -> Iterator[None]:
    """Times the reference before and after the benchmark: what has slowed both is the machine."""
    before = reference_ns()
    yield
    benchmark.extra_info["reference_ns"] = min(before, reference_ns())


def reference_ns() -> int:
    """The fastest of many: other work only adds."""
    fastest = time.perf_counter_ns()
    for _ in range(REFERENCE_ROUNDS):
        started = time.perf_counter_ns()
        reference_work()
        fastest = min(fastest, time.perf_counter_ns() - started)
    return fastest


def reference_work() -> tuple[int, bytes]:
    """Some of the interpreter and some of OpenSSL, as the benchmarks have it, and nothing of ours."""
    total = 0
    for number in range(150):
        total += number * number & 255
    return total, hashlib.sha256(REFERENCE_BLOCK).digest()


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
