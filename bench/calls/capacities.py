"""How many calls one core carries: aiortc, ours passing Opus through, ours with PCM for the agent.

Lives here: who takes part, where each search begins, the figures. Must not live here: the search for a number of calls
(capacity), the processes (servers).

How many calls a server carries differs from process to process: each sitting has one search of each, in new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from bench.calls.capacity import Capacity, Search, Thoroughness
from bench.calls.ensemble import Ensemble
from bench.calls.servers import Aiortc, Server, Transceiver
from bench.load.failure import BenchFailure
from bench.report.measured import Measured, series
from bench.report.model import Bar, Better, Figure, Of
from bench.scenario import Step

ECHO: Final = "echo"
PCM: Final = "bench.calls.agents:pcm_echo"
FLOOR: Final = "aiortc"
FLOOR_FIRST: Final = 10
SERVERS: Final[Mapping[str, Callable[[], Server]]] = {
    FLOOR: Aiortc,
    "echo": partial(Transceiver, ECHO),
    "pcm": partial(Transceiver, PCM),
}
LIMITS: Final = {FLOOR: 200, "echo": 3000, "pcm": 3000}
RATIOS: Final = {"echo": 40, "pcm": 5}
"""Times aiortc's calls: the bars, and where the search begins."""
WHAT: Final = {
    "echo": "echo calls on one core, Opus passed through",
    "pcm": "echo calls on one core, PCM for the agent",
}
Carry = Callable[[str, int], Capacity]
"""The search at a server that is started for it: its name, the number of calls to begin with."""


def measure_capacities(thoroughness: Thoroughness, step: Step) -> Measured:
    """One search each, one after the other."""
    found = search_all(partial(carry, thoroughness, step))
    tried = {f"{name} calls": [calls for calls, _, _ in each.tried] for name, each in found.items()}
    return Measured([figure_of(name, found[name], found[FLOOR]) for name in RATIOS], tried)


def carry(thoroughness: Thoroughness, step: Step, name: str, first: int) -> Capacity:
    """Starts the server, and finds what it carries."""
    with SERVERS[name]() as server, Ensemble(server) as ensemble:
        return Search(ensemble, thoroughness, step).run(first, LIMITS[name])


def search_all(search: Carry) -> dict[str, Capacity]:
    """aiortc from a few calls on, ours from as many as the bar asks for."""
    floor = search(FLOOR, FLOOR_FIRST)
    if not floor.calls:
        raise BenchFailure("aiortc carries no call in time here: there is nothing to compare with")
    return {FLOOR: floor} | {name: search(name, ratio * floor.calls) for name, ratio in RATIOS.items()}


def figure_of(name: str, ours: Capacity, floor: Capacity) -> Figure:
    """Ours beside aiortc."""
    bound = "the callers themselves could not play more" if ours.is_bounded_by_callers else ""
    return Figure(
        key=f"capacity/{name}",
        what=WHAT[name],
        unit="calls",
        better=Better.HIGHER,
        value=series("fastrelay", [ours.calls]),
        floor=series(FLOOR, [floor.calls]),
        is_paired=True,
        bar=Bar(RATIOS[name], Of.RATIO),
        note="; ".join(filter(None, (windows_of(ours, floor), bound))),
        is_headline=True,
    )


def windows_of(ours: Capacity, floor: Capacity) -> str:
    """What the windows showed that were the fullest in time."""
    if ours.window is None or floor.window is None:
        return ""
    window, theirs = ours.window, floor.window
    return (
        f"at {ours.calls} calls {window.punctuality.share:.3%} of frames on time, {window.busy:.0%} of the core, "
        f"jitter p99 {window.punctuality.jitter('p99'):.1f} ms; aiortc at {floor.calls} calls "
        f"{theirs.punctuality.share:.3%}, {theirs.busy:.0%}, {theirs.punctuality.jitter('p99'):.1f} ms"
    )
