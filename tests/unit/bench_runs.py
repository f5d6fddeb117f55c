"""Runs of the benchmark that were never made: figures as a real machine gives them, from a seed.

Lives here: one builder for all tests of the report. Must not live here: what is asserted.
"""

from __future__ import annotations

from random import Random

from bench.load.card import Card
from bench.report.model import Account, Bar, Better, Curve, Figure, Line, Of, Run, Section, Series
from bench.scenario import Length

ROUNDS = 9
NOISE = 0.025
"""Of a candidate alone, in a round: what is left of a ratio's noise after pairing."""
NEIGHBOURS = 0.2
"""Of the whole machine, in a round: falls on all candidates alike."""
LOSSES = 0

CARD = Card(
    processor="AMD EPYC 7B13",
    processors=2,
    hypervisor=True,
    governor="not visible",
    memory_mib=8192,
    mitigations="spec_store_bypass, spectre_v1, spectre_v2",
    kernel="6.18.5",
    python="3.11.7",
    compiler="cc (Debian 12.2.0) 12.2.0",
    rmem_max=4_194_304,
    load_average_before=0.4,
    commit="0882ab80c1d2",
    is_dirty=False,
    measured_at="2026-11-21T09:00:00Z",
)


def paired(chance: Random, key: str, what: str, ns: tuple[float, float], bar: float, *, slower: float = 1.0) -> Figure:
    """Relay and floor in turns on a machine with neighbours."""
    relay, floor = [], []
    for _ in range(ROUNDS):
        machine = chance.lognormvariate(0, NEIGHBOURS)
        relay.append(round(ns[0] * slower * machine * chance.lognormvariate(0, NOISE), 2))
        floor.append(round(ns[1] * machine * chance.lognormvariate(0, NOISE), 2))
    packets = (1 + 8 * ROUNDS) * 8192
    return Figure(
        key=key,
        what=what,
        unit="ns",
        value=Series("relay", tuple(relay)),
        floor=Series("forwarder", tuple(floor)),
        is_paired=True,
        bar=Bar(bar, Of.RATIO),
        accounts=(Account("packets queued for relay", packets, {"handled": packets, "lost": LOSSES}),),
    )


def a_run(seed: int, *, slower: float = 1.0, instructions: float = 212.0, card: Card = CARD) -> Run:
    """One whole run, of a relay that is so much slower than usual."""
    chance = Random(seed)
    up = (
        paired(chance, "up-256/forwarder", "up, 256 flows, against forwarder", (941, 3205), 0.42, slower=slower),
        paired(chance, "up-4096/forwarder", "up, 4,096 flows, against forwarder", (987, 3279), 0.42, slower=slower),
        paired(chance, "up-mixed/forwarder", "up, mixed sizes, against forwarder", (1486, 2073), 0.52, slower=slower),
    )
    return Run(
        card=card,
        length=Length.STANDARD,
        elapsed_s=612.4,
        method=("CPU time of the measured process alone.", "Candidate and floors run in turns."),
        sections=(
            Section("up", "The way up", "Client packets to a transceiver.", "Bundles help.", "Nothing of wires.", up),
            Section("instructions", "Instructions", "Counted.", "Commits.", "Time.", (_instructions(instructions),)),
            Section(
                "calls",
                "Calls",
                "Whole calls.",
                "How many are in time.",
                "What an agent costs.",
                _calls(chance),
                (_curve(chance),),
                {"offered": (1.0, 2.0)},
                {"aiortc": "1.16.0"},
                {"rtpengine": "no package of it on this system"},
            ),
        ),
    )


def _instructions(count: float) -> Figure:
    return Figure(
        key="instructions/up_160",
        what="instructions per packet, up",
        unit="instructions",
        value=Series("relay", (count,)),
        is_exact=True,
        bar=Bar(220),
    )


def _calls(chance: Random) -> tuple[Figure, ...]:
    setup = tuple(round(chance.lognormvariate(3.6, 0.5), 2) for _ in range(200))
    return (
        Figure(
            key="capacity/echo",
            what="echo calls on one core, Opus passed through",
            unit="calls",
            better=Better.HIGHER,
            value=Series("fastrelay", (1180.0,)),
            floor=Series("aiortc", (27.0,)),
            bar=Bar(40, Of.RATIO),
            note="at 1180 calls 99.95 % of frames on time",
            is_headline=True,
        ),
        Figure(
            key="burst/setup-p99", what="500 calls within 5 s: set-up, p99", unit="ms", percent=99,
            value=Series("fastrelay", setup), bar=Bar(1000),
        ),
        Figure(
            key="loss/missing",
            what="loss at 70 % of saturation",
            unit="packets",
            value=Series("relay", (12.0,)),
            bar=Bar(0),
            accounts=(Account("packets sent", 1000, {"arrived": 988, "lost at the relay": 2}),),
        ),
    )  # fmt: skip


def _curve(chance: Random) -> Curve:
    calls = (100.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0)
    lines = tuple(
        Line(
            name, calls, tuple(tuple(base * growth * chance.lognormvariate(0, 0.03) for _ in range(5)) for growth in by)
        )
        for name, base, by in (("relay", 940, (1, 1, 1.02, 1.05, 1.1)), ("forwarder", 3200, (1, 1, 1, 1.03, 1.04)))
    )
    return Curve("flows", "Cost by flows", "flows", "ns per packet", lines, is_log_x=True)
