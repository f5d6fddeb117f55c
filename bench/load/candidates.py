"""What can be drained: the protocol, and the C floors as candidates.

A candidate is a process with a queue. Paused, its queue is filled; resumed, it works until the queue is empty;
paused again, the kernel says how much CPU that took. The relay is a candidate too (relay_candidate.py).
"""

import mmap
import struct
from pathlib import Path
from typing import Protocol

from bench.load import build, cpu
from bench.load.failure import BenchFailure
from bench.load.process import Program
from bench.load.sockets import socket_state

TALLY = struct.Struct("=5Q")


class Candidate(Protocol):
    """Anything whose queue can be filled while it stands still."""

    name: str

    def start(self) -> None:
        """Starts the process, bound and ready to be filled."""

    def pause(self) -> None:
        """Stops it; CPU time is exact from here on."""

    def fill(self, packets: int) -> int:
        """Queues packets while it is paused; returns how many there really are to handle."""

    def resume(self) -> None:
        """Lets it work."""

    def handled(self) -> int:
        """Packets it has counted since its start; it may still be sending the last of them."""

    def is_idle(self) -> bool:
        """Whether all its threads sleep, so that what it has counted it has also sent."""

    def lost(self) -> int:
        """Packets the kernel or the candidate refused since its start: must not move during a drain."""

    def cpu_ns(self) -> int:
        """CPU time of its threads since its start."""

    def stop(self) -> None:
        """Ends the process."""


class Tally:
    """A program's counters in its mapped file (struct fr_tally)."""

    def __init__(self, path: Path, extra_bytes: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with path.open("w+b") as file:
            file.truncate(TALLY.size + extra_bytes)
            self.memory = mmap.mmap(file.fileno(), TALLY.size + extra_bytes)
        self.path = path

    def read(self) -> tuple[int, int, int, int, int]:
        """Packets, bytes, calls, sent, refused."""
        packets, size, calls, sent, refused = TALLY.unpack_from(self.memory)
        return packets, size, calls, sent, refused

    def close(self) -> None:
        """Unmaps and removes the file."""
        self.memory.close()
        self.path.unlink(missing_ok=True)


class Generator(Protocol):
    """Who fills a queue."""

    def fill(self, port: int, packets: int) -> int:
        """Sends packets to this port of the candidates' address and returns how many were sent."""

    def stop(self) -> None:
        """Ends the generator."""


class Floor:
    """A C program of bench/load/floors on processor 0."""

    def __init__(self, name: str, options: list[str], generator: Generator | None, address: str = "127.0.0.1") -> None:
        self.name = name
        self._options = options
        self._generator = generator
        self._address = address
        self._program: Program | None = None
        self._tally: Tally | None = None

    def start(self) -> None:
        """Builds and starts the program."""
        path = build.program(self.name)
        self._tally = Tally(build.OUT / f"{self.name}.tally")
        command = [str(path), "--listen", f"{self._address}:0", "--tally", str(self._tally.path), *self._options]
        self._program = Program(command, cpu.RELAY_CPU, cpu.NICE_CANDIDATE)

    def pause(self) -> None:
        """Stops the program."""
        cpu.pause(self.program().pid)

    def resume(self) -> None:
        """Lets it go on."""
        cpu.resume(self.program().pid)

    def fill(self, packets: int) -> int:
        """Fills its socket; a program without a generator is told how many packets to send."""
        if self._generator is None:
            self.program().send(struct.pack("=Q", packets))
            return packets
        return self._generator.fill(self.program().port(), packets)

    def handled(self) -> int:
        """Packets received, or sent where nothing is received."""
        packets, _, _, sent, _ = self.tally().read()
        return sent if self._generator is None else packets

    def is_idle(self) -> bool:
        """Whether the program waits in the kernel."""
        return cpu.is_idle(self.program().pid)

    def lost(self) -> int:
        """Refused by the program, or dropped at its socket for want of buffer."""
        return self.tally().read()[4] + socket_state(self.program().port()).drops

    def cpu_ns(self) -> int:
        """CPU time of the program."""
        return cpu.cpu_ns(self.program().pid)

    def stop(self) -> None:
        """Ends the program and removes its tally."""
        if self._program is not None:
            self._program.stop()
            self._program = None
        if self._tally is not None:
            self._tally.close()
            self._tally = None

    def program(self) -> Program:
        """The running program."""
        if self._program is None:
            raise BenchFailure(f"{self.name} has not been started")
        return self._program

    def tally(self) -> Tally:
        """Its counters."""
        if self._tally is None:
            raise BenchFailure(f"{self.name} has not been started")
        return self._tally
