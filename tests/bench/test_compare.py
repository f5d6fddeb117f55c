"""A whole comparison at its smallest, with the real relay, the floors and a peer that every machine has: both ways add
up, and what fails or is missing is named. The figures themselves mean nothing here.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.load.failure import BenchFailure
from bench.load.traffic import Traffic
from bench.peers.compare import FASTRELAY, Plan, compare_down, compare_up
from bench.peers.peer import NotRun
from bench.peers.recipes import GoRelay, PythonRelay
from bench.peers.ring import Compared
from bench.peers.scenarios import measured_of
from bench.report.model import Verdict
from bench.scenario import Step

CLIENTS = 64
ROUNDS = 5


class Absent(PythonRelay):
    """A relay that this machine cannot run."""

    name = "absent"

    def prepare(self) -> str:
        raise NotRun("no package of it")


class Deaf(PythonRelay):
    """A relay whose clients never get a path."""

    name = "deaf"

    def is_idle(self) -> bool:
        raise BenchFailure("busy for ever")


def nothing() -> None: ...


@pytest.mark.parametrize(
    ("compare", "floor"), [(compare_up, "floor_forward"), (compare_down, "floor_send")], ids=["up", "down"]
)
def test_both_ways_add_up_and_who_falls_out_is_named(compare: Callable[[Plan, Step], Compared], floor: str) -> None:
    deaf = Deaf()
    peers = [PythonRelay(), Absent(), deaf]
    found = compare(Plan(peers, Traffic(CLIENTS, 1, 60, 200), ROUNDS, 1, is_beside_floor=True), nothing)
    assert list(found.not_run) == ["absent"]
    assert found.failed == {"deaf": "busy for ever"}
    assert deaf.pids() == []
    assert set(found.samples) == {FASTRELAY, "asyncio", floor}
    assert all(len(samples) == ROUNDS and min(samples) > 0 for samples in found.samples.values())
    verdicts = {figure.key: figure.verdict for figure in measured_of("x", "x", found, {}).figures}
    assert verdicts == {"x/asyncio": Verdict.REPORTED, f"x/{floor}": Verdict.REPORTED, "x/deaf": Verdict.FAILED}


def test_a_relay_without_a_way_back_is_named_and_not_started() -> None:
    shared = GoRelay(is_batched=False, is_shared=True)
    found = compare_down(Plan([shared], Traffic(CLIENTS), ROUNDS, 1), nothing)
    assert list(found.not_run) == ["go-single-shared, down"]
    assert shared.pids() == []
    assert set(found.samples) == {FASTRELAY}
