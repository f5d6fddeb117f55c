"""CPU time of a relayed packet beside a C floor, in turns, until it is clear on which side of its limit the ratio is.

Lives here: the pairs and their sessions. Must not live here: the rule (decision), limits (budget.toml), how a queue is
drained (bench.load.drain, which refuses a drain whose counts do not add up).

The floors are those whose kernel work is most like the relay's, because then whatever the machine does falls on both:
receiving alone on the way up, sending alone on the way down. The forwarder of `make bench` varies thrice as much.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from bench.gate.decision import Decision, decide
from bench.gate.slowing import Slowing, prefix_of
from bench.load.candidates import Candidate, Floor
from bench.load.drain import DRAIN_PACKETS
from bench.load.pairs import Turns, take_turns
from bench.load.relay_candidate import Relay
from bench.load.scenarios import running
from bench.load.traffic import CLIENT_PORT, FIRST_CLIENT, TRANSCEIVER_PORT, DownGenerator, Sink, Traffic, UpGenerator

# rounds of a session, of one drain each: many short turns follow a machine's moods closer than a few long ones
ROUNDS = 25


@dataclass(frozen=True)
class Pair:
    """One way of one workload, and its floor."""

    name: str
    what: str
    traffic: Traffic
    is_up: bool


PAIRS = (
    Pair("up-4096/receive", "up, 4,096 flows, against receiving alone", Traffic(4096), is_up=True),
    Pair("up-mixed/receive", "up, mixed sizes, 8 transceivers, the same", Traffic(4096, 8, 60, 200), is_up=True),
    Pair("down-4096/send", "down, 4,096 clients, against sending alone", Traffic(4096), is_up=False),
)


@dataclass(frozen=True)
class Judged:
    """A pair, its decision, and the relay's own nanoseconds per packet."""

    pair: Pair
    decision: Decision
    relay_ns: tuple[float, ...]


class PreloadedRelay(Relay):
    """The relay candidate, as it is or slowed down."""

    def __init__(self, pair: Pair, generator: UpGenerator | DownGenerator, slowing: Slowing | None) -> None:
        super().__init__("relay", pair.traffic, generator, is_up=pair.is_up)
        self._prefix = prefix_of(slowing, is_up=pair.is_up)

    def command(self) -> list[str]:
        """With what slows it down before it."""
        return [*self._prefix, *super().command()]


def judge(limits: Mapping[str, float], slowing: Slowing | None, step: Callable[[Judged], None]) -> list[Judged]:
    """All pairs with a limit, a session each in turn, until each has its verdict; calls step after each session."""
    names = [pair.name for pair in PAIRS]
    if sorted(limits) != sorted(names):
        raise KeyError(f"the budget has ratios {sorted(limits)}, the gate measures {sorted(names)}")
    sessions: dict[str, list[list[float]]] = {name: [] for name in names}
    relay_ns: dict[str, list[float]] = {name: [] for name in names}
    judged: dict[str, Judged] = {}
    while open_pairs := [pair for pair in PAIRS if pair.name not in judged or not judged[pair.name].decision.is_final]:
        for pair in open_pairs:
            relay, floor = samples_of(session(pair, slowing))
            relay_ns[pair.name] += relay
            sessions[pair.name].append([a / b for a, b in zip(relay, floor, strict=True)])
            decision = decide(sessions[pair.name], limits[pair.name])
            judged[pair.name] = Judged(pair, decision, tuple(relay_ns[pair.name]))
            step(judged[pair.name])
    return [judged[name] for name in names]


def samples_of(turns: Turns) -> tuple[list[float], list[float]]:
    """Of the relay and of its floor, which come in this order."""
    relay, floor = turns.samples.values()
    return relay, floor


def session(pair: Pair, slowing: Slowing | None) -> Turns:
    """Relay and floor, started now, drained in turn."""
    traffic = pair.traffic
    with ExitStack() as stack:
        sink = Sink(TRANSCEIVER_PORT if pair.is_up else CLIENT_PORT)
        stack.callback(sink.stop)
        sink.drop()
        generator = UpGenerator(traffic) if pair.is_up else DownGenerator(traffic, Relay.trunk_key_file(), Relay.KEY_ID)
        stack.callback(generator.stop)
        both: list[Candidate] = [PreloadedRelay(pair, generator, slowing), floor_of(pair, generator)]
        with running(both):
            return take_turns(both, ROUNDS, 1, DRAIN_PACKETS, lambda: None)


def floor_of(pair: Pair, generator: UpGenerator | DownGenerator) -> Floor:
    """What nothing that does this pair's work can be cheaper than."""
    if pair.is_up:
        return Floor("floor_receive", [], generator)
    traffic = pair.traffic
    clients = ("--clients", str(traffic.clients), "--first-client", f"{FIRST_CLIENT}:{CLIENT_PORT}")
    sizes = ("--size-from", str(traffic.size_from), "--size-to", str(traffic.size_to))
    return Floor("floor_send", [*clients, *sizes], None)
