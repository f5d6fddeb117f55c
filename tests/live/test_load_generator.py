"""The load generator itself: its counts add up, a lossy way is noticed to the packet, and late is called late.

Where nobody must be late, rates are low: other tests share the machine.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.load.callers.before import Before, Direct, Fastrelay, crowd_before
from bench.load.callers.crowd import Crowd
from bench.load.callers.shape import UP, Endpoint, Shape, Talk, Target
from bench.load.checks import write_checks
from bench.load.drain import DRAIN_PACKETS
from bench.load.failure import BenchFailure
from bench.load.scenarios import EFFORTS
from bench.load.traffic import CheckGenerator, Traffic
from bench.peers.running import free_port

CALLS = 50
DROPPED_EVERY = 37


def shape(calls: int = CALLS, flows: int = 0, transceivers: int = 1) -> Shape:
    first = free_port(22000, 22900)
    return Shape(calls, flows, transceivers, client_port=first, transceiver_port=free_port(first + 1, 23000))


@pytest.mark.parametrize("before", [Direct(), Fastrelay()], ids=lambda before: before.name)
def test_counts_add_up_both_ways(before: Before) -> None:
    with crowd_before(before, shape(transceivers=3)) as crowd:
        crowd.talk(Talk(CALLS, 100))
        done = crowd.talk(Talk(CALLS, 200))
    assert (done.up.due, done.up.sent, done.up.first) == (500, 500, 500)
    assert (done.down.sent, done.down.first, done.down.misdelivered) == (done.down.due, done.down.due, 0)
    assert all(account.adds_up for account in done.accounts())
    assert (done.up.latency.total, done.up.late.total) == (500, 500)
    assert done.up.latency.percentile_us(100) >= done.up.latency.percentile_us(50) > 0


def test_new_calls_and_moved_ones_go_on_at_their_new_address() -> None:
    with crowd_before(Fastrelay(), shape(flows=4 * CALLS)) as crowd:
        crowd.talk(Talk(CALLS, 100))
        done = crowd.talk(Talk(CALLS, 400, new_calls_per_s=50, moves_per_s=50))
        after = crowd.talk(Talk(CALLS, 100))
    assert done.calls_changed > 0
    assert done.addresses_changed > 0
    assert done.openings == done.answers == done.checks == done.calls_changed + done.addresses_changed
    assert (done.up.missing, after.missing, after.down.misdelivered) == (0, 0, 0)


def test_storm_of_openings_is_answered_once_each() -> None:
    with crowd_before(Fastrelay(), shape(flows=2 * CALLS)) as crowd:
        assert crowd.open(0, CALLS, 1000).openings == 0, "they are open already"
        crowd.renew()
        storm = crowd.open(0, CALLS, 1000)
    assert (storm.openings, storm.checks, storm.answers, storm.opening.total) == (CALLS,) * 4


def test_lost_packets_are_noticed_to_the_packet() -> None:
    given = shape()
    with lossy_forwarder(given.transceiver_port) as (endpoint, lost):
        with Crowd(given, Target("lossy", (endpoint,))) as crowd:
            done = crowd.talk(Talk(CALLS, 300, ways=UP))
        assert lost
        assert done.missing == len(lost) == done.sent // DROPPED_EVERY
    assert done.accounts()[1].ended["lost elsewhere"] == len(lost)
    assert all(account.adds_up for account in done.accounts())


def test_target_whose_socket_has_gone_fails_the_run() -> None:
    given = shape()
    gone = ("127.0.0.1", free_port(23000, 24000))
    with (
        Crowd(given, Target("gone", (gone,))) as crowd,
        pytest.raises(BenchFailure, match=f"no UDP socket is bound to port {gone[1]}"),
    ):
        crowd.talk(Talk(CALLS, 100, ways=UP))


@pytest.mark.parametrize("trunk", [None, ("127.0.0.1", 9)], ids=["endpoint alone", "endpoint and trunk"])
def test_target_that_keeps_no_sockets_is_not_asked_for_its_drops(trunk: Endpoint | None) -> None:
    given = shape()
    gone = ("127.0.0.1", free_port(23000, 24000))
    with Crowd(given, Target("forwarded", (gone,), trunk=trunk, keeps_sockets=False)) as crowd:
        done = crowd.talk(Talk(CALLS, 100, ways=UP))
    assert done.target_drops == 0
    assert done.accounts()[0].adds_up


def test_flow_that_never_opens_fails_the_run() -> None:
    with lossy_forwarder(1) as (endpoint, _):
        given = shape()
        opening = Fastrelay()
        try:
            openings = opening.open(given).openings
        finally:
            opening.close()
        silent = Target("silent", (endpoint,), openings=openings, stages=1)
        with (
            Crowd(given, silent) as crowd,
            pytest.raises(BenchFailure, match=f"{CALLS} of {CALLS} openings were never answered"),
        ):
            crowd.open_all(100_000)


def test_generator_that_cannot_keep_its_schedule_is_called_late() -> None:
    given = shape(calls=10_000)
    with Crowd(given, Direct().open(given)) as crowd:
        crowd.drop(is_dropping=True)
        done = crowd.talk(Talk(10_000, 100, ways=UP, interval_us=1000, jitter_us=0))
    assert "the generator was late" in done.lateness()
    assert done.up.due == 10_000 * 100
    assert done.up.sent < done.up.due
    assert done.accounts()[0].adds_up


def test_there_is_room_for_the_checks_of_every_length_of_a_run() -> None:
    rounds = max(effort.rounds for effort in EFFORTS.values())
    traffic = Traffic((1 + rounds) * DRAIN_PACKETS, client_port=free_port(22000, 23000))
    generator = CheckGenerator(traffic, write_checks(traffic))
    generator.stop()


def test_unknown_talk_is_refused() -> None:
    given = shape()
    with Crowd(given, Direct().open(given)) as crowd, pytest.raises(BenchFailure, match="no such talk"):
        crowd.talk(Talk(CALLS + 1, 100))


@contextmanager
def lossy_forwarder(transceiver_port: int) -> Iterator[tuple[tuple[str, int], list[int]]]:
    """Sends what it gets to the first transceiver, but for every so manieth packet."""
    lost: list[int] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.bind(("127.0.0.1", 0))

        def forward() -> None:
            for number in range(1, 1 << 30):
                packet = ours.recv(2048)
                if packet == b"end":
                    return
                if number % DROPPED_EVERY == 0:
                    lost.append(number)
                else:
                    ours.sendto(packet, ("127.2.0.1", transceiver_port))

        thread = threading.Thread(target=forward)
        thread.start()
        try:
            yield ours.getsockname(), lost
        finally:
            ours.sendto(b"end", ours.getsockname())
            thread.join()
