"""Which charts a run has: what each is called, how it is read, and what is in it.

Lives here: what is worth a picture, and which figures stand in one. Must not live here: any drawing (charts).

Whoever shows a run (page, summary) or checks what is published needs the names and words alone. Keys are made of those
of sections, scenarios, figures and curves, so a chart is found at the same place release after release.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil
from typing import Final, NamedTuple, TypeAlias

from bench.report.model import Curve, Figure, Run, Section, Series, Verdict
from bench.report.wording import capital, sentence, slug

MANY_SAMPLES: Final = 40
"""From here on a distribution says more than dots."""
GLANCE_ROWS: Final = 14
"""In one chart at most."""
COST_ROWS: Final = 16
"""In one chart, unless they are of one scenario."""
GLANCE_CAPTION: Final = (
    "What was measured as a share of its bar: dots are rounds, the stroke is their median, or the percentile that "
    "is named. The arrow points to the side that holds. Beyond 200 % a mark stands at the edge."
)
COSTS_CAPTION: Final = (
    "Bars are medians, or the percentile that is named; dots are rounds. Pale is what stands beside it."
)
GROWTH_CAPTION: Final = "Lines join medians; the band reaches from the lowest sample to the highest."


@dataclass(frozen=True, slots=True)
class _Named:
    """What every chart has."""

    key: str
    """No other chart of the run has it."""
    title: str
    caption: str


@dataclass(frozen=True, slots=True)
class Glance(_Named):
    """Each bar at 100 %, what was measured as a share of it."""

    figures: tuple[Figure, ...]


class CostRow(NamedTuple):
    """One bar."""

    label: str
    series: Series
    percent: float
    """Which percentile of the samples is as long as the bar."""
    is_floor: bool


@dataclass(frozen=True, slots=True)
class Costs(_Named):
    """Value and floor, one below the other, with every sample; of one unit."""

    figures: tuple[Figure, ...]

    def rows(self) -> list[CostRow]:
        """Each value once, and below it each of its floors, in the order of the figures."""
        return _cost_rows(self.figures)


@dataclass(frozen=True, slots=True)
class Distribution(_Named):
    """The share of samples up to each value."""

    figure: Figure


@dataclass(frozen=True, slots=True)
class Growth(_Named):
    """Medians joined, with a band from lowest to highest."""

    curve: Curve


Chart: TypeAlias = Glance | Costs | Distribution | Growth


@dataclass(frozen=True, slots=True)
class Gallery:
    """The charts of a run: all bars at a glance, and each section's by its key."""

    glance: list[Chart]
    sections: dict[str, list[Chart]]

    def __iter__(self) -> Iterator[Chart]:
        """All of them, as they are shown."""
        yield from self.glance
        for charts in self.sections.values():
            yield from charts


def gallery_of(run: Run) -> Gallery:
    """Everything that can be drawn of a run."""
    return Gallery(_glances(run), {section.key: _of_section(section) for section in run.sections})


def _glances(run: Run) -> list[Chart]:
    """All bars, in charts of a length that can be seen at once. Counts lie where their budget is, and are left out."""
    figures = [each for each in run.figures() if each.bar is not None and each.bar.at and not each.is_exact]
    shown = [each for each in figures if each.verdict is not Verdict.FAILED]
    charts = ceil(len(shown) / GLANCE_ROWS)
    if not charts:
        return []
    rows = ceil(len(shown) / charts)
    titles = [f"At a glance, {at + 1} of {charts}" if charts > 1 else "At a glance" for at in range(charts)]
    return [
        Glance(f"glance-{at + 1}", title, GLANCE_CAPTION, tuple(shown[at * rows :][:rows]))
        for at, title in enumerate(titles)
    ]


def _of_section(section: Section) -> list[Chart]:
    believed = [figure for figure in section.figures if figure.verdict is not Verdict.FAILED]
    beside = [figure for figure in believed if _is_worth_a_bar(figure) and not _is_on_a_curve(figure, section)]
    charts: list[Chart] = [
        chart
        for unit, group in groupby(sorted(beside, key=_unit_of), key=_unit_of)
        for chart in _of_unit(section, unit, tuple(group))
    ]
    # percentiles of the same samples are one picture: the first of them stands for all
    distributions = {(each.value, each.floor): each for each in reversed(believed) if _is_distribution(each)}
    charts += [_distribution(figure) for figure in reversed(distributions.values())]
    return charts + [_growth(curve) for curve in section.curves]


def _of_unit(section: Section, unit: str, figures: tuple[Figure, ...]) -> list[Costs]:
    """One chart, or one for each scenario: set-ups of milliseconds cannot be seen beside silences of seconds."""
    if len(_cost_rows(figures)) <= COST_ROWS:
        title = f"{section.title}: beside the floors, {unit}"
        return [Costs(_beside(section.key, unit), title, COSTS_CAPTION, figures)]
    charts = []
    for scenario, group in groupby(sorted(figures, key=_scenario_of), key=_scenario_of):
        title = f"{section.title}: {scenario.removeprefix(f'{section.key}-')}, {unit}"
        charts.append(Costs(_beside(scenario, unit), title, COSTS_CAPTION, tuple(group)))
    return charts


def _beside(whose: str, unit: str) -> str:
    return f"beside-{slug(whose)}-{slug(unit)}"


def _unit_of(figure: Figure) -> str:
    return figure.unit


def _scenario_of(figure: Figure) -> str:
    return figure.key.partition("/")[0]


def _is_worth_a_bar(figure: Figure) -> bool:
    """Nothing lost beside nothing lost is no picture."""
    return figure.floor is not None and figure.value is not None and any(figure.value.samples + figure.floor.samples)


def _is_on_a_curve(figure: Figure, section: Section) -> bool:
    """A point of a curve is drawn there."""
    return any(figure.key.startswith(f"{curve.key}/") for curve in section.curves)


def _is_distribution(figure: Figure) -> bool:
    return figure.value is not None and len(figure.value.samples) >= MANY_SAMPLES


def _cost_rows(figures: Sequence[Figure]) -> list[CostRow]:
    rows: dict[tuple[str, CostRow], None] = {}
    for figure in figures:
        assert figure.value is not None
        assert figure.floor is not None
        # without the floor that is named beside it
        subject = f"{figure.what.partition(', against ')[0]}: {figure.value.name}"
        rows[subject, CostRow(subject, figure.value, figure.percent, is_floor=False)] = None
        rows[subject, CostRow(figure.floor.name, figure.floor, figure.percent, is_floor=True)] = None
    return [row for _, row in rows]


def _distribution(figure: Figure) -> Distribution:
    count = len(figure.value.samples) if figure.value else 0
    caption = f"The share of {count:,} samples up to each value."
    return Distribution(f"samples-{slug(figure.key)}", capital(figure.what), caption, figure)


def _growth(curve: Curve) -> Growth:
    caption = f"{sentence(curve.note)} {GROWTH_CAPTION}".strip()
    return Growth(slug(curve.key), capital(curve.title), caption, curve)
