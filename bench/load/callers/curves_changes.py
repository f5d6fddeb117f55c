"""Calls that come and go, and clients that change their address, while a thousand others talk: what those lose.

Lives here: the kinds and rates of change, the turns through them, the figures. Must not live here: how many new clients
are let in at most (curves_storm).

The changes fall on the talking calls in turn and evenly. The loss is that of all packets, also of those that a new call
sends 20 ms after its first check: it is not less than the loss of the calls that were there before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from bench.load import cpu
from bench.load.callers.before import Before, Fastrelay, crowd_before
from bench.load.callers.crowd import Crowd
from bench.load.callers.result import Result, add_accounts
from bench.load.callers.shape import FRAME_US, Shape, Talk
from bench.report.measured import Measured, series
from bench.report.model import Account, Curve, Figure, Line, Series
from bench.scenario import Step

KEY: Final = "curve-changes"
CALLS: Final = 1000
MILLION: Final = 1e6
PACED: Final = (
    "paced, so batches are small and a packet is dearer than in a drain: compare with the line without changes"
)


class Kind(StrEnum):
    """What changes."""

    CALLS = "new calls"
    """A call ends, another begins: a new address and another token."""
    MOVES = "changes of address"
    """A client goes on from another address with the token it has."""


@dataclass(frozen=True)
class ChangesEffort:
    """How long it is measured: each rate of each kind, and none, once a round."""

    rounds: int
    talk_ms: int
    rates: tuple[int, ...]


@dataclass(frozen=True)
class Stretch:
    """One stretch of media."""

    done: Result
    cpu_ns: int

    @property
    def cost_ns(self) -> float:
        """CPU time of the relay for each packet and check."""
        return self.cpu_ns / (self.done.sent + self.done.openings)


@dataclass(frozen=True)
class Round:
    """Nothing changes, then each kind at each rate."""

    still: Stretch
    changing: dict[tuple[Kind, int], Stretch]


def measure_changes(effort: ChangesEffort, step: Step, calls: int = CALLS) -> Measured:
    """One relay and one crowd for everything."""
    before = Fastrelay()
    with crowd_before(before, Shape(calls, flows=calls + addresses_for(effort))) as crowd:
        crowd.warm()
        rounds = []
        for _ in range(effort.rounds):
            rounds.append(one_round(before, crowd, effort))
            step()
    return measured_of(before.name, rounds, effort.rates)


def addresses_for(effort: ChangesEffort) -> int:
    """Every change takes an address that nobody has had: as many as will be asked for, and some of leeway."""
    seconds = effort.rounds * effort.talk_ms / 1000
    return round(1.5 * len(Kind) * sum(effort.rates) * seconds)


def one_round(before: Before, crowd: Crowd, effort: ChangesEffort) -> Round:
    """All of it in turns."""
    talk = Talk(crowd.shape.calls, effort.talk_ms, interval_us=FRAME_US)
    changing = {}
    still = stretch(before, crowd, talk)
    for rate in effort.rates:
        changing[Kind.CALLS, rate] = stretch(before, crowd, replace(talk, new_calls_per_s=rate))
        changing[Kind.MOVES, rate] = stretch(before, crowd, replace(talk, moves_per_s=rate))
    return Round(still, changing)


def stretch(before: Before, crowd: Crowd, talk: Talk) -> Stretch:
    """Media both ways."""
    earlier = sum(cpu.cpu_ns(pid) for pid in before.pids())
    done = crowd.talk(talk)
    return Stretch(done, sum(cpu.cpu_ns(pid) for pid in before.pids()) - earlier)


def measured_of(name: str, rounds: Sequence[Round], rates: Sequence[int]) -> Measured:
    """A figure for each kind and rate, and how cost and latency grow."""
    return Measured(
        [figure_of(rounds, kind, rate) for kind in Kind for rate in rates],
        curves=[
            curve_of(
                f"{KEY}-cost",
                f"{name}: cost by changes",
                "CPU ns per packet or check",
                {key: [each.cost_ns for each in stretches] for key, stretches in by_kind(rounds, rates).items()},
                rates,
            ),
            curve_of(
                f"{KEY}-p99",
                f"{name}: latency by changes",
                "µs from due to arrived, p99",
                {
                    key: [each.done.latency.percentile_us(99) for each in stretches]
                    for key, stretches in by_kind(rounds, rates).items()
                },
                rates,
            ),
        ],
    )


def by_kind(rounds: Sequence[Round], rates: Sequence[int]) -> dict[tuple[str, int], list[Stretch]]:
    """The stretches of every line of a curve at every rate; the first line is that without changes."""
    found = {("none", rate): [each.still for each in rounds] for rate in rates}
    return found | {
        (kind.value, rate): [each.changing[kind, rate] for each in rounds] for kind in Kind for rate in rates
    }


def curve_of(
    key: str, title: str, y_label: str, samples: dict[tuple[str, int], list[float]], rates: Sequence[int]
) -> Curve:
    """A line for each kind, and one without changes."""
    xs = tuple(float(rate) for rate in rates)
    names = dict.fromkeys(name for name, _ in samples)
    lines = tuple(Line(name, xs, tuple(tuple(samples[name, rate]) for rate in rates)) for name in names)
    return Curve(key, title, "changes a second", y_label, lines, is_log_x=True, note=PACED)


def figure_of(rounds: Sequence[Round], kind: Kind, rate: int) -> Figure:
    """Packets lost of a million, beside the same calls without changes."""
    changing = [each.changing[kind, rate].done for each in rounds]
    still = [each.still.done for each in rounds]
    unanswered = sum(each.openings - each.answers for each in changing)
    return Figure(
        key=f"{KEY}/{kind.name.lower()}-{rate}",
        what=f"{rate:,} {kind} a second: lost of a million",
        unit="packets",
        value=lost(kind.value, changing),
        floor=lost("no changes", still),
        is_paired=False,
        accounts=(*add_accounts(changing), changes_account(kind, changing)),
        problem=problem_of([*changing, *still]),
        note=f"{unanswered:,} of {sum(each.openings for each in changing):,} first checks were not answered; "
        f"{CALLS:,} calls talk, beside the same without changes",
    )


def lost(name: str, results: Sequence[Result]) -> Series:
    """Of a million sent."""
    return series(name, (each.loss * MILLION for each in results))


def changes_account(kind: Kind, results: Sequence[Result]) -> Account:
    """Each change sends one first check, and nothing else does."""
    changed = sum(each.calls_changed if kind is Kind.CALLS else each.addresses_changed for each in results)
    return Account(f"{kind}", changed, {"first checks sent": sum(each.openings for each in results)})


def problem_of(results: Sequence[Result]) -> str:
    """Loss is the finding here; but it has to be the relay's."""
    for each in results:
        if each.is_behind:
            return "the generator could not send at this rate"
        if each.own_drops:
            return f"{each.own_drops:,} packets were dropped at the generator's own sockets"
    return ""
