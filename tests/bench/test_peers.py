"""Every relay that fastrelay is compared with forwards packets, pauses, and leaves nothing behind.

All of them take part on every machine: `make packages-peers peers-built` gets them, a test that finds one missing gets
it as a benchmark would, and where it cannot be had the test fails.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from bench.load import cpu
from bench.load.traffic import Traffic
from bench.peers import install
from bench.peers.candidate import begin
from bench.peers.catalogue import PEERS
from bench.peers.kernel import OUTSIDE
from bench.peers.opening import check_for
from bench.peers.peer import NotRun, Peer, Route
from bench.peers.recipes import PythonRelay
from bench.peers.ring import Compared
from bench.peers.turn_client import CHANNEL, TurnClient

ANSWER_S = 5.0
FORWARDING = (
    *("direct", "asyncio", "uvloop", "go-single-flow", "go-batch-flow", "go-single-shared", "go-batch-shared"),
    *("nginx", "nginx-js"),
)
TURN = ("coturn", "pion")
CALLED, TRANSLATING = "rtpengine", "nft-dnat"


def test_every_relay_of_the_catalogue_is_held_here() -> None:
    assert sorted(PEERS) == sorted([*FORWARDING, *TURN, CALLED, TRANSLATING])


@contextmanager
def started(peer: Peer, route: Route) -> Iterator[None]:
    """A peer that runs within the block, got first where it is missing."""
    assert peer.prepare(), "a version"
    try:
        peer.start(route)
        yield
    finally:
        peer.stop()


@pytest.fixture
def endpoint() -> Iterator[Callable[[], socket.socket]]:
    """Makes sockets on loopback, closed in the end."""
    opened = []

    def make() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.append(made)
        made.bind(("127.0.0.1", 0))
        made.settimeout(ANSWER_S)
        return made

    yield make
    for one in opened:
        one.close()


@pytest.mark.parametrize("name", FORWARDING)
def test_a_relay_carries_a_client_to_its_transceiver_and_back(name: str, endpoint: Callable[[], socket.socket]) -> None:
    peer, client, transceiver = PEERS[name](), endpoint(), endpoint()
    check = check_for(transceiver.getsockname())
    with started(peer, Route(clients=4, transceiver=transceiver.getsockname())):
        relay = peer.client_endpoints()[0]
        client.sendto(check, relay)
        assert transceiver.recv(2048) == check
        for number in range(3):
            client.sendto(b"\x80up%d" % number, relay)
            packet, source = transceiver.recvfrom(2048)
            assert packet == b"\x80up%d" % number
            if peer.is_both_ways:
                transceiver.sendto(b"\x80down%d" % number, source)
                assert client.recv(2048) == b"\x80down%d" % number


@pytest.mark.parametrize("name", TURN)
def test_a_turn_server_carries_channel_data_both_ways(name: str, endpoint: Callable[[], socket.socket]) -> None:
    peer, transceiver = PEERS[name](), endpoint()
    with closing(endpoint()) as probe:
        local = probe.getsockname()
    with started(peer, Route(clients=4, transceiver=transceiver.getsockname())):
        relay = peer.client_endpoints()[0]
        opening = TurnClient(local, relay)
        relayed = opening.allocate()
        opening.bind_channel(transceiver.getsockname())
        opening.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind(local)
            client.settimeout(ANSWER_S)
            head = CHANNEL.to_bytes(2, "big") + (4).to_bytes(2, "big")
            client.sendto(head + b"\x80up.", relay)
            assert transceiver.recvfrom(2048) == (b"\x80up.", relayed)
            transceiver.sendto(b"\x80dn.", relayed)
            assert client.recv(2048) == head + b"\x80dn."


def test_rtpengine_has_a_port_for_each_call(endpoint: Callable[[], socket.socket]) -> None:
    peer, client, transceiver = PEERS[CALLED](), endpoint(), endpoint()
    with started(peer, Route(clients=3, transceiver=transceiver.getsockname())):
        calls = peer.client_endpoints()
        assert len(set(calls)) == 3
        packet = b"\x80\x6f" + bytes(60)
        for call in calls:
            client.sendto(packet, call)
            assert transceiver.recv(2048) == packet


def test_a_paused_relay_forwards_nothing_and_uses_no_processor(endpoint: Callable[[], socket.socket]) -> None:
    peer, client, transceiver = PythonRelay(), endpoint(), endpoint()
    with started(peer, Route(clients=1, transceiver=transceiver.getsockname())):
        peer.pause()
        used = peer.cpu_ns()
        client.sendto(check_for(transceiver.getsockname()), peer.client_endpoints()[0])
        transceiver.settimeout(0.05)
        with pytest.raises(TimeoutError):
            transceiver.recv(2048)
        assert peer.cpu_ns() == used
        assert all(set(cpu.thread_states(pid)) == {"T"} for pid in peer.pids())
        peer.resume()
        transceiver.settimeout(ANSWER_S)
        assert transceiver.recv(2048)
        assert peer.cpu_ns() > used


@pytest.mark.parametrize(
    "first", [b"\x80media", check_for(("127.0.0.1", 9))[:30], b"\0" * 40], ids=["media", "cut", "zeros"]
)
def test_a_client_that_names_no_transceiver_is_not_forwarded(
    first: bytes, endpoint: Callable[[], socket.socket]
) -> None:
    peer, client, transceiver = PythonRelay(), endpoint(), endpoint()
    with started(peer, Route(clients=1, transceiver=transceiver.getsockname())):
        client.sendto(first, peer.client_endpoints()[0])
        other = endpoint()
        check = check_for(transceiver.getsockname())
        other.sendto(check, peer.client_endpoints()[0])
        assert transceiver.recv(2048) == check


def test_the_kernel_translates_both_ways() -> None:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    peer = PEERS[TRANSLATING]()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client, socket.socket(type=socket.SOCK_DGRAM) as far:
        far.bind(("0.0.0.0", 0))
        for end in (client, far):
            end.settimeout(ANSWER_S)
        with started(peer, Route(clients=1, transceiver=(OUTSIDE, far.getsockname()[1]))):
            client.sendto(b"up", peer.client_endpoints()[0])
            packet, source = far.recvfrom(2048)
            assert packet == b"up"
            far.sendto(b"down", source)
            assert client.recvfrom(2048) == (b"down", peer.client_endpoints()[0])


@pytest.mark.parametrize(
    ("version", "is_enough"),
    [("go1.19.8", False), ("go1.23.12", False), ("go1.24", True), ("go1.26.8\n", True), ("devel go1.27-3c1", True)],
)
def test_a_go_older_than_our_modules_is_not_used(version: str, is_enough: bool) -> None:
    assert install.is_new_enough(version) is is_enough


def test_a_relay_without_a_process_is_not_drained() -> None:
    with pytest.raises(NotRun, match="no process"):
        begin(PEERS["direct"](), Traffic(1), Route(clients=1))


def test_what_is_missing_and_what_failed_are_told_apart() -> None:
    compared = Compared()

    def lacks() -> None:
        raise NotRun("no Go tool")

    assert not compared.attempt("go", lacks)
    assert compared.attempt("fine", lambda: None)
    assert (compared.not_run, compared.failed) == ({"go": "no Go tool"}, {})
