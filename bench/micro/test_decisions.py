"""The packet decision without sockets: bundles built and parsed, flows found, a whole batch at a time."""

import itertools
from ipaddress import IPv4Address
from typing import Any, cast

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.conftest import ALLOWED, NOW_S, TRANSCEIVER
from fastrelay._ext.relay_core import RelayCore
from fastrelay.relay.dataplane.limits import Limits
from fastrelay.relay.dataplane.verdict import Verdict
from fastrelay.routing.keys import KeyRing
from fastrelay.wire.trunk import Client, Frame, Kind, Sender, build_bundle, check_mac, parse_bundle, parse_header

NOW_MS = 1_000_000
BATCH = 256
PACKET = bytes([0x80, 111]) + bytes(158)
# what one trunk datagram of 1,400 bytes holds
BUNDLE_FRAMES = 8


def client_of(number: int) -> tuple[str, int]:
    return str(IPv4Address(0x0B000000 + number)), 4000 + number % 7


def core_with_flows(ring: KeyRing, flows: int) -> RelayCore:
    core = RelayCore(ring.entries(), ALLOWED, 0, [("192.0.2.1", 443)], Limits(), 1)
    for number in range(flows):
        core.insert_flow(client_of(number), TRANSCEIVER, 0, NOW_MS)
    return core


@pytest.mark.parametrize("flows", [256, 100_000], ids=["256 flows", "100,000 flows"])
def test_batch_up(benchmark: BenchmarkFixture, ring: KeyRing, flows: int) -> None:
    core = core_with_flows(ring, flows)
    stride = flows // BATCH
    packets = [(PACKET, (*client_of(number * stride), 0), 0) for number in range(BATCH)]
    verdicts, _ = benchmark(core.handle_up, packets, NOW_MS, NOW_S)
    assert verdicts == [Verdict.UP_SRTP] * BATCH


def test_bundle_down(benchmark: BenchmarkFixture, ring: KeyRing) -> None:
    core = core_with_flows(ring, BATCH)
    key = ring.keys[0]
    frames = [Frame(Client(*client_of(number)), PACKET) for number in range(BUNDLE_FRAMES)]
    sequences = itertools.count(1)

    def fresh() -> tuple[tuple[list[tuple[tuple[str, int], bytes]], int, int], dict[str, object]]:
        # a bundle is accepted once: each round needs the next sequence number
        datagram = build_bundle(Kind.BUNDLE_DOWN, Sender(key.id, key.trunk_key, 1), next(sequences), 0, frames)
        return ([(TRANSCEIVER, datagram)], NOW_MS, NOW_S), {}

    # pedantic has no annotations
    verdicts, frame_verdicts, _ = cast(Any, benchmark).pedantic(core.handle_down, setup=fresh, rounds=2000)
    assert verdicts == [Verdict.TRUNK_BUNDLE]
    assert frame_verdicts == [Verdict.DOWN_FORWARDED] * BUNDLE_FRAMES


def test_bundle_in_the_python_twin(benchmark: BenchmarkFixture, ring: KeyRing) -> None:
    key = ring.keys[0]
    frames = [Frame(Client(*client_of(number)), PACKET) for number in range(BUNDLE_FRAMES)]

    def there_and_back() -> list[Frame]:
        datagram = build_bundle(Kind.BUNDLE_UP, Sender(key.id, key.trunk_key, 1), 1, 0, frames)
        header = parse_header(datagram)
        check_mac(datagram, header, key.trunk_key)
        return parse_bundle(datagram, header)

    assert benchmark(there_and_back) == frames
