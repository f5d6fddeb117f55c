"""The transceivers a twin speaks to: their numbering, replay windows and HELLOs.

Lives here: the peer table, who may give up a slot, and when a HELLO is due.
Must not live here: flows (they only count here), the MAC, which networks are allowed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fastrelay.relay.dataplane.limits import Limits
from fastrelay.relay.dataplane.twin_addresses import Endpoint
from fastrelay.wire.replay import ReplayWindow
from fastrelay.wire.trunk import Header, Hello


@dataclass(slots=True, eq=False)
class Peer:
    """One transceiver address."""

    address: Endpoint
    used_ms: int
    """When a datagram of it was last accepted or a flow was last pointed at it."""
    hello_due_ms: int
    flows: int = 0
    sequence: int = 0
    window: ReplayWindow = field(default_factory=ReplayWindow)
    hello_sent_at_us: int = 0
    """`sent at` of its last HELLO; 0 before the first."""
    hello_arrived_us: int = 0

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    def accept(self, header: Header, now_ms: int, forget_ms: int) -> bool:
        """Step 7 of the trunk's checks."""
        if not self.window.accept(header.epoch_us, header.sequence, now_ms, forget_ms):
            return False
        self.used_ms = now_ms
        return True

    def take_hello(self, hello: Hello, now_ms: int) -> None:
        self.hello_sent_at_us = hello.sent_at_us
        self.hello_arrived_us = now_ms * 1000

    def hello(self, now_us: int, is_draining: bool) -> Hello:
        echo_delay_us = now_us - self.hello_arrived_us if self.hello_sent_at_us else 0
        window = self.window
        return Hello(now_us, self.hello_sent_at_us, echo_delay_us, is_draining, window.received, window.lost)


class PeerTable:
    """At most `limits.peers` transceivers."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._slots: list[Peer] = []

    def find(self, address: Endpoint) -> Peer | None:
        return next((peer for peer in self._slots if peer.address == address), None)

    def find_or_insert(self, address: Endpoint, now_ms: int) -> Peer | None:
        """None when the table is full of peers that have flows or were used of late."""
        peer = self.find(address)
        if peer is not None:
            peer.used_ms = now_ms
            return peer
        peer = Peer(address, used_ms=now_ms, hello_due_ms=now_ms)
        if len(self._slots) < self._limits.peers:
            self._slots.append(peer)
            return peer
        slot = self._longest_unused_slot(now_ms)
        if slot is None:
            return None
        self._slots[slot] = peer
        return peer

    def to_greet(self, now_ms: int) -> list[Peer]:
        """The peers whose HELLO is due; each counts as greeted now. Who has flows is sent to, so is greeted too."""
        due = [
            peer
            for peer in self._slots
            if now_ms >= peer.hello_due_ms and (peer.flows or not self._is_forgotten(peer, now_ms))
        ]
        for peer in due:
            peer.hello_due_ms = now_ms + self._limits.hello_every_ms
        return due

    def _is_forgotten(self, peer: Peer, now_ms: int) -> bool:
        return now_ms - peer.used_ms >= self._limits.peer_forget_ms

    def _longest_unused_slot(self, now_ms: int) -> int | None:
        unused = [slot for slot, peer in enumerate(self._slots) if not peer.flows and self._is_forgotten(peer, now_ms)]
        return min(unused, key=lambda slot: self._slots[slot].used_ms, default=None)
