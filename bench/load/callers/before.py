"""What a crowd can stand before: nothing, the relay of this repository, or any peer.

Lives here: starting one and saying where it is reached and how a flow is opened there. Must not live here: the peers
themselves (bench.peers), what is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from bench.load.callers.crowd import OPEN_PER_S, Crowd
from bench.load.callers.shape import BOTH, UP, Shape, Target
from bench.load.checks import transceiver_address, write_checks
from bench.load.failure import BenchFailure
from bench.load.relay_candidate import Relay
from bench.load.traffic import CANDIDATE, FIRST_TRANSCEIVER, Traffic
from bench.peers.opening import write_plain_checks
from bench.peers.peer import Opening, Peer, Route
from bench.peers.turn_client import CHANNEL, open_channels

Openings = Callable[[Shape], Path]
"""Writes the datagrams that open flows and says where they lie."""


class Before(Protocol):
    """Something between the two ends of every call."""

    @property
    def name(self) -> str:
        """As the report calls it."""

    def open(self, shape: Shape) -> Target:
        """Starts it with room for these calls."""

    def pids(self) -> list[int]:
        """Its processes; empty where there are none."""

    def close(self) -> None:
        """Ends it. May be called when it has not been started."""


@contextmanager
def crowd_before(before: Before, shape: Shape, open_per_s: int = OPEN_PER_S) -> Iterator[Crowd]:
    """A crowd whose every call is open; whatever happens, nothing of it is left."""
    try:
        with Crowd(shape, before.open(shape)) as crowd:
            crowd.open_all(open_per_s)
            yield crowd
    finally:
        before.close()


class Direct:
    """Nothing in between: what is measured is the generator and the kernel. With `openings` it is asked for answers."""

    name = "direct"

    def __init__(self, openings: Openings | None = None) -> None:
        self._openings = openings

    def open(self, shape: Shape) -> Target:
        """Clients send to the transceivers."""
        ends = tuple((transceiver_address(k), shape.transceiver_port) for k in range(shape.transceivers))
        if self._openings is None:
            return Target(self.name, ends)
        return Target(self.name, ends, openings=self._openings(shape), stages=1)

    def pids(self) -> list[int]:
        """None."""
        return []

    def close(self) -> None:
        """Nothing was started."""


class Fastrelay:
    """The relay, with an empty table: every flow is opened by a real check with a token."""

    name = "fastrelay"

    def __init__(self) -> None:
        self._relay: Relay | None = None

    def open(self, shape: Shape) -> Target:
        """Starts the real loop with room for every flow of the shape."""
        traffic = traffic_of(shape)
        capacity = max(1 << 17, 1 << (2 * traffic.clients - 1).bit_length())
        self._relay = Relay("callers", traffic, NeverFilled(), is_up=True, is_populated=False, capacity=capacity)
        self._relay.start()
        return Target(
            self.name,
            ((CANDIDATE, self._relay.port),),
            trunk=(CANDIDATE, self._relay.trunk_port),
            trunk_key=Relay.trunk_key_file(),
            key_id=Relay.KEY_ID,
            openings=write_checks(traffic, shape.transceiver_port),
            stages=1,
        )

    def pids(self) -> list[int]:
        """The relay's process."""
        return [] if self._relay is None else [self._relay.program().pid]

    def close(self) -> None:
        """Ends the relay."""
        if self._relay is not None:
            self._relay.stop()
            self._relay = None


class PeerBefore:
    """A peer of bench.peers, its flows opened as it wants them; `openings` writes other checks than the usual."""

    def __init__(self, peer: Peer, openings: Openings | None = None) -> None:
        self.name = peer.name
        self._peer, self._openings = peer, openings

    def open(self, shape: Shape) -> Target:
        """Starts the peer. Channels of TURN are opened now, while the clients' addresses are free."""
        clients = max(shape.flows, shape.calls)
        route = Route(clients, (FIRST_TRANSCEIVER, shape.transceiver_port), shape.transceivers)
        opening = self._peer.opening
        self._peer.start(route)
        endpoints = self._peer.client_endpoints()
        if opening is Opening.CHANNEL:
            open_channels(endpoints[0], traffic_of(shape), route)
        return Target(
            self.name,
            tuple(endpoints),
            openings=self._checks(shape, route) if opening is Opening.CHECK else None,
            stages=int(opening is Opening.CHECK),
            channel=CHANNEL if opening is Opening.CHANNEL else 0,
            ways=BOTH if self.is_both_ways else UP,
            is_answered=self.is_both_ways,
            keeps_sockets=self._peer.has_process,
        )

    @property
    def is_both_ways(self) -> bool:
        """Whether every client gets its own packets back. Calls that were announced have one client's address."""
        return self._peer.is_both_ways and self._peer.opening is not Opening.CALL

    def pids(self) -> list[int]:
        """The peer's processes."""
        return self._peer.pids()

    def _checks(self, shape: Shape, route: Route) -> Path:
        return self._openings(shape) if self._openings else write_plain_checks(route, f"callers-{self.name}")

    def close(self) -> None:
        """Ends the peer."""
        self._peer.stop()


class NeverFilled:
    """A candidate that stands before a crowd is not drained."""

    def fill(self, port: int, packets: int) -> int:
        """Nobody asks for this."""
        raise BenchFailure(f"{packets} packets for port {port}: a candidate before a crowd is not drained")

    def stop(self) -> None:
        """Nothing was started."""


def traffic_of(shape: Shape) -> Traffic:
    """The same clients and transceivers, as the drain tests describe them."""
    return Traffic(max(shape.flows, shape.calls), shape.transceivers, seed=shape.seed, client_port=shape.client_port)


def write_tokens(shape: Shape) -> Path:
    """Checks whose ufrag is a route token."""
    return write_checks(traffic_of(shape), shape.transceiver_port)
