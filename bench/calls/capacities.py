"""How many calls one core carries: aiortc, ours passing Opus through, ours with PCM for the agent, in turns.

Lives here: who takes part, the turns, the figures. Must not live here: the search for a number of calls (capacity), the
processes (servers).

Every turn has new processes: how many calls one carries differs from process to process, and that belongs into the
spread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from bench.calls.capacity import Capacity, Search, Thoroughness
from bench.calls.ensemble import CallersLate, Ensemble
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
"""Times aiortc's calls: the bars, and where the first search begins."""
WHAT: Final = {
    "echo": "echo calls on one core, Opus passed through",
    "pcm": "echo calls on one core, PCM for the agent",
}
AGAIN: Final = Thoroughness(window_s=1.5, step=0.1, halvings=1)
"""Of all turns but the first: they begin at what was found."""
FEWER_TURNS: Final = "not every turn could be taken"

Turn = dict[str, Capacity]
Carry = Callable[[str, int, Thoroughness], Capacity]
"""The search at a server that is started for it: its name, the number of calls to begin with."""


def measure_capacities(thoroughness: Thoroughness, count: int, step: Step) -> Measured:
    """So many turns, or fewer: the figures then say so."""
    turns = take_turns(thoroughness, count, partial(carry, step))
    tried = {f"{name} calls": [calls for turn in turns for calls, _, _ in turn[name].tried] for name in SERVERS}
    return Measured([figure_of(name, turns, count) for name in RATIOS], tried)


def carry(step: Step, name: str, first: int, thoroughness: Thoroughness) -> Capacity:
    """Starts the server, and finds what it carries."""
    with SERVERS[name]() as server, Ensemble(server) as ensemble:
        return Search(ensemble, thoroughness, step).run(first, LIMITS[name])


def take_turns(thoroughness: Thoroughness, count: int, search: Carry) -> list[Turn]:
    """The first, and others from what the one before has found, until one cannot be taken: the callers could not play
    it in time, or aiortc carried nothing and there was nothing to compare with."""
    turns = [first_turn(thoroughness, search)]
    while len(turns) < count and all(found.calls for found in turns[-1].values()):
        try:
            turn = {name: search(name, found.calls, AGAIN) for name, found in turns[-1].items()}
        except CallersLate:
            break
        if not turn[FLOOR].calls:
            break
        turns.append(turn)
    return turns


def first_turn(thoroughness: Thoroughness, search: Carry) -> Turn:
    """aiortc from a few calls on, ours from as many as the bar asks for."""
    floor = search(FLOOR, FLOOR_FIRST, thoroughness)
    if not floor.calls:
        raise BenchFailure("aiortc carries no call in time here: there is nothing to compare with")
    return {FLOOR: floor} | {name: search(name, ratio * floor.calls, thoroughness) for name, ratio in RATIOS.items()}


def figure_of(name: str, turns: Sequence[Turn], wanted: int) -> Figure:
    """Ours beside aiortc, turn by turn."""
    ours, floors = ([turn[each] for turn in turns] for each in (name, FLOOR))
    notes = [_of_first(ours[0], floors[0])]
    if any(each.is_bounded_by_callers for each in ours):
        notes.append("the callers themselves could not play more")
    if len(turns) < wanted:
        notes.append(FEWER_TURNS)
    return Figure(
        key=f"capacity/{name}",
        what=WHAT[name],
        unit="calls",
        better=Better.HIGHER,
        value=series("fastrelay", (each.calls for each in ours)),
        floor=series(FLOOR, (each.calls for each in floors)),
        is_paired=True,
        bar=Bar(RATIOS[name], Of.RATIO),
        note="; ".join(filter(None, notes)),
        is_headline=True,
    )


def _of_first(ours: Capacity, floor: Capacity) -> str:
    if ours.window is None or floor.window is None:
        return ""
    window, theirs = ours.window, floor.window
    return (
        f"in the first turn at {ours.calls} calls {window.punctuality.share:.3%} of frames on time, {window.busy:.0%} "
        f"of the core, jitter p99 {window.punctuality.jitter('p99'):.1f} ms; aiortc at {floor.calls} calls "
        f"{theirs.punctuality.share:.3%}, {theirs.busy:.0%}, {theirs.punctuality.jitter('p99'):.1f} ms"
    )
