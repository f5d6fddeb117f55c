"""The generator measures itself before it measures others: how near it comes to sendmmsg, and how sharp its times are.

Lives here: the proofs and their bars. Must not live here: anything about a relay.

Times are safe from coordinated omission: a packet's time runs from when it was due, which the schedule has said before
anything was sent, and not from when it left. A generator that is held up sends all that it owes, each as late as it is,
and that is in every latency it reports; how late it was is told beside (Way.late).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bench.load.callers.before import Direct, crowd_before
from bench.load.callers.crowd import Crowd
from bench.load.callers.histogram import Histogram
from bench.load.callers.result import LATE_P99_US, Result, add_accounts, first_problem
from bench.load.callers.shape import UP, Shape, Talk
from bench.load.callers.sound import Sound
from bench.report.measured import NS_PER_MS, Measured, series
from bench.report.model import Bar, Better, Curve, Figure, Line, Of
from bench.scenario import Length, Step

CROWD: Final = Shape(calls=10_000)
RATE_BAR: Final = 0.85
"""Of a bare sendmmsg loop, with all calls on their schedules."""
ERROR_BAR_US: Final = 5.0
OVERLOAD: Final = 3.0
"""Times the bare loop's rate: what is offered to see how much the generator can send."""
SHARP_PER_S: Final = 2_000
"""The rate at which its times are looked at: packets seldom wait for each other."""
RATES: Final = (SHARP_PER_S, 10_000, 50_000, 200_000)
"""Where they do: how the time in a direct run grows."""
PERCENTILES: Final = (50.0, 99.0, 99.9)
SHARP_MS: Final = 600
WINDOW_MS: Final = 100


@dataclass(frozen=True)
class ProofEffort:
    """How long it is measured in one sitting."""

    rounds: int
    packets: int
    talk_ms: int


EFFORTS: Final = {
    Length.SHORT: ProofEffort(rounds=2, packets=50_000, talk_ms=100),
    Length.STANDARD: ProofEffort(rounds=5, packets=100_000, talk_ms=200),
    Length.FULL: ProofEffort(rounds=3, packets=200_000, talk_ms=250),
}


def prove_generator(effort: ProofEffort, step: Step, shape: Shape = CROWD) -> Measured:
    """Rate beside the bare loop in turns, then times in a direct run."""
    with crowd_before(Direct(), shape) as crowd:
        rate = prove_rate(crowd, effort, step)
        crowd.warm()
        sharpness = prove_sharpness(crowd, effort, step)
    return Measured([*rate.figures, *sharpness.figures], {**rate.data, **sharpness.data}, sharpness.curves)


@dataclass(frozen=True)
class Sent:
    """Packets, by the clock and by the processor's time."""

    per_s: float
    per_cpu_ms: float


def sent_bare(crowd: Crowd, packets: int) -> Sent:
    """What sendmmsg alone does."""
    before = crowd.cpu_ns()
    per_s = crowd.bare(packets)
    return Sent(per_s, packets * NS_PER_MS / (crowd.cpu_ns() - before))


def sent_on_schedule(crowd: Crowd, talk: Talk) -> Sent:
    """What the generator does when it is asked for more than it can."""
    before = crowd.cpu_ns()
    done = crowd.talk(talk)
    return Sent(done.rate, done.sent * NS_PER_MS / (crowd.cpu_ns() - before))


def prove_rate(crowd: Crowd, effort: ProofEffort, step: Step) -> Measured:
    """All calls on their schedules, offered more than can be sent, then just what the bar asks for; the receiver's
    kernel drops everything, for the bare loop as well."""
    bare, most = [], []
    kept: list[Result] = []
    sound = Sound()
    crowd.drop(is_dropping=True)
    crowd.bare(effort.packets)
    for _ in range(effort.rounds):
        bare.append(sent_bare(crowd, effort.packets))
        most.append(sent_on_schedule(crowd, Talk.by(crowd.shape.calls, OVERLOAD * bare[-1].per_s, effort.talk_ms, UP)))
        kept.append(sound.talk(crowd, Talk.by(crowd.shape.calls, RATE_BAR * bare[-1].per_s, effort.talk_ms, UP)))
        step()
    crowd.drop(is_dropping=False)
    what = f"generator, {crowd.shape.calls:,} calls on schedule"
    accounts = tuple(account for account in add_accounts(kept) if account.what == "packets due")
    late = Figure(
        key="generator/late-p99",
        what=f"{what}: behind its schedule, p99",
        unit="µs",
        value=series("generator", (each.up.late.percentile_us(99) for each in kept)),
        bar=Bar(LATE_P99_US),
        accounts=accounts,
        note="; ".join(filter(None, (f"at {RATE_BAR} of the bare loop", unsent_note(kept), sound.note()))),
    )
    figures = [
        rate_figure("rate", what, "packets/s", [each.per_s for each in most], [each.per_s for each in bare]),
        rate_figure(
            "rate-cpu",
            f"{what}, by its CPU time",
            "packets/CPU ms",
            [each.per_cpu_ms for each in most],
            [each.per_cpu_ms for each in bare],
        ),
        late,
    ]
    return Measured(figures, {"kept_pps": [result.rate for result in kept]})


