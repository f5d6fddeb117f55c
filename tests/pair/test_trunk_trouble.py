"""What goes wrong on a trunk: loss, replay, keys that change, bytes nobody should have sent, and wrong arguments."""

from __future__ import annotations

import ctypes
import socket
import struct
import time
from collections.abc import Callable
from contextlib import contextmanager
from ipaddress import ip_network
from typing import Any

import pytest

from fastrelay.errors import ConfigError
from fastrelay.observe.counters import CounterPage
from fastrelay.routing import Key, KeyRing
from fastrelay.transceiver import OpenTrunkPort, Path, TrunkPort, open_trunk_port
from fastrelay.wire.trunk import Client, Frame, Hello, Kind, Sender, build_bundle, build_hello
from tests.live.ends import End, speech
from tests.pair.trunk_pair import TrunkPair

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
NETWORK = [ip_network("127.0.0.0/8")]
FRAME = Frame(Client("192.0.2.1", 5000), b"\x80 speech")


class Deaf:
    """While it lasts the kernel drops whatever arrives at a socket: the network loses it."""

    def __init__(self, descriptor: int) -> None:
        # a view of the same socket; a classic BPF program of one instruction, "return 0 bytes"
        self._socket = socket.socket(fileno=socket.dup(descriptor))

    def __enter__(self) -> None:
        self._code = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))
        program = struct.pack("HxxxxxxP", 1, ctypes.addressof(self._code))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)

    def __exit__(self, *_: object) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
        self._socket.close()


def test_port_counts_what_the_trunk_has_lost() -> None:
    with TrunkPair() as pair:
        client = pair.client()
        pair.admit(client)
        with Deaf(pair.port.fileno()):
            sent = pair.loop.counters()[2]["bundles_sent"]
            client.send(speech(1))
            pair.until(lambda: pair.loop.counters()[2]["bundles_sent"] > sent, "one bundle goes nowhere")
        client.send(speech(2))
        pair.hear(1)
        # HELLOs may have been lost with it
        assert pair.port.relays()[0][2] >= 1


def test_relay_counts_what_the_trunk_has_lost() -> None:
    with TrunkPair() as pair:
        client = pair.client()
        path = pair.admit(client)
        with Deaf(pair.resources.trunk.socket.fileno()):
            for number in range(3):
                pair.port.send([(path, speech(number))])
        pair.port.send([(path, speech(3))])
        pair.until(lambda: pair.at_relay("DOWN_FORWARDED") == 1, "the next arrives")
        assert pair.loop.peers()[0][3] == 3


def test_what_was_sent_before_a_port_started_anew_is_not_lost_to_it() -> None:
    with TrunkPair() as pair:
        client = pair.client()
        pair.admit(client)
        for number in range(10):
            client.send(speech(number))
            pair.hear(1)
        pair.restart_port()
        client.send(speech(10))
        pair.hear(1)
        (relay,) = pair.port.relays()
        assert relay[2] == 0


# --- keys


def test_rotated_ring_is_taken_on_both_sides_in_either_order() -> None:
    with TrunkPair() as pair:
        client = pair.client()
        path = pair.admit(client)
        rotated = pair.ring.rotate(now_s=int(time.time()) - 10, delay_s=0)
        pair.port.set_ring(rotated)
        pair.port.send([(path, speech(1))])
        pair.until(lambda: pair.at_relay("TRUNK_UNKNOWN_KEY") == 1, "the relay does not know the key yet")
        pair.loop.set_keys(rotated.entries())
        pair.port.send([(path, spoken := speech(2))])
        assert client.receive()[0] == spoken
        again = rotated.rotate(now_s=int(time.time()), delay_s=0)
        while not again.keys[-1].is_minting(time.time()):
            pair.turn()
        pair.loop.set_keys(again.entries())
        client.send(speech(3))
        pair.until(lambda: pair.at_port("TRUNK_UNKNOWN_KEY") >= 1, "the port does not know the next key yet")
        pair.port.set_ring(again)
        client.send(spoken)
        assert pair.hear(1) == [(path, spoken)]


