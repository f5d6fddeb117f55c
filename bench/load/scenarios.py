"""The drain scenarios: what runs against which floor, with which bar, for how long.

Lives here: the scenarios, their bars and efforts. Must not live here: how a drain is done (drain.py), open loops
(open_loop.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Final, Protocol

from bench.load.candidates import Candidate, Floor
from bench.load.checks import write_checks
from bench.load.drain import DRAIN_PACKETS, drain
from bench.load.failure import BenchFailure
from bench.load.pairs import ROUNDS_MIN, take_turns
from bench.load.relay_candidate import Relay
from bench.load.traffic import (
    CLIENT_PORT,
    FIRST_CLIENT,
    FIRST_TRANSCEIVER,
    TRANSCEIVER_PORT,
    CheckGenerator,
    DownGenerator,
    Sink,
    Traffic,
    UpGenerator,
    wait_for_count,
)
from bench.report.measured import NANOSECONDS, Measured, accounts_of, beside_floor, series, throughput
from bench.report.model import Account, Bar, Figure
from bench.scenario import Length, Scenario, Step
from fastrelay.relay.dataplane.verdict import Verdict as Outcome


@dataclass(frozen=True)
class Effort:
    """How long to measure in one sitting."""

    rounds: int
    drains: int


EFFORTS: Final = {Length.SHORT: Effort(5, 2), Length.STANDARD: Effort(15, 8), Length.FULL: Effort(7, 10)}


class Drained(Protocol):
    """What all kinds of drain scenarios below have."""

    @property
    def key(self) -> str:
        """Its name, and the first part of its figures' keys."""

    @property
    def what(self) -> str:
        """In words."""

    def candidates(self) -> int:
        """How many processes take turns."""

    def measure(self, effort: Effort, step: Step) -> Measured:
        """Drains them."""


@dataclass(frozen=True)
class Up:
    """Clients to transceivers, against the plain forwarder and against receiving alone."""

    key: str
    what: str
    traffic: Traffic
    forward_bar: float
    receive_bar: float | None
    is_headline: bool = False

    def candidates(self) -> int:
        """How many processes take turns."""
        return 3

    def measure(self, effort: Effort, step: Step) -> Measured:
        """Drains the relay and both floors in turn."""
        traffic = self.traffic
        with ExitStack() as stack:
            sink = Sink(TRANSCEIVER_PORT)
            stack.callback(sink.stop)
            generator = UpGenerator(traffic)
            stack.callback(generator.stop)
            relay = Relay("relay", traffic, generator, is_up=True)
            forward_options = ["--to", f"{FIRST_TRANSCEIVER}:{TRANSCEIVER_PORT}", "--peers", str(traffic.transceivers)]
            forward = Floor("floor_forward", [*forward_options, *traffic.options()], generator)
            receive = Floor("floor_receive", [], generator)
            with running([relay, forward, receive]):
                verify([relay, forward], sink)
                turns = take_turns([relay, forward, receive], effort.rounds, effort.drains, DRAIN_PACKETS, step)
        forwarder, receiver = ("floor_forward", "forwarder"), ("floor_receive", "receive only")
        figures = [
            beside_floor(
                *(f"{self.key}/forwarder", self.what, turns, "relay", forwarder, self.forward_bar),
                is_headline=self.is_headline,
            )
        ]
        if self.receive_bar is not None:
            figures.append(beside_floor(f"{self.key}/receive", self.what, turns, "relay", receiver, self.receive_bar))
        return Measured(figures, turns.samples)


@dataclass(frozen=True)
class Down:
    """One transceiver to clients, against sending alone."""

    key: str
    what: str
    traffic: Traffic
    send_bar: float
    is_headline: bool = False

    def candidates(self) -> int:
        """How many processes take turns."""
        return 2

    def measure(self, effort: Effort, step: Step) -> Measured:
        """Drains the relay's trunk and the sending floor in turn."""
        traffic = self.traffic
        with ExitStack() as stack:
            sink = Sink(CLIENT_PORT)
            stack.callback(sink.stop)
            generator = DownGenerator(traffic, Relay.trunk_key_file(), Relay.KEY_ID)
            stack.callback(generator.stop)
            relay = Relay("relay", traffic, generator, is_up=False)
            clients = ["--clients", str(traffic.clients), "--first-client", f"{FIRST_CLIENT}:{CLIENT_PORT}"]
            sizes = ["--size-from", str(traffic.size_from), "--size-to", str(traffic.size_to)]
            send = Floor("floor_send", [*clients, *sizes], None)
            with running([relay, send]):
                verify([relay, send], sink)
                turns = take_turns([relay, send], effort.rounds, effort.drains, DRAIN_PACKETS, step)
        sender = ("floor_send", "send only")
        figure = beside_floor(
            f"{self.key}/send", self.what, turns, "relay", sender, self.send_bar, is_headline=self.is_headline
        )
        return Measured([figure], turns.samples)


