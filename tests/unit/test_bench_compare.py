"""The comparison of two runs: a real slow-down is told from noise, noise is never told as a slow-down."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from random import Random

import pytest

from bench.report.__main__ import NOTHING_SLOWER, SLOWER, UNKNOWN, exit_code
from bench.report.compare import Change, Comparison, compare
from bench.report.model import Run
from bench.report.rank import Shift, shift_of
from bench.scenario import Length
from tests.unit.bench_runs import CARD, a_run

PATHS = ("up-256/forwarder", "up-4096/forwarder", "up-mixed/forwarder")


def changes(found: Comparison) -> dict[str, Change]:
    return {each.key: each.change for each in found.figures}


@pytest.mark.parametrize("seed", range(10))
def test_ten_per_cent_slower_is_told_from_noise(seed: int) -> None:
    found = compare(a_run(seed), a_run(1000 + seed, slower=1.1))
    assert Change.SLOWER in {changes(found)[key] for key in PATHS}
    assert Change.FASTER not in changes(found).values()
    assert exit_code(found) == SLOWER


@pytest.mark.parametrize("seed", range(10))
def test_ten_per_cent_faster_is_told_from_noise(seed: int) -> None:
    found = compare(a_run(seed, slower=1.1), a_run(1000 + seed))
    assert Change.FASTER in {changes(found)[key] for key in PATHS}
    assert exit_code(found) == NOTHING_SLOWER


@pytest.mark.parametrize("seed", range(20))
def test_unchanged_relay_raises_no_alarm(seed: int) -> None:
    found = compare(a_run(seed), a_run(1000 + seed))
    assert not {Change.SLOWER, Change.FASTER} & set(changes(found).values())
    assert exit_code(found) == NOTHING_SLOWER


def test_a_run_is_the_same_as_itself() -> None:
    found = compare(a_run(1), a_run(1))
    assert {change for key, change in changes(found).items() if key.startswith("instructions")} == {Change.SAME}
    assert not {Change.SLOWER, Change.FASTER} & set(changes(found).values())


@pytest.mark.parametrize(
    ("instructions", "change"),
    [(214.0, Change.SAME), (215.0, Change.SLOWER), (209.0, Change.FASTER)],
    ids=["within a per cent", "above", "below"],
)
def test_exact_counts_need_one_sample(instructions: float, change: Change) -> None:
    found = compare(a_run(1), a_run(2, instructions=instructions))
    assert changes(found)["instructions/up_160"] is change


def test_one_sample_of_a_noisy_figure_tells_nothing() -> None:
    assert changes(compare(a_run(1), a_run(2)))["capacity/echo"] is Change.UNKNOWN


def test_a_failed_figure_tells_nothing() -> None:
    found = compare(a_run(1), a_run(2))
    (loss,) = (each for each in found.figures if each.key == "loss/missing")
    assert (loss.change, loss.shift) == (Change.UNKNOWN, None)
    assert "failed" in loss.basis


def test_across_machines_only_ratios_and_counts_are_compared() -> None:
    other = replace(CARD, processor="Graviton 4")
    found = compare(a_run(1), a_run(2, slower=1.2, card=other))
    assert changes(found)["burst/setup-p99"] is Change.UNKNOWN
    assert changes(found)["up-256/forwarder"] is Change.SLOWER
    assert any("machines differ" in warning for warning in found.warnings)


def test_a_floor_of_zero_gives_no_ratio_and_breaks_nothing() -> None:
    def with_zeros(run: Run, zeros: int) -> Run:
        figure = run.sections[0].figures[0]
        assert figure.floor is not None
        floor = replace(figure.floor, samples=(0.0,) * zeros + figure.floor.samples[zeros:])
        figures = (replace(figure, floor=floor, bar=None),)
        return replace(run, sections=(replace(run.sections[0], figures=figures),))

    for first, second in ((1, 0), (0, 9), (9, 9)):
        found = compare(with_zeros(a_run(1), first), with_zeros(a_run(2), second))
        assert changes(found) == {"up-256/forwarder": Change.UNKNOWN}


def test_figures_of_one_run_alone_are_named() -> None:
    def without_first(run: Run) -> Run:
        return replace(run, sections=run.sections[1:])

    found = compare(a_run(1), without_first(a_run(2)))
    assert len(found.only_first) == len(PATHS)
    assert found.only_second == ()


def test_nothing_told_at_all_has_an_exit_code_of_its_own() -> None:
    def calls_only(run: Run) -> Run:
        return replace(run, sections=run.sections[2:])

    other = replace(CARD, kernel="7.0")
    assert exit_code(compare(calls_only(a_run(1)), calls_only(a_run(2, card=other)))) == UNKNOWN


def test_short_and_dirty_runs_are_warned_of() -> None:
    doubtful = replace(a_run(2), length=Length.SHORT, card=replace(CARD, is_dirty=True))
    warnings = " ".join(compare(a_run(1), doubtful).warnings)
    assert "second run is a short one" in warnings
    assert "second run is of a tree with changes" in warnings


def test_the_shift_is_the_median_of_all_differences() -> None:
    shift = shift_of([1, 2, 3, 4, 5], [11, 12, 13, 14, 15], 0.05)
    assert shift == Shift(10, 7, 13)


@pytest.mark.parametrize(("samples", "is_told"), [(3, False), (4, True)], ids=["three", "four"])
def test_too_few_samples_promise_nothing(samples: int, is_told: bool) -> None:
    assert (shift_of(range(samples), range(10, 10 + samples), 0.05) is not None) is is_told


def test_the_interval_misses_as_seldom_as_it_says() -> None:
    """By every way in which six samples of twelve could have been the first six."""
    ranks = range(12)
    missed = total = 0
    for first in combinations(ranks, 6):
        second = [rank for rank in ranks if rank not in first]
        shift = shift_of(first, second, 0.05)
        assert shift is not None
        total += 1
        missed += not shift.low <= 0 <= shift.high
    assert 0.01 < missed / total <= 0.05


@pytest.mark.parametrize("size", [25, 40], ids=["exact", "approximate"])
def test_large_sets_are_told_apart(size: int) -> None:
    chance = Random(size)
    first = [chance.gauss(0, 1) for _ in range(size)]
    shift = shift_of(first, [each + 3 for each in first], 0.01)
    assert shift is not None
    assert 0 < shift.low < shift.middle < shift.high
    assert shift.middle == pytest.approx(3, abs=0.5)
