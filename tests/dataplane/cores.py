"""The two implementations of the packet decision behind one face, so that every test runs over both.

Lives here: how each is made and how its answers are brought to one form. Verdicts are names; trunk datagrams are read
and their padding left behind, because padding is the sender's affair.
Must not live here: expectations.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fastrelay._ext.relay_core import RelayCore, flow_page_bytes
from fastrelay.relay.dataplane.limits import Limits
from fastrelay.relay.dataplane.twin import EVENTS, Counters, RelayTwin
from fastrelay.relay.dataplane.twin_addresses import Endpoint, Network, canonical_ip
from fastrelay.relay.dataplane.twin_flows import FlowRecord
from fastrelay.relay.dataplane.verdict import Verdict
from fastrelay.routing.keys import KeyRing
from fastrelay.wire.trunk import (
    Client,
    Frame,
    Header,
    Hello,
    check_mac,
    parse_bundle,
    parse_header,
    parse_hello,
    without_padding,
)
from tests.dataplane import packets


@dataclass(frozen=True, slots=True)
class Setup:
    """What a relay is started with."""

    limits: Limits = packets.LIMITS
    ring: KeyRing = packets.RING
    allowed: Sequence[Network] = tuple(packets.ALLOWED)
    cluster: int = packets.CLUSTER
    locals_: Sequence[Endpoint] = tuple(packets.LOCALS)
    epoch_us: int = packets.EPOCH_US
    hash_key: bytes | None = None
    leaving: Sequence[int] = ()


class Bundle(NamedTuple):
    """Frames that left for a transceiver in one datagram."""

    to: Endpoint
    via: int
    frames: list[Frame]


class Upward(NamedTuple):
    verdicts: list[str]
    datagrams: list[tuple[Endpoint, bytes]]


class Sent(NamedTuple):
    """A payload that left for a client."""

    client: Client
    via: int
    payload: bytes


class Downward(NamedTuple):
    """What is sent is listed by local address, because each has a queue of its own; order counts within one."""

    verdicts: list[str]
    frame_verdicts: list[str]
    sent: list[Sent]


class Core:
    """A relay's decision under test."""

    def __init__(self, relay: Any, shown: object = None) -> None:
        """`shown` is what a sibling gets to see of it."""
        self._relay = relay
        self._shown = shown

    def up(
        self, arrivals: Sequence[tuple[bytes, Client, int]], now_ms: int = packets.NOW_MS, unix_s: int = packets.UNIX_S
    ) -> Upward:
        batch = [(packet, tuple(client), via) for packet, client, via in arrivals]
        verdicts, datagrams = self._relay.handle_up(batch, now_ms, unix_s)
        return Upward(
            [Verdict(verdict).name for verdict in verdicts],
            [(endpoint_of(to), without_padding(bytes(datagram))) for to, datagram in datagrams],
        )

    def down(
        self,
        datagrams: Sequence[tuple[Endpoint, bytes]],
        now_ms: int = packets.NOW_MS,
        unix_s: int = packets.UNIX_S,
    ) -> Downward:
        verdicts, frame_verdicts, sent = self._relay.handle_down(list(datagrams), now_ms, unix_s)
        return Downward(
            [Verdict(verdict).name for verdict in verdicts],
            [Verdict(verdict).name for verdict in frame_verdicts],
            sorted((Sent(client_of(client), via, bytes(payload)) for client, via, payload in sent), key=local_address),
        )

    def sweep(self, now_ms: int) -> None:
        self._relay.sweep(now_ms)

    def set_siblings(self, siblings: Sequence[Core]) -> None:
        self._relay.set_siblings([sibling._shown for sibling in siblings])

    def set_draining(self, is_draining: bool) -> None:
        self._relay.set_draining(is_draining)

    def hello(self, now_ms: int, unix_s: int = packets.UNIX_S) -> list[tuple[Endpoint, bytes]]:
        return sorted((endpoint_of(to), bytes(datagram)) for to, datagram in self._relay.hello(now_ms * 1000, unix_s))

    def flows(self) -> list[FlowRecord]:
        return sorted(
            FlowRecord(client_of(record[0]), record[1], endpoint_of(record[2]), *record[3:])
            for record in self._relay.flows()
        )

    def counters(self) -> Counters:
        """Counts above 0 only; of the events, those that tell of flows."""
        packets_by_verdict, bytes_by_verdict, events = self._relay.counters()
        return Counters(
            {name: count for name, count in packets_by_verdict.items() if count},
            {name: count for name, count in bytes_by_verdict.items() if count},
            {name: events[name] for name in EVENTS if events[name]},
        )

    def bundles(self, upward: Upward) -> list[Bundle]:
        """What left, read as a transceiver would: a datagram that is not sound fails here."""
        bundles = []
        for to, datagram in upward.datagrams:
            header = opened(datagram)
            bundles.append(Bundle(to, header.via, parse_bundle(datagram, header)))
        return bundles


def client_of(shown: tuple[str, int, int]) -> Client:
    return Client(canonical_ip(shown[0]), shown[1], shown[2])


def endpoint_of(shown: tuple[str, int]) -> Endpoint:
    return canonical_ip(shown[0]), shown[1]


def local_address(sent: Sent) -> int:
    return sent.via


def opened(datagram: bytes) -> Header:
    header = parse_header(datagram)
    key = packets.RING.find(header.key_id)
    assert key is not None
    check_mac(datagram, header, key.trunk_key)
    return header


def hello_of(datagram: bytes) -> Hello:
    return parse_hello(datagram, opened(datagram))


def make_twin(setup: Setup) -> Core:
    relay = RelayTwin(
        setup.ring.entries(),
        setup.allowed,
        setup.cluster,
        setup.locals_,
        setup.limits,
        setup.epoch_us,
        hash_key=setup.hash_key,
        leaving=setup.leaving,
    )
    return Core(relay, relay)


def make_compiled(setup: Setup) -> Core:
    page = mmap.mmap(-1, flow_page_bytes(setup.limits.flows))
    relay = RelayCore(
        setup.ring.entries(),
        setup.allowed,
        setup.cluster,
        setup.locals_,
        setup.limits,
        setup.epoch_us,
        flow_page=page,
        hash_key=setup.hash_key,
        leaving=setup.leaving,
    )
    return Core(relay, page)


MAKERS: dict[str, Callable[[Setup], Core]] = {"twin": make_twin, "compiled": make_compiled}
