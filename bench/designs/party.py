"""One design with its callers, and what its processes take.

Lives here: the orders of this comparison as methods; CPU, memory and ports of all processes of a design. Must not live
here: which of it makes a figure (the scenarios).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.calls.ensemble import TRIES, CallersLate, Ensemble, Window
from bench.designs.servers import Design
from bench.load import cpu
from bench.load.failure import BenchFailure
from bench.load.sockets import udp_sockets
from bench.peers.sockets import sockets_of

PHASES: Final = ("http", "ice", "dtls", "audio")
HEARD_BEFORE_S: Final = 0.3
"""Calls are listened to for so long before something dies."""


@dataclass(frozen=True, slots=True)
class Spell:
    """A watched window and what it took."""

    window: Window
    calls: int
    cpu_ms_per_call_s: Mapping[str, float]
    """Milliseconds of CPU for a second of a call, by part."""

    @property
    def cpu_ms(self) -> float:
        """Of all processes together."""
        return sum(self.cpu_ms_per_call_s.values())


@dataclass(frozen=True, slots=True)
class Silence:
    """What calls have heard of a death."""

    calls: int
    gaps_ms: list[float]
    """Of those that are heard again."""


class Party(Ensemble):
    """A design that runs, and its callers."""

    child = "bench.designs.orders"

    def __init__(self, design: Design) -> None:
        super().__init__(design)
        self.design = design
        self.calls = 0

    def arrive(self, calls: int, per_s: float = 50.0) -> None:
        """So many more calls, and all must come up. Nobody speaks."""
        self.open_all(calls, per_s, speaks=False)
        self.calls += calls

    def set_up(self, calls: int) -> list[list[float]]:
        """The phases of so many calls, one after the other. BenchFailure when one does not come about."""
        told = self.ask("call", count=calls)
        if told["problems"]:
            raise BenchFailure(f"{self.design.name}: no call: {', '.join(told['problems'])}")
        found: list[list[float]] = told["phases_ms"]
        return found

    def talk(self, *, is_on: bool, settle_s: float = 0.0) -> None:
        """All speak, or none."""
        self.ask("talk", is_on=is_on, settle_s=settle_s)

    def spell(self, seconds: float) -> Spell:
        """One window in which the callers have kept their own schedule, with its CPU."""
        late = 0.0
        for _ in range(TRIES):
            before, start_s = cpu_ms_of(self.design), time.monotonic()
            window = self.watch(seconds)
            call_s = (time.monotonic() - start_s) * self.calls
            after = cpu_ms_of(self.design)
            if window.is_sound:
                return Spell(window, self.calls, {part: (after[part] - before[part]) / call_s for part in after})
            late = window.late_slots
        raise CallersLate(f"the callers were late in {late:.1%} of their slots: this machine is too busy")

    def ports(self) -> set[int]:
        """Where clients have been told to send."""
        return set(self.ask("ports")["ports"])

    def ping(self, seconds: float) -> tuple[int, int, list[float]]:
        """Noises said, lost, and the round trips of the others."""
        told = self.ask("ping", seconds=seconds)
        return told["said"], told["lost"], told["round_trips_ms"]

    def survive(self, part: str, seconds: float) -> Silence:
        """Part of the design dies, and calls go on by themselves."""
        return self._die(part, "go_on", seconds=seconds)

    def call_again(self, part: str) -> Silence:
        """Part of the design dies with its calls, and every client offers anew at once."""
        return self._die(part, "call_again")

    def _die(self, part: str, order: str, **options: Any) -> Silence:
        self.ask("listen")
        time.sleep(HEARD_BEFORE_S)
        self.design.kill(part)
        line = json.dumps({"order": order, **options})
        self._callers.send(line.encode() + b"\n")
        self.design.revive()
        told: Mapping[str, Any] = self._callers.answer(line)
        if not told["gaps_ms"]:
            raise BenchFailure(f"{self.design.name}, {part} killed: none of {told['calls']} calls was heard again")
        return Silence(told["calls"], told["gaps_ms"])


def cpu_ms_of(design: Design) -> dict[str, float]:
    """CPU time of each part so far."""
    return {part: sum(cpu.cpu_ns(pid) for pid in pids) / 1e6 for part, pids in design.parts.items()}


def pss_kib(design: Design) -> dict[str, int]:
    """Memory of each part; pages that processes share are shared out among them."""
    return {part: sum(_pss_kib(pid) for pid in pids) for part, pids in design.parts.items()}


def _pss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Pss":
            return int(value.split()[0])
    raise BenchFailure(f"process {pid} has no proportional set size")


def udp_ports(design: Design) -> set[int]:
    """Bound by any process of it, as the kernel's table of sockets says."""
    inodes = {inode for pids in design.parts.values() for pid in pids for inode in sockets_of(pid)}
    return {each.port for each in udp_sockets() if each.inode in inodes}
