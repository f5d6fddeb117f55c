"""fastrelay beside every peer, as figures: packets per millisecond of CPU, and what was promised.

Fair means: one processor and the same one for each in its turn, the same packets in a queue of the same length and a
receive buffer that holds all of it, paths open beforehand, and the CPU time of all threads of all processes, Go's
collector included. What cannot be had alike is said in the note of the peer.

Lives here: the bars, the lengths, and what becomes of a comparison in the report. Must not live here: who takes part
(catalogue), how they are driven (compare, ring).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from bench.load.pairs import ROUNDS_MIN
from bench.load.traffic import Traffic
from bench.peers.catalogue import GROUPS, PEERS, make_peers
from bench.peers.compare import FASTRELAY, Plan, compare_down, compare_up, fitting
from bench.peers.peer import NotRun
from bench.peers.reference import measure_reference
from bench.peers.ring import Compared
from bench.report.measured import NANOSECONDS, NS_PER_MS, PER_CPU_MS, Measured, accounts_of, series
from bench.report.model import Account, Bar, Better, Figure, Of, Series
from bench.scenario import Length, Scenario, Step

UP_BARS: Final = {
    "asyncio": 20.0,
    "go-single-flow": 5.0,
    "go-single-shared": 5.0,
    "go-batch-flow": 4.0,
    "go-batch-shared": 4.0,
    "nginx": 6.0,
    "nginx-js": 6.0,
}
"""At least so many times a peer's packets; the same for the dearer and the cheaper variant of one. The others are
reported."""
DOWN_BARS: Final = {"go-single-flow": 2.2, "go-batch-flow": 2.2}
FLOORS: Final = {
    "floor_forward": "a plain C loop that forwards: recvmmsg and sendmmsg, one table, one shared upstream socket",
    "floor_send": "a plain C loop that only sends: sendmmsg",
}
HEADLINE: Final = "go-single-flow"
TRAFFIC: Final = {"up": Traffic(4096, 8, 60, 200), "down": Traffic(4096, 1, 60, 200)}
"""The same calls both ways, of sizes that Opus packets of speech have; down each relay has one transceiver alone."""
KERNEL: Final = "peers-kernel"
LEFT_OUT: Final = "only in make bench-full"

Comparing = Callable[[Plan, Step], Compared]


@dataclass(frozen=True)
class Effort:
    """How often everyone is drained in one sitting, and who takes part."""

    rounds: int
    drains: int
    groups: Sequence[Sequence[str]]

    def steps(self, way: str) -> int:
        """Samples, if everyone takes part: the peers, fastrelay in each group, and the floor in the first."""
        names = [name for group in self.groups for name in group if way == "up" or PEERS[name]().is_both_ways]
        return max(self.rounds, ROUNDS_MIN) * (len(names) + len(self.groups) + 1)


MAIN_GROUPS: Final = GROUPS[:3]
EFFORTS: Final[Mapping[Length, Effort]] = {
    Length.SHORT: Effort(rounds=5, drains=1, groups=MAIN_GROUPS),
    Length.STANDARD: Effort(rounds=9, drains=5, groups=MAIN_GROUPS),
    Length.FULL: Effort(rounds=5, drains=4, groups=GROUPS),
}


def measure_way(way: str, length: Length, step: Step) -> Measured:
    """One way of the packets, group by group; a group's figures are to the fastrelay that took turns with it."""
    compare, bars = {"up": (compare_up, UP_BARS), "down": (compare_down, DOWN_BARS)}[way]
    effort = EFFORTS[length]
    done = []
    for number, group in enumerate(effort.groups):
        peers = make_peers(group)
        traffic = fitting(TRAFFIC[way], peers)
        plan = Plan(peers, traffic, effort.rounds, effort.drains, is_beside_floor=number == 0)
        done.append(measured_of(f"peers-{way}", describe(way, traffic), compare(plan, step), bars))
    taking_part = {name for group in effort.groups for name in group}
    left_out = {name: LEFT_OUT for group in GROUPS for name in group if name not in taking_part}
    return Measured(
        figures=[figure for each in done for figure in each.figures],
        versions={name: version for each in done for name, version in each.versions.items()},
        not_run=left_out | {name: reason for each in done for name, reason in each.not_run.items()},
    )


def describe(way: str, traffic: Traffic) -> str:
    """A way of the packets in words."""
    ends = f"{traffic.transceivers} transceivers" if traffic.transceivers > 1 else "one transceiver"
    return f"{way}, {traffic.size_from}–{traffic.size_to} bytes, {traffic.clients:,} flows, {ends}"


def measured_of(key: str, what: str, found: Compared, bars: Mapping[str, float]) -> Measured:
    """The figures of one group. Where fastrelay itself fell out, each of the others has nothing to stand beside."""
    figure = partial(_figure, key, what, found, bars)
    others = [name for name in (*found.samples, *found.failed) if name != FASTRELAY]
    return Measured(
        figures=[figure(name) for name in others or [FASTRELAY]] if found.samples or found.failed else [],
        versions=found.versions,
        not_run=found.not_run,
    )


def _figure(key: str, what: str, found: Compared, bars: Mapping[str, float], name: str) -> Figure:
    problem = found.failed.get(name) or found.failed.get(FASTRELAY, "")
    return Figure(
        key=f"{key}/{name}",
        what=f"{what}, against {words(name, found.versions)}",
        unit=PER_CPU_MS,
        better=Better.HIGHER,
        value=None if problem else _rate(found, FASTRELAY),
        floor=None if problem else _rate(found, name),
        is_paired=True,
        bar=Bar(bars[name], Of.RATIO) if name in bars else None,
        accounts=() if problem else accounts_of(found.turns(), FASTRELAY, name),
        problem=problem,
        note=PEERS[name]().note if name in PEERS else "",
        is_headline=name == HEADLINE,
    )


def words(name: str, versions: Mapping[str, str]) -> str:
    """What a candidate is, with its version."""
    if name not in PEERS:
        return FLOORS.get(name, name)
    version = versions.get(name)
    return PEERS[name]().what + (f" ({version})" if version else "")


def _rate(found: Compared, name: str) -> Series:
    return series(name, (NS_PER_MS / each for each in found.samples[name]))


def measure_kernel(length: Length, step: Step) -> Measured:
    """What the kernel's own translation adds to a packet, by its sender's CPU: nothing else runs."""
    what = "CPU of a sender whose packets the kernel translates (nft DNAT in a namespace), against no relay at all"
    try:
        found = measure_reference(EFFORTS[length].rounds, step)
    except NotRun as missing:
        return Measured([], not_run={"nft-dnat": str(missing)})
    return Measured(
        [
            Figure(
                key=f"{KERNEL}/nft-dnat",
                what=what,
                unit=NANOSECONDS,
                value=series("translated", found.translated_ns),
                floor=series("direct", found.direct_ns),
                is_paired=True,
                accounts=(Account("packets of the sender", found.sent, {"arrived": found.arrived}),),
                note="A lower bound: what the kernel does in a thread of its own is not the sender's.",
            )
        ],
        versions={"nft-dnat": found.version},
    )


def _way(way: str, what: str) -> Scenario:
    return Scenario(what, lambda length: EFFORTS[length].steps(way), partial(measure_way, way), sits_again=True)


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "peers-up": _way("up", "up, beside other relays"),
    "peers-down": _way("down", "down, beside other relays"),
    KERNEL: Scenario(
        "the kernel's own translation", lambda length: EFFORTS[length].rounds, measure_kernel, sits_again=True
    ),
}
