"""Token storms: how many new clients a second are let in, each by a first check with a valid token.

Lives here: one storm, the search for the highest rate that leaves nobody out, the figure. Must not live here: what a
check costs alone (the drain test `admission`), what those lose who talk meanwhile (curves_changes).

Beside the relay the same storm goes to transceivers that answer by themselves: there the generator is all there is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from bench.load import cpu
from bench.load.callers.before import Before, Direct, Fastrelay, write_tokens
from bench.load.callers.crowd import Crowd
from bench.load.callers.result import Result
from bench.load.callers.saturation import LOSS_MAX, TRIALS_MAX, Saturation, Trial, find_saturation
from bench.load.callers.shape import Shape
from bench.report.measured import Measured, series
from bench.report.model import Account, Better, Curve, Figure, Line
from bench.scenario import Step

KEY: Final = "curve-storm"
LOWEST_PER_S: Final = 20_000
HIGHEST_PER_S: Final = 320_000
TRIALS_AND_SPARE: Final = TRIALS_MAX + 3
QUEUE_SHARE: Final = 0.02
"""Half of the checks may wait this share of the storm's length: who is x % too slow lets half of them wait x/2 % of it.
A socket's buffer holds a whole short storm: without this, nothing would be lost at twice the rate that is carried."""

Make = Callable[[], Before]


@dataclass(frozen=True)
class StormEffort:
    """How long it is measured: so many searches, storms of this length."""

    rounds: int
    storm_ms: int

    @property
    def calls(self) -> int:
        """New clients in a storm of the highest rate."""
        return HIGHEST_PER_S * self.storm_ms // 1000


@dataclass(frozen=True)
class Storm:
    """One rate, tried: what became of the checks, and the CPU time of whoever stood in the way."""

    rate: float
    length_us: float
    done: Result
    cpu_ns: int

    @property
    def trial(self) -> Trial:
        """As the search judges it: a check without an answer is a loss, and a queue that grows loses all that come."""
        wait_us = self.done.opening.percentile_us(50)
        unanswered = 1 - self.done.answers / self.done.openings
        is_late = self.done.is_behind or bool(self.done.own_drops)
        return Trial(self.rate, 1.0 if wait_us > QUEUE_SHARE * self.length_us else unanswered, wait_us, is_late)


@dataclass(frozen=True)
class Searched:
    """One search and every storm in it."""

    saturation: Saturation
    storms: tuple[Storm, ...]


def search(before: Before, effort: StormEffort) -> Searched:
    """Every storm comes from addresses that nobody has seen: what is known already is no new client."""
    calls, storms = effort.calls, []
    shape = Shape(calls, flows=calls * TRIALS_AND_SPARE)
    with closing(before), Crowd(shape, before.open(shape)) as crowd:

        def attempt(rate: float) -> Trial:
            crowd.renew()
            earlier = sum(cpu.cpu_ns(pid) for pid in before.pids())
            done = crowd.open(0, min(calls, max(1, round(rate * effort.storm_ms / 1000))), round(rate))
            spent = sum(cpu.cpu_ns(pid) for pid in before.pids()) - earlier
            storms.append(Storm(rate, effort.storm_ms * 1000, done, spent))
            return storms[-1].trial

        return Searched(find_saturation(attempt, LOWEST_PER_S, HIGHEST_PER_S), tuple(storms))


def measure_storm(effort: StormEffort, step: Step, make: Make = Fastrelay) -> Measured:
    """Relay and no relay in turns."""
    rounds = []
    for _ in range(effort.rounds):
        rounds.append((search(make(), effort), search(Direct(write_tokens), effort)))
        step()
    return measured_of(make().name, rounds)


def measured_of(name: str, rounds: list[tuple[Searched, Searched]]) -> Measured:
    """The highest rates, and how long a check waited for its answer at every rate that was tried."""
    mine, others = [each for each, _ in rounds], [each for _, each in rounds]
    bound = sum(each.saturation.is_generator_bound for each in mine)
    is_found = all(each.saturation.rate for each in (*mine, *others))
    figure = Figure(
        key=f"{KEY}/rate",
        what="token storm: new clients a second, none left out",
        unit="clients/s",
        better=Better.HIGHER,
        value=series(name, (each.saturation.rate for each in mine)) if is_found else None,
        floor=series(Direct.name, (each.saturation.rate for each in others)) if is_found else None,
        is_paired=True,
        accounts=tuple(account(name, held(each)) for each in mine),
        problem="" if is_found else f"not even {LOWEST_PER_S:,} a second were answered",
        note=f"< {LOSS_MAX:.2%} of first checks unanswered and no queue; direct: transceivers answer without a relay"
        + (f"; in {bound} of {len(rounds)} rounds the generator was the limit, not the relay" if bound else ""),
    )
    curve = Curve(
        KEY,
        "token storm: from check to answer",
        "new clients a second",
        "µs, median",
        (line(name, mine), line(Direct.name, others)),
        is_log_x=True,
    )
    data = {"CPU ns of a new client at the highest rate": [cost for each in mine for cost in costs(held(each))]}
    return Measured([figure], data, [curve])


def held(searched: Searched) -> tuple[Storm, ...]:
    """The storms at the rate that was found which left nobody out."""
    return tuple(each for each in searched.storms if each.rate == searched.saturation.rate and each.trial.holds)


def costs(storms: tuple[Storm, ...]) -> list[float]:
    """CPU time for each check and its answer."""
    return [storm.cpu_ns / storm.done.openings for storm in storms]


def account(name: str, storms: tuple[Storm, ...]) -> Account:
    """What became of the checks at the rate that was found."""
    openings, answers = (sum(getattr(each.done, what) for each in storms) for what in ("openings", "answers"))
    dropped = sum(each.done.target_drops for each in storms)
    return Account(
        f"first checks sent to {name}",
        openings,
        {"answered": answers, "dropped at its sockets": dropped, "unanswered": openings - answers - dropped},
    )


def line(name: str, rounds: list[Searched]) -> Line:
    """The median wait at each rate that was tried and kept: one sample a storm."""
    waits: dict[float, list[float]] = {}
    for storm in (storm for each in rounds for storm in each.storms if storm.trial.holds):
        waits.setdefault(storm.rate, []).append(storm.trial.wait_us)
    xs = tuple(sorted(waits))
    return Line(name, xs, tuple(tuple(waits[x]) for x in xs))
