"""Old against new: the same calls on a port per session, on a single port, and on relay + transceiver.

Lives here: set-up by phases, calls that talk, deaths, and how cost grows, as figures. Must not live here: the designs
(servers), how their calls are made (party).

All three run at once on one processor, and only one has anything to do at a time: so they are measured in turns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

from bench.designs.cast import Cast, Samples, against_others, percentiles_against_others
from bench.designs.party import PHASES, Party, Silence, Spell, pss_kib, udp_ports
from bench.designs.servers import PER_SESSION, RELAY_WORKER, SERVER, SINGLE_PORT, TIERS, TRANSCEIVER_WORKER
from bench.report.measured import Measured
from bench.report.model import Account, Better, Curve, Figure, Line
from bench.scenario import Length, Scenario, Step

CALLS: Final = 10
"""What the slowest of the three carries in time."""
CALLS_A_TURN: Final = 5
WARM_UP_CALLS: Final = 3
"""Not counted: the first ones also pay for what all share."""
DYING_CALLS: Final = 5
SETTLE_S: Final = 0.3
SURVIVE_S: Final = 1.0
KIB: Final = 1024


@dataclass(frozen=True)
class Effort:
    """How much is measured in one sitting."""

    turns: int
    """Of CALLS_A_TURN set-ups at each design."""
    rounds: int
    window_s: float
    ping_s: float
    deaths: int
    curve: tuple[int, ...]
    """Numbers of calls."""


EFFORTS: Final[Mapping[Length, Effort]] = {
    Length.SHORT: Effort(turns=1, rounds=1, window_s=0.5, ping_s=1.2, deaths=1, curve=(10, 20)),
    Length.STANDARD: Effort(turns=7, rounds=5, window_s=0.8, ping_s=1.7, deaths=5, curve=(10, 100)),
    Length.FULL: Effort(turns=5, rounds=3, window_s=1.0, ping_s=1.7, deaths=2, curve=(10, 30, 100, 200, 400)),
}
CURVE_ROUNDS: Final = 2
"""In each sitting."""


def setup(length: Length, step: Step) -> Measured:
    """Calls one at a time: from the offer to the first frame heard back, by phases."""
    with Cast() as cast:
        found: dict[str, list[list[float]]] = {name: [] for name in cast.names}
        for party in cast.parties:
            party.set_up(WARM_UP_CALLS)
        for _ in range(EFFORTS[length].turns):
            for party in cast.parties:
                found[party.design.name] += party.set_up(CALLS_A_TURN)
            step()
    figures = []
    for place, phase in enumerate(PHASES):
        what, note = PHASE_WORDS[phase]
        samples = {name: [call[place] for call in calls] for name, calls in found.items()}
        figures += percentiles_against_others(f"designs-setup/{phase}", f"set-up: {what}", "ms", samples, note=note)
    totals = {name: [sum(call) for call in calls] for name, calls in found.items()}
    figures += percentiles_against_others("designs-setup/total", "set-up: all", "ms", totals, note="the four together")
    return Measured(figures, versions=cast.versions, not_run=cast.not_run)


PHASE_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "http": ("HTTP", "from the offer's leaving to the answer"),
    "ice": ("ICE", "from the answer to the first answered check"),
    "dtls": ("DTLS", "from the first answered check to keys at the client"),
    "audio": ("first audio", "from the first frame sent to the first frame heard back"),
}


def calls(length: Length, step: Step) -> Measured:
    """As many calls as all three carry: CPU, memory, frames on time, the way through the server, ports."""
    effort = EFFORTS[length]
    spells: dict[str, list[Spell]] = {}
    memory_mib: dict[str, list[float]] = {}
    with Cast() as cast:
        for party in cast.parties:
            party.arrive(CALLS)
            spells[party.design.name], memory_mib[party.design.name] = [], []
        ports = {party.design.name: _ports(party) for party in cast.parties}
        for _ in range(effort.rounds):
            for party in cast.parties:
                spells[party.design.name].append(talk(party, effort.window_s))
                memory_mib[party.design.name].append(sum(pss_kib(party.design).values()) / KIB)
            step()
        pings = {party.design.name: _ping(party, effort.ping_s) for party in cast.parties}
    figures = [
        *_talk_figures(spells),
        *percentiles_against_others(
            "designs-calls/round-trip",
            "echo round trip",
            "ms",
            {name: trips for name, (_, trips) in pings.items()},
            accounts={name: account for name, (account, _) in pings.items()},
            note=f"{CALLS} calls; ours sends by its own clock, aiortc holds frames back, pion sends at once",
        ),
        *against_others("designs-calls/memory", "memory of all processes", "MiB", memory_mib, note=f"{CALLS} calls"),
        *against_others(
            "designs-calls/ports",
            "UDP ports for clients",
            "ports",
            {name: [exposed] for name, (_, exposed) in ports.items()},
            accounts={name: account for name, (account, _) in ports.items()},
            is_exact=True,
            note=f"{CALLS} calls",
        ),
    ]
    data = {f"{name}: lost calls": [spell.window.lost_calls for spell in each] for name, each in spells.items()}
    return Measured(figures, data, versions=cast.versions, not_run=cast.not_run)


def talk(party: Party, seconds: float) -> Spell:
    """One design's turn."""
    party.talk(is_on=True, settle_s=SETTLE_S)
    spell = party.spell(seconds)
    party.talk(is_on=False)
    return spell


