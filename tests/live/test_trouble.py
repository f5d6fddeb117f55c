"""What goes wrong on a network is counted, and nobody else's call suffers."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastrelay.config.addresses import parse_network
from fastrelay.relay.dataplane.limits import Limits
from fastrelay.relay.settings import RelaySettings
from fastrelay.routing import KeyRing
from tests.live.ends import PATIENCE_S, CallingClient, Transceiver, admit, eventually, speech
from tests.live.in_process import RelayInProcess
from tests.live.namespace import ip, own_network
from tests.live.process import RelayProcess, options


@pytest.mark.parametrize("trunk", ["127.0.0.1", "::1", "[::]"])
def test_closed_transceiver_port_is_counted_and_the_others_are_served(
    trunk: str, ring_file: Path, ring: KeyRing
) -> None:
    ip_there = "::1" if trunk == "::1" else "127.0.0.1"
    with (
        RelayProcess(*options("127.0.0.1", trunk, ring_file, ip_there)) as relay,
        Transceiver(ip_there, ring) as living,
        CallingClient("127.0.0.1", relay.clients[0], living.mint()) as served,
    ):
        with Transceiver(ip_there, ring) as gone:
            stranded = CallingClient("127.0.0.1", relay.clients[0], gone.mint())
        with stranded:
            admit(served, living)
            stranded.check()
            relay.happened("trunk_errors")
            for number in range(50):
                stranded.send(speech(number))
                served.send(payload := speech(number))
                assert [frame.payload for frame in living.frames(1)] == [payload]
            relay.happened("trunk_errors", 2)
            living.answer(served.as_client, answer := speech(99))
            assert served.receive()[0] == answer
            relay.counts("UP_SRTP", 100)
            with relay.counters() as page:
                assert page.event("refused_up") == 0


@pytest.mark.parametrize(
    ("payload", "verdict"),
    [
        pytest.param(b"", "EMPTY", id="zero length"),
        pytest.param(b"\x80", "NOT_WEBRTC", id="one byte"),
        pytest.param(b"GET / HTTP/1.1", "NOT_WEBRTC", id="junk"),
        pytest.param(b"\x80\x6f" + bytes(2046), "UNKNOWN_CLIENT", id="2048 bytes"),
        pytest.param(b"\x80\x6f" + bytes(2047), "OVERSIZE", id="2049 bytes"),
        pytest.param(b"\x80\x6f" + bytes(65_505), "OVERSIZE", id="65507 bytes"),
        pytest.param(bytes.fromhex("00010004 2112a442") + bytes(12), "STUN_MALFORMED", id="cut STUN"),
    ],
)
def test_what_no_client_sends_is_dropped_by_name(payload: bytes, verdict: str, ring_file: Path, ring: KeyRing) -> None:
    with (
        RelayProcess(*options("127.0.0.1", "127.0.0.1", ring_file, "127.0.0.1")) as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as client,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as stranger,
    ):
        admit(client, transceiver)
        for _ in range(3):
            stranger.send(payload)
        relay.counts(verdict, 3)
        client.send(spoken := speech(1))
        assert [frame.payload for frame in transceiver.frames(1)] == [spoken]
        assert stranger.has_nothing(), "a stranger is never answered"


@pytest.mark.parametrize(
    "payload", [b"", b"\x12", bytes(32), bytes(65_507)], ids=["empty", "short", "zeroes", "longest"]
)
def test_junk_on_the_trunk_is_dropped_by_name(payload: bytes, ring_file: Path, ring: KeyRing) -> None:
    with (
        RelayProcess(*options("127.0.0.1", "127.0.0.1", ring_file, "127.0.0.1")) as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as client,
    ):
        transceiver.send(payload, relay.trunks[0])
        relay.counts("TRUNK_TRUNCATED" if len(payload) < 32 else "TRUNK_MALFORMED", 1)
        admit(client, transceiver)


def test_largest_packet_passes_both_ways(ring_file: Path, ring: KeyRing) -> None:
    with (
        RelayProcess(*options("127.0.0.1", "127.0.0.1", ring_file, "127.0.0.1")) as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as client,
    ):
        admit(client, transceiver)
        client.send(large := speech(1, 2048))
        assert [frame.payload for frame in transceiver.frames(1)] == [large]
        transceiver.answer(client.as_client, large)
        assert client.receive()[0] == large


@pytest.mark.parametrize(
    ("listen", "gone_ip", "there_ip"),
    [
        pytest.param("127.0.0.1", "192.0.2.5", "127.0.0.1", id="IPv4"),
        pytest.param("0.0.0.0", "192.0.2.5", "127.0.0.1", id="IPv4 wildcard"),
        pytest.param("::1", "2001:db8::5", "::1", id="IPv6"),
        pytest.param("::", "2001:db8::5", "::1", id="IPv6 wildcard"),
    ],
)
def test_client_the_kernel_cannot_reach_is_counted(
    listen: str, gone_ip: str, there_ip: str, ring_file: Path, ring: KeyRing
) -> None:
    prefix = f"{gone_ip}/{128 if ':' in gone_ip else 32}"
    with (
        own_network(prefix),
        RelayProcess(*options(listen, "127.0.0.1", ring_file, "127.0.0.1")) as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
    ):
        called = (there_ip, relay.clients[0][1])
        with (
            CallingClient(gone_ip, called, transceiver.mint()) as gone,
            CallingClient(there_ip, called, transceiver.mint()) as there,
        ):
            admit(gone, transceiver)
            admit(there, transceiver)
            ip("addr", "del", prefix, "dev", "lo")
            for number in range(3):
                transceiver.answer(gone.as_client, speech(number))
                transceiver.answer(there.as_client, answer := speech(number))
                assert there.receive()[0] == answer
            relay.happened("refused_down", 3)


def test_transceiver_the_kernel_cannot_reach_is_counted(ring_file: Path, ring: KeyRing) -> None:
    with (
        own_network(),
        RelayProcess(*options("127.0.0.1", "0.0.0.0", ring_file, "192.0.2.0/24", "127.0.0.1")) as relay,
        Transceiver("127.0.0.1", ring) as living,
    ):
        ip("addr", "add", "192.0.2.5/32", "dev", "lo")
        with Transceiver("192.0.2.5", ring) as unreachable:
            lost = CallingClient("127.0.0.1", relay.clients[0], unreachable.mint())
        ip("addr", "del", "192.0.2.5/32", "dev", "lo")
        with lost, CallingClient("127.0.0.1", relay.clients[0], living.mint()) as served:
            lost.check()
            relay.happened("refused_up")
            admit(served, living)


def test_client_that_changes_its_address_goes_on_from_the_new_one(ring: KeyRing) -> None:
    settings = RelaySettings(
        listen=(("127.0.0.1", 0),),
        trunk=("127.0.0.1", 0),
        allowed=(parse_network("127.0.0.1"),),
        load_keys=lambda: ring,
        limits=Limits(flows=1024, idle_after_ms=400, sweep_period_ms=50),
    )
    with (
        RelayInProcess(settings) as relay,
        Transceiver("127.0.0.1", ring, turn=relay.turn) as transceiver,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint(), turn=relay.turn) as before,
        CallingClient("127.0.0.2", relay.clients[0], before.ticket, turn=relay.turn) as after,
    ):
        admit(before, transceiver)
        # its media from the new address has to wait for the check that vouches for it
        after.send(speech(1))
        after.check()
        after.send(spoken := speech(2))
        assert [frame.payload for frame in transceiver.frames(2)][1] == spoken
        transceiver.answer(after.as_client, answer := speech(3))
        assert after.receive()[0] == answer
        assert relay.loop.counters()[0]["UNKNOWN_CLIENT"] == 1

        def old_flow_has_gone() -> bool:
            after.send(speech(4))
            relay.turn()
            return [flow[0][0] for flow in relay.loop.flows()] == ["127.0.0.2"]

        eventually(old_flow_has_gone, f"the old flow expires within {PATIENCE_S} s")
        assert relay.loop.counters()[2]["flows_expired_idle"] == 1
        while not transceiver.has_nothing():
            transceiver.receive()
