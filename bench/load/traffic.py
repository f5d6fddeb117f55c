"""The traffic of a scenario, and the programs that make and swallow it."""

import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.load import build, cpu
from bench.load.candidates import TALLY, Tally
from bench.load.process import Program
from bench.load.sockets import receiver_state

# below the ephemeral range, so that nothing else is given them by chance
CLIENT_PORT = 21400
TRANSCEIVER_PORT = 21500
FIRST_CLIENT = "127.16.0.0"
FIRST_TRANSCEIVER = "127.2.0.1"
CANDIDATE = "127.0.0.1"
# words of sink.c's page behind the tally: unique, duplicates, latest, pause
SINK_WORDS = 4


@dataclass(frozen=True)
class Traffic:
    """Who sends what: every candidate of a scenario gets the same."""

    clients: int
    transceivers: int = 1
    size_from: int = 160
    size_to: int = 160
    seed: int = 1
    train: int = 1
    client_port: int = CLIENT_PORT

    def options(self) -> list[str]:
        """As options of the C programs."""
        return [
            *("--clients", str(self.clients), "--first-client", f"{FIRST_CLIENT}:{self.client_port}"),
            *("--size-from", str(self.size_from), "--size-to", str(self.size_to)),
            *("--seed", str(self.seed), "--train", str(self.train)),
        ]


class UpGenerator:
    """Plays all clients from one socket; with a channel, as clients of a TURN server."""

    def __init__(self, traffic: Traffic, checks: Path | None = None, *, channel: int = 0) -> None:
        command = [str(build.program("generator_up")), *traffic.options()]
        if checks is not None:
            command += ["--checks", str(checks)]
        if channel:
            command += ["--channel", str(channel)]
        self.program = Program(command, cpu.OTHERS_CPU, cpu.NICE_GENERATOR)
        self._port = 0

    def fill(self, port: int, packets: int) -> int:
        """Queues packets at a candidate."""
        return self._send(port, f"fill {packets}")

    def pace(self, port: int, rate: int, packets: int) -> dict[str, object]:
        """Sends at a rate and returns what the generator saw; blocks until done."""
        self._aim(port)
        return self.program.ask(f"pace {rate} {packets}")

    def stop(self) -> None:
        """Ends the generator."""
        self.program.stop()

    def _send(self, port: int, command: str) -> int:
        self._aim(port)
        return int(str(self.program.ask(command)["sent"]))

    def _aim(self, port: int) -> None:
        if port != self._port:
            self.program.ask(f"to {CANDIDATE}:{port}")
            self._port = port


class CheckGenerator(UpGenerator):
    """Plays clients that are new: what it fills a queue with are their first STUN checks."""

    def fill(self, port: int, packets: int) -> int:
        """Queues the checks of the next clients."""
        return self._send(port, f"checks {packets}")


class DownGenerator:
    """Plays one transceiver that sends to all clients."""

    def __init__(self, traffic: Traffic, key_file: Path, key_id: int, via: int = 0) -> None:
        command = [
            *(str(build.program("generator_down")), "--listen", f"{FIRST_TRANSCEIVER}:{TRANSCEIVER_PORT}"),
            *("--key", str(key_file), "--key-id", str(key_id), "--via", str(via), *traffic.options()),
        ]
        self.program = Program(command, cpu.OTHERS_CPU, cpu.NICE_GENERATOR)
        self._port = 0

    def fill(self, port: int, packets: int) -> int:
        """Queues frames at a relay's trunk."""
        if port != self._port:
            self.program.ask(f"to {CANDIDATE}:{port}")
            self._port = port
        return int(str(self.program.ask(f"fill {packets}")["sent"]))

    def stop(self) -> None:
        """Ends the generator."""
        self.program.stop()


class Sink:
    """A wildcard port that plays every transceiver (bundles) or every client (packets), counting or dropping.

    `is_one_transceiver`: it plays that one alone, and refuses bundles that its replay window would.
    """

    def __init__(self, port: int, numbers: int = 0, *, is_one_transceiver: bool = False) -> None:
        self._tally = Tally(build.OUT / f"sink-{port}.tally", SINK_WORDS * 8 + numbers // 8 + 1)
        command = [
            *(str(build.program("sink")), "--listen", f"0.0.0.0:{port}"),
            *("--tally", str(self._tally.path), "--numbers", str(numbers)),
            *("--one-transceiver", str(int(is_one_transceiver))),
        ]
        self._program = Program(command, cpu.OTHERS_CPU, cpu.NICE_RECEIVER)

    def port(self) -> int:
        """The port every address of this machine is reached at."""
        return self._program.port()

    def drop(self) -> None:
        """From now on the kernel drops what arrives, at next to no cost."""
        self._program.ask("drop")

    def count(self) -> None:
        """From now on everything is received and counted."""
        self._program.ask("count")

    def counted(self) -> int:
        """Packets received so far while counting."""
        return self._tally.read()[0]

    def refused(self) -> int:
        """Bundles that a transceiver would not have taken."""
        return self._tally.read()[4]

    def lost(self) -> int:
        """Packets dropped for want of buffer, and, while dropping, all of them."""
        return receiver_state("0.0.0.0", self.port()).drops

    def seen(self) -> "Seen":
        """What the stamps of the packets said."""
        return Seen(*struct.unpack_from(f"={SINK_WORDS}Q", self._tally.memory, TALLY.size))

    def stop(self) -> None:
        """Ends the sink."""
        self._program.stop()
        self._tally.close()


def wait_for_count(sink: Sink, target: int, timeout_s: float = 5.0) -> int:
    """Waits until the sink has counted that many packets or the time is over; returns what it has counted."""
    deadline = time.monotonic() + timeout_s
    while sink.counted() < target and time.monotonic() < deadline:
        time.sleep(0.001)
    return sink.counted()


@dataclass(frozen=True)
class Seen:
    """Stamped packets at their receiver."""

    unique: int
    duplicates: int
    latest_ns: int
    pause_ns: int


def percentile(counts: Sequence[int], share: float) -> int:
    """The index of the bucket in which this share of all counts is reached."""
    wanted, passed = share * sum(counts), 0
    for index, count in enumerate(counts):
        passed += count
        if passed >= wanted:
            return index
    return len(counts) - 1
