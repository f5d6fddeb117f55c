"""Hop latency of fastrelay and every relay in user space, in turns, at half of each one's highest rate and at one.

Lives here: who takes part, the turns, the bars. Must not live here: how a relay is started (before, bench.peers).

Each has calls and a generator of its own, all of which stay until the end; only one talks at a time. Those that carry
packets up alone (no way back, or one client's address for all calls) are compared with fastrelay doing the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Final

from bench.load.callers.before import Before, Fastrelay, PeerBefore, crowd_before
from bench.load.callers.crowd import Crowd
from bench.load.callers.hop import HopEffort, percentiles, saturation_figure, saturation_of, windows_note
from bench.load.callers.result import Result, add_accounts, first_problem
from bench.load.callers.saturation import Saturation
from bench.load.callers.shape import BOTH, UP, Shape, Talk
from bench.load.callers.sound import Sound
from bench.load.failure import BenchFailure
from bench.peers.catalogue import make_peers
from bench.peers.peer import NotRun, Peer
from bench.report.measured import Measured
from bench.report.model import Account, Bar, Figure, Of
from bench.scenario import Length, Step

CROWD: Final = Shape(calls=2_000)
"""What every relay here has sockets for."""
SHARE: Final = 0.5
PERCENT: Final = 99.0
OPEN_PER_S: Final = 4_000
WARM_PER_S: Final = 4_000
BAR: Final = 1.0
"""No worse than any: at most so many times a peer's."""
WAYS: Final = {BOTH: "both ways", UP: "up"}

EFFORTS: Final = {
    Length.SHORT: HopEffort(rounds=2, talk_ms=100, trial_ms=50),
    Length.STANDARD: HopEffort(rounds=15, talk_ms=100, trial_ms=150),
    # Windows as hop.py has them. A trial that is short beside the 20 ms that packets may wait flatters whoever queues.
    Length.FULL: HopEffort(rounds=21, talk_ms=100, trial_ms=400),
}


@dataclass
class Runner:
    """One relay with its calls, on one or both ways, and what was found of it."""

    name: str
    crowd: Crowd
    ways: int
    saturation: Saturation
    windows: dict[str, list[Result]] = field(default_factory=dict)


@dataclass
class Race:
    """Who takes part, and who does not."""

    runners: list[Runner] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    sound: Sound = field(default_factory=Sound)

    def join(self, stack: ExitStack, before: Before, shape: Shape, effort: HopEffort) -> None:
        """Starts it, opens its calls and finds its highest rate; on the way up alone as well, where it is our own."""
        with ExitStack() as attempt:
            crowd = attempt.enter_context(crowd_before(before, shape, OPEN_PER_S))
            crowd.warm(WARM_PER_S)
            both = crowd.target.ways
            for ways in (BOTH, UP) if isinstance(before, Fastrelay) else (both,):
                found = saturation_of(crowd, effort.trial_ms, ways)
                if not found.rate:
                    raise BenchFailure(f"{before.name} carried nothing")
                self.runners.append(Runner(before.name, crowd, ways, found))
            stack.enter_context(attempt.pop_all())

    def run(self, name: str, rate_of: dict[int, float] | None, effort: HopEffort, step: Step) -> None:
        """Windows in turns at half of each one's highest rate, or at one rate for all that go the same way."""
        for _ in range(effort.rounds):
            for runner in self.runners:
                rate = SHARE * runner.saturation.rate if rate_of is None else rate_of[runner.ways]
                talk = Talk.at(rate, effort.talk_ms, runner.crowd.shape.calls, runner.ways)
                runner.windows.setdefault(name, []).append(self.sound.talk(runner.crowd, talk))
                step()

    def of_way(self, ways: int) -> list[Runner]:
        """All that go the same way."""
        return [runner for runner in self.runners if runner.ways == ways]


def rivals() -> list[Peer]:
    """Every peer that is a program."""
    return [peer for peer in make_peers() if peer.has_process]


def shape_of(number: int) -> Shape:
    """Calls of their own, on ports of their own."""
    return replace(CROWD, client_port=CROWD.client_port + number, transceiver_port=CROWD.transceiver_port + number)


def steps(effort: HopEffort) -> int:
    """Starting each, and its windows, if everyone takes part; fastrelay runs twice."""
    return len(rivals()) + 1 + 2 * effort.rounds * (len(rivals()) + 2)


def measure_beside_peers(effort: HopEffort, step: Step, peers: Sequence[Peer] | None = None) -> Measured:
    """Everyone who can be run here."""
    race = Race()
    with ExitStack() as stack:
        race.join(stack, Fastrelay(), CROWD, effort)
        step()
        for number, peer in enumerate(rivals() if peers is None else peers, 1):
            try:
                race.versions[peer.name] = peer.prepare()
                race.join(stack, PeerBefore(peer), shape_of(number), effort)
            except NotRun as missing:
                race.not_run[peer.name] = str(missing)
            except BenchFailure as failure:
                race.failed[peer.name] = str(failure)
            step()
        race.run("own", None, effort, step)
        slowest = {ways: SHARE * min(runner.saturation.rate for runner in race.of_way(ways)) for ways in WAYS}
        race.run("same", slowest, effort, step)
    return Measured(
        [
            *saturations(race),
            *compared(race, effort, "own", None),
            *compared(race, effort, "same", slowest),
            *failures(race),
        ],
        versions=race.versions,
        not_run=race.not_run,
    )


def saturations(race: Race) -> list[Figure]:
    """The highest rate of each."""
    return [
        saturation_figure(
            f"hop-peers/saturation-{each.name}{'' if each.ways == BOTH else '-up'}",
            f"{each.name} ({WAYS[each.ways]})",
            each.saturation,
            CROWD.calls,
        )
        for each in race.runners
    ]


def compared(race: Race, effort: HopEffort, name: str, rate_of: dict[int, float] | None) -> list[Figure]:
    """fastrelay beside each of the others: p99 of the same rounds."""
    figures = []
    for ways in WAYS:
        ours, *others = race.of_way(ways)
        for other in others:
            mine, its = ours.windows[name], other.windows[name]
            load = (
                f"{SHARE * ours.saturation.rate / 1000:.0f} and {SHARE * other.saturation.rate / 1000:.0f} kpps"
                if rate_of is None
                else f"both {rate_of[ways] / 1000:.0f} kpps"
            )
            figures.append(
                Figure(
                    key=f"hop-peers/{name}-{other.name}",
                    what=f"hop p99 {WAYS[ways]} beside {other.name}, {load}",
                    unit="µs",
                    value=percentiles(ours.name, mine, PERCENT),
                    floor=percentiles(other.name, its, PERCENT),
                    is_paired=True,
                    bar=Bar(BAR, Of.RATIO),
                    accounts=(*add_accounts(mine), *accounts_of_other(other.name, its)),
                    problem=first_problem([*mine, *its]),
                    note=windows_note(effort, race.sound),
                )
            )
    return figures


def accounts_of_other(name: str, windows: Sequence[Result]) -> list[Account]:
    """What the other lost is not in its latency: a reader has to see it."""
    return [replace(each, what=f"{each.what}, {name}") for each in add_accounts(windows)]


def failures(race: Race) -> list[Figure]:
    """Those that could be started, and went wrong."""
    return [
        Figure(key=f"hop-peers/own-{name}", what=f"hop p99 beside {name}", unit="µs", problem=problem)
        for name, problem in race.failed.items()
    ]
