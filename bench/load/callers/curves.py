"""How cost grows with the work: flows, packet sizes, transceivers, workers, new flows a second, memory.

Lives here: one function for each curve; each takes candidates and the floor in turns at the same load. Must not live
here: any single candidate (before), latency (hop).

Cost is CPU time of the candidate's processes for each packet it was sent, at a rate all of them carry. Batches are as
small as that rate makes them; what a full queue costs is the drain test's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bench.load import cpu
from bench.load.callers.before import Before, Direct, crowd_before, write_tokens
from bench.load.callers.crowd import Crowd
from bench.load.callers.result import Result, add_accounts
from bench.load.callers.saturation import TRIALS_MAX, Saturation, Trial, find_saturation
from bench.load.callers.shape import UP, Shape, Talk, Target
from bench.load.failure import BenchFailure
from bench.report.measured import Measured, series
from bench.report.model import Better, Curve, Figure, Line

FLOWS: Final = (100, 1_000, 10_000, 100_000, 1_000_000)
SIZES: Final = (60, 120, 240, 480, 960)
TRANSCEIVERS: Final = (1, 4, 16, 64, 256)
CALLS: Final = 4_096
STORM_LOWEST_PER_S: Final = 1_000
STORM_HIGHEST_PER_S: Final = 200_000
STORM_S: Final = 0.2
"""How long one storm lasts."""
STORM_CALLS: Final = round(STORM_HIGHEST_PER_S * STORM_S)

Step = Callable[[], None]
Make = Callable[[], Before]


@dataclass(frozen=True)
class CurveEffort:
    """How long it is measured."""

    rounds: int
    talk_ms: int
    rate: int
    """Packets a second up, the same for all."""


FULL = CurveEffort(rounds=5, talk_ms=1000, rate=50_000)
SHORT = CurveEffort(rounds=2, talk_ms=100, rate=10_000)


@dataclass(frozen=True)
class Names:
    """What a curve is called."""

    key: str
    title: str
    x_label: str


@dataclass(frozen=True)
class Point:
    """At one place of a curve: CPU nanoseconds per packet, round by round, of candidate and floor."""

    x: float
    cost_ns: tuple[float, ...]
    floor_ns: tuple[float, ...]
    results: tuple[Result, ...]
    bytes_per_flow: float


def flows_curve(make: Make, floor: Make, effort: CurveEffort, step: Step, flows: Sequence[int] = FLOWS) -> Measured:
    """The same packets of ever more calls, each of which talks the less; and what one more flow takes of memory."""
    points = [point(count, make, floor, Shape(count), effort, step) for count in flows]
    measured = cost_curve(Names("flows", "cost by number of flows", "flows"), points, make().name, floor().name)
    last = points[-1]
    memory = Figure(
        key="flows-memory",
        what=f"memory a flow adds, of {last.x:,.0f}",
        unit="bytes",
        value=series(make().name, [last.bytes_per_flow]),
        is_exact=True,
        note="resident pages of its processes, after opening the flows less before",
    )
    return replace(measured, figures=[*measured.figures, memory])


def sizes_curve(make: Make, floor: Make, effort: CurveEffort, step: Step, sizes: Sequence[int] = SIZES) -> Measured:
    """Packets of one size each time."""
    points = [point(size, make, floor, Shape(CALLS, size_from=size, size_to=size), effort, step) for size in sizes]
    return cost_curve(Names("sizes", "cost by packet size", "bytes of a packet"), points, make().name, floor().name)


def transceivers_curve(
    make: Make, floor: Make, effort: CurveEffort, step: Step, counts: Sequence[int] = TRANSCEIVERS
) -> Measured:
    """The same calls to ever more transceivers: fewer packets have the same way."""
    points = [point(count, make, floor, Shape(CALLS, transceivers=count), effort, step) for count in counts]
    names = Names("transceivers", "cost by number of transceivers", "transceivers")
    return cost_curve(names, points, make().name, floor().name)


def workers_curve(
    make: Callable[[int], Before], floor: Make, effort: CurveEffort, step: Step, counts: Sequence[int]
) -> Measured:
    """The same calls shared by ever more workers: what sharing costs each packet."""

    def made(count: int) -> Make:
        return lambda: make(count)

    points = [point(count, made(count), floor, Shape(CALLS), effort, step) for count in counts]
    names = Names("workers", "cost by number of workers", "workers")
    return cost_curve(names, points, make(counts[0]).name, floor().name)


def storm_of(before: Before, calls: int) -> Saturation:
    """The highest rate of first checks with valid tokens, each of a client nobody has seen, that are all answered."""
    # one address for each call of each trial: what is known already is no new flow
    shape = Shape(calls, flows=calls * (TRIALS_MAX + 3))
    with crowd_before(before, shape) as crowd:

        def attempt(rate: float) -> Trial:
            crowd.renew()
            done = crowd.open(0, min(calls, max(1, round(rate * STORM_S))), round(rate))
            unanswered = 1 - done.answers / done.openings
            is_late = done.is_behind or bool(done.own_drops)
            return Trial(rate, unanswered, done.opening.percentile_us(50), is_late)

        return find_saturation(attempt, STORM_LOWEST_PER_S, calls / STORM_S)


def storm(make: Make, effort: CurveEffort, step: Step, calls: int = STORM_CALLS) -> Measured:
    """Token storms, beside transceivers that answer without a relay: there the generator is all there is."""
    rates: list[float] = []
    floors: list[float] = []
    bound = 0
    for _ in range(effort.rounds):
        found, direct = storm_of(make(), calls), storm_of(Direct(write_tokens), calls)
        rates.append(found.rate)
        floors.append(direct.rate)
        bound += found.is_generator_bound
        step()
    return Measured(
        [
            Figure(
                key="storm-rate",
                what=f"{make().name}: new flows a second, each by a first check with a token, all answered",
                unit="flows/s",
                better=Better.HIGHER,
                value=series(make().name, rates),
                floor=series("direct", floors),
                is_paired=True,
                problem="" if all(rates) and all(floors) else f"not even {STORM_LOWEST_PER_S} a second were answered",
                note=f"in {bound} of {effort.rounds} rounds the generator was the limit" if bound else "",
            )
        ]
    )


def point(x: float, make: Make, floor: Make, shape: Shape, effort: CurveEffort, step: Step) -> Point:
    """Candidate and floor in turns, on ports of their own."""
    beside = replace(shape, client_port=shape.client_port + 2, transceiver_port=shape.transceiver_port + 2)
    candidates = (make(), floor())
    with ExitStack() as stack:
        crowds, grown = [], []
        for before, given in zip(candidates, (shape, beside), strict=True):
            growth = Growth(before)
            crowds.append(stack.enter_context(crowd_before(growth, given)))
            grown.append((resident_bytes(before.pids()) - growth.at_start) / shape.calls)
        for crowd in crowds:
            crowd.warm()
        costs: tuple[list[float], list[float]] = ([], [])
        results = []
        for _ in range(effort.rounds):
            for index, (before, crowd) in enumerate(zip(candidates, crowds, strict=True)):
                cost, done = cost_of(before, crowd, effort)
                costs[index].append(cost)
                results.append(done)
            step()
    return Point(x, tuple(costs[0]), tuple(costs[1]), tuple(results), grown[0])


class Growth:
    """A candidate whose memory is looked at when it has started and nothing is open."""

    def __init__(self, before: Before) -> None:
        self.name = before.name
        self.at_start = 0
        self._before = before

    def open(self, shape: Shape) -> Target:
        """Starts it and looks."""
        target = self._before.open(shape)
        self.at_start = resident_bytes(self.pids())
        return target

    def pids(self) -> list[int]:
        """Its processes."""
        return self._before.pids()

    def close(self) -> None:
        """Ends it."""
        self._before.close()


def cost_of(before: Before, crowd: Crowd, effort: CurveEffort) -> tuple[float, Result]:
    """CPU nanoseconds per packet over one stretch of media, all calls taking part."""
    earlier = sum(cpu.cpu_ns(pid) for pid in before.pids())
    done = crowd.talk(Talk.by(crowd.shape.calls, effort.rate, effort.talk_ms, UP))
    spent = sum(cpu.cpu_ns(pid) for pid in before.pids()) - earlier
    if not done.sent:
        raise BenchFailure(f"{before.name}: nothing was sent")
    return spent / done.sent, done


def cost_curve(names: Names, points: Sequence[Point], candidate: str, floor: str) -> Measured:
    """The curve, and a figure for each point: loss would make its cost a lie, so its accounts are there."""
    xs = tuple(each.x for each in points)
    lines = (
        Line(candidate, xs, tuple(each.cost_ns for each in points)),
        Line(floor, xs, tuple(each.floor_ns for each in points)),
    )
    figures = [
        Figure(
            key=f"{names.key}-{each.x:g}",
            what=f"{names.title}: {each.x:,.0f} {names.x_label}",
            unit="ns",
            value=series(candidate, each.cost_ns),
            floor=series(floor, each.floor_ns),
            is_paired=True,
            accounts=add_accounts(each.results),
            problem=problem_of(each.results),
        )
        for each in points
    ]
    curve = Curve(names.key, names.title, names.x_label, "CPU ns per packet", lines, is_log_x=True)
    return Measured(figures, curves=[curve])


def problem_of(results: Sequence[Result]) -> str:
    """Cost does not ask for sharp times, but that every packet has been there."""
    for each in results:
        if each.is_behind:
            return "the generator could not send at this rate"
        if each.missing:
            return f"{each.missing:,} of {each.sent:,} packets were lost"
    return ""


def resident_bytes(pids: Sequence[int]) -> int:
    """Memory that these processes have in use, what they share counted in parts (Pss)."""
    kib = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                kib += int(line.split()[1])
    return kib * 1024
