"""Live calls do not notice a flood: not in their packets, not in where they go, not in the relay's memory.

FASTRELAY_FLOOD_S says how long each flood lasts; `make soak` takes twenty seconds.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.load import cpu
from fastrelay.config.addresses import parse_network
from fastrelay.observe.counters import CounterPage, Reading
from fastrelay.relay.dataplane.limits import Limits
from fastrelay.routing import KeyRing
from fastrelay.transceiver import open_trunk_port
from tests.live.ends import Address
from tests.live.flood import (
    CALLS,
    OTHERS_CPU,
    RELAY_CPU,
    Attack,
    LiveCalls,
    flooding,
    forged_stun,
    junk,
    preferred,
    valid_tokens,
)
from tests.live.process import RelayProcess, options

SECONDS = float(os.environ.get("FASTRELAY_FLOOD_S", "3"))
LOSS_MAX = 0.001
FLOWS = 512
"""Fewer than the flood's tokens could make beside the calls: the table is full all the time."""
ATTACKER_FLOWS_CONFIRMED = 8 * Limits().session_flows
MEMORY_GROWTH_MAX = 8 << 20
REPEATS = 2
TROUBLE = (
    "refused_up",
    "refused_down",
    "no_buffer_up",
    "no_buffer_down",
    "trunk_errors",
    "receive_errors",
    "trunk_cut",
)
KEPT_WAITING_SHARE_MAX = 0.02
PACKETS_MIN = 20_000
"""A second: a flood that is none proves nothing."""

ATTACKS: dict[str, Callable[[KeyRing, Address], Attack]] = {
    "forged STUN": forged_stun,
    "valid tokens from spoofed addresses": valid_tokens,
    "junk": lambda ring, to: junk(),
    "all at once": lambda ring, to: forged_stun(ring, to) + valid_tokens(ring, to) + junk(),
}


def report(name: str, outcome: Outcome) -> None:
    """The figures, for who runs it with -s and for a failure's captured output."""
    calls, gain = outcome.calls, outcome.gain
    dropped = ", ".join(f"{verdict} {count:,}" for verdict, count in gain.drops().items())
    trouble = {
        "relay": {event: gain.event(event) for event in TROUBLE if gain.event(event)},
        "transceiver": {**outcome.heard.drops()}
        | {event: outcome.heard.event(event) for event in TROUBLE if outcome.heard.event(event)},
    }
    sys.stdout.write(
        f"\n{name}, {SECONDS:.0f} s: {sum(gain.drops().values()) / SECONDS:,.0f} refused a second ({dropped});"
        f" kernel dropped {gain.kernel_drops:,} before the relay,"
        f" {outcome.heard.kernel_drops:,} before the transceiver;"
        f" {gain.event('flows_created'):,} flows made, {gain.event('flows_evicted'):,} evicted;"
        f" of {sum(calls.sent):,} live packets {calls.lost_up()} lost on the way up, {calls.lost_echoes()} there and"
        f" back; memory {outcome.memory_growth / 1024:+,.0f} KiB;"
        f" trouble {trouble}; other work kept the relay waiting for {outcome.kept_waiting_ms:.0f} ms\n"
    )


def resident_bytes(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """One flood, measured from outside."""

    calls: LiveCalls
    gain: Reading
    flows: int
    unconfirmed: int
    memory_growth: int
    heard: Reading
    """The transceiver's counters."""
    kept_waiting_ms: float
    """How long the relay was ready to run while its processor did something else."""


def flood_once(name: str, ring_file: Path, ring: KeyRing, folder: Path) -> Outcome:
    relay_options = options("127.0.0.1", "127.0.0.1", ring_file, "127.0.0.1")
    with (
        RelayProcess(*relay_options, "--flows", str(FLOWS), "--workers", f"{RELAY_CPU}-{RELAY_CPU}") as relay,
        open_trunk_port(("127.0.0.1", 0), ring, [parse_network("127.0.0.1")]) as port,
        preferred(worker := relay.workers[0], RELAY_CPU),
        preferred(os.getpid(), OTHERS_CPU),
        relay.counters() as page,
    ):
        attack = ATTACKS[name](ring, port.address)
        calls = LiveCalls(relay.clients[0], port, ring, attack)
        try:
            calls.connect()
            calls.speak(0.2)
            before, memory, waited_ns = page.read(), resident_bytes(worker), cpu.kept_waiting_ns(worker)
            with flooding(attack, relay.clients[0], folder):
                calls.speak(SECONDS)
                flows, unconfirmed = page.flows, page.unconfirmed
                growth = resident_bytes(worker) - memory
            calls.settle()
            waited_ns = cpu.kept_waiting_ns(worker) - waited_ns
        finally:
            calls.close()
        gain = page.read().since(before)
        heard = CounterPage(port.counters()).read()
    return Outcome(calls, gain, flows, unconfirmed, growth, heard, waited_ns / 1e6)


@pytest.mark.parametrize("name", ATTACKS)
def test_live_calls_do_not_notice_a_flood(name: str, ring_file: Path, ring: KeyRing, tmp_path: Path) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("a flood and its relay need a processor each")
    outcome = flood_once(name, ring_file, ring, tmp_path)
    report(name, outcome)
    for _ in range(REPEATS):
        # a relay without its processor says nothing about the flood
        if outcome.calls.lost_echoes() == 0 or outcome.kept_waiting_ms < KEPT_WAITING_SHARE_MAX * SECONDS * 1000:
            break
        outcome = flood_once(name, ring_file, ring, tmp_path)
        report(name, outcome)
    calls, gain = outcome.calls, outcome.gain
    sent = sum(calls.sent)
    assert sent >= SECONDS / 0.02 * CALLS * 0.99, "the callers kept their schedule"
    assert sum(gain.drops().values()) >= PACKETS_MIN * SECONDS, "there was a flood"
    assert calls.lost_up() < sent * LOSS_MAX
    assert calls.lost_echoes() < sent * LOSS_MAX
    assert calls.strays == 0
    assert gain.event("flows_repointed") == 0, "no flow is moved"
    assert CALLS <= outcome.flows <= FLOWS
    assert outcome.flows - outcome.unconfirmed <= CALLS + ATTACKER_FLOWS_CONFIRMED
    assert outcome.memory_growth < MEMORY_GROWTH_MAX
