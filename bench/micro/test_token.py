"""Route tokens: sealed in Python by servers, opened in C by relays."""

from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.conftest import NOW_S, TRANSCEIVER
from fastrelay._ext.codec import TokenCodec
from fastrelay.routing.keys import KeyRing
from fastrelay.routing.token import MintedToken, mint_token, open_token


def test_mint_in_python(benchmark: BenchmarkFixture, ring: KeyRing) -> None:
    minted = benchmark(lambda: mint_token(ring, to=TRANSCEIVER, now_s=NOW_S))
    assert open_token(minted.ufrag, ring, now_s=NOW_S) == minted.token


def test_open_in_python(benchmark: BenchmarkFixture, ring: KeyRing, minted: MintedToken) -> None:
    assert benchmark(lambda: open_token(minted.ufrag, ring, now_s=NOW_S)) == minted.token


def test_seal_in_c(benchmark: BenchmarkFixture, codec: TokenCodec, minted: MintedToken) -> None:
    sealed = benchmark(codec.seal, 3, 0, bytes(8), NOW_S, bytes([10, 0, 0, 1]), 7000)
    assert sealed == minted.ufrag


def test_open_in_c(benchmark: BenchmarkFixture, codec: TokenCodec, minted: MintedToken) -> None:
    opened = benchmark(codec.open, minted.ufrag.encode())
    assert opened == (0, bytes(8), NOW_S, bytes([10, 0, 0, 1]), 7000)


def test_derive_ice_password_in_c(benchmark: BenchmarkFixture, codec: TokenCodec, minted: MintedToken) -> None:
    assert benchmark(codec.ice_password, minted.ufrag.encode()) == minted.password