def rate_figure(part: str, what: str, unit: str, mine: list[float], bare: list[float]) -> Figure:
    """The generator's rate beside the bare loop's."""
    return Figure(
        key=f"generator/{part}",
        what=what,
        unit=unit,
        better=Better.HIGHER,
        value=series("generator", mine),
        floor=series("bare sendmmsg loop", bare),
        is_paired=True,
        bar=Bar(RATE_BAR, Of.RATIO),
    )


def unsent_note(results: list[Result]) -> str:
    """How many packets a generator that gave up has left out."""
    unsent = sum(result.up.due - result.up.sent for result in results)
    return f"{unsent:,} packets never left" if unsent else "every packet left"


def prove_sharpness(crowd: Crowd, effort: ProofEffort, step: Step) -> Measured:
    """Nothing stands between the ends: what is measured from due to arrived is one crossing of the loopback device and
    every error of the generator. What is above the quickest hundredth of the crossings counts as error, whatever it is.
    """
    sound = Sound()
    talks = {rate: Talk.at(rate, SHARP_MS if rate == SHARP_PER_S else WINDOW_MS, crowd.shape.calls) for rate in RATES}
    by_rate: dict[int, list[Result]] = {rate: [] for rate in RATES}
    for talk in talks.values():
        crowd.talk(talk)
    for _ in range(effort.rounds):
        for rate, talk in talks.items():
            by_rate[rate].append(sound.talk(crowd, talk))
        step()
    results = by_rate[SHARP_PER_S]
    held = [100 * result.held_s / result.elapsed_s for result in results]
    at = f"at {SHARP_PER_S / 1000:.0f} kpps, p99"
    error = Figure(
        key="generator/error-p99",
        what=f"generator: error of its times {at}",
        unit="µs",
        value=series("direct", (above_quickest_us(result.less_held) for result in results)),
        bar=Bar(ERROR_BAR_US),
        accounts=add_accounts(results),
        problem=first_problem(results),
        note="a direct run; from due to arrived, less the quickest crossings of loopback (p1), and less the time for "
        "which the machine did not let the generator run: no error of its own, but in every latency it reports, as in "
        "the next figure. At higher rates packets wait for each other",
    )
    raw = Figure(
        key="generator/direct-p99",
        what=f"generator: from due to arrived {at}",
        unit="µs",
        value=series("direct", (result.latency.percentile_us(99) for result in results)),
        accounts=add_accounts(results),
        problem=first_problem(results),
        note="; ".join(
            filter(None, (f"the machine held it up for {max(held):.1f} % of the time at most", sound.note()))
        ),
    )
    data = {
        "held_percent": held,
        "direct_p50_us": [result.latency.percentile_us(50) for result in results],
        "direct_p999_us": [result.latency.percentile_us(99.9) for result in results],
    }
    return Measured([error, raw], data, [curve_of(by_rate)])


def above_quickest_us(crossings: Histogram) -> float:
    """How far the slowest hundredth begins above the end of the quickest."""
    return crossings.percentile_us(99) - crossings.percentile_us(1)


def curve_of(by_rate: dict[int, list[Result]]) -> Curve:
    """Where packets of one generator begin to wait for each other."""
    lines = tuple(
        Line(
            f"direct p{percent:g}",
            tuple(float(rate) for rate in by_rate),
            tuple(tuple(each.latency.percentile_us(percent) for each in results) for results in by_rate.values()),
        )
        for percent in PERCENTILES
    )
    return Curve(
        "generator", "The generator alone: latency by rate", "packets/s", "µs from due to arrived", lines, True
    )
