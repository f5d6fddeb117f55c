"""The generator measures itself before it measures others: how near it comes to sendmmsg, and how sharp its times are.

Lives here: the two proofs and their bars. Must not live here: anything about a relay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench.load.callers.before import Direct, crowd_before
from bench.load.callers.crowd import Crowd
from bench.load.callers.result import LATE_P99_US, Result, add_accounts, first_problem
from bench.load.callers.shape import UP, Shape, Talk
from bench.report.measured import Measured, series
from bench.report.model import Bar, Better, Figure, Of

CROWD: Final = Shape(calls=10_000)
RATE_BAR: Final = 0.85
"""Of a bare sendmmsg loop, with all calls on their schedules."""
ERROR_BAR_US: Final = 5.0
OVERLOAD: Final = 3.0
"""Times the bare loop's rate: what is offered to see how much the generator can send."""
SHARP_PER_S: Final = 20_000
"""The rate at which its times are looked at."""

Step = Callable[[], None]


@dataclass(frozen=True)
class ProofEffort:
    """How long it is measured."""

    rounds: int
    packets: int
    talk_ms: int


FULL = ProofEffort(rounds=9, packets=400_000, talk_ms=1000)
SHORT = ProofEffort(rounds=5, packets=50_000, talk_ms=200)


def prove_generator(effort: ProofEffort, step: Step, shape: Shape = CROWD) -> Measured:
    """Rate beside the bare loop in turns, then times in a direct run."""
    with crowd_before(Direct(), shape) as crowd:
        rate = prove_rate(crowd, effort, step)
        sharpness = prove_sharpness(crowd, effort, step)
    return Measured([*rate.figures, *sharpness.figures], {**rate.data, **sharpness.data})


def prove_rate(crowd: Crowd, effort: ProofEffort, step: Step) -> Measured:
    """All calls on their schedules, offered more than can be sent, then just what the bar asks for; the receiver's
    kernel drops everything, for the bare loop as well."""
    bare, most, late_us, kept = [], [], [], []
    crowd.drop(is_dropping=True)
    crowd.bare(effort.packets)
    for _ in range(effort.rounds):
        bare.append(crowd.bare(effort.packets))
        most.append(crowd.talk(Talk.by(crowd.shape.calls, OVERLOAD * bare[-1], effort.talk_ms, UP)).rate)
        kept.append(crowd.talk(Talk.by(crowd.shape.calls, RATE_BAR * bare[-1], effort.talk_ms, UP)))
        late_us.append(kept[-1].up.late.percentile_us(99))
        step()
    crowd.drop(is_dropping=False)
    what = f"generator with {crowd.shape.calls:,} calls on their schedules"
    floor = series("bare sendmmsg loop", bare)
    accounts = tuple(account for account in add_accounts(kept) if account.what == "packets due")
    return Measured(
        [
            Figure(
                key="generator-rate",
                what=what,
                unit="packets/s",
                better=Better.HIGHER,
                value=series("generator", most),
                floor=floor,
                is_paired=True,
                bar=Bar(RATE_BAR, Of.RATIO),
                accounts=accounts,
            ),
            Figure(
                key="generator-late-p99",
                what=f"{what}, at {RATE_BAR} of the bare loop: behind at p99",
                unit="µs",
                value=series("generator", late_us),
                bar=Bar(LATE_P99_US),
                accounts=accounts,
                note=unsent_note(kept),
            ),
        ],
        {"kept_pps": [result.rate for result in kept]},
    )


def unsent_note(results: list[Result]) -> str:
    """How many packets a generator that gave up has left out."""
    unsent = sum(result.up.due - result.up.sent for result in results)
    return f"{unsent:,} packets never left" if unsent else "every packet left"


def prove_sharpness(crowd: Crowd, effort: ProofEffort, step: Step) -> Measured:
    """Nothing stands between the ends: what is measured from due to arrived is one crossing of the loopback device and
    every error of the generator. So the error is not above it."""
    talk = Talk.at(SHARP_PER_S, effort.talk_ms, crowd.shape.calls, UP)
    crowd.talk(talk)
    results = []
    for _ in range(effort.rounds):
        results.append(crowd.talk(talk))
        step()
    return Measured(
        [
            Figure(
                key="generator-error-p99",
                what=f"latency in a direct run at {SHARP_PER_S / 1000:.0f} kpps, p99: its own error is below",
                unit="µs",
                value=series("direct", (result.up.latency.percentile_us(99) for result in results)),
                bar=Bar(ERROR_BAR_US),
                accounts=add_accounts(results),
                problem=first_problem(results),
            )
        ],
        {
            "direct_p50_us": [result.up.latency.percentile_us(50) for result in results],
            "direct_p999_us": [result.up.latency.percentile_us(99.9) for result in results],
        },
    )
