"""How long a packet takes through a candidate while it is a quarter, half and nearly full: beside no candidate at all.

Lives here: finding its saturation, the three loads. Must not live here: any single candidate (before).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from bench.load.callers.before import Before, Direct, crowd_before
from bench.load.callers.crowd import Crowd
from bench.load.callers.result import Result, add_accounts, first_problem
from bench.load.callers.saturation import LOSS_MAX, Saturation, Trial, find_saturation
from bench.load.callers.shape import Shape, Talk
from bench.report.measured import Measured, series
from bench.report.model import Better, Curve, Figure, Line

SHARES: Final = (0.25, 0.5, 0.8)
PERCENTILES: Final = (50.0, 99.0, 99.9)
LOWEST_PER_S: Final = 2_000
CROWD: Final = Shape(calls=10_000)
"""500 kpps each way: above what one processor sends and receives."""

Step = Callable[[], None]


@dataclass(frozen=True)
class HopEffort:
    """How long it is measured."""

    rounds: int
    talk_ms: int
    trial_ms: int


FULL = HopEffort(rounds=9, talk_ms=2000, trial_ms=1000)
SHORT = HopEffort(rounds=5, talk_ms=200, trial_ms=100)


def saturation_of(crowd: Crowd, trial_ms: int) -> Saturation:
    """The highest rate of calls of 20 ms that loses next to nothing, both ways together."""
    ways, calls = crowd.target.ways, crowd.shape.calls

    def attempt(rate: float) -> Trial:
        done = crowd.talk(Talk.at(rate, trial_ms, calls, ways))
        # packets that our own sockets dropped are the generator's fault as much as late ones
        return Trial(rate, done.loss, done.latency.percentile_us(50), done.is_behind or bool(done.own_drops))

    return find_saturation(attempt, LOWEST_PER_S, Talk(calls, trial_ms, ways).rate)


def measure_hop(before: Before, effort: HopEffort, step: Step, shape: Shape = CROWD) -> Measured:
    """Saturation, then candidate and direct in turns at each load."""
    beside = replace(shape, client_port=shape.client_port + 2, transceiver_port=shape.transceiver_port + 2)
    with crowd_before(before, shape) as crowd, crowd_before(Direct(), beside) as direct:
        crowd.warm()
        direct.warm()
        saturation = saturation_of(crowd, effort.trial_ms)
        step()
        rounds = {share: in_turns(crowd, direct, share * saturation.rate, effort, step) for share in SHARES}
    figures = [saturation_figure(before.name, saturation, shape.calls)]
    for share, turns in rounds.items():
        figures += figures_at(before.name, share, turns)
    return Measured(figures, {"saturation_pps": [saturation.rate]}, [curve_of(before.name, rounds)])


Turns = list[tuple[Result, Result]]


def in_turns(crowd: Crowd, direct: Crowd, rate: float, effort: HopEffort, step: Step) -> Turns:
    """The candidate, then nothing in its place, round by round; a candidate that carries nothing has no rounds."""
    if not rate:
        return []
    turns = []
    for _ in range(effort.rounds):
        talks = [
            each.talk(Talk.at(rate, effort.talk_ms, each.shape.calls, crowd.target.ways)) for each in (crowd, direct)
        ]
        turns.append((talks[0], talks[1]))
        step()
    return turns


def saturation_figure(name: str, saturation: Saturation, calls: int) -> Figure:
    """The rate, and what it means when it is the generator's."""
    bound = f"; it carries at least this: the generator with {calls:,} calls was the limit"
    return Figure(
        key=f"saturation-{name}",
        what=f"{name}: highest rate with less than {LOSS_MAX:.2%} lost and no queue, both ways together",
        unit="packets/s",
        better=Better.HIGHER,
        value=series(name, [saturation.rate]) if saturation.rate else None,
        is_exact=True,
        problem="" if saturation.rate else f"not even {LOWEST_PER_S:,} packets a second were carried",
        note=f"{len(saturation.trials)} rates tried" + (bound if saturation.is_generator_bound else ""),
    )


def figures_at(name: str, share: float, turns: Turns) -> list[Figure]:
    """One for each percentile."""
    candidates, directs = [mine for mine, _ in turns], [its for _, its in turns]
    return [
        Figure(
            key=f"hop-{name}-{share:.0%}-p{percent:g}",
            what=f"{name} at {share:.0%} of its saturation: from due to arrived, p{percent:g}",
            unit="µs",
            value=series(name, (each.latency.percentile_us(percent) for each in candidates)) if turns else None,
            floor=series("direct", (each.latency.percentile_us(percent) for each in directs)) if turns else None,
            is_paired=True,
            accounts=add_accounts(candidates),
            problem=first_problem([*candidates, *directs]),
        )
        for percent in PERCENTILES
    ]


def curve_of(name: str, rounds: dict[float, Turns]) -> Curve:
    """The percentiles by load."""
    shares = tuple(share for share, turns in rounds.items() if turns)
    lines = tuple(
        Line(
            f"{who} p{percent:g}",
            tuple(100 * share for share in shares),
            tuple(tuple(turn[index].latency.percentile_us(percent) for turn in rounds[share]) for share in shares),
        )
        for index, who in enumerate((name, "direct"))
        for percent in PERCENTILES
    )
    return Curve(f"hop-{name}", f"{name}: latency by load", "% of saturation", "µs from due to arrived", lines)
