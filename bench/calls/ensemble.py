"""Callers and a server together: the orders of a measurement as methods.

Lives here: starting both, and what one window says. Must not live here: which windows make a figure (scenarios).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from bench.calls.punctuality import Punctuality
from bench.calls.servers import Server, keep_time
from bench.load import cpu
from bench.load.failure import BenchFailure
from bench.load.process import Program

LATE_SLOTS_MAX = 0.001
"""Of the callers' own: a window in which they were less punctual than this says nothing about the server."""
TRIES = 4
SETTLE_S = 1.0


class CallersLate(BenchFailure):
    """The instrument's own fault: nothing can be said about the server."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What became of calls that were opened together."""

    up: int
    problems: list[str]
    setup_ms: list[float]
    """From the offer's leaving to keys at the client."""
    connect_ms: list[float]
    """From the answer's arrival to keys at the client."""
    late_slots: float
    watched: Punctuality | None

    @property
    def is_sound(self) -> bool:
        """Whether the callers kept their own schedule."""
        return self.late_slots <= LATE_SLOTS_MAX


@dataclass(frozen=True, slots=True)
class Window:
    """What a watched window says."""

    punctuality: Punctuality
    lost_calls: int
    late_slots: float
    busy: float
    """Of one processor: the server's."""

    @property
    def is_sound(self) -> bool:
        """Whether the callers kept their own schedule."""
        return self.late_slots <= LATE_SLOTS_MAX


class Ensemble:
    """A running server, and callers in a process of their own."""

    child = "bench.calls.crowd_child"

    def __init__(self, server: Server) -> None:
        self.server = server

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", self.child, self.server.url]
        self._callers = Program(command, cpu.OTHERS_CPU, cpu.NICE_RECEIVER)
        keep_time(self._callers.pid)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._callers.stop()

    def open(self, count: int, over_s: float, **options: Any) -> Opened:
        """Open calls, evenly over a time; the options are those of crowd_child's order."""
        told = self.ask("open", count=count, over_s=over_s, **options)
        watched = told.get("watched")
        return Opened(
            told["up"],
            told["problems"],
            told["setup_ms"],
            told["connect_ms"],
            told["late_slots"],
            None if watched is None else Punctuality.parse(watched),
        )

    def open_all(self, count: int, per_s: float, **options: Any) -> Opened:
        """Open calls that must all come up. BenchFailure otherwise."""
        opened = self.open(count, count / per_s, **options)
        if opened.up != count:
            raise BenchFailure(f"{self.server.name}: {count - opened.up} of {count} calls failed: {opened.problems}")
        return opened

    def watch(self, seconds: float, group: str = "main") -> Window:
        """Watch those of a group that are up."""
        before_ns, start_s = cpu.cpu_ns(self.server.pid), time.monotonic()
        told = self.ask("watch", seconds=seconds, group=group)
        busy = (cpu.cpu_ns(self.server.pid) - before_ns) / 1e9 / (time.monotonic() - start_s)
        return Window(Punctuality.parse(told), told["lost_calls"], told["late_slots"], busy)

    def watch_soundly(self, seconds: float, group: str = "main") -> Window:
        """Watch until the callers have kept their schedule. CallersLate when the machine does not let them."""
        window = self.watch(seconds, group)
        for _ in range(TRIES):
            if window.is_sound:
                return window
            window = self.watch(seconds, group)
        raise CallersLate(f"the callers were late in {window.late_slots:.1%} of their slots: this machine is too busy")

    def close(self, count: int | None = None, group: str = "main") -> None:
        """Hang up, and let the server take it in."""
        self.ask("close", group=group, count=count)
        time.sleep(SETTLE_S)

    def ask(self, order: str, **options: Any) -> Mapping[str, Any]:
        """One order to the callers' process, and its answer."""
        return self._callers.ask(json.dumps({"order": order, **options}))
