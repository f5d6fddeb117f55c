"""What one run of the benchmarks found, as data: sections of figures, each with every sample and its floor beside it.

Lives here: the dataclasses, and what follows from samples alone (medians, ratios, verdicts). Must not live here: files
(files), how anything is shown (table, page, charts, summary), comparing two runs (compare).

A verdict is never stored by whoever measured: it follows from the samples, the bar and the accounts.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from bench.load.card import Card
from bench.scenario import Length

SCHEMA: Final = 1
"""Raise it when a reader of the old one would misunderstand the new one."""
KIND: Final = "fastrelay benchmark run"
WHOLE: Final = 100


class Verdict(StrEnum):
    """How a figure ended."""

    HOLDS = "holds"
    MISSED = "missed"
    REPORTED = "reported"  # a figure without a bar
    FAILED = "failed"  # counts do not add up, or this machine could not do it: no figure to believe


class Better(StrEnum):
    """Which way is good."""

    LOWER = "lower"
    HIGHER = "higher"


class Of(StrEnum):
    """What a bar is about."""

    VALUE = "value"
    RATIO = "ratio to the floor"


@dataclass(frozen=True, slots=True)
class Spread:
    """A middle and how far its samples lie apart."""

    middle: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Series:
    """Every sample of one candidate, in the order in which they were taken."""

    name: str
    samples: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """What was promised: at most or at least `at`, whichever way is good for the figure."""

    at: float
    of: Of = Of.VALUE


@dataclass(frozen=True, slots=True)
class Account:
    """What went in and what became of it. It adds up, or the figure has failed."""

    what: str
    put_in: int
    ended: dict[str, int]

    @property
    def adds_up(self) -> bool:
        """Whether each one that went in ended somewhere, and nothing else did."""
        return sum(self.ended.values()) == self.put_in and all(count >= 0 for count in self.ended.values())

    def describe(self) -> str:
        """Both sides in one line."""
        sign = "=" if self.adds_up else "≠"
        return f"{self.what}: {self.put_in:,} {sign} " + " + ".join(f"{n:,} {end}" for end, n in self.ended.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of a report."""

    key: str
    """Stable from commit to commit: two runs are compared by it."""
    what: str
    unit: str
    better: Better = Better.LOWER
    value: Series | None = None
    """None only in a figure that has failed."""
    percent: float = 50.0
    """Which percentile of the samples is the value."""
    floor: Series | None = None
    is_paired: bool = False
    """Sample k of value and floor were taken in the same round: the ratio is the median of the pairs' ratios."""
    is_exact: bool = False
    """The same from run to run (instructions, bytes): one sample is enough."""
    bar: Bar | None = None
    accounts: tuple[Account, ...] = ()
    problem: str = ""
    """Why it has failed; empty otherwise."""
    note: str = ""
    is_headline: bool = False
    """Shown at the top of the report."""

    def spread(self) -> Spread | None:
        """The value, and its lowest and highest sample."""
        return None if self.value is None else spread_of(self.value.samples, self.percent)

    def floor_spread(self) -> Spread | None:
        """The same of the floor."""
        return None if self.floor is None else spread_of(self.floor.samples, self.percent)

    def ratios(self) -> tuple[float, ...]:
        """Value to floor: of each pair; or one, where the samples are no pairs. Empty without a floor above zero."""
        spread, floor = self.spread(), self.floor_spread()
        if spread is None or floor is None or self.value is None or self.floor is None or not floor.middle:
            return ()
        if not self.is_paired:
            return (spread.middle / floor.middle,)
        # one round in which the floor was nothing must not cost a run all its other figures
        if 0 in self.floor.samples:
            return ()
        return tuple(a / b for a, b in zip(self.value.samples, self.floor.samples, strict=True))

    def ratio(self) -> Spread | None:
        """The median ratio with the lowest and the highest."""
        ratios = self.ratios()
        return spread_of(ratios) if ratios else None

    def judged(self) -> Spread | None:
        """What the bar is about: ratio or value."""
        return self.ratio() if self.bar is not None and self.bar.of is Of.RATIO else self.spread()

    def failures(self) -> list[str]:
        """Why this figure must not be believed."""
        found = [self.problem] if self.problem else []
        found += [f"counts do not add up: {each.describe()}" for each in self.accounts if not each.adds_up]
        if not found and self.judged() is None:
            found.append("nothing was measured")
        return found

    @property
    def verdict(self) -> Verdict:
        """By samples, bar and accounts alone."""
        judged = self.judged()
        if self.failures() or judged is None:
            return Verdict.FAILED
        if self.bar is None:
            return Verdict.REPORTED
        holds = judged.middle <= self.bar.at if self.better is Better.LOWER else judged.middle >= self.bar.at
        return Verdict.HOLDS if holds else Verdict.MISSED


@dataclass(frozen=True, slots=True)
class Line:
    """One candidate in a curve: at each x, every sample."""

    name: str
    x: tuple[float, ...]
    y: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """How something grows: cost by calls, latency by load."""

    key: str
    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    is_log_x: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Figures that are read together."""

    key: str
    title: str
    lead: str
    """What is measured, for a reader who reads only this."""
    may: str
    """What may be concluded."""
    may_not: str
    """What may not."""
    figures: tuple[Figure, ...]
    curves: tuple[Curve, ...] = ()
    data: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """Measured along the way and behind no figure of its own."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of what is not ours."""
    not_run: dict[str, str] = field(default_factory=dict)
    """What should stand here and does not, and why: this machine lacks it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything one run found, and where."""

    card: Card
    length: Length
    elapsed_s: float
    method: tuple[str, ...]
    sections: tuple[Section, ...]

    def figures(self) -> list[Figure]:
        """Of all sections."""
        return [figure for section in self.sections for figure in section.figures]

    def versions(self) -> dict[str, str]:
        """Of everything that is not ours, in all sections."""
        return {name: text for section in self.sections for name, text in section.versions.items()}

    def count(self, verdict: Verdict) -> int:
        """How many figures ended so."""
        return sum(figure.verdict is verdict for figure in self.figures())

    @property
    def verdict(self) -> Verdict:
        """The worst: one failed figure fails the run."""
        for verdict in (Verdict.FAILED, Verdict.MISSED, Verdict.HOLDS):
            if self.count(verdict):
                return verdict
        return Verdict.REPORTED if self.figures() else Verdict.FAILED


def spread_of(samples: tuple[float, ...], percent: float = 50.0) -> Spread | None:
    """A percentile of samples, interpolated, with the ends; None without samples."""
    if not samples:
        return None
    return Spread(percentile(samples, percent), min(samples), max(samples))


def percentile(samples: tuple[float, ...], percent: float) -> float:
    """Interpolated between neighbours, so that 50 is the median."""
    if percent == WHOLE / 2:
        return statistics.median(samples)
    ordered = sorted(samples)
    place = (len(ordered) - 1) * percent / WHOLE
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
