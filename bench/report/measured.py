"""What one scenario hands back, and how its usual figures are made.

Lives here: from samples to figures. Must not live here: how samples are taken (bench.load, bench.calls, bench.gate).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.load.pairs import Turns
from bench.report.model import Account, Bar, Better, Curve, Figure, Of, Series

NANOSECONDS = "ns"
NS_PER_S = 1e9
NS_PER_MS = 1e6
PER_CPU_MS = "packets/CPU ms"


@dataclass(frozen=True)
class Measured:
    """The figures of one scenario, curves, what was measured along the way, and what could not be run here."""

    figures: list[Figure]
    data: Mapping[str, Sequence[float]] = field(default_factory=dict)
    curves: Sequence[Curve] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    not_run: Mapping[str, str] = field(default_factory=dict)


def failed(key: str, what: str, problem: str) -> Measured:
    """The place in the report of a scenario that could not be measured."""
    return Measured([Figure(key=key, what=what, unit="", problem=problem)])


def series(name: str, samples: Iterable[float]) -> Series:
    """Samples of any kind."""
    return Series(name, tuple(float(each) for each in samples))


def beside_floor(
    key: str, what: str, turns: Turns, name: str, floor: tuple[str, str], bar: float, *, is_headline: bool = False
) -> Figure:
    """Nanoseconds per packet of a candidate beside a floor (its name, and words for it), taken in turns.

    The bar is the largest ratio that holds.
    """
    floor_name, floor_words = floor
    return Figure(
        key=key,
        what=f"{what}, against {floor_words}",
        unit=NANOSECONDS,
        value=series(name, turns.samples[name]),
        floor=series(floor_words, turns.samples[floor_name]),
        is_paired=True,
        bar=Bar(bar, Of.RATIO),
        accounts=accounts_of(turns, name, floor_name),
        is_headline=is_headline,
    )


def throughput(key: str, what: str, turns: Turns, name: str, floor: str, bar: float) -> Figure:
    """Packets per millisecond of CPU of a candidate beside another's, taken in turns; the bar is the lowest ratio."""
    return Figure(
        key=key,
        what=what,
        unit=PER_CPU_MS,
        better=Better.HIGHER,
        value=series(name, (NS_PER_MS / each for each in turns.samples[name])),
        floor=series(floor, (NS_PER_MS / each for each in turns.samples[floor])),
        is_paired=True,
        bar=Bar(bar, Of.RATIO),
        accounts=accounts_of(turns, name, floor),
    )


def accounts_of(turns: Turns, *names: str) -> tuple[Account, ...]:
    """What was queued for these candidates, and what their own counters say of it."""
    return tuple(
        Account(f"packets queued for {name}", turns.queued[name], turns.ended[name])
        for name in names
        if name in turns.queued
    )
