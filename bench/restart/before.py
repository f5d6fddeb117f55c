"""What the calls of these measurements stand before: a supervised relay, a peer, hosts of which one is lost.

Lives here: starting them, and where calls find them. Must not live here: what happens to them (scenarios).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bench.load.build import OUT
from bench.load.callers.before import PeerBefore
from bench.load.callers.shape import Shape, Target
from bench.load.failure import BenchFailure
from bench.load.relay_candidate import Relay
from bench.peers.opening import write_plain_checks
from bench.peers.peer import Peer, Route
from bench.restart.network import Host, have_addresses
from bench.restart.relay import Setup, SupervisedRelay
from bench.restart.trial import Callers
from fastrelay.routing.keys import Key, KeyRing
from fastrelay.routing.token import mint_token
from fastrelay.wire.stun import build_check

FOLDER: Final = OUT / "restart"
CLIENTS: Final = "10.16.0.0"
TRANSCEIVER: Final = "10.17.0.1"
TRANSCEIVER_NETWORK: Final = "10.17.0.0/24"
SESSION_FLOWS: Final = 64
"""Room for a call's clients of all rounds: their addresses are new each time."""
NEVER_FROM_THE_TRUNK: Final = {"recreations_per_s": 1, "recreations_burst": 1}
"""As near to never as an operator can set it: one flow a second comes back so."""


@dataclass(frozen=True)
class Supervised:
    """Calls, and the relay they stand before."""

    callers: Callers
    relay: SupervisedRelay


@contextmanager
def supervised(name: str, shape: Shape, setup: Setup) -> Iterator[Supervised]:
    """A relay under its supervisor, and calls that stand."""
    limits = {"session_flows": SESSION_FLOWS, **setup.limits}
    with ExitStack() as stack:
        relay = stack.enter_context(SupervisedRelay(FOLDER / name, replace(setup, limits=limits)))
        yield Supervised(stack.enter_context(Callers(shape, target_of(name, shape, setup))), relay)


def target_of(name: str, shape: Shape, setup: Setup) -> Target:
    """How calls reach such a relay, whose sockets go with it when it is killed or lost."""
    return Target(
        name,
        ((setup.listen, setup.port),),
        trunk=(setup.trunk, setup.trunk_port),
        trunk_key=Relay.trunk_key_file(),
        key_id=Relay.KEY_ID,
        openings=write_openings(FOLDER / f"{name}.checks", shape),
        stages=1,
        keeps_sockets=False,
    )


def write_openings(path: Path, shape: Shape) -> Path:
    """The check of each call: every call is a session of its own, as real ones are."""
    ring = KeyRing((Key(Relay.KEY_ID, Relay.SECRET, 0),))
    content = b""
    for _ in range(shape.calls):
        minted = mint_token(ring, to=(shape.first_transceiver, shape.transceiver_port), now_s=time.time())
        check = build_check(f"{minted.ufrag}:client", minted.password)
        content += len(check).to_bytes(2, "big") + check
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@dataclass(frozen=True)
class RestartedPeer:
    """Calls before a peer that is killed and started again where it was."""

    callers: Callers
    peer: Peer
    before: PeerBefore
    shape: Shape

    def kill_start(self) -> None:
        """kill -9, and at once another."""
        endpoints = self.peer.client_endpoints()
        for pid in self.peer.pids():
            os.kill(pid, signal.SIGKILL)
        self.before.close()
        self.before.open(self.shape)
        if self.peer.client_endpoints() != endpoints:
            raise BenchFailure(f"{self.peer.name} came back elsewhere: {endpoints}")


def plain_checks(shape: Shape) -> Path:
    """A peer reads the transceiver's address in the plain."""
    return write_plain_checks(Route(shape.calls, (shape.first_transceiver, shape.transceiver_port)), "restart")


@contextmanager
def restarted_peer(peer: Peer, shape: Shape) -> Iterator[RestartedPeer]:
    """The peer, and calls that stand."""
    before = PeerBefore(peer, openings=plain_checks)
    try:
        with Callers(shape, replace(before.open(shape), keeps_sockets=False)) as callers:
            yield RestartedPeer(callers, peer, before, shape)
    finally:
        before.close()


@dataclass(frozen=True)
class Hosts:
    """Relays on hosts that share one address for clients; the first of them has the calls."""

    callers: Callers
    first: Host
    second: Host | None
    relays: tuple[SupervisedRelay, ...]

    def refused(self) -> int:
        """By all relays."""
        return sum(relay.refused() for relay in self.relays)

    def lose_first(self) -> None:
        """The first host is gone; where there is a second one, packets reach it from the next one on."""
        # order matters: a busy machine may hold us up in between, and that would be silence of our own making
        if self.second is not None:
            self.second.attract()
        self.first.lose()

    def begin_again(self) -> None:
        """The first host has come back, and has calls that the second one has never seen."""
        self.first.restore()
        self.first.attract()
        self.callers.renew()


@contextmanager
def hosts(name: str, shape: Shape, anycast: str, numbers: tuple[int, ...]) -> Iterator[Hosts]:
    """One host, or two, each with its relay, and calls that stand at the first."""
    with ExitStack() as stack:
        machines = [stack.enter_context(Host(number, anycast)) for number in numbers]
        relays = [
            stack.enter_context(SupervisedRelay(FOLDER / f"{name}-{number}", at(host, anycast)))
            for number, host in zip(numbers, machines, strict=True)
        ]
        first, second = machines[0], machines[1] if len(machines) > 1 else None
        first.attract()
        callers = stack.enter_context(Callers(shape, target_of(name, shape, at(first, anycast))))
        yield Hosts(callers, first, second, tuple(relays))


def at(host: Host, anycast: str) -> Setup:
    """A relay of that host."""
    limits = {"session_flows": SESSION_FLOWS}
    allow = (TRANSCEIVER_NETWORK,)
    return Setup(listen=anycast, trunk=host.address, allow=allow, limits=limits, within=host.within)


def prepare_addresses() -> None:
    """Clients and transceivers of the hosts' calls are ours; loopback addresses never leave a machine."""
    have_addresses("10.16.0.0/16")
    have_addresses(TRANSCEIVER_NETWORK)
