"""The relay's end of the trunk: the checks of docs/trunk.md in their order, and what goes up.

Lives here: accepting a datagram from a transceiver, and bundling a batch's frames by transceiver.
Must not live here: the format (wire.trunk), what a frame does to a flow (twin.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastrelay.relay.dataplane.limits import Limits
from fastrelay.relay.dataplane.twin_addresses import Endpoint, Network, canonical_endpoint, is_allowed
from fastrelay.relay.dataplane.twin_peers import Peer, PeerTable
from fastrelay.relay.dataplane.verdict import Verdict
from fastrelay.routing.keys import KeyRing
from fastrelay.wire.trunk import (
    Frame,
    Header,
    Kind,
    Sender,
    TrunkError,
    build_bundle,
    build_hello,
    check_mac,
    fill_bundles,
    parse_bundle,
    parse_header,
    parse_hello,
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A datagram that passed every check. A HELLO has no frames."""

    peer: Peer
    header: Header
    frames: list[Frame]


class TrunkEnd:
    """What one worker knows of its transceivers."""

    def __init__(self, ring: KeyRing, allowed: Sequence[Network], limits: Limits, epoch_us: int) -> None:
        self._ring = ring
        self._allowed = allowed
        self._limits = limits
        self._epoch_us = epoch_us
        self.peers = PeerTable(limits)

    def receive(self, source: Endpoint, datagram: bytes, now_ms: int, unix_s: int) -> Accepted | Verdict:
        """The datagram's frames and whose they are, or the reason to drop it."""
        try:
            header = parse_header(datagram)
            address = canonical_endpoint(source)
            if not is_allowed(address[0], self._allowed):
                return Verdict.TRUNK_SOURCE
            key = self._ring.find(header.key_id)
            if key is None or not key.is_open(unix_s):
                return Verdict.TRUNK_UNKNOWN_KEY
            check_mac(datagram, header, key.trunk_key)
            if header.kind.is_up:
                return Verdict.TRUNK_DIRECTION
            # Only now may the sender take a slot: it has shown that it holds the key.
            peer = self.peers.find(address) or self.peers.find_or_insert(address, now_ms)
            if peer is None:
                return Verdict.TRUNK_PEERS_FULL
            if not peer.accept(header, now_ms, self._limits.peer_forget_ms):
                return Verdict.TRUNK_REPLAYED
            if header.kind.is_hello:
                peer.take_hello(parse_hello(datagram, header), now_ms)
                return Accepted(peer, header, [])
            return Accepted(peer, header, parse_bundle(datagram, header))
        except TrunkError as error:
            return Verdict[error.verdict]

    def bundles(self, batch: UpBatch, unix_s: int) -> list[tuple[Endpoint, bytes]]:
        """The batch's frames, one transceiver and `via` after the other in the order of their first packets."""
        sender = self._sender(unix_s)
        if sender is None:
            return []
        return [
            (peer.address, build_bundle(Kind.BUNDLE_UP, sender, peer.next_sequence(), via, bundle))
            for (peer, via), frames in batch.groups.items()
            for bundle in fill_bundles(frames)
        ]

    def hellos(self, now_us: int, unix_s: int, *, is_draining: bool) -> list[tuple[Endpoint, bytes]]:
        sender = self._sender(unix_s)
        if sender is None:
            return []
        return [
            (peer.address, build_hello(Kind.HELLO_UP, sender, peer.next_sequence(), peer.hello(now_us, is_draining)))
            for peer in self.peers.to_greet(now_us // 1000)
        ]

    def _sender(self, unix_s: int) -> Sender | None:
        """None when no key of the ring opens: nothing can be authenticated, so nothing is sent."""
        key = self._ring.trunk_key(unix_s)
        if key is None:
            return None
        return Sender(key.id, key.trunk_key, self._epoch_us)


class UpBatch:
    """What one receive batch brought, by transceiver and by the local address it came to."""

    def __init__(self) -> None:
        self.groups: dict[tuple[Peer, int], list[Frame]] = {}

    def add(self, peer: Peer, via: int, frame: Frame) -> None:
        self.groups.setdefault((peer, via), []).append(frame)