def _talk_figures(spells: Mapping[str, Sequence[Spell]]) -> list[Figure]:
    def each(of: Callable[[Spell], float]) -> Samples:
        return {name: [of(spell) for spell in taken] for name, taken in spells.items()}

    return [
        *against_others(
            "designs-calls/cpu",
            "CPU for a second of a call",
            "ms",
            each(lambda spell: spell.cpu_ms),
            is_paired=True,
            note=f"{CALLS} calls; of ours, {split(spells[TIERS])}",
        ),
        *against_others(
            "designs-calls/on-time",
            "frames on time",
            "%",
            each(lambda spell: 100 * spell.window.punctuality.share),
            better=Better.HIGHER,
            accounts={name: arrived_of(name, taken) for name, taken in spells.items()},
        ),
        *against_others(
            "designs-calls/jitter-p99",
            "jitter, p99 of a window",
            "ms",
            each(lambda spell: spell.window.punctuality.jitter("p99")),
            is_paired=True,
        ),
    ]


def split(spells: Sequence[Spell]) -> str:
    """Where the CPU of relay + transceiver goes, in words."""
    parts = {part: median(spell.cpu_ms_per_call_s[part] for spell in spells) for part in spells[0].cpu_ms_per_call_s}
    return ", ".join(f"{part} {cpu_ms:.2f} ms" for part, cpu_ms in parts.items())


def arrived_of(name: str, spells: Sequence[Spell]) -> Account:
    """What became of the frames of all windows."""
    judged = [spell.window.punctuality for spell in spells]
    expected, arrived = sum(each.expected for each in judged), sum(each.arrived for each in judged)
    on_time = sum(each.on_time for each in judged)
    ended = {"on time": on_time, "late": arrived - on_time, "not heard": expected - arrived}
    return Account(f"frames, {name}", expected, ended)


def _ping(party: Party, seconds: float) -> tuple[Account, list[float]]:
    party.talk(is_on=True, settle_s=SETTLE_S)
    said, lost, trips_ms = party.ping(seconds)
    party.talk(is_on=False)
    account = Account(f"noises said, {party.design.name}", said, {"heard again": len(trips_ms), "lost": lost})
    return account, trips_ms


def _ports(party: Party) -> tuple[Account, int]:
    """Those that clients were told, which must be the kernel's, but for those between its own processes."""
    told, inner, bound = party.ports(), party.design.inner_ports, udp_ports(party.design)
    what = f"UDP ports bound, {party.design.name}"
    return Account(what, len(bound), {"for clients": len(told & bound), "between its tiers": len(inner & bound)}), len(
        told
    )


def restart(length: Length, step: Step) -> Measured:
    """A process is killed while calls talk: for how long they hear nothing."""
    heard: dict[str, list[Silence]] = {"relay": [], "transceiver": [], PER_SESSION: [], SINGLE_PORT: []}
    with Cast(wanted=(PER_SESSION, SINGLE_PORT)) as cast:
        for party in cast.parties:
            party.arrive(DYING_CALLS)
        for _ in range(EFFORTS[length].deaths):
            for party in cast.parties:
                party.talk(is_on=True, settle_s=SETTLE_S)
                heard[party.design.name].append(party.call_again(SERVER))
                party.talk(is_on=False)
            # a new one each time: a worker that dies again and again is held back by its supervisor
            with Cast(wanted=(TIERS,)) as ours:
                (tiers,) = ours.parties
                tiers.arrive(DYING_CALLS)
                tiers.talk(is_on=True, settle_s=SETTLE_S)
                heard["relay"].append(tiers.survive(RELAY_WORKER, SURVIVE_S))
                heard["transceiver"].append(tiers.call_again(TRANSCEIVER_WORKER))
            step()
    figures = []
    for part, note in RESTART_NOTES.items():
        silences = {TIERS: heard[part], **{name: heard[name] for name in cast.names}}
        figures += against_others(
            f"designs-restart/{part}",
            f"{part} killed: silence of a call",
            "ms",
            {name: [median(each.gaps_ms) for each in taken] for name, taken in silences.items()},
            accounts={name: heard_again(name, taken) for name, taken in silences.items()},
            is_paired=True,
            note=note,
            headline=SINGLE_PORT if part == "relay" else "",
        )
    gaps = {
        f"{name}: each call's silence, ms": [gap for each in taken for gap in each.gaps_ms]
        for name, taken in heard.items()
    }
    return Measured(figures, gaps, versions=cast.versions, not_run=cast.not_run)


