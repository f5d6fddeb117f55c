"""fastrelay beside every peer, as figures: packets per millisecond of CPU, and what was promised.

Lives here: the bars, and what becomes of a comparison in the report. Must not live here: who takes part (catalogue),
how they are driven (compare, ring).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from bench.load.failure import BenchFailure
from bench.load.pairs import ROUNDS_MIN
from bench.load.scenarios import Effort, Step
from bench.load.traffic import Traffic
from bench.peers.catalogue import PEERS, make_peers
from bench.peers.compare import FASTRELAY, compare_down, compare_up
from bench.peers.peer import Peer
from bench.peers.ring import Compared
from bench.report.measured import NS_PER_MS, PER_CPU_MS, Measured, series
from bench.report.model import Bar, Better, Figure, Of, Series

UP_BARS: Final = {"asyncio": 20.0, "go-single-flow": 5.0, "go-batch-flow": 4.0, "nginx": 6.0}
"""At least so many times a peer's packets. Peers without one are reported."""
DOWN_BARS: Final = {"go-single-flow": 2.2, "go-batch-flow": 2.2}
SIZES: Final = (60, 200)
"""Bytes: what Opus packets of speech have."""
UP_TRAFFIC: Final = Traffic(4096, 8, *SIZES)
DOWN_TRAFFIC: Final = Traffic(1024, 1, *SIZES)

Comparing = Callable[[Sequence[Peer], Traffic, int, int, Step], Compared]


@dataclass(frozen=True)
class Scenario:
    """One way of the packets, with all peers in turns."""

    key: str
    what: str
    compare: Comparing
    traffic: Traffic
    bars: dict[str, float]

    def steps(self, effort: Effort) -> int:
        """Samples, if everyone takes part: the peers, fastrelay and the floor."""
        return max(effort.rounds, ROUNDS_MIN) * (len(PEERS) + 2)

    def measure(self, effort: Effort, step: Step) -> Measured:
        """Everyone who can be run here."""
        found = self.compare(make_peers(), self.traffic, effort.rounds, effort.drains, step)
        return measured_of(self.key, self.what, found, self.bars)


def measured_of(key: str, what: str, found: Compared, bars: dict[str, float]) -> Measured:
    """Figures of a comparison. Without fastrelay in it there is nothing to say."""
    if FASTRELAY not in found.samples:
        raise BenchFailure(found.failed.get(FASTRELAY) or found.not_run.get(FASTRELAY) or "fastrelay took no part")
    figure = partial(_figure, key, what, found, bars)
    peers = [name for name in found.samples if name != FASTRELAY]
    return Measured(
        figures=[*(figure(name) for name in peers), *(figure(name) for name in found.failed)],
        versions=found.versions,
        not_run=found.not_run,
    )


def _figure(key: str, what: str, found: Compared, bars: dict[str, float], name: str) -> Figure:
    has_failed = name in found.failed
    return Figure(
        key=f"{key}/{name}",
        what=f"{what}, against {name}",
        unit=PER_CPU_MS,
        better=Better.HIGHER,
        value=None if has_failed else _rate(found, FASTRELAY),
        floor=None if has_failed else _rate(found, name),
        is_paired=True,
        bar=Bar(bars[name], Of.RATIO) if name in bars else None,
        problem=found.failed.get(name, ""),
        is_headline=name in bars,
    )


def _rate(found: Compared, name: str) -> Series:
    return series(name, (NS_PER_MS / each for each in found.samples[name]))


SCENARIOS: Final = {
    "peers-up": Scenario("peers-up", "up, 60–200 bytes", compare_up, UP_TRAFFIC, UP_BARS),
    "peers-down": Scenario("peers-down", "down, 60–200 bytes", compare_down, DOWN_TRAFFIC, DOWN_BARS),
}