@dataclass(frozen=True)
class ManyFlows:
    """A full table against a small one: the same relay, the same packets, more memory."""

    key: str
    what: str
    flows: int
    few: int
    throughput_bar: float
    bytes_bar: int

    def candidates(self) -> int:
        """How many processes take turns."""
        return 2

    def measure(self, effort: Effort, step: Step) -> Measured:
        """Drains two relays in turn."""
        many_traffic, few_traffic = Traffic(self.flows), Traffic(self.few)
        few_traffic = replace(few_traffic, client_port=CLIENT_PORT + 1)
        with ExitStack() as stack:
            sink = Sink(TRANSCEIVER_PORT)
            stack.callback(sink.stop)
            many_generator = UpGenerator(many_traffic)
            stack.callback(many_generator.stop)
            few_generator = UpGenerator(few_traffic)
            stack.callback(few_generator.stop)
            many = Relay("many", many_traffic, many_generator, is_up=True, capacity=1 << (self.flows - 1).bit_length())
            few = Relay("few", few_traffic, few_generator, is_up=True)
            with running([many, few]):
                verify([many, few], sink)
                turns = take_turns([many, few], effort.rounds, effort.drains, DRAIN_PACKETS, step)
                bytes_per_flow = many.page_bytes / many.capacity
        rate = throughput(
            f"{self.key}/throughput",
            f"{self.what}: throughput against {self.few:,}",
            turns,
            "many",
            "few",
            self.throughput_bar,
        )
        memory = Figure(
            key=f"{self.key}/bytes",
            what=f"{self.what}: bytes per flow",
            unit="bytes",
            value=series("relay", [bytes_per_flow]),
            is_exact=True,
            bar=Bar(self.bytes_bar),
        )
        return Measured([rate, memory], turns.samples)


@dataclass(frozen=True)
class Admissions:
    """First checks of new clients: what a flood of valid tokens costs. A figure without a bar."""

    key: str
    what: str

    def candidates(self) -> int:
        """How many processes take turns."""
        return 1

    def measure(self, effort: Effort, step: Step) -> Measured:
        """Drains one relay; every packet makes a flow, so each round is one drain."""
        rounds = max(effort.rounds, ROUNDS_MIN)
        traffic = Traffic((rounds + 1) * DRAIN_PACKETS)
        capacity = 1 << (traffic.clients - 1).bit_length()
        with ExitStack() as stack:
            sink = Sink(TRANSCEIVER_PORT)
            stack.callback(sink.stop)
            sink.drop()
            generator = CheckGenerator(traffic, write_checks(traffic))
            stack.callback(generator.stop)
            relay = Relay("relay", traffic, generator, is_up=True, is_populated=False, capacity=capacity)
            with running([relay]):
                turns = take_turns([relay], rounds, 1, DRAIN_PACKETS, step)
                admitted = relay.page.packets([Outcome.UP_ADMITTED])
        figure = Figure(
            key=f"{self.key}/cost",
            what=self.what,
            unit=NANOSECONDS,
            value=series("relay", turns.samples["relay"]),
            accounts=(*accounts_of(turns, "relay"), Account("new clients", traffic.clients, {"admitted": admitted})),
        )
        return Measured([figure], turns.samples)


def scenario_of(drained: Drained) -> Scenario:
    """As everyone runs it."""
    return Scenario(
        drained.what,
        lambda length: EFFORTS[length].rounds * drained.candidates(),
        lambda length, step: drained.measure(EFFORTS[length], step),
        sits_again=True,
    )


DRAINED: Final[Sequence[Drained]] = (
    Up("up-256", "CPU per packet up, 256 flows", Traffic(256), 0.42, 1.45),
    Up("up-4096", "CPU per packet up, 4,096 flows", Traffic(4096), 0.42, 1.45, is_headline=True),
    Up(
        "up-mixed",
        "CPU per packet up, 60–200 bytes, 4,096 flows, 8 transceivers",
        Traffic(4096, 8, 60, 200),
        0.52,
        None,
    ),
    Down("down-256", "CPU per packet down, 256 clients", Traffic(256), 1.15),
    Down("down-4096", "CPU per packet down, 4,096 clients", Traffic(4096), 1.15, is_headline=True),
    ManyFlows("million", "a million flows", 1_000_000, 1000, 0.75, 96),
    Admissions("admission", "CPU per first check of a new client"),
)
SCENARIOS: Final[Mapping[str, Scenario]] = {each.key: scenario_of(each) for each in DRAINED}


@contextmanager
def running(candidates: Sequence[Candidate]) -> Iterator[None]:
    """All candidates started, one after the other, and paused; stopped at the end whatever happens."""
    with ExitStack() as stack:
        for candidate in candidates:
            stack.callback(candidate.stop)
            candidate.start()
            candidate.pause()
        yield


def verify(candidates: Sequence[Candidate], sink: Sink, packets: int = DRAIN_PACKETS) -> None:
    """One drain of each into a receiver that really counts: what a candidate claims to have sent must have arrived."""
    sink.count()
    for candidate in candidates:
        before = sink.counted()
        sent = drain(candidate, packets).packets
        arrived = wait_for_count(sink, before + sent) - before
        if arrived != sent or sink.lost():
            raise BenchFailure(f"{candidate.name}: {sent} packets left, {arrived} arrived")
    sink.drop()
