"""The flow table of the twin: client address to transceiver.

Lives here: a flow's states, the order of eviction, expiry, and how many flows a session holds.
Must not live here: whether a packet may make, move or confirm a flow (twin.py), memory layout (ext/flow).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from fastrelay.relay.dataplane.twin_addresses import Endpoint
from fastrelay.relay.dataplane.twin_peers import Peer
from fastrelay.wire.trunk import Client

NO_SESSION = bytes(8)
"""A flow made again from the trunk: its session is known to the transceiver only."""

BYTES_UP_MAX = 0xFFFF_FFFF


@dataclass(slots=True, eq=False)
class Flow:
    """A client address and where its packets go."""

    client: Client
    via: int
    peer: Peer
    session_id: bytes
    token: bytes | None
    """The text the flow was admitted with; None when it was made again from the trunk."""
    is_confirmed: bool
    last_seen_ms: int
    """When the client last sent; at first, when the flow was made."""
    packets_up: int = 0
    packets_down: int = 0
    bytes_up: int = 0

    def heard(self, via: int, length: int, now_ms: int) -> None:
        self.via = via
        self.last_seen_ms = now_ms
        self.packets_up += 1
        self.bytes_up = (self.bytes_up + length) & BYTES_UP_MAX


class FlowRecord(NamedTuple):
    """A flow as `flows()` shows it."""

    client: Client
    via: int
    peer: Endpoint
    session_id: bytes
    is_confirmed: bool
    last_seen_ms: int
    packets_up: int
    packets_down: int
    bytes_up: int


class FlowTable:
    """At most `capacity` flows. A confirmed one leaves by CLOSE or silence only."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._flows: dict[Client, Flow] = {}
        self._unconfirmed: dict[Client, Flow] = {}  # in the order they were made
        self._sessions: Counter[bytes] = Counter()

    def find(self, client: Client) -> Flow | None:
        return self._flows.get(client)

    def session_flows(self, session_id: bytes) -> int:
        """How many flows the session holds; those made again from the trunk count for none."""
        return self._sessions[session_id]

    def has_room(self) -> bool:
        return len(self._flows) < self._capacity

    def can_evict(self) -> bool:
        return bool(self._unconfirmed)

    def insert(self, flow: Flow) -> None:
        self._flows[flow.client] = flow
        if not flow.is_confirmed:
            self._unconfirmed[flow.client] = flow
        self._attach(flow)

    def evict_oldest_unconfirmed(self) -> None:
        self.remove(next(iter(self._unconfirmed.values())))

    def remove(self, flow: Flow) -> None:
        del self._flows[flow.client]
        self._unconfirmed.pop(flow.client, None)
        self._detach(flow)

    def confirm(self, flow: Flow) -> None:
        flow.is_confirmed = True
        del self._unconfirmed[flow.client]

    def repoint(self, flow: Flow, peer: Peer, session_id: bytes, token: bytes) -> None:
        """Neither its state nor its place in the order of eviction changes."""
        self._detach(flow)
        flow.peer, flow.session_id, flow.token = peer, session_id, token
        self._attach(flow)

    def expired(self, now_ms: int, unconfirmed_after_ms: int, idle_after_ms: int) -> list[Flow]:
        return [
            flow
            for flow in self._flows.values()
            if now_ms - flow.last_seen_ms > (idle_after_ms if flow.is_confirmed else unconfirmed_after_ms)
        ]

    def records(self) -> list[FlowRecord]:
        return sorted(
            FlowRecord(
                flow.client,
                flow.via,
                flow.peer.address,
                flow.session_id,
                flow.is_confirmed,
                flow.last_seen_ms,
                flow.packets_up,
                flow.packets_down,
                flow.bytes_up,
            )
            for flow in self._flows.values()
        )

    def _attach(self, flow: Flow) -> None:
        flow.peer.flows += 1
        if flow.session_id != NO_SESSION:
            self._sessions[flow.session_id] += 1

    def _detach(self, flow: Flow) -> None:
        flow.peer.flows -= 1
        if flow.session_id != NO_SESSION:
            self._sessions[flow.session_id] -= 1