def test_ring_that_cannot_mint_is_refused_and_the_old_one_stays() -> None:
    with TrunkPair() as pair:
        client = pair.client()
        path = pair.admit(client)
        with pytest.raises(ConfigError, match="no key that mints now"):
            pair.port.set_ring(KeyRing((Key(3, bytes(32), 0, open_until_s=1),)))
        pair.port.send([(path, spoken := speech(2))])
        assert client.receive()[0] == spoken


# --- replay and restarts


@contextmanager
def recorded_bundle(pair: TrunkPair) -> Any:
    """A bundle the relay has sent to the port's address, recorded by someone who sat there before the port."""
    address = pair.port.address
    pair.port.close()
    client = pair.client()
    with End(*address, turn=lambda: pair.loop.run(1)) as recorder:
        client.check()
        datagram, _ = recorder.receive()
        while datagram[0] & 15 != Kind.BUNDLE_UP.value:
            datagram, _ = recorder.receive()
    pair.port = pair.open_port(address)
    yield client, datagram


def test_recorded_bundle_is_taken_once_and_never_again() -> None:
    with TrunkPair() as pair, recorded_bundle(pair) as (client, datagram):

        def inject() -> None:
            pair.resources.trunk.socket.sendto(datagram, pair.port.address)

        inject()
        assert len(pair.hear(1)) == 1
        inject()
        pair.until(lambda: pair.at_port("TRUNK_REPLAYED") == 1, "the same again is a replay")
        pair.restart_relay(loses_flows=False)
        client.send(spoken := speech(1))
        assert [payload for _, payload in pair.hear(1)] == [spoken], "the restarted relay counts from 1 in a new epoch"
        inject()
        pair.until(lambda: pair.at_port("TRUNK_REPLAYED") == 2, "the former epoch is over")


def test_restarted_transceiver_is_heard_at_once() -> None:
    with TrunkPair() as pair:
        client = pair.client()
        before = pair.admit(client)
        pair.port.send([(before, speech(number)) for number in range(100)])
        for _ in range(100):
            client.receive()
        pair.restart_port()
        client.send(spoken := speech(1))
        ((path, payload),) = pair.hear(1)
        assert (path, payload) == (before, spoken)
        pair.port.send([(path, spoken)])
        assert client.receive()[0] == spoken
        assert pair.at_relay("TRUNK_REPLAYED") == 0


# --- bytes nobody should have sent


