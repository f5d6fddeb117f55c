"""Calls on one core, in turns: where each search begins, and when turns end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from bench.calls.capacities import AGAIN, FEWER_TURNS, FLOOR, RATIOS, SERVERS, Carry, figure_of, take_turns
from bench.calls.capacity import Capacity, Thoroughness
from bench.calls.ensemble import CallersLate
from bench.load.failure import BenchFailure
from bench.report.model import Spread

CLOSELY = Thoroughness(window_s=0.1, step=0.2, halvings=6)
CARRIED = {FLOOR: [16, 16, 20], "echo": [960, 800, 1000], "pcm": [112, 96, 120]}


class Searches:
    """What each server is found to carry, turn by turn; None is what the callers cannot play."""

    def __init__(self, carried: Mapping[str, Sequence[int | None]]) -> None:
        self.begun: list[tuple[str, int, Thoroughness]] = []
        self._left = {name: iter(each) for name, each in carried.items()}

    def __call__(self, name: str, first: int, thoroughness: Thoroughness) -> Capacity:
        self.begun.append((name, first, thoroughness))
        calls = next(self._left[name])
        if calls is None:
            raise CallersLate("too busy")
        return Capacity(calls)


def test_everyone_is_searched_in_each_turn_from_what_the_one_before_has_found() -> None:
    searches = Searches(CARRIED)
    turns = take_turns(CLOSELY, 3, searches)
    assert [{name: found.calls for name, found in turn.items()} for turn in turns] == [
        {name: CARRIED[name][at] for name in SERVERS} for at in range(3)
    ]
    assert searches.begun == [
        (FLOOR, 10, CLOSELY),
        ("echo", 16 * RATIOS["echo"], CLOSELY),
        ("pcm", 16 * RATIOS["pcm"], CLOSELY),
        *((name, CARRIED[name][at], AGAIN) for at in (0, 1) for name in SERVERS),
    ]


def test_the_figure_is_of_pairs_turn_by_turn() -> None:
    figure = figure_of("echo", take_turns(CLOSELY, 3, Searches(CARRIED)), 3)
    assert figure.ratio() == Spread(50, 50, 60)
    assert FEWER_TURNS not in figure.note


@pytest.mark.parametrize(
    "carried",
    [
        pytest.param({**CARRIED, "pcm": [112, None]}, id="the callers are late"),
        pytest.param({**CARRIED, FLOOR: [16, 0]}, id="aiortc carries nothing"),
        pytest.param({**CARRIED, "echo": [0]}, id="ours carried nothing in the turn before"),
    ],
)
def test_a_turn_that_cannot_be_taken_is_left_out_and_said(carried: Mapping[str, Sequence[int | None]]) -> None:
    turns = take_turns(CLOSELY, 3, Searches(carried))
    assert len(turns) == 1
    figure = figure_of("echo", turns, 3)
    assert figure.value is not None
    assert len(figure.value.samples) == 1
    assert FEWER_TURNS in figure.note


def test_without_a_first_turn_there_is_no_figure() -> None:
    with pytest.raises(BenchFailure, match="nothing to compare with"):
        take_turns(CLOSELY, 3, Searches({**CARRIED, FLOOR: [0]}))
    late: Carry = Searches({**CARRIED, "echo": [None]})
    with pytest.raises(CallersLate):
        take_turns(CLOSELY, 3, late)
