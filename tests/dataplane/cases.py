"""The words of the data-plane case table: steps, what is left, and short forms of the commonest steps.

Lives here: how a case is written. Must not live here: cases (cases_flows, cases_limits), how one is run (test_cases).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from fastrelay.relay.dataplane.limits import Limits
from fastrelay.wire.trunk import Client, Frame
from tests.dataplane.cores import Bundle, Sent
from tests.dataplane.packets import DTLS, LIMITS, T1, T2, check, down, ticket

Endpoint = tuple[str, int]


class From(NamedTuple):
    """A client datagram on its way in."""

    client: Client
    packet: bytes
    via: int = 0


@dataclass(frozen=True, slots=True)
class Up:
    """One receive batch of client datagrams."""

    packets: list[From]
    verdicts: list[str]
    sent: list[Bundle] = field(default_factory=list)
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Down:
    """Datagrams from transceivers, received together."""

    datagrams: list[tuple[Endpoint, bytes]]
    verdicts: list[str]
    frames: list[str] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Sweep:
    at_ms: int


class Left(NamedTuple):
    """A flow at the end of a case."""

    client: Client
    peer: Endpoint
    is_confirmed: bool
    packets_up: int
    packets_down: int
    via: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    steps: list[Up | Down | Sweep]
    flows: list[Left]
    events: dict[str, int]
    limits: Limits = LIMITS


ALICE_TICKET = ticket(1, T1)
ALICE_RELOADED = ticket(2, T2)
BOB_TICKET = ticket(3, T1)
HELLO_ALICE = check(ALICE_TICKET)
HELLO_BOB = check(BOB_TICKET)


def admitted(client: Client, packet: bytes, to: Endpoint, at_ms: int = 0, via: int = 0) -> Up:
    """One check that makes a flow."""
    return Up([From(client, packet, via)], ["UP_ADMITTED"], [bundle(to, Frame(client, packet), via=via)], at_ms)


def refused(client: Client, packet: bytes, verdict: str, at_ms: int = 0) -> Up:
    return Up([From(client, packet)], [verdict], at_ms=at_ms)


def bundle(to: Endpoint, *frames: Frame, via: int = 0) -> Bundle:
    return Bundle(to, via, list(frames))


def answered(client: Client, sequence: int, verdict: str, at_ms: int = 0, by: Endpoint = T1, via: int = 0) -> Down:
    """One DTLS packet back."""
    datagram = down(Frame(client, DTLS), sequence=sequence)
    return Down([(by, datagram)], ["TRUNK_BUNDLE"], [verdict], [Sent(client, via, DTLS)], at_ms)


def dropped(frame: Frame, verdict: str, sequence: int = 1, at_ms: int = 0, by: Endpoint = T1) -> Down:
    """One frame down that reaches nobody."""
    return Down([(by, down(frame, sequence=sequence))], ["TRUNK_BUNDLE"], [verdict], at_ms=at_ms)


CREATED = {"flows_created": 1}
CONFIRMED = {"flows_created": 1, "flows_confirmed": 1}
