"""A supervisor that dies under load: its workers go on, and the next one adopts them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from fastrelay.routing import KeyRing
from tests.live.ends import eventually
from tests.live.process import is_running, session
from tests.load.load import load_down, load_up
from tests.load.operated import OperatedRelay

ORPHANED_MAX = 2000
"""What a dead orphan's sockets held: 20 ms of the load."""


def test_workers_go_on_and_are_adopted(tmp_path: Path, ring_file: Path, ring: KeyRing) -> None:
    workers = 2
    with (
        OperatedRelay(tmp_path, ring_file, workers=workers) as first,
        load_up(ring, first.clients[0]) as up,
        load_down(ring, first.clients[0], first.trunks[0], tmp_path) as down,
    ):
        up.goes_on(0.2)
        before, orphans, observer = first.memory(workers), first.workers, first.observer
        first.is_outlived = True
        first.process.kill()
        first.process.wait()
        eventually(lambda: not is_running(observer), "the admin process goes with its supervisor")
        up.goes_on(0.5)
        assert all(map(is_running, orphans))

        with OperatedRelay(tmp_path, ring_file, workers=workers) as second:
            assert second.clients == first.clients
            assert second.trunks == first.trunks
            eventually(lambda: not any(map(is_running, orphans)), "orphans make way for its own workers")
            eventually(lambda: len(second.workers) == workers, "its own workers serve")
            up.goes_on(0.3)
            ups, downs = up.finish(), down.finish()
            print(f"supervisor killed and replaced, up: {ups}")
            print(f"supervisor killed and replaced, down: {downs}")
            assert ups.is_whole()
            assert downs.is_whole()
            assert second.memory(workers) == before
            assert second.status().adoptions == 1
            second.says(lambda status: sorted(worker.pid for worker in status.workers) == sorted(second.workers))
            assert second.ask("/readyz").code == 200


@pytest.mark.parametrize("place", [0, 1])
def test_orphan_that_dies_before_its_adoption_leaves_its_place_to_another(
    place: int, tmp_path: Path, ring_file: Path, ring: KeyRing
) -> None:
    """Its flows come from the other one, who still has its page; what waited in its sockets is lost."""
    with (
        OperatedRelay(tmp_path, ring_file, workers=2) as first,
        load_up(ring, first.clients[0]) as load,
    ):
        load.goes_on(0.2)
        orphans = first.workers
        first.is_outlived = True
        first.process.kill()
        first.process.wait()
        victim = orphans[place]
        assert victim in session(first.process.pid), "ours to kill"
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: not is_running(victim), "it dies")
        with OperatedRelay(tmp_path, ring_file, workers=2) as second:
            second.wait_for_successors(orphans)
            assert second.clients == first.clients
            assert [worker.index for worker in second.status().workers] == [0, 1]
            assert second.ask("/readyz").code == 200
            load.goes_on(0.3)
            outcome = load.finish()
            print(f"orphan {place} killed: {outcome}")
            assert outcome.lost <= ORPHANED_MAX
            assert second.memory(2).strangers == 0
