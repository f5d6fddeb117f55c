"""What a report draws: the same bytes each time, bars as long as what they are named for, nothing twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.report.charts import Chart, draw
from bench.report.model import Figure, Run, Series
from bench.report.wording import outcome
from tests.unit.bench_runs import a_run


def run_of(*figures: Figure) -> Run:
    run = a_run(1)
    return replace(run, sections=(replace(run.sections[0], figures=figures),))


def drawn(*figures: Figure) -> list[Chart]:
    return draw(run_of(*figures)).sections["up"]


def figure(what: str, samples: tuple[float, ...], *, percent: float = 50.0, floor: Series | None = None) -> Figure:
    return Figure(key=what, what=what, unit="ns", value=Series("us", samples), percent=percent, floor=floor)


@pytest.mark.parametrize("run", [a_run(1), replace(a_run(1), sections=())], ids=["figures", "nothing measured"])
def test_charts_are_the_same_bytes_each_time(run: Run) -> None:
    assert draw(run) == draw(run)


def test_nothing_lost_beside_nothing_lost_is_no_picture() -> None:
    nothing = figure("lost", (0.0, 0.0), floor=Series("quiet", (0.0, 0.0)))
    assert drawn(nothing) == []
    assert outcome(run_of(nothing)) == "Measured; no bar was set for any of this"


def test_a_bar_of_a_percentile_is_as_long_as_that() -> None:
    (chart,) = drawn(figure("at worst", (4.0, 5.0, 77.0), percent=100.0, floor=Series("floor", (1.0, 1.0))))
    assert ">77<" in chart.svg
    assert ">5<" not in chart.svg


def test_what_has_the_same_floor_as_another_has_it_below_its_own_bar() -> None:
    floor = Series("the other", (1.0,))
    (chart,) = drawn(figure("one", (2.0,), floor=floor), figure("two", (3.0,), floor=floor))
    assert chart.svg.count(">the other<") == 2


def test_scenarios_that_do_not_fit_into_one_chart_have_one_each() -> None:
    floor = Series("floor", (1.0,))
    many = [
        Figure(key=f"{part}/{at}", what=f"{part} {at}", unit="ms", value=Series(str(at), (1.0,)), floor=floor)
        for part in ("set-up", "silence")
        for at in range(9)
    ]
    assert [chart.title.rpartition(", ")[2] for chart in drawn(*many)] == ["set-up", "silence"]
    assert len(drawn(*many[6:12])) == 1


def test_percentiles_of_the_same_samples_are_one_distribution() -> None:
    many = tuple(float(each) for each in range(50))
    charts = drawn(figure("p50", many), figure("p99", many, percent=99.0), figure("other", many[1:]))
    assert [chart.title for chart in charts] == ["P50", "Other"]