RESTART_NOTES: Final = {
    "relay": "the relay's worker dies and its calls go on by themselves; at the others every client offers anew",
    "transceiver": "the transceiver's worker dies with its calls, and every client offers anew, as at the others",
}


def heard_again(name: str, silences: Sequence[Silence]) -> Account:
    """What became of the calls."""
    calls, heard = sum(each.calls for each in silences), sum(len(each.gaps_ms) for each in silences)
    return Account(f"calls, {name}", calls, {"heard again": heard, "lost": calls - heard})


def curve(length: Length, step: Step) -> Measured:
    """What a call costs when there are more of them, on the two designs that carry more than a few."""
    levels = EFFORTS[length].curve
    cpu: dict[str, list[list[Spell]]] = {}
    memory: dict[str, list[float]] = {}
    with Cast(wanted=(SINGLE_PORT, TIERS)) as cast:
        for level in levels:
            rounds: dict[str, list[Spell]] = {name: [] for name in cast.names}
            for party in cast.parties:
                party.arrive(level - party.calls)
            for _ in range(CURVE_ROUNDS):
                for party in cast.parties:
                    rounds[party.design.name].append(talk(party, EFFORTS[length].window_s))
            for party in cast.parties:
                cpu.setdefault(party.design.name, []).append(rounds[party.design.name])
                memory.setdefault(party.design.name, []).append(sum(pss_kib(party.design).values()))
            step()
    figures = [
        figure
        for place, level in enumerate(levels)
        for figure in against_others(
            f"designs-curve/cpu-{level}",
            f"{level} calls: CPU for a second of a call",
            "ms",
            {name: [spell.cpu_ms for spell in taken[place]] for name, taken in cpu.items()},
            accounts={name: arrived_of(name, taken[place]) for name, taken in cpu.items()},
            is_paired=True,
            note=f"of ours, {split(cpu[TIERS][place])}",
        )
    ]
    figures += against_others(
        "designs-curve/memory",
        "memory of one more call that talks",
        "KiB",
        {name: growth(levels, each) for name, each in memory.items()},
        note=f"from each number to the next, {levels[0]} to {levels[-1]} calls",
    )
    return Measured(figures, curves=[cpu_curve(levels, cpu)], versions=cast.versions, not_run=cast.not_run)


def growth(levels: Sequence[int], values: Sequence[float]) -> list[float]:
    """From each number of calls to the next: what one more has added."""
    steps = zip(pairwise(levels), pairwise(values), strict=True)
    return [(after - before) / (more - fewer) for (fewer, more), (before, after) in steps]


def cpu_curve(levels: Sequence[int], cpu: Mapping[str, Sequence[Sequence[Spell]]]) -> Curve:
    """All processes of each design; and of ours, each part."""
    x = tuple(float(level) for level in levels)
    lines = [
        Line(name, x, tuple(tuple(spell.cpu_ms for spell in taken) for taken in each)) for name, each in cpu.items()
    ]
    for part in cpu[TIERS][0][0].cpu_ms_per_call_s:
        y = tuple(tuple(spell.cpu_ms_per_call_s[part] for spell in taken) for taken in cpu[TIERS])
        lines.append(Line(f"{TIERS}: {part}", x, y))
    return Curve(
        key="designs-curve/cpu",
        title="CPU for a second of a call, by calls",
        x_label="calls",
        y_label="ms of CPU",
        lines=tuple(lines),
        is_log_x=True,
    )


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "designs-setup": Scenario("set-up on three designs", lambda length: EFFORTS[length].turns, setup, sits_again=True),
    "designs-calls": Scenario("calls on three designs", lambda length: EFFORTS[length].rounds, calls, sits_again=True),
    "designs-restart": Scenario(
        "deaths on three designs", lambda length: EFFORTS[length].deaths, restart, sits_again=True
    ),
    "designs-curve": Scenario(
        "calls by number on two designs",
        lambda length: len(EFFORTS[length].curve),
        curve,
        is_only_full=True,
        sits_again=True,
    ),
}
