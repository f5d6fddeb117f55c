"""How long a packet takes through a candidate while it is a quarter, half and nearly full: beside no candidate at all.

Lives here: finding its saturation, the three loads, their figures. Must not live here: any single candidate (before),
peers beside each other (beside_peers).

Windows are short and many. Where other work or a hypervisor takes the candidate's processor for a millisecond or more
three times a second, such pauses are what p99 of a whole second shows, whoever runs there: at half load each delays
what comes in twice its time. A tenth of a second more often than not lies between two of them, and so does the median
of many windows. Those that a pause has hit are left in, and are the spread.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from bench.load.callers.before import Before, Direct, crowd_before
from bench.load.callers.crowd import Crowd
from bench.load.callers.result import Result, add_accounts, first_problem
from bench.load.callers.saturation import LOSS_MAX, Saturation, Trial, find_saturation
from bench.load.callers.shape import Shape, Talk
from bench.load.callers.sound import Sound
from bench.report.measured import Measured, series
from bench.report.model import Better, Curve, Figure, Line, Series
from bench.scenario import Length, Step

SHARES: Final = (0.25, 0.5, 0.8)
PERCENTILES: Final = (50.0, 99.0, 99.9)
LOWEST_PER_S: Final = 4_000
CROWD: Final = Shape(calls=10_000)
"""500 kpps each way: above what one processor sends and receives."""


@dataclass(frozen=True)
class HopEffort:
    """How long it is measured."""

    rounds: int
    talk_ms: int
    trial_ms: int


EFFORTS: Final = {
    Length.SHORT: HopEffort(rounds=2, talk_ms=100, trial_ms=50),
    Length.STANDARD: HopEffort(rounds=21, talk_ms=100, trial_ms=250),
    Length.FULL: HopEffort(rounds=45, talk_ms=100, trial_ms=400),
}


def saturation_of(crowd: Crowd, trial_ms: int, ways: int) -> Saturation:
    """The highest rate of calls of 20 ms that loses next to nothing, all ways together."""
    calls = crowd.shape.calls

    def attempt(rate: float) -> Trial:
        done = crowd.talk(Talk.at(rate, trial_ms, calls, ways))
        # packets that our own sockets dropped are the generator's fault as much as late ones
        return Trial(rate, done.loss, done.latency.percentile_us(50), done.is_behind or bool(done.own_drops))

    return find_saturation(attempt, LOWEST_PER_S, Talk.by(calls, 1e9, trial_ms, ways).rate)


@dataclass(frozen=True)
class Turns:
    """A candidate and nothing in its place, window by window at one rate."""

    rate: float
    pairs: list[tuple[Result, Result]]
    note: str

    def candidates(self) -> list[Result]:
        """The candidate's windows."""
        return [mine for mine, _ in self.pairs]

    def directs(self) -> list[Result]:
        """Those without it; none where the generator alone could not offer the rate."""
        directs = [its for _, its in self.pairs]
        return [] if first_problem(directs) else directs

    def lateness(self) -> str:
        """Why the generator cannot offer this rate even with bundles; empty where it can."""
        return next((late for each in self.candidates() if (late := each.lateness())), "")


def measure_hop(before: Before, effort: HopEffort, step: Step, shape: Shape = CROWD) -> Measured:
    """Saturation, then candidate and direct in turns at each load."""
    beside = replace(shape, client_port=shape.client_port + 2, transceiver_port=shape.transceiver_port + 2)
    with crowd_before(before, shape) as crowd, crowd_before(Direct(), beside) as direct:
        crowd.warm()
        direct.warm()
        saturation = saturation_of(crowd, effort.trial_ms, crowd.target.ways)
        step()
        rounds = {share: in_turns(crowd, direct, share * saturation.rate, effort, step) for share in SHARES}
    not_run = {share: late for share, turns in rounds.items() if (late := turns.lateness())}
    figures = [saturation_figure("hop/saturation", before.name, saturation, shape.calls)]
    for share, turns in rounds.items():
        if share not in not_run:
            figures += figures_at(before.name, share, turns)
    return Measured(
        figures,
        {"saturation_pps": [saturation.rate]},
        [curve_of(before.name, {share: turns for share, turns in rounds.items() if share not in not_run})],
        not_run={
            f"hop at {share:.0%} of the highest rate ({rounds[share].rate / 1000:.0f} kpps)": late
            for share, late in not_run.items()
        },
    )


def in_turns(crowd: Crowd, direct: Crowd, rate: float, effort: HopEffort, step: Step) -> Turns:
    """The candidate, then nothing in its place, round by round; a candidate that carries nothing has no rounds."""
    sound = Sound()
    pairs = []
    for _ in range(effort.rounds if rate else 0):
        mine, its = (
            sound.talk(each, Talk.at(rate, effort.talk_ms, each.shape.calls, crowd.target.ways))
            for each in (crowd, direct)
        )
        pairs.append((mine, its))
        step()
    return Turns(rate, pairs, windows_note(effort, sound))


def windows_note(effort: HopEffort, sound: Sound) -> str:
    """What a sample is, and which were taken again."""
    return "; ".join(filter(None, (f"{effort.rounds} windows of {effort.talk_ms} ms", sound.note())))


def saturation_figure(key: str, name: str, saturation: Saturation, calls: int) -> Figure:
    """The rate, and what it means when it is the generator's."""
    bound = f"; it carries at least this: the generator with {calls:,} calls was the limit"
    return Figure(
        key=key,
        what=f"{name}: highest rate carried",
        unit="packets/s",
        better=Better.HIGHER,
        value=series(name, [saturation.rate]) if saturation.rate else None,
        problem="" if saturation.rate else f"not even {LOWEST_PER_S:,} packets a second were carried",
        note=f"less than {LOSS_MAX:.2%} lost and no queue; {len(saturation.trials)} trials"
        + (bound if saturation.is_generator_bound else ""),
    )


def figures_at(name: str, share: float, turns: Turns) -> list[Figure]:
    """One for each percentile; without a direct run beside it where the generator alone could not offer the rate."""
    candidates, directs = turns.candidates(), turns.directs()
    alone = "" if directs else "no direct run: without bundles the generator did not keep this rate"
    return [
        Figure(
            key=f"hop/{round(100 * share)}-p{percent:g}",
            what=f"hop p{percent:g} at {share:.0%} of the highest rate ({turns.rate / 1000:.0f} kpps)",
            unit="µs",
            value=percentiles(name, candidates, percent) if candidates else None,
            floor=percentiles("direct", directs, percent) if directs else None,
            is_paired=True,
            accounts=add_accounts(candidates),
            problem=first_problem(candidates),
            note="; ".join(filter(None, (turns.note, alone))),
        )
        for percent in PERCENTILES
    ]


def percentiles(name: str, results: list[Result], percent: float) -> Series:
    """One sample for each window."""
    return series(name, (each.latency.percentile_us(percent) for each in results))


def curve_of(name: str, rounds: dict[float, Turns]) -> Curve:
    """The percentiles by load."""
    whole = {share: turns for share, turns in rounds.items() if turns.pairs}
    lines = [
        Line(
            f"{who} p{percent:g}",
            tuple(100 * share for share, results in shares.items() if results),
            tuple(
                tuple(each.latency.percentile_us(percent) for each in results) for results in shares.values() if results
            ),
        )
        for who, shares in (
            (name, {share: turns.candidates() for share, turns in whole.items()}),
            ("direct", {share: turns.directs() for share, turns in whole.items()}),
        )
        for percent in PERCENTILES
    ]
    return Curve("hop", f"{name}: latency by load", "% of its highest rate", "µs from due to arrived", tuple(lines))
