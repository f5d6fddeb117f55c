"""Any peer as a candidate of the drain test: its queue is a socket, what it has handled is what has arrived.

A relay of others has no counters that the harness could read. So packets are counted where they end: at a receiver that
counts, or whose filter lets the kernel drop and count them.

Lives here: filling, accounting, opening of paths, up and down. Must not live here: what a drain is
(bench/load/drain.py), which relays there are (catalogue.py).
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from bench.load import build, cpu
from bench.load.failure import BenchFailure
from bench.load.process import Program
from bench.load.sockets import receiver_state
from bench.load.traffic import CLIENT_PORT, Sink, Traffic, UpGenerator
from bench.peers.opening import write_plain_checks
from bench.peers.peer import Endpoint, NotRun, Opening, Peer, Route
from bench.peers.sockets import Drops
from bench.peers.turn_client import CHANNEL, open_channels

# paths opened before the next are begun: a relay that opens sockets takes its time over each
OPENING_BATCH = 128
OPENING_TIMEOUT_S = 10.0
POLL_S = 0.001
CHANNEL_CLIENT_PORT = CLIENT_PORT + 1


class PeerGenerator(UpGenerator):
    """Plays all clients towards a peer: their first packets, then media."""

    def __init__(self, traffic: Traffic, checks: Path, *, has_channels: bool = False) -> None:
        super().__init__(traffic, checks, channel=CHANNEL if has_channels else 0)

    def open(self, port: int, clients: int) -> int:
        """Sends the checks of the next clients."""
        return self._send(port, f"checks {clients}")


class BackGenerator:
    """Plays the transceiver of one peer: it answers to wherever its clients' first packets came from."""

    def __init__(self, traffic: Traffic, endpoint: Endpoint) -> None:
        listen = ["--listen", f"{endpoint[0]}:{endpoint[1]}"]
        command = [str(build.program("generator_back")), *listen, *traffic.options()]
        self.program = Program(command, cpu.OTHERS_CPU, cpu.NICE_GENERATOR)

    def fill(self, port: int, packets: int) -> int:
        """Sends to all clients in turn; the port is that of each one's own upstream socket."""
        return int(str(self.program.ask(f"fill {packets}")["sent"]))

    def stop(self) -> None:
        """Ends the generator."""
        self.program.stop()


class PeerCandidate:
    """A running peer, its paths open, between a generator and a receiver."""

    def __init__(self, peer: Peer, fill: Callable[[int, int], int], arrived: Callable[[], int]) -> None:
        self.name = peer.name
        self._peer = peer
        self._fill = fill
        self._arrived = arrived
        self._drops = Drops()
        self._next_endpoint = 0
        # candidates share a receiver and take turns: what arrives while this one runs is its own
        self._handled = 0
        self._arrived_before: int | None = None

    def start(self) -> None:
        """Nothing: it runs already, since clients had to be there before it could be filled."""

    def pause(self) -> None:
        """Stops all its processes, and claims what has arrived."""
        self._peer.pause()
        self._handled, self._arrived_before = self.handled(), None

    def resume(self) -> None:
        """Lets it work."""
        if self._arrived_before is None:
            self._arrived_before = self._arrived()
        self._peer.resume()

    def fill(self, packets: int) -> int:
        """Queues packets. Clients take turns at the generator, so their own addresses do here: each has one client."""
        endpoints = self._peer.client_endpoints()
        if len(endpoints) == 1:
            return self._fill(endpoints[0][1], packets)
        first, self._next_endpoint = self._next_endpoint, (self._next_endpoint + packets) % len(endpoints)
        return sum(self._fill(endpoints[number % len(endpoints)][1], 1) for number in range(first, first + packets))

    def handled(self) -> int:
        """Packets of this candidate that have reached the receiver."""
        return self._handled + (0 if self._arrived_before is None else self._arrived() - self._arrived_before)

    def is_idle(self) -> bool:
        """Whether every thread sleeps."""
        return self._peer.is_idle()

    def lost(self) -> int:
        """Dropped by the kernel at any socket of its processes."""
        return self._drops.of(self._peer.pids())

    def cpu_ns(self) -> int:
        """CPU time of all its processes."""
        return self._peer.cpu_ns()

    def stop(self) -> None:
        """Ends it."""
        self._peer.stop()


def arrivals(sink: Sink) -> Callable[[], int]:
    """What has reached a receiver: received and counted, or dropped and counted by the kernel."""
    return lambda: sink.counted() + sink.lost()


def begin(peer: Peer, traffic: Traffic, route: Route) -> None:
    """Starts a peer, and does what its clients do from their own addresses before a generator takes those."""
    if not peer.has_process:
        raise NotRun("no process that could be drained: what it costs, its sender pays (bench/peers/reference.py)")
    peer.start(route)
    if peer.opening is Opening.CHANNEL:
        open_channels(peer.client_endpoints()[0], of_channels(traffic), route)


def open_generator(stack: ExitStack, name: str, traffic: Traffic, route: Route, *, has_channels: bool) -> PeerGenerator:
    """The clients of one peer, or of all that want the same of them, until the stack ends."""
    checks = write_plain_checks(route, name)
    stack.callback(checks.unlink)
    generator = PeerGenerator(of_channels(traffic) if has_channels else traffic, checks, has_channels=has_channels)
    stack.callback(generator.stop)
    return generator


def of_channels(traffic: Traffic) -> Traffic:
    """Clients that speak TURN are others than those that do not: one socket cannot play both."""
    return replace(traffic, client_port=CHANNEL_CLIENT_PORT)


def open_paths(peer: Peer, traffic: Traffic, generator: PeerGenerator) -> None:
    """Sends what opens a path for every client, and waits until the peer has dealt with it.

    That all of it has arrived is for a drain to see: a client without a path is a packet that does not come.
    """
    endpoints = peer.client_endpoints()
    if peer.opening is Opening.CALL:
        for _, port in endpoints:
            generator.fill(port, 1)
        wait_until_done(peer, endpoints[-1])
        return
    opened = 0
    port = endpoints[0][1]
    send = generator.open if peer.opening is Opening.CHECK else generator.fill
    while opened < traffic.clients:
        opened += send(port, min(OPENING_BATCH, traffic.clients - opened))
        wait_until_done(peer, endpoints[0])


def wait_until_done(peer: Peer, endpoint: Endpoint) -> None:
    """Returns when nothing waits in the clients' socket and every thread sleeps."""
    deadline = time.monotonic() + OPENING_TIMEOUT_S
    while receiver_state(*endpoint).waiting_bytes or not peer.is_idle():
        if time.monotonic() > deadline:
            raise BenchFailure(f"{peer.name} is still busy with the first packets of its clients")
        time.sleep(POLL_S)
