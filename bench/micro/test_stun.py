"""A client's first packet: is it STUN, is it a check, did the right client sign it?"""

from pytest_benchmark.fixture import BenchmarkFixture

from fastrelay._ext import codec
from fastrelay.routing.token import MintedToken


def test_classify(benchmark: BenchmarkFixture, check: bytes) -> None:
    assert benchmark(codec.classify, check) == 0


def test_parse_check(benchmark: BenchmarkFixture, check: bytes, minted: MintedToken) -> None:
    verdict, token, _ = benchmark(codec.parse_check, check)
    assert (verdict, token) == (0, minted.ufrag.encode())


def test_verify_integrity(benchmark: BenchmarkFixture, check: bytes, minted: MintedToken) -> None:
    assert benchmark(codec.integrity_matches, check, minted.password.encode())
