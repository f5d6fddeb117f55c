"""How the cost of a packet grows with flows, packet sizes and transceivers: drained, so that it is capacity.

Lives here: the places of a curve, their candidates, the turns through all of them, what follows. Must not live here:
how a queue is emptied (bench.load.drain), what is measured while calls go on (curves_storm, curves_changes).

A paced load would show idle time: few packets a second make small batches, and those are dear. A full queue has full
batches at every place, as a relay at its limit has.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.load.candidates import Floor
from bench.load.drain import DRAIN_PACKETS, sample
from bench.load.relay_candidate import Relay
from bench.load.scenarios import running, verify
from bench.load.traffic import CLIENT_PORT, FIRST_TRANSCEIVER, TRANSCEIVER_PORT, Sink, Traffic, UpGenerator
from bench.report.measured import NANOSECONDS, Measured, series
from bench.report.model import Account, Curve, Figure, Line
from bench.scenario import Step

RELAY, FORWARDER, RECEIVER = "fastrelay", "C forwarder", "C receiver"
ROLES: Final = (RELAY, FORWARDER, RECEIVER)
CAPACITY_MIN: Final = 1024
"""Flows that the smallest table has room for; the others have the next power of two."""
PACKETS_PER_S: Final = 50
"""Of a call of 20 ms packets, one way."""


@dataclass(frozen=True)
class DrainEffort:
    """How long it is measured in one sitting: so many drains of so many packets make one sample."""

    rounds: int
    drains: int
    packets: int = DRAIN_PACKETS


@dataclass(frozen=True)
class Names:
    """What a curve is called. `what` says what grows, `x_label` what it is counted in."""

    key: str
    what: str
    x_label: str
    is_log_x: bool = True


@dataclass
class Place:
    """One place of a curve, and what its candidates have shown, round by round."""

    x: int
    traffic: Traffic
    candidates: dict[str, Relay | Floor] = field(default_factory=dict)
    samples: dict[str, list[float]] = field(default_factory=lambda: {role: [] for role in ROLES})
    accounts: list[Account] = field(default_factory=list)
    resident: dict[str, int] = field(default_factory=dict)
    """Bytes of memory in use, at the end."""


def drain_curve(names: Names, places: Sequence[Place], effort: DrainEffort, step: Step) -> Measured:
    """Relay and floors of all places are there at once and take turns: what the machine does falls on all alike."""
    with ExitStack() as stack:
        sink = Sink(TRANSCEIVER_PORT)
        stack.callback(sink.stop)
        for number, place in enumerate(places):
            place.candidates |= candidates_at(place, number, stack)
        stack.enter_context(running([each for place in places for each in place.candidates.values()]))
        forwarding = [place.candidates[role] for place in places for role in (RELAY, FORWARDER)]
        verify(forwarding, sink, effort.packets)
        take_turns_everywhere(places, effort, step)
        for place in places:
            place.resident |= {role: resident_bytes(each.program().pid) for role, each in place.candidates.items()}
    return measured_of(names, places)


def candidates_at(place: Place, number: int, stack: ExitStack) -> dict[str, Relay | Floor]:
    """A relay, a forwarder with the same flows and a receiver, filled by clients of their own."""
    traffic = place.traffic
    generator = UpGenerator(traffic)
    stack.callback(generator.stop)
    to = ["--to", f"{FIRST_TRANSCEIVER}:{TRANSCEIVER_PORT}", "--peers", str(traffic.transceivers)]
    return {
        RELAY: Relay(f"relay-{number}", traffic, generator, is_up=True, capacity=capacity_for(traffic.clients)),
        FORWARDER: Floor("floor_forward", [*to, *traffic.options()], generator),
        RECEIVER: Floor("floor_receive", [], generator),
    }


def capacity_for(flows: int) -> int:
    """A table with room for these and not for twice as many."""
    return max(CAPACITY_MIN, 1 << (flows - 1).bit_length())


def take_turns_everywhere(places: Sequence[Place], effort: DrainEffort, step: Step) -> None:
    """One sample of every candidate of every place in each round, after one drain that is not counted as a sample."""
    everyone = [(place, role, each) for place in places for role, each in place.candidates.items()]
    before = [(each.handled(), each.lost()) for _, _, each in everyone]
    for _, _, candidate in everyone:
        sample(candidate, 1, effort.packets)
    for _ in range(effort.rounds):
        for place, role, candidate in everyone:
            place.samples[role].append(sample(candidate, effort.drains, effort.packets))
        step()
    queued = (1 + effort.rounds * effort.drains) * effort.packets
    for (place, role, candidate), (handled, lost) in zip(everyone, before, strict=True):
        ended = {"handled": candidate.handled() - handled, "lost": candidate.lost() - lost}
        place.accounts.append(Account(f"packets queued for {role}", queued, ended))


def measured_of(names: Names, places: Sequence[Place]) -> Measured:
    """The curve, a figure for each place, and how much dearer the last place is than the first."""
    xs = tuple(float(place.x) for place in places)
    lines = tuple(Line(role, xs, tuple(tuple(place.samples[role]) for place in places)) for role in ROLES)
    curve = Curve(
        *(names.key, names.what, names.x_label, "CPU ns per packet", lines),
        is_log_x=names.is_log_x,
        note=f"a call sends {PACKETS_PER_S} packets a second: 1,000 ns a packet are {PACKETS_PER_S} µs of CPU a second",
    )
    figures = [figure_at(names, place) for place in places]
    data = {f"{place.x} {role}": place.samples[role] for place in places for role in ROLES}
    return Measured([*figures, growth(names, places[0], places[-1])], data, [curve])


def figure_at(names: Names, place: Place) -> Figure:
    """What one packet takes there, beside the forwarder."""
    return Figure(
        key=f"{names.key}/{place.x}",
        what=f"{names.what}: {place.x:,} {names.x_label}",
        unit=NANOSECONDS,
        value=series(RELAY, place.samples[RELAY]),
        floor=series(FORWARDER, place.samples[FORWARDER]),
        is_paired=True,
        accounts=tuple(place.accounts),
    )


def growth(names: Names, first: Place, last: Place) -> Figure:
    """The ends of the curve beside each other, round by round."""
    return Figure(
        key=f"{names.key}/growth",
        what=f"{names.what}: {last.x:,} beside {first.x:,}",
        unit=NANOSECONDS,
        value=series(f"{last.x:,} {names.x_label}", last.samples[RELAY]),
        floor=series(f"{first.x:,} {names.x_label}", first.samples[RELAY]),
        is_paired=True,
    )


def memory_of(names: Names, places: Sequence[Place]) -> Measured:
    """What a flow adds to the memory in use between the first place and the last, and the memory at each place."""
    first, last = places[0], places[-1]
    more = last.traffic.clients - first.traffic.clients
    added = {role: (last.resident[role] - first.resident[role]) / more for role in (RELAY, FORWARDER)}
    xs = tuple(float(place.traffic.clients) for place in places)
    lines = tuple(
        Line(role, xs, tuple((place.resident[role] / 2**20,) for place in places)) for role in (RELAY, FORWARDER)
    )
    figure = Figure(
        key=f"{names.key}/memory",
        what=f"memory that a flow adds, from {first.traffic.clients:,} to {last.traffic.clients:,}",
        unit="bytes",
        value=series(RELAY, [added[RELAY]]),
        floor=series(f"{FORWARDER}: the table alone", [added[FORWARDER]]),
        note="resident pages of the process; its table has room for the next power of two of flows",
    )
    curve = Curve(f"{names.key}-memory", "memory by number of flows", "flows", "MiB in use", lines, is_log_x=True)
    return Measured([figure], curves=[curve])


def resident_bytes(pid: int) -> int:
    """Memory that a process has in use, what it shares counted in parts (Pss)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


def places_of_flows(counts: Sequence[int]) -> list[Place]:
    """Ever more clients of one transceiver."""
    return [Place(count, Traffic(count, client_port=CLIENT_PORT + k)) for k, count in enumerate(counts)]


def places_of_sizes(sizes: Sequence[int], clients: int) -> list[Place]:
    """Packets of one size each time."""
    return [
        Place(size, Traffic(clients, size_from=size, size_to=size, client_port=CLIENT_PORT + k))
        for k, size in enumerate(sizes)
    ]


def places_of_transceivers(counts: Sequence[int], clients: int) -> list[Place]:
    """The same clients with ever more transceivers: fewer packets have the same way."""
    return [Place(count, Traffic(clients, count, client_port=CLIENT_PORT + k)) for k, count in enumerate(counts)]
