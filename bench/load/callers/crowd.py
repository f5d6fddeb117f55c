"""A crowd of simulated calls before one target: the generator's process, what it is told and what it says.

Lives here: starting it, its commands, its answers as values. Must not live here: what is concluded from them.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import fields, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bench.load import build, cpu
from bench.load.callers.histogram import BUCKETS, Histogram
from bench.load.callers.result import Result, Way
from bench.load.callers.shape import UP, Shape, Talk, Target
from bench.load.failure import BenchFailure
from bench.load.process import Program
from bench.load.sockets import receiver_state, socket_state

HISTOGRAM = struct.Struct(f"={BUCKETS}Q")
LATENCY_UP, LATENCY_DOWN, LATE_UP, LATE_DOWN, OPENING, LESS_HELD, WHATS = range(7)
PAGE_BYTES: Final = HISTOGRAM.size * WHATS
OPEN_PER_S = 80_000
"""A million in 13 s. Where answers stay away the next try is at half the rate."""
WARM_PER_S = 20_000
OPEN_TRIES = 5
ENDS_FEW = 8
PATIENCE_MS = 300
COUNTED = frozenset(field.name for field in fields(Way)) - {"latency", "late"}


class Crowd:
    """The generator before a target. A context: the process ends with it."""

    def __init__(self, shape: Shape, target: Target) -> None:
        self.shape, self.target = shape, target
        build.OUT.mkdir(parents=True, exist_ok=True)
        self._path = build.OUT / f"callers-{shape.transceiver_port}.page"
        self._path.unlink(missing_ok=True)
        command = [str(build.program("callers")), "--page", str(self._path), *shape.options(), *target.options()]
        self._program = Program(command, cpu.OTHERS_CPU, cpu.NICE_GENERATOR)
        self._page = mapped(self._path)
        self._used = shape.calls
        self._aim()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the process and removes its page."""
        self._program.stop()
        self._page.close()
        self._path.unlink(missing_ok=True)

    def open(self, first: int, count: int, rate: int, patience_ms: int = PATIENCE_MS) -> Result:
        """One opening of each of these calls that still needs one, at a rate: a storm, when the rate is high."""
        return self._ask(f"open {first} {count} {rate} {patience_ms}")

    def open_all(self, rate: int = OPEN_PER_S) -> None:
        """Opens every call, again and slower where an answer stayed away; BenchFailure when some stay closed."""
        calls = self.shape.calls
        if self.target.stages and not self.target.is_answered:
            reached = self.open(0, calls, rate).checks
            if reached != calls:
                raise BenchFailure(f"{self.target.name}: {reached} of {calls} openings reached their transceiver")
            return
        wanted, answered = calls * self.target.stages, 0
        for number in range(self.target.stages * OPEN_TRIES):
            if answered == wanted:
                return
            answered += self.open(0, calls, rate >> number).answers
        if answered != wanted:
            raise BenchFailure(f"{self.target.name}: {wanted - answered} of {wanted} openings were never answered")

    def warm(self, rate: int = WARM_PER_S) -> None:
        """Every call sends one packet up, which tells the transceivers where to answer; again where some were lost."""
        talk = Talk.by(self.shape.calls, rate, 0, UP)
        once = replace(talk, duration_ms=talk.interval_us // 1000)
        for _ in range(OPEN_TRIES):
            if not self.talk(once).missing:
                return
        raise BenchFailure(f"{self.target.name}: packets are lost even at {rate:,} a second")

    def talk(self, talk: Talk) -> Result:
        """Media, open loop; blocks until all of it has been sent and what arrives has arrived."""
        return self._ask(talk.command())

    def renew(self) -> None:
        """Every call ends; each has an address from here on that nobody had before, and nothing open."""
        self._used += self.shape.calls
        if self._used > self.shape.flows:
            raise BenchFailure(f"no fresh addresses left: {self.shape.flows:,} flows for calls of {self.shape.calls:,}")
        self._program.ask("renew")

    def drop(self, *, is_dropping: bool) -> None:
        """Whether the kernel drops what reaches the transceivers, at next to no cost."""
        self._program.ask("drop" if is_dropping else "count")

    def cpu_ns(self) -> int:
        """CPU time of the generator since its start."""
        return cpu.cpu_ns(self._program.pid)

    def bare(self, packets: int) -> float:
        """Packets a second of sendmmsg and nothing else, with the same sizes to the same place."""
        answer = self._program.ask(f"bare {packets}")
        return int(str(answer["sent"])) * 1e9 / int(str(answer["elapsed_ns"]))

    def _aim(self) -> None:
        first, *others = self.target.endpoints
        self._program.ask(f"to {first[0]}:{first[1]}")
        for address, port in others:
            self._program.ask(f"also {address}:{port}")
        if self.target.trunk is not None:
            self._program.ask(f"trunk {self.target.trunk[0]}:{self.target.trunk[1]}")

    def _ask(self, line: str) -> Result:
        own, others = self._drops()
        answer = self._program.ask(line)
        own_after, others_after = self._drops()
        return self._result(answer, own_after - own, others_after - others)

    def _drops(self) -> tuple[int, int]:
        own = {self.shape.client_port, self.shape.transceiver_port}
        ends = self.target.receivers
        # the workers of a relay share a port; ports for each call are shared by nobody, and found one by one in no time
        has_many = len(ends) > ENDS_FEW
        others = 0
        for address, port in {port: end for end in ends if (port := end[1]) not in own}.values():
            others += (receiver_state(address, port) if has_many else socket_state(port)).drops
        return sum(socket_state(port).drops for port in own), others

    def _histogram(self, what: int) -> Histogram:
        return Histogram(HISTOGRAM.unpack_from(self._page, HISTOGRAM.size * what))

    def _way(self, answer: object, way: int) -> Way:
        if not isinstance(answer, dict) or set(answer) != COUNTED:
            raise BenchFailure(f"callers: unexpected counts {answer}")
        return Way(**answer, latency=self._histogram(LATENCY_UP + way), late=self._histogram(LATE_UP + way))

    def _result(self, answer: dict[str, object], own_drops: int, target_drops: int) -> Result:
        def number(name: str) -> int:
            return int(str(answer[name]))

        return Result(
            elapsed_s=number("elapsed_ns") / 1e9,
            up=self._way(answer["up"], 0),
            down=self._way(answer["down"], 1),
            openings=number("openings"),
            answers=number("answers"),
            refusals=number("refusals"),
            checks=number("checks"),
            calls_changed=number("calls_changed"),
            addresses_changed=number("addresses_changed"),
            refused=number("refused"),
            backwards=number("backwards"),
            held_s=number("held_ns") / 1e9,
            opening=self._histogram(OPENING),
            less_held=self._histogram(LESS_HELD),
            own_drops=own_drops,
            target_drops=target_drops,
        )


def mapped(path: Path) -> mmap.mmap:
    """The generator's page."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), PAGE_BYTES, access=mmap.ACCESS_READ)
