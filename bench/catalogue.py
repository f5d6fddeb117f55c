"""Everything that can be measured, in the order of the report: chapters, and the scenarios of each.

Lives here: titles, plain words, what may be concluded, about how long each chapter takes. Must not live here:
measuring (load, peers, calls, designs, restart, gate), efforts (beside each measurement), the command (__main__).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Final

from bench.calls import scenarios as calls
from bench.designs import scenarios as designs
from bench.gate.measure import PHASES, measure_all
from bench.load import open_loop
from bench.load import scenarios as load
from bench.load.callers import curves
from bench.load.callers import scenarios as callers
from bench.peers import scenarios as peers
from bench.restart import scenarios as restart
from bench.scenario import Length, Scenario


@dataclass(frozen=True)
class Chapter:
    """A section of the report before it has been measured. `part` is what `fastrelay bench` calls it."""

    part: str
    key: str
    title: str
    lead: str
    may: str
    """What may be concluded, in one sentence."""
    may_not: str
    """What may not."""
    seconds: tuple[int, int]
    """About how long it takes on a quiet machine: STANDARD, FULL. For the progress bar alone."""
    scenarios: Mapping[str, Scenario]

    def expected_s(self, length: Length) -> float:
        """About how long it will take."""
        standard, full = self.seconds
        return {Length.SHORT: standard / SHORT_PART, Length.STANDARD: standard, Length.FULL: full}[length]


SHORT_PART: Final = 6


def _named(scenarios: Mapping[str, Scenario], *names: str) -> dict[str, Scenario]:
    return {name: scenarios[name] for name in names}


_relay = partial(Chapter, "relay")
_calls = partial(Chapter, "calls")
_peers = partial(Chapter, "peers")

CHAPTERS: Final[Sequence[Chapter]] = (
    _relay(
        "up",
        "The way up",
        "Client packets to a transceiver. CPU of the relay's process per packet, by draining a full queue, beside two "
        "plain C programs drained in turn with it: one that forwards packet by packet, one that only receives.",
        "Bundling makes a relayed packet cheaper than the plainest loop that sends each packet by itself.",
        "Nothing about a network card: on loopback the sender pays for the receiver.",
        (50, 112),
        _named(load.SCENARIOS, "up-256", "up-4096", "up-mixed"),
    ),
    _relay(
        "down",
        "The way down",
        "Bundles of a transceiver to clients, beside a plain C program that only sends: each client wants a datagram "
        "of its own, so nothing can be cheaper.",
        "How little a relay adds to the kernel's own price of a datagram.",
        "That a datagram costs this much elsewhere: the price is this kernel's.",
        (30, 30),
        _named(load.SCENARIOS, "down-256", "down-4096"),
    ),
    _relay(
        "scale",
        "Many flows, new flows",
        "The same packets through a table of a million flows and of a thousand; and what the first packet of a new "
        "client costs, whose token is opened and checked.",
        "What memory and the cache cost when a table is full.",
        "That one machine carries a million calls: their packets are more than any core forwards.",
        (30, 28),
        _named(load.SCENARIOS, "million", "admission"),
    ),
    _relay(
        "steady",
        "Loss, and time inside the relay",
        "Packets at 70 % of saturation, or what one processor can offer of it, whether or not anyone keeps up; each "
        "has a number, and the receiver says which never came. And at half of it: the relay's own stamps, from the "
        "kernel's receiving a packet to handing it to the kernel again.",
        "Nothing was lost at this rate, on this machine, in this run, where it says 0.",
        "Anything about a machine on which other work takes the relay's processor.",
        (20, 40),
        open_loop.SCENARIOS,
    ),
    _relay(
        "generator",
        "The generator",
        "The load generator measured before it measures others: how near its schedule of ten thousand calls comes to a "
        "bare sendmmsg loop, and how far its own clock is off when packets pass no relay.",
        "Latencies of this report are the relay's, not the instrument's, down to this error.",
        "That this machine can load any relay to its end: drains do that, generators do not.",
        (15, 40),
        _named(callers.SCENARIOS, "generator"),
    ),
    _relay(
        "hop",
        "Hop latency",
        "How long a packet takes through a relay at a quarter, half and four fifths of the highest rate that it and "
        "the generator keep, from when it was due until it arrived, both ways; beside the same packets with no relay.",
        "How much later a packet arrives because a relay stands between, while it is not full.",
        "What a network adds, or how a relay behaves beyond saturation.",
        (45, 255),
        _named(callers.SCENARIOS, "hop", "hop-peers"),
    ),
    _relay(
        "curves",
        "Scale curves",
        "How the cost of a packet grows with calls, sizes, transceivers and workers, what a flow needs of memory, and "
        "how many new clients a second are let in.",
        "Where cost stays flat as work grows, and where it does not.",
        "Anything about more cores than this machine has: the curve ends with them.",
        (40, 220),
        curves.SCENARIOS,
    ),
    _relay(
        "instructions",
        "Instructions and allocations",
        "Counted by callgrind, user space only, the same on every run.",
        "Whether a commit made the code longer. The gate of every commit reads these.",
        "Which relay is faster: a system call counts as nothing here.",
        (25, 25),
        {"instructions": Scenario("instructions", lambda _: len(PHASES), lambda _, step: measure_all(step))},
    ),
    _calls(
        "calls",
        "Calls",
        "Whole calls with real ICE, DTLS and SRTP through relay and transceiver, beside aiortc. A core is that "
        "of the transceiver, or of aiortc; the relay before the transceiver has the other one and is not counted.",
        "How many conversations one core carries in time, and what their set-up costs.",
        "What an agent costs: these echo or play a tone.",
        (130, 455),
        calls.SCENARIOS,
    ),
    _calls(
        "designs",
        "Old against new",
        "The same echo calls on a process with a port for each session (aiortc), a process with a single port (pion, "
        "Go), and relay and transceiver, all processes of each on one processor, in turns.",
        "What each design gives and costs for the same calls on this machine: set-up by phases, CPU and memory of all "
        "its processes, round trip, ports, and the silence after a death.",
        "That one library is better than another: aiortc encodes again and buffers, pion only reflects, and a client "
        "that learns of a death at once is a kindness that no browser has.",
        (60, 470),
        designs.SCENARIOS,
    ),
    _relay(
        "restart",
        "Restart gaps",
        "How long a call is silent when a relay's worker is killed, when a new release takes over, when everything is "
        "stopped and started, when flows or the host are lost: the longest silence of each call, with the means of "
        "recovery and without, beside the published recipe.",
        "What a kill or an upgrade costs the people who are talking, on one machine.",
        "How soon another host is found: routes and addresses move as fast as an operator's network lets them.",
        (65, 175),
        restart.SCENARIOS,
    ),
    _peers(
        "peers",
        "Beside other relays",
        "The same packets through every relay that could be run here, each alone on the same processor, with a receive "
        "buffer that holds the queue, drained in turns: packets per millisecond of the relay's own CPU. The ratio says "
        "how many times as many fastrelay carries.",
        "How many cores each needs for the same packets, on this kernel.",
        "Which product to choose: they do different work, and some of it is worth its price.",
        (120, 380),
        peers.SCENARIOS,
    ),
)
PARTS: Final = tuple(dict.fromkeys(chapter.part for chapter in CHAPTERS))
ALL: Final = tuple(chain.from_iterable(chapter.scenarios for chapter in CHAPTERS))


def wanted(length: Length, parts: Collection[str], only: Collection[str]) -> list[str]:
    """The scenarios of a run. What is only in a full run is measured in another when it is asked for by name."""
    return [
        name
        for chapter in CHAPTERS
        for name, scenario in chapter.scenarios.items()
        if name in only
        or ((chapter.part in parts or not (parts or only)) and (length is Length.FULL or not scenario.is_only_full))
    ]
