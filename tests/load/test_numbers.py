"""Being watched costs nothing: not a packet, and no memory, however long and however often."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from fastrelay.routing import KeyRing
from tests.live.ends import eventually
from tests.live.process import is_running
from tests.load.calls import Calls
from tests.load.lengths import QUESTIONS, SOAK_S
from tests.load.load import load_down, load_up
from tests.load.operated import OperatedRelay
from tests.load.rss import Watched

QUESTIONS_GROWTH_MAX_BYTES = 256 * 1024
"""A kilobyte kept of each question would be four times as much."""
CALLS_GROWTH_MAX_BYTES = 1024 * 1024
"""Seventy bytes kept of each call would be as much in the short form, and two bytes in the long one. What the admin
process remembers has found its size after a minute, half a megabyte above its start."""
WARM_UP = 100
CHURN_CALLS = 200
FLOWS = 4096


def processes(relay: OperatedRelay) -> dict[str, int]:
    workers = {f"worker {index}": pid for index, pid in enumerate(relay.workers)}
    return {"supervisor": relay.process.pid, "admin": relay.observer, **workers}


def grown(watched: Watched, by_bytes: int) -> dict[str, str]:
    """Which processes keep growing; what each did is printed."""
    trends = watched.trends()
    for name, each in trends.items():
        print(f"  {name}: {each}")
    return {name: str(each) for name, each in trends.items() if each.growth > by_bytes}


def test_a_thousand_questions_cost_no_packet_and_no_memory(tmp_path: Path, ring_file: Path, ring: KeyRing) -> None:
    with (
        OperatedRelay(tmp_path, ring_file) as relay,
        load_up(ring, relay.clients[0]) as up,
        load_down(ring, relay.clients[0], relay.trunks[0], tmp_path) as down,
    ):
        eventually(lambda: relay.ask("/readyz").code == 200, "it is ready")
        watched = Watched(processes(relay))
        for number in range(QUESTIONS):
            assert relay.ask("/metrics").code == 200
            if number >= WARM_UP and number % 10 == 0:
                watched.sample()
        ups, downs = up.finish(), down.finish()
        print(f"{QUESTIONS} questions in {watched.times_s[-1] - watched.times_s[0]:.1f} s, up: {ups}")
        print(f"{QUESTIONS} questions, down: {downs}")
        assert ups.is_whole()
        assert downs.is_whole()
        assert grown(watched, QUESTIONS_GROWTH_MAX_BYTES) == {}


def test_memory_stays_as_it_is_while_calls_come_and_go(tmp_path: Path, ring_file: Path, ring: KeyRing) -> None:
    with (
        # a table small enough for what is remembered of each place to be there before memory is watched
        OperatedRelay(tmp_path, ring_file, workers=2, limits={"flows": FLOWS}) as relay,
        load_up(ring, relay.clients[0], rate=20_000) as load,
    ):
        eventually(lambda: relay.ask("/readyz").code == 200, "it is ready")
        watched = Watched(processes(relay))
        started_s = time.monotonic()
        rounds, transceiver = 0, ("127.2.0.3", 0)
        while time.monotonic() - started_s < SOAK_S:
            with Calls(ring, relay.clients[0], CHURN_CALLS, first="127.18.0.0", transceiver=transceiver) as calls:
                pass
            transceiver = calls.transceiver  # one process that stays, as they do
            calls.hang_up()
            rounds += 1
            assert relay.ask("/metrics").code == 200
            watched.sample()
        outcome = load.finish()
        print(f"{rounds * CHURN_CALLS} calls came and went in {SOAK_S:.0f} s: {outcome}")
        assert outcome.is_whole()
        assert grown(watched, CALLS_GROWTH_MAX_BYTES) == {}
        assert relay.memory(2).forgotten >= rounds * CHURN_CALLS


def test_admin_process_that_dies_costs_no_packet_and_comes_back(tmp_path: Path, ring_file: Path, ring: KeyRing) -> None:
    with (
        OperatedRelay(tmp_path, ring_file) as relay,
        load_up(ring, relay.clients[0]) as load,
    ):
        eventually(lambda: relay.ask("/readyz").code == 200, "it is ready")
        victim = relay.observer
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: not is_running(victim), "it dies")
        # asked meanwhile, the question waits in the socket
        eventually(lambda: relay.ask("/readyz").code == 200, "another answers")
        load.goes_on(0.2)
        assert load.finish().is_whole()
