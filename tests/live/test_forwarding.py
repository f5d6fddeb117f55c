"""A client reaches its transceiver through a running relay, and is answered from where it called."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from fastrelay.routing import KeyRing
from fastrelay.wire.trunk import Frame
from tests import golden
from tests.live.ends import CallingClient, Transceiver, speech
from tests.live.process import RelayProcess, options

RESPONSE = bytes.fromhex("0101 0000 2112a442") + bytes(12)
PLACES = [
    pytest.param("127.0.0.1", "127.0.0.1", "127.0.0.0/8", id="IPv4"),
    pytest.param("::1", "::1", "::1", id="IPv6"),
    pytest.param("::1", "127.0.0.1", "127.0.0.0/8", id="IPv6 client, IPv4 trunk"),
    pytest.param("127.0.0.1", "::1", "::1/128", id="IPv4 client, IPv6 trunk"),
]


@pytest.mark.parametrize(("client_ip", "trunk_ip", "allow"), PLACES)
def test_call_is_admitted_and_answered(
    client_ip: str, trunk_ip: str, allow: str, ring_file: Path, ring: KeyRing
) -> None:
    with (
        RelayProcess(*options(client_ip, trunk_ip, ring_file, allow)) as relay,
        Transceiver(trunk_ip, ring) as transceiver,
        CallingClient(client_ip, relay.clients[0], transceiver.mint()) as client,
    ):
        check = client.check()
        bundle = transceiver.bundle()
        assert bundle.frames == [Frame(client.as_client, check)]
        assert bundle.source == relay.trunks[0]
        transceiver.answer(client.as_client, RESPONSE)
        assert client.receive() == (RESPONSE, relay.clients[0])
        relay.counts("UP_ADMITTED", 1)
        relay.counts("DOWN_CONFIRMED", 1)


def test_ipv4_transceiver_is_reached_from_a_trunk_for_both_families(ring_file: Path, ring: KeyRing) -> None:
    with (
        RelayProcess(*options("127.0.0.1", "[::]", ring_file, "127.0.0.0/8", "::1")) as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as client,
    ):
        client.check()
        assert transceiver.bundle().source == ("127.0.0.1", relay.trunks[0][1])
        transceiver.answer(client.as_client, RESPONSE)
        assert client.receive() == (RESPONSE, relay.clients[0])


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param((), id="as it comes"),
        pytest.param(("--no-offload",), id="no offload"),
        pytest.param(("--spin",), id="spinning"),
        pytest.param(("--busy-poll", "50"), id="busy polling"),
        pytest.param(("--no-latency-samples",), id="no latency samples"),
    ],
)
def test_every_way_of_running_carries_the_same_frames(extra: tuple[str, ...], ring_file: Path, ring: KeyRing) -> None:
    with (
        RelayProcess(*options("127.0.0.1", "127.0.0.1", ring_file, "127.0.0.1"), *extra) as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as client,
    ):
        client.check()
        transceiver.frames(1)
        # enough for several datagrams in one burst, where offloading makes a difference
        upward = [speech(number, 60 + number % 140) for number in range(100)]
        for payload in upward:
            client.send(payload)
        assert [frame.payload for frame in transceiver.frames(len(upward))] == upward
        downward = [speech(number, 60 + number % 140) for number in range(50)]
        transceiver.answer(client.as_client, *downward[:25])
        transceiver.answer(client.as_client, *downward[25:])
        assert [client.receive()[0] for _ in downward] == downward
        with relay.counters() as page:
            assert page.is_offloading == ("--no-offload" not in extra)
            assert bool(page.hop_up_ns.sum()) == ("--no-latency-samples" not in extra)
            assert page.event("offload_failures") == 0


def test_two_workers_carry_many_calls(ring_file: Path, ring: KeyRing) -> None:
    with (
        RelayProcess(*options("127.0.0.1", "127.0.0.1", ring_file, "127.0.0.1"), "--workers", "2") as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
    ):
        assert len(relay.workers) == len(relay.trunks) == 2
        clients = [CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) for _ in range(32)]
        try:
            sources = set()
            for client in clients:
                check = client.check()
                bundle = transceiver.bundle()
                assert bundle.frames == [Frame(client.as_client, check)]
                sources.add(bundle.source)
                transceiver.answer(client.as_client, RESPONSE)
                assert client.receive() == (RESPONSE, relay.clients[0])
            assert sources == set(relay.trunks), "the kernel spreads clients over both workers"
        finally:
            for client in clients:
                client.socket.close()
        with relay.counters(0) as first, relay.counters(1) as second:
            assert first.packets("UP_ADMITTED") + second.packets("UP_ADMITTED") == len(clients)


@pytest.mark.parametrize("client_ip", ["127.0.0.1", "::1"], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("name", golden.NAMES)
def test_captured_call_passes_byte_for_byte(name: str, client_ip: str, ring_file: Path, ring: KeyRing) -> None:
    with RelayProcess(*options(client_ip, "[::]", ring_file, "::1")) as relay, Transceiver("::1", ring) as transceiver:
        minted = transceiver.mint()
        with CallingClient(client_ip, relay.clients[0], minted) as client:
            client.check()
            transceiver.frames(1)
            transceiver.answer(client.as_client, RESPONSE)
            client.receive()
            for direction, run in itertools.groupby(golden.load(name), key=lambda packet: packet.direction):
                payloads = [packet.payload for packet in run]
                if direction == "client":
                    payloads = [
                        golden.with_ticket(payload, minted.ufrag, minted.password)
                        if golden.is_check(payload)
                        else payload
                        for payload in payloads
                    ]
                    for payload in payloads:
                        client.send(payload)
                    frames = transceiver.frames(len(payloads))
                    assert frames == [Frame(client.as_client, payload) for payload in payloads]
                else:
                    for payload in payloads:
                        transceiver.answer(client.as_client, payload)
                    assert [client.receive() for _ in payloads] == [(payload, relay.clients[0]) for payload in payloads]