def sender(ring: KeyRing) -> Sender:
    return Sender(ring.keys[0].id, ring.keys[0].trunk_key, time.time_ns() // 1000)


STRANGER = KeyRing((Key(0, b"stranger" * 4, 0),))
UNKNOWN = KeyRing((Key(9, b"stranger" * 4, 0),))
BAD: list[Any] = [
    pytest.param(lambda ring: b"", "TRUNK_TRUNCATED", id="empty"),
    pytest.param(lambda ring: b"\x11" + bytes(30), "TRUNK_TRUNCATED", id="31 bytes"),
    pytest.param(lambda ring: b"\x21" + bytes(31), "TRUNK_MALFORMED", id="version 2"),
    pytest.param(lambda ring: bytes(65_507), "TRUNK_MALFORMED", id="65507 zeroes"),
    pytest.param(
        lambda ring: build_bundle(Kind.BUNDLE_UP, sender(UNKNOWN), 1, 0, [FRAME]), "TRUNK_UNKNOWN_KEY", id="key 9"
    ),
    pytest.param(
        lambda ring: build_bundle(Kind.BUNDLE_UP, sender(STRANGER), 1, 0, [FRAME]), "TRUNK_BAD_MAC", id="other secret"
    ),
    pytest.param(
        lambda ring: build_bundle(Kind.BUNDLE_DOWN, sender(ring), 1, 0, [FRAME]), "TRUNK_DIRECTION", id="bundle down"
    ),
    pytest.param(
        lambda ring: build_hello(Kind.HELLO_DOWN, sender(ring), 1, Hello(1)), "TRUNK_DIRECTION", id="HELLO down"
    ),
    pytest.param(
        lambda ring: build_bundle(Kind.BUNDLE_UP, sender(ring), 0, 0, [FRAME]), "TRUNK_REPLAYED", id="sequence 0"
    ),
    pytest.param(
        lambda ring: build_bundle(Kind.BUNDLE_UP, sender(ring), 1, 0, [FRAME])[:-1], "TRUNK_TRUNCATED", id="cut"
    ),
]


@pytest.mark.parametrize(("build", "verdict"), BAD)
def test_bad_datagram_is_counted_by_name_and_nothing_else(build: Callable[[KeyRing], bytes], verdict: str) -> None:
    with TrunkPair() as pair, End("127.0.0.1") as stranger:
        stranger.socket.sendto(build(pair.ring), pair.port.address)
        pair.until(lambda: pair.at_port(verdict) == 1, verdict)
        page = CounterPage(pair.port.counters())
        assert page.is_ours
        assert page.verdict_packets.sum() == 1
        assert stranger.has_nothing(), "nothing is sent in answer"
        pair.admit(pair.client())


def test_datagram_from_outside_the_allowed_networks_is_refused() -> None:
    ring = KeyRing.new(now_s=int(time.time()))
    with (
        open_trunk_port(("127.0.0.1", 0), ring, [ip_network("10.0.0.0/8")]) as port,
        End("127.0.0.1") as relay,
    ):
        relay.socket.sendto(build_bundle(Kind.BUNDLE_UP, sender(ring), 1, 0, [FRAME]), port.address)
        while not CounterPage(port.counters()).packets("TRUNK_SOURCE"):
            assert port.receive() == []
        assert port.relays() == []


def test_empty_and_closing_frames_of_a_relay_are_passed_over() -> None:
    ring = KeyRing.new(now_s=int(time.time()))
    with open_trunk_port(("127.0.0.1", 0), ring, NETWORK) as port, End("127.0.0.1") as relay:
        frames = [Frame(FRAME.client, b""), FRAME, Frame(FRAME.client, b"", closes=True)]
        relay.socket.sendto(build_bundle(Kind.BUNDLE_UP, sender(ring), 1, 7, frames), port.address)
        heard: list[tuple[Path, bytes]] = []
        while not heard:
            heard = port.receive()
        assert heard == [(Path(("192.0.2.1", 5000), relay.address, 7), FRAME.payload)]


def test_closed_relay_is_counted_and_the_others_are_served() -> None:
    with TrunkPair() as pair:
        client = pair.client()
        path = pair.admit(client)
        with End("127.0.0.1") as gone:
            dead = Path(path.client, gone.address, 0)

        def is_noticed() -> bool:
            pair.port.send([(dead, speech(1))])
            pair.port.tick()
            return CounterPage(pair.port.counters()).event("trunk_errors") > 0

        pair.until(is_noticed, "the ICMP error is taken in")
        pair.port.send([(dead, speech(1)), (path, spoken := speech(2))])
        assert client.receive()[0] == spoken


def test_relay_that_the_socket_cannot_reach_is_counted() -> None:
    with TrunkPair() as pair:
        client = pair.client()
        path = pair.admit(client)
        pair.port.send([(Path(path.client, ("::1", 4000), 0), speech(1)), (path, spoken := speech(2))])
        assert client.receive()[0] == spoken
        assert CounterPage(pair.port.counters()).event("refused_up") == 1


# --- arguments


@pytest.fixture
def port() -> Any:
    with open_trunk_port(("127.0.0.1", 0), KeyRing.new(now_s=int(time.time())), NETWORK) as opened:
        yield opened


PATH = Path(("192.0.2.1", 5000), ("127.0.0.1", 9), 0)


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        pytest.param([(PATH, b"")], ValueError, id="empty"),
        pytest.param([(PATH, bytes(2049))], ValueError, id="2049 bytes"),
        pytest.param([(PATH, bytearray(5))], TypeError, id="bytearray"),
        pytest.param([(PATH, None)], TypeError, id="no payload"),
        pytest.param([(None, b"x")], TypeError, id="no path"),
        pytest.param([(("192.0.2.1", 5000), b"x")], TypeError, id="an address"),
        pytest.param([PATH], TypeError, id="not a pair"),
    ],
)
def test_bad_frame_is_refused_and_those_before_it_are_sent(port: OpenTrunkPort, frames: Any, error: type) -> None:
    with End("127.0.0.1") as relay:
        good = (Path(("192.0.2.1", 5000), relay.address, 0), b"good")
        with pytest.raises(error):
            port.send([good, *frames])
        assert relay.receive()[0].endswith(b"good")


