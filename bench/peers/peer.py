"""What the harness asks of a relay, whoever wrote it.

Lives here: the interface, what a route is, why a relay is not run. Must not live here: any single relay, how a drain is
done (bench/load/drain.py), how a relay becomes a candidate of it (candidate.py).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum

from bench.load import cpu
from bench.load.failure import BenchFailure
from bench.load.traffic import CANDIDATE, FIRST_TRANSCEIVER, TRANSCEIVER_PORT

Endpoint = tuple[str, int]
# what a peer is told to ask of the kernel: it holds the longest queue of a drain. fastrelay and the floors ask for
# more, as they do elsewhere; that makes no drained packet cheaper, since whoever drops one has failed
BUFFER_BYTES = 4 * 1024 * 1024


class NotRun(BenchFailure):
    """This machine cannot run the relay; the message is what the report says beside its name."""


class Opening(StrEnum):
    """What a client sends first, without which the relay has no path for it."""

    PACKET = "packet"  # anything will do
    CHECK = "check"  # a STUN check whose ufrag names the transceiver
    CHANNEL = "channel"  # a TURN allocation and a bound channel; what follows is ChannelData
    CALL = "call"  # a call announced by signalling, with a port of its own


@dataclass(frozen=True)
class Route:
    """Where a relay sends what comes in, and how many clients it has to have room for."""

    clients: int
    transceiver: Endpoint = (FIRST_TRANSCEIVER, TRANSCEIVER_PORT)
    transceivers: int = 1
    listen: str = CANDIDATE


class Peer(ABC):
    """One relay. Its CPU is that of its processes; what it loses is what the kernel drops at its sockets."""

    name: str
    what: str
    # what a reader has to know of how it took part
    note: str = ""
    opening: Opening = Opening.PACKET
    # whether an answer to the address that the transceiver saw reaches the client
    is_both_ways: bool = True
    # without one there is nothing to pause, and no CPU time of its own
    has_process: bool = True
    # what it queues at most, where its author has set the socket's buffer and no option changes that
    queue_packets: int | None = None
    # flows it has room for, where that is fewer than a benchmark wants
    flows_max: int | None = None
    # transceivers it can choose among
    transceivers_max: int | None = None

    @abstractmethod
    def prepare(self) -> str:
        """Builds or installs what is missing and returns the version; NotRun with the reason where that fails."""

    @abstractmethod
    def start(self, route: Route) -> None:
        """Starts it, bound and ready."""

    @abstractmethod
    def stop(self) -> None:
        """Ends it; nothing of it is left. May be called when it has not been started."""

    @abstractmethod
    def client_endpoints(self) -> list[Endpoint]:
        """Where clients send: one address but for relays with a port for each call."""

    @abstractmethod
    def pids(self) -> list[int]:
        """Its processes; empty for what runs in the kernel or not at all."""

    def pause(self) -> None:
        """Stops every process by SIGSTOP and waits until no thread runs."""
        for pid in self.pids():
            cpu.pause(pid)

    def resume(self) -> None:
        """Lets them go on by SIGCONT."""
        for pid in self.pids():
            cpu.resume(pid)

    def cpu_ns(self) -> int:
        """CPU time of all threads of all processes."""
        return sum(cpu.cpu_ns(pid) for pid in self.pids())

    def is_idle(self) -> bool:
        """Whether every thread sleeps."""
        return all(cpu.is_idle(pid) for pid in self.pids())
