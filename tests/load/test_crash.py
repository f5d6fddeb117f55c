"""A worker that dies, or hangs, under load: its calls notice next to nothing."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from fastrelay.routing import KeyRing
from tests.live.process import is_running
from tests.load.lengths import KILLS
from tests.load.load import CALLS, load_down, load_up
from tests.load.operated import OperatedRelay

BATCH = 256
"""Packets of one receive call: FR_BATCH of ext/limits.h."""
DOWN_BATCH = 4 * 65_536 // (160 + 8)
"""Frames of one receive call from the trunk: FR_TRUNK_BATCH buffers, full of frames of our size."""
BACK_WITHIN_S = 0.25
HANG_REPLACED_WITHIN_S = 2.0


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("_again", range(KILLS))
def test_killed_worker_costs_at_most_its_batch(
    _again: int, workers: int, tmp_path: Path, ring_file: Path, ring: KeyRing
) -> None:
    with (
        OperatedRelay(tmp_path, ring_file, workers=workers) as relay,
        load_up(ring, relay.clients[0]) as load,
    ):
        load.goes_on(0.3)
        before = relay.memory(workers)
        relay.kill_worker()
        load.goes_on(0.5)
        outcome = load.finish()
        print(f"kill -9, {workers} workers: {outcome}")
        assert outcome.lost <= BATCH
        assert (outcome.duplicates, outcome.refused, outcome.receiver_drops) == (0, 0, 0)
        assert outcome.latest_s <= BACK_WITHIN_S
        assert relay.memory(workers) == before, "no flow is forgotten, none was made again"
        relay.says(lambda status: [each.last_end for each in status.workers if each.restarts == 1] == ["SIGKILL"])


def test_killed_worker_costs_the_way_down_at_most_its_batch(tmp_path: Path, ring_file: Path, ring: KeyRing) -> None:
    with (
        OperatedRelay(tmp_path, ring_file) as relay,
        load_down(ring, relay.clients[0], relay.trunks[0], tmp_path) as load,
    ):
        load.goes_on(0.3)
        relay.kill_worker()
        load.goes_on(0.5)
        outcome = load.finish()
        print(f"kill -9, down: {outcome}")
        assert outcome.lost <= DOWN_BATCH
        assert (outcome.duplicates, outcome.receiver_drops) == (0, 0)
        assert outcome.latest_s <= BACK_WITHIN_S
        assert relay.memory().flows == CALLS
        with relay.counters() as page:
            assert page.packets("DOWN_RECREATED") == 0, "every flow was still there"


def test_worker_that_hangs_is_replaced_and_its_calls_go_on(tmp_path: Path, ring_file: Path, ring: KeyRing) -> None:
    with (
        OperatedRelay(tmp_path, ring_file) as relay,
        # at a rate that the smallest socket holds for as long as it takes to notice
        load_up(ring, relay.clients[0], rate=5_000) as load,
    ):
        load.goes_on(0.3)
        before = relay.memory()
        victim = relay.workers[0]
        stopped_s = time.monotonic()
        os.kill(victim, signal.SIGSTOP)
        relay.wait_for_successors([victim])
        replaced_after_s = time.monotonic() - stopped_s
        load.goes_on(0.5)
        outcome = load.finish()
        print(f"SIGSTOP: replaced after {replaced_after_s * 1e3:.0f} ms; {outcome}")
        assert replaced_after_s <= HANG_REPLACED_WITHIN_S
        assert outcome.latest_s <= HANG_REPLACED_WITHIN_S
        assert outcome.lost <= BATCH
        assert not is_running(victim)
        assert relay.memory() == before
        relay.says(lambda status: status.workers[0].hangs == 1)


def test_worker_that_keeps_dying_is_held_back_and_comes_back(tmp_path: Path, ring_file: Path, ring: KeyRing) -> None:
    """Twice in a row: the second death costs a wait, and still no call."""
    with (
        OperatedRelay(tmp_path, ring_file) as relay,
        load_up(ring, relay.clients[0], rate=5_000) as load,
    ):
        load.goes_on(0.2)
        before = relay.memory()
        for _ in range(2):
            relay.kill_worker()
            load.goes_on(0.2)
        outcome = load.finish()
        print(f"kill -9 twice: {outcome}")
        assert outcome.lost <= 2 * BATCH
        assert relay.memory() == before
