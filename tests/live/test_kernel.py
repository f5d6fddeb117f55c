"""What the kernel does beside carrying packets: segmenting, refusing to, dropping. The loop copes and counts."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastrelay.config.addresses import parse_network
from fastrelay.relay.dataplane.limits import Limits
from fastrelay.relay.settings import RelaySettings
from fastrelay.routing import KeyRing
from fastrelay.wire.trunk import BUNDLE_BYTES, Frame
from tests.live.ends import CallingClient, Transceiver, eventually, speech
from tests.live.in_process import RelayInProcess
from tests.live.process import RelayProcess, options

SO_NO_CHECK = 11
UDP_SEGMENT, UDP_NO_CHECK6_TX, UDP_NO_CHECK6_RX = 103, 101, 102
SMALL_BUFFER_BYTES = 16_384


@contextmanager
def call(ip: str, ring: KeyRing) -> Iterator[tuple[RelayInProcess, Transceiver, CallingClient]]:
    """A confirmed call through a worker that is turned by hand."""
    settings = RelaySettings(
        listen=((ip, 0),),
        trunk=(ip, 0),
        allowed=(parse_network(ip),),
        load_keys=lambda: ring,
        limits=Limits(flows=1024),
    )
    with (
        RelayInProcess(settings) as relay,
        Transceiver(ip, ring, turn=relay.turn) as transceiver,
        CallingClient(ip, relay.clients[0], transceiver.mint(), turn=relay.turn) as client,
    ):
        client.check()
        transceiver.frames(1)
        transceiver.answer(client.as_client, speech(0, 20))
        client.receive()
        yield relay, transceiver, client


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"], ids=["IPv4", "IPv6"])
def test_offload_that_fails_is_switched_off_for_good_and_loses_nothing(ip: str, ring: KeyRing) -> None:
    with call(ip, ring) as (relay, transceiver, client):
        # a socket without checksums may not segment: the kernel refuses what it granted before
        if ":" in ip:
            relay.trunk.setsockopt(socket.IPPROTO_UDP, UDP_NO_CHECK6_TX, 1)
            transceiver.socket.setsockopt(socket.IPPROTO_UDP, UDP_NO_CHECK6_RX, 1)
        else:
            relay.trunk.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        for round_ in range(2):
            sent = [speech(number) for number in range(100)]
            for payload in sent:
                client.send(payload)  # all wait in the socket: one batch, many datagrams
            assert transceiver.frames(len(sent)) == [Frame(client.as_client, payload) for payload in sent], round_
            assert relay.loop.counters()[2]["offload_failures"] == 1
            assert not relay.loop.is_offloading


@pytest.mark.parametrize("extra", [[], ["--no-offload"]], ids=["offload", "no offload"])
@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"], ids=["IPv4", "IPv6"])
def test_segmented_burst_from_a_transceiver_is_taken_apart(
    ip: str, extra: list[str], ring_file: Path, ring: KeyRing
) -> None:
    with (
        RelayProcess(*options(ip, f"[{ip}]" if ":" in ip else ip, ring_file, ip), *extra) as relay,
        Transceiver(ip, ring) as transceiver,
        CallingClient(ip, relay.clients[0], transceiver.mint()) as client,
    ):
        client.check()
        transceiver.frames(1)
        bundles = [[speech(8 * at + frame, 100) for frame in range(8)] for at in range(20)]
        datagrams = [transceiver.bundled(client.as_client, payloads, BUNDLE_BYTES) for payloads in bundles]
        segment = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", BUNDLE_BYTES))]
        transceiver.socket.sendmsg([b"".join(datagrams)], segment, 0, relay.trunks[0])
        expected = [payload for payloads in bundles for payload in payloads]
        assert [client.receive()[0] for _ in expected] == expected
        relay.counts("TRUNK_BUNDLE", len(bundles))
        with relay.counters() as page:
            assert (page.event("receives_down") == 1) == (not extra), "one receive brings a whole burst"


@pytest.mark.parametrize(
    ("datagrams", "frames", "turns_min"),
    [
        pytest.param(40, 1, 1, id="one turn's"),
        # so many that they fit the receive buffer of a machine where none may be larger than usual
        pytest.param(400, 1, 6, id="as many calls as a turn has"),
        pytest.param(100, 20, 6, id="as many frames as a turn has"),
    ],
)
def test_small_trunk_datagrams_that_wait_leave_in_few_turns(
    datagrams: int, frames: int, turns_min: int, ring: KeyRing
) -> None:
    with call("127.0.0.1", ring) as (relay, transceiver, client):
        packets, _, before = relay.loop.counters()
        wanted = packets["DOWN_FORWARDED"] + datagrams * frames
        for number in range(datagrams):
            transceiver.answer(client.as_client, *[speech(number, 20)] * frames)

        def has_forwarded_all() -> bool:
            relay.turn()
            return relay.loop.counters()[0]["DOWN_FORWARDED"] == wanted

        eventually(has_forwarded_all, "all frames have left")
        _, _, after = relay.loop.counters()
        receives = after["receives_down"] - before["receives_down"]
        assert turns_min <= after["turns"] - before["turns"] < receives


def test_a_turn_takes_no_more_of_what_it_refuses_than_of_what_it_forwards(ring: KeyRing) -> None:
    with call("127.0.0.1", ring) as (relay, transceiver, _):
        # a peer that may send, and cannot sign: UDP_GRO hands each burst over as one
        burst, bursts = 50, 40
        segment = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", 64))]
        before = relay.loop.counters()
        for _ in range(bursts):
            transceiver.socket.sendmsg([bytes(64 * burst)], segment, 0, relay.trunk.getsockname())

        def has_refused_all() -> bool:
            relay.turn()
            return sum(relay.loop.counters()[0].values()) == sum(before[0].values()) + burst * bursts

        eventually(has_refused_all, "all datagrams have been judged")
        turns = relay.loop.counters()[2]["turns"] - before[2]["turns"]
        # a turn ends with the receive that has brought enough, and one receive may bring four bursts
        assert burst * bursts / turns < 256 + 4 * burst


def shrink(relay_socket: socket.socket) -> None:
    relay_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)


def test_datagrams_dropped_before_the_loop_saw_them_are_counted_up(ring: KeyRing) -> None:
    with call("127.0.0.1", ring) as (relay, transceiver, client):
        shrink(relay.listeners[0])
        for number in range(300):
            client.send(speech(number))
        relay.turn()
        client.send(last := speech(999))  # the kernel tells of its drops with what it takes in later
        while transceiver.bundle().frames[-1].payload != last:
            pass
        packets, _, events = relay.loop.counters()
        assert 0 < events["kernel_drops_up"] < 300
        assert packets["UP_SRTP"] + events["kernel_drops_up"] == 301


def test_datagrams_dropped_before_the_loop_saw_them_are_counted_down(ring: KeyRing) -> None:
    with call("127.0.0.1", ring) as (relay, transceiver, client):
        shrink(relay.trunk)
        for number in range(300):
            transceiver.answer(client.as_client, speech(number))
        relay.turn()
        transceiver.answer(client.as_client, last := speech(999))
        while client.receive()[0] != last:
            pass
        packets, _, events = relay.loop.counters()
        assert 0 < events["kernel_drops_down"] < 300
        assert packets["DOWN_FORWARDED"] + events["kernel_drops_down"] == 301