@pytest.mark.parametrize("paths", [[None], [b"x"], [("192.0.2.1", 5000)]])
def test_only_paths_are_closed(port: OpenTrunkPort, paths: Any) -> None:
    with pytest.raises(TypeError):
        port.send_close(paths)


@pytest.mark.parametrize(
    ("client", "relay", "via"),
    [
        pytest.param(("192.0.2.1", 5000), ("127.0.0.1", 9), -1, id="via below"),
        pytest.param(("192.0.2.1", 5000), ("127.0.0.1", 9), 65_536, id="via above"),
        pytest.param(("192.0.2.1", 65_536), ("127.0.0.1", 9), 0, id="client port"),
        pytest.param(("192.0.2.1", 5000), ("127.0.0.1", -1), 0, id="relay port"),
        pytest.param(("192.0.2.1", 5000, 3), ("127.0.0.1", 9), 0, id="scope of IPv4"),
        pytest.param(("2001:db8::1", 5000, 3), ("127.0.0.1", 9), 0, id="scope of a global address"),
    ],
)
def test_impossible_path_is_refused(client: Any, relay: Any, via: int) -> None:
    with pytest.raises(ValueError, match=r"out of range|no scope"):
        Path(client, relay, via)


def test_paths_are_values() -> None:
    path = Path(("fe80::1", 5000, 3), ("10.0.0.1", 4000), 7)
    assert (path.client, path.relay, path.via) == (("fe80::1", 5000, 3), ("10.0.0.1", 4000), 7)
    assert path == Path(("fe80::1", 5000, 3), ("10.0.0.1", 4000), 7)
    assert path != Path(("fe80::1", 5000, 4), ("10.0.0.1", 4000), 7)
    stranger: object = "path"
    assert path != stranger
    assert Path(("::ffff:192.0.2.1", 5000), ("10.0.0.1", 4000), 7).client == ("192.0.2.1", 5000, 0)
    assert repr(path) == "Path(('fe80::1', 5000, 3), ('10.0.0.1', 4000), 7)"


def test_closed_port_refuses_what_would_use_its_socket() -> None:
    port = open_trunk_port(("127.0.0.1", 0), KeyRing.new(now_s=int(time.time())), NETWORK)
    port.close()
    port.close()
    for use in (port.receive, port.tick, lambda: port.send([]), lambda: port.send_close([])):
        with pytest.raises(ValueError, match="closed"):
            use()
    assert port.fileno() == -1
    assert port.relays() == []


def test_port_that_cannot_be_opened_says_why() -> None:
    ring = KeyRing.new(now_s=int(time.time()))
    with End("127.0.0.1") as taken, pytest.raises(ConfigError, match="Address already in use"):
        open_trunk_port(taken.address, ring, NETWORK)
    with pytest.raises(ConfigError, match="no key that mints now"):
        open_trunk_port(("127.0.0.1", 0), KeyRing(()), NETWORK)
    with pytest.raises(ValueError, match="path_capacity"):
        open_trunk_port(("127.0.0.1", 0), ring, NETWORK, path_capacity=0)
    with pytest.raises(ValueError, match="65 allowed networks"):
        open_trunk_port(("127.0.0.1", 0), ring, NETWORK * 65)


def test_bad_secret_is_refused_by_the_bare_port() -> None:
    with End("127.0.0.1") as end, pytest.raises(ValueError, match="31 bytes, not 32"):
        TrunkPort(end.socket.fileno(), socket.AF_INET, [(0, bytes(31), 0, None)], NETWORK, 1)
