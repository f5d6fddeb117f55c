"""Everything that can be measured, in the order of the report: sections, and the scenarios of each.

Lives here: names, titles and efforts. Must not live here: measuring (load, calls, gate), the command (__main__).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from statistics import median

from bench.calls import scenarios as calls
from bench.gate.measure import PHASES, measure_all
from bench.load import open_loop
from bench.load.scenarios import SCENARIOS, Effort, Step
from bench.peers import scenarios as peers
from bench.report.measured import NS_PER_S, Measured

FULL = Effort(rounds=9, drains=8)
SHORT = Effort(rounds=5, drains=2)
LOSS_PACKETS = 10_000_000
LOSS_PACKETS_SHORT = 500_000
HOP_PACKETS = 2_000_000
HOP_PACKETS_SHORT = 200_000
# the scenario whose cost per packet says what saturation is
SATURATION = "up-4096"


@dataclass
class Circumstances:
    """What all scenarios of one run share."""

    is_short: bool = False
    loss_packets: int | None = None
    _saturation_pps: float | None = field(default=None, init=False)

    @property
    def effort(self) -> Effort:
        """How long drains are measured."""
        return SHORT if self.is_short else FULL

    def learn_saturation(self, measured: Measured) -> None:
        """Packets a second at which the relay's processor would be full, from the drain test."""
        self._saturation_pps = NS_PER_S / median(measured.data["relay"])

    def saturation_pps(self) -> float:
        """As the drain test has said in this run; it is made now where it has not been."""
        if self._saturation_pps is None:
            self.learn_saturation(SCENARIOS[SATURATION].measure(SHORT, lambda: None))
        assert self._saturation_pps is not None
        return self._saturation_pps


@dataclass(frozen=True)
class Scenario:
    """Words for the progress, about how many steps it takes, and the measurement."""

    what: str
    steps: Callable[[Circumstances], int]
    measure: Callable[[Circumstances, Step], Measured]


@dataclass(frozen=True)
class Chapter:
    """A section of the report before it has been measured. `part` is what `fastrelay bench` calls it."""

    part: str
    key: str
    title: str
    lead: str
    scenarios: Mapping[str, Scenario]


def _drained(name: str) -> Scenario:
    scenario = SCENARIOS[name]

    def measure(circumstances: Circumstances, step: Step) -> Measured:
        measured = scenario.measure(circumstances.effort, step)
        if name == SATURATION:
            circumstances.learn_saturation(measured)
        return measured

    return Scenario(scenario.what, lambda given: given.effort.rounds * scenario.candidates(), measure)


def _hop(circumstances: Circumstances, step: Step) -> Measured:
    packets = HOP_PACKETS_SHORT if circumstances.is_short else HOP_PACKETS
    rate = 0.5 * circumstances.saturation_pps()
    step()
    return open_loop.hop_latency(rate, packets, step)


def _loss(circumstances: Circumstances, step: Step) -> Measured:
    packets = circumstances.loss_packets or (LOSS_PACKETS_SHORT if circumstances.is_short else LOSS_PACKETS)
    rate = 0.7 * circumstances.saturation_pps()
    step()
    return open_loop.loss(rate, packets, step)


def _called(name: str) -> Scenario:
    scenario = calls.SCENARIOS[name]

    def measure(circumstances: Circumstances, step: Step) -> Measured:
        return scenario.measure(calls.SHORT if circumstances.is_short else calls.FULL, step)

    return Scenario(scenario.what, lambda _: scenario.steps, measure)


def _compared(name: str) -> Scenario:
    scenario = peers.SCENARIOS[name]
    return Scenario(
        scenario.what,
        lambda given: scenario.steps(given.effort),
        lambda given, step: scenario.measure(given.effort, step),
    )


def _two(_: Circumstances) -> int:
    return 2


_relay = partial(Chapter, "relay")
_calls = partial(Chapter, "calls")
_peers = partial(Chapter, "peers")

CHAPTERS: tuple[Chapter, ...] = (
    _relay(
        "up",
        "The way up",
        "Client packets to a transceiver. CPU of the relay's process per packet, by draining a full queue, beside two "
        "plain C programs drained in turn with it: one that forwards packet by packet, one that only receives.",
        {name: _drained(name) for name in ("up-256", "up-4096", "up-mixed")},
    ),
    _relay(
        "down",
        "The way down",
        "Bundles of a transceiver to clients, beside a plain C program that only sends: each client wants a datagram "
        "of its own, so nothing can be cheaper.",
        {name: _drained(name) for name in ("down-256", "down-4096")},
    ),
    _relay(
        "scale",
        "Many flows, new flows",
        "The same packets through a table of a million flows and of a thousand; and what the first packet of a new "
        "client costs, whose token is opened and checked.",
        {name: _drained(name) for name in ("million", "admission")},
    ),
    _relay(
        "steady",
        "Latency and loss",
        "Packets at a set rate whether or not anyone keeps up. Saturation is what the drain test says.",
        {"hop": Scenario("hop latency at half load", _two, _hop), "loss": Scenario("loss at 70 %", _two, _loss)},
    ),
    _relay(
        "instructions",
        "Instructions and allocations",
        "Counted by callgrind, user space only, the same on every run: these compare commits, not relays.",
        {"instructions": Scenario("instructions", lambda _: len(PHASES), lambda _, step: measure_all(step))},
    ),
    _calls(
        "calls",
        "Calls",
        "Whole calls with real ICE, DTLS and SRTP through relay and transceiver, beside aiortc on the same core.",
        {name: _called(name) for name in calls.SCENARIOS},
    ),
    _peers(
        "peers",
        "Beside other relays",
        "The same packets through every relay that could be run here, each alone on the same processor with the same "
        "buffers, drained in turns: packets per millisecond of the relay's own CPU. The ratio says how many times "
        "as many fastrelay carries.",
        {name: _compared(name) for name in peers.SCENARIOS},
    ),
)
PARTS = tuple(dict.fromkeys(chapter.part for chapter in CHAPTERS))
ALL = tuple(name for chapter in CHAPTERS for name in chapter.scenarios)
