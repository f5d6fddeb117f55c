"""Calls on one core: who is searched, from where, and what the figure says."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from bench.calls.capacities import FLOOR, RATIOS, figure_of, search_all
from bench.calls.capacity import Capacity
from bench.load.failure import BenchFailure
from bench.report.model import Spread, Verdict

CARRIED = {FLOOR: 16, "echo": 960, "pcm": 64}


class Searches:
    """What each server is found to carry, and where each search began."""

    def __init__(self, carried: Mapping[str, int]) -> None:
        self.begun: list[tuple[str, int]] = []
        self._carried = carried

    def __call__(self, name: str, first: int) -> Capacity:
        self.begun.append((name, first))
        return Capacity(self._carried[name])


def test_ours_are_searched_from_what_the_bar_asks_for() -> None:
    searches = Searches(CARRIED)
    found = search_all(searches)
    assert {name: each.calls for name, each in found.items()} == CARRIED
    assert searches.begun == [(FLOOR, 10), ("echo", 16 * RATIOS["echo"]), ("pcm", 16 * RATIOS["pcm"])]


@pytest.mark.parametrize(("name", "ratio", "verdict"), [("echo", 60, Verdict.HOLDS), ("pcm", 4, Verdict.MISSED)])
def test_the_figure_stands_beside_aiortc(name: str, ratio: float, verdict: Verdict) -> None:
    found = search_all(Searches(CARRIED))
    figure = figure_of(name, found[name], found[FLOOR])
    assert figure.ratio() == Spread(ratio, ratio, ratio)
    assert figure.verdict is verdict


def test_callers_that_could_not_play_more_are_said() -> None:
    assert "callers themselves" in figure_of("echo", Capacity(960, is_bounded_by_callers=True), Capacity(16)).note
    assert "callers themselves" not in figure_of("echo", Capacity(960), Capacity(16)).note


def test_with_nothing_to_compare_with_there_is_no_figure() -> None:
    searches = Searches({**CARRIED, FLOOR: 0})
    with pytest.raises(BenchFailure, match="nothing to compare with"):
        search_all(searches)
    assert [name for name, _ in searches.begun] == [FLOOR]
