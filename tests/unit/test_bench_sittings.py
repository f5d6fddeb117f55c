"""A full run sits several times: when each scenario is measured, and how its sittings become one report."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from bench.catalogue import CHAPTERS, Chapter
from bench.load.failure import BenchFailure
from bench.report.files import read_run, write_run
from bench.report.measured import Measured
from bench.report.model import Account, Bar, Curve, Figure, Line, Of, Series, Spread, Verdict
from bench.report.sittings import joined
from bench.run import measure, order
from bench.scenario import SITTINGS, Length, Scenario, Step

FULL = SITTINGS[Length.FULL]


def figure(
    *ns: float, floor: tuple[float, ...] = (), accounts: tuple[Account, ...] = (), bar: Bar | None = None
) -> Figure:
    """Paired with a floor that is 2 in every round, unless there is another."""
    return Figure(
        key="cost",
        what="cost of a packet",
        unit="ns",
        value=Series("relay", ns),
        floor=Series("floor", floor or (2.0,) * len(ns)),
        is_paired=True,
        accounts=accounts,
        bar=bar,
    )


def only(measured: Measured) -> Figure:
    (found,) = measured.figures
    return found


def test_samples_of_all_sittings_are_one_figure_in_the_order_in_which_they_were_taken() -> None:
    whole = only(joined([Measured([figure(4, 5)]), Measured([figure(8, 9, floor=(4, 4))])]))
    assert whole.value == Series("relay", (4, 5, 8, 9))
    assert whole.floor == Series("floor", (2, 2, 4, 4))
    assert whole.ratio() == Spread(2.125, 2.0, 2.5)


def test_what_became_of_packets_is_counted_over_all_sittings() -> None:
    first = figure(1, accounts=(Account("packets", 10, {"handled": 10}),))
    second = figure(1, accounts=(Account("packets", 10, {"handled": 9, "lost": 1}), Account("calls", 2, {"up": 2})))
    assert only(joined([Measured([first]), Measured([second])])).accounts == (
        Account("packets", 20, {"handled": 19, "lost": 1}),
        Account("calls", 2, {"up": 2}),
    )


@pytest.mark.parametrize(
    "other", [pytest.param({"handled": 10}, id="sound"), pytest.param({"handled": 11}, id="one too many")]
)
def test_packets_missing_in_one_sitting_are_not_made_up_for_by_another(other: dict[str, int]) -> None:
    short = figure(1, accounts=(Account("packets", 10, {"handled": 9}),))
    more = figure(1, accounts=(Account("packets", 10, other),))
    whole = only(joined([Measured([short]), Measured([more])]))
    assert whole.verdict is Verdict.FAILED
    assert whole.failures()[0] == "counts do not add up: packets: 10 ≠ 9 handled"


def test_a_sitting_that_failed_fails_the_figure_and_says_which_it_was() -> None:
    broken = replace(figure(), value=None, floor=None, problem="the receiver lost 3")
    whole = only(joined([Measured([figure(1, 2)]), Measured([broken]), Measured([figure(3)])]))
    assert whole.failures() == ["sitting 2: the receiver lost 3"]
    assert whole.verdict is Verdict.FAILED


def test_a_floor_beside_some_of_the_samples_is_none() -> None:
    alone = replace(figure(3), floor=None)
    whole = only(joined([Measured([figure(1)]), Measured([alone])]))
    assert whole.value == Series("relay", (1, 3))
    assert whole.floor is None


def test_a_sitting_without_the_bar_takes_it_from_all() -> None:
    with_bar = figure(1, bar=Bar(2, Of.RATIO))
    without = replace(figure(1), what="cost of a packet at 41 % of what was wanted")
    whole = only(joined([Measured([with_bar]), Measured([without]), Measured([with_bar])]))
    assert whole.bar is None
    assert whole.what == without.what


@pytest.mark.parametrize(
    ("notes", "note"),
    [(("drained", "drained"), "drained"), (("", "2 taken again"), "sitting 2: 2 taken again"), (("", ""), "")],
)
def test_notes_are_said_once_or_with_their_sitting(notes: tuple[str, str], note: str) -> None:
    assert only(joined([Measured([replace(figure(1), note=each)]) for each in notes])).note == note


@pytest.mark.parametrize(("counts", "samples"), [((94.5, 94.5), (94.5,)), ((94.5, 96.0), (94.5, 96.0))])
def test_a_count_is_one_sample_unless_sittings_deny_it(counts: tuple[float, float], samples: tuple[float, ...]) -> None:
    parts = [Figure(key="b", what="b", unit="bytes", value=Series("relay", (each,)), is_exact=True) for each in counts]
    assert only(joined([Measured([each]) for each in parts])).value == Series("relay", samples)


def test_curves_have_the_samples_of_all_sittings_at_each_place() -> None:
    def sitting(*lines: Line) -> Measured:
        return Measured([], {"at": [1]}, [Curve("c", "cost", "flows", "ns", lines)], not_run={"peer": "missing"})

    first = sitting(Line("relay", (1, 10), ((5,), (6,))), Line("floor", (1,), ((9,),)))
    second = sitting(Line("relay", (10, 100), ((7,), (8,))))
    whole = joined([first, second])
    (curve,) = whole.curves
    assert curve.lines == (Line("relay", (1, 10, 100), ((5,), (6, 7), (8,))), Line("floor", (1,), ((9,),)))
    assert whole.data == {"at": [1, 1]}
    assert whole.not_run == {"peer": "missing"}


def a_scenario(*, sits_again: bool) -> Scenario:
    return Scenario("what", lambda _: 1, lambda *_: Measured([]), sits_again=sits_again)


def test_what_is_measured_once_is_dealt_among_the_sittings() -> None:
    scenarios = {f"again-{at}": a_scenario(sits_again=True) for at in range(2)}
    scenarios |= {f"once-{at}": a_scenario(sits_again=False) for at in range(2 * FULL)}
    sittings = order(scenarios, Length.FULL)
    assert len(sittings) == FULL
    for number, names in enumerate(sittings):
        assert names == ["again-0", "again-1", f"once-{number}", f"once-{number + FULL}"]
    assert order(scenarios, Length.STANDARD) == [list(scenarios)]


def test_every_curve_and_every_drain_of_a_full_run_sits_again() -> None:
    again = {name for chapter in CHAPTERS for name, each in chapter.scenarios.items() if each.sits_again}
    assert {"up-4096", "down-4096", "million", "hop-inside", "generator", "curve-flows", "peers-up"} <= again
    assert "loss" not in again, "ten million packets in a row are one sitting's"


def chapter(scenarios: dict[str, Scenario]) -> Chapter:
    return Chapter("relay", "up", "The way up", "Packets.", "Much.", "More.", (1, 1), scenarios)


def test_a_full_run_measures_in_new_processes_and_reports_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = count(1)
    mark = tmp_path / "sat"

    def measured(_: Length, step: Step) -> Measured:
        step()
        with mark.open("a") as file:
            file.write("x")
        # a process that lived on would count on
        return Measured([figure(float(next(numbers)), bar=Bar(1, Of.RATIO))])

    again = Scenario("again", lambda _: 1, measured, sits_again=True)
    once = Scenario("once", lambda _: 1, lambda *_: Measured([replace(figure(7.0), key="once")]))
    monkeypatch.setattr("bench.run.CHAPTERS", (chapter({"again": again, "once": once}),))
    with Progress(console=Console(quiet=True), auto_refresh=False) as progress:
        (run,) = measure(["again", "once"], Length.FULL, progress)
    assert mark.read_text() == "x" * FULL
    assert [each.value for each in run.figures()] == [Series("relay", (1.0,) * FULL), Series("relay", (7.0,))]
    write_run(run, tmp_path / "run.json")
    assert read_run(tmp_path / "run.json") == run


def test_two_runs_take_turns_and_each_goes_first_as_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "sat"

    def measured(*_: object) -> Measured:
        with mark.open("a") as file:
            file.write("x")
        return Measured([figure(float(mark.stat().st_size))])

    again = Scenario("again", lambda _: 1, measured, sits_again=True)
    monkeypatch.setattr("bench.run.CHAPTERS", (chapter({"s": again}),))
    with Progress(console=Console(quiet=True), auto_refresh=False) as progress:
        first, second = measure(["s"], Length.FULL, progress, runs=2)
    assert [run.figures()[0].value for run in (first, second)] == [
        Series("relay", (1.0, 4.0, 5.0, 8.0)),
        Series("relay", (2.0, 3.0, 6.0, 7.0)),
    ]


def test_a_sitting_that_breaks_off_costs_the_run_its_verdict_and_not_the_other_sittings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "sat"

    def measured(*_: object) -> Measured:
        if mark.exists():
            raise BenchFailure("no receive buffer")
        mark.touch()
        return Measured([figure(4, 5)])

    monkeypatch.setattr("bench.run.CHAPTERS", (chapter({"s": Scenario("it", lambda _: 1, measured, sits_again=True)}),))
    with Progress(console=Console(quiet=True), auto_refresh=False) as progress:
        (run,) = measure(["s"], Length.FULL, progress)
    sound, broken = run.figures()
    assert sound.value == Series("relay", (4, 5))
    assert broken.failures() == ["no receive buffer"]
    assert run.verdict is Verdict.FAILED
