"""The relay's packet decision, readable: what ext/relay_loop decides, in the same order and with the same verdicts.

Lives here: what happens to each client datagram on its way up and to each frame on its way down.
Must not live here: sockets, the clock (times are arguments), speed. Padding is left out: it is the sender's affair.

Read handle_up and handle_down first; the parts they rest on are twin_admission, twin_flows, twin_peers,
twin_siblings and twin_trunk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from typing import NamedTuple

from fastrelay.relay.dataplane.limits import Limits
from fastrelay.relay.dataplane.twin_addresses import (
    Endpoint,
    Network,
    canonical_client,
    canonical_endpoint,
    is_allowed,
    is_ipv4,
    is_sendable,
)
from fastrelay.relay.dataplane.twin_admission import Admission
from fastrelay.relay.dataplane.twin_budgets import Budget
from fastrelay.relay.dataplane.twin_flows import NO_SESSION, Flow, FlowRecord, FlowTable
from fastrelay.relay.dataplane.twin_peers import Peer
from fastrelay.relay.dataplane.twin_siblings import Sibling, Siblings
from fastrelay.relay.dataplane.twin_trunk import Accepted, TrunkEnd, UpBatch
from fastrelay.relay.dataplane.verdict import Verdict
from fastrelay.routing.keys import Key, KeyRing
from fastrelay.routing.token import RouteToken
from fastrelay.wire.demux import PacketClass, classify
from fastrelay.wire.stun import Check, parse_check
from fastrelay.wire.trunk import PAYLOAD_MAX, Client, Frame

Source = tuple[str, int, int]
"""A client's IP address as text, its port, and the scope of a link-local IPv6 address or 0."""

LENGTH_CUT = PAYLOAD_MAX + 1
"""How long an oversize datagram counts as: the loop receives no more of it."""

EVENTS = (
    "flows_created",
    "flows_confirmed",
    "flows_repointed",
    "flows_recreated",
    "flows_adopted",
    "flows_closed",
    "flows_expired_unconfirmed",
    "flows_expired_idle",
    "flows_evicted",
    "sibling_lookups_refused",
)

_UP_BY_CLASS = {
    PacketClass.STUN: Verdict.UP_STUN,
    PacketClass.DTLS: Verdict.UP_DTLS,
    PacketClass.SRTP: Verdict.UP_SRTP,
    PacketClass.SRTCP: Verdict.UP_SRTCP,
}


class Counters(NamedTuple):
    """How often each verdict fell, over how many bytes, and what became of flows. Every name is there, at 0 too."""

    packets: dict[str, int]
    bytes: dict[str, int]
    events: dict[str, int]


class Arrival(NamedTuple):
    """A client datagram that passed the tests of shape."""

    packet: bytes
    client: Client
    via: int
    packet_class: PacketClass


class Down(NamedTuple):
    """A payload to send to a client from the local address `via`."""

    client: Client
    via: int
    payload: bytes


class RelayTwin:
    """One relay worker without its sockets. `locals_` are the addresses it may answer from; a `via` is an index.

    `leaving` are those of them that take no new sessions. Workers of one relay share a `hash_key`.
    """

    def __init__(
        self,
        keys: Sequence[tuple[int, bytes, int, int | None]],
        allowed: Sequence[Network],
        cluster: int,
        locals_: Sequence[Endpoint],
        limits: Limits,
        epoch_us: int,
        *,
        hash_key: bytes | None = None,
        leaving: Container[int] = (),
    ) -> None:
        ring = KeyRing(tuple(Key(*entry) for entry in keys))
        self._limits = limits
        self._locals = [canonical_endpoint(local) for local in locals_]
        self._leaving = leaving
        self._is_draining = False
        self._allowed = allowed
        self._hash_key = object() if hash_key is None else hash_key
        self._siblings = Siblings(limits)
        self._admission = Admission(ring, allowed, cluster, limits)
        self._recreations = Budget(limits.recreations_per_s, limits.recreations_burst)
        self._trunk = TrunkEnd(ring, allowed, limits, epoch_us)
        self._table = FlowTable(limits.flows)
        self._packets: Counter[Verdict] = Counter()
        self._bytes: Counter[Verdict] = Counter()
        self._events: Counter[str] = Counter()

    def set_siblings(self, workers: Sequence[RelayTwin]) -> None:
        """Replaces the other workers of the relay, whose flows may be taken over."""
        self._siblings.replace([Sibling(worker._table, worker._hash_key == self._hash_key) for worker in workers])

    def set_draining(self, is_draining: bool) -> None:
        """Draining, sessions without a flow are refused, and the HELLOs say so; the others go on as ever."""
        self._is_draining = is_draining

    # --- up: client to transceiver ----------------------------------------------------------------

    def handle_up(
        self, packets: Sequence[tuple[bytes, Source, int]], now_ms: int, unix_s: int
    ) -> tuple[list[Verdict], list[tuple[Endpoint, bytes]]]:
        """One receive batch: the verdict of each datagram, and the trunk datagrams that leave.

        Known clients are forwarded first, in datagrams of their own, so that a flood of strangers never delays a live
        call. Strangers keep their order and look again for their flow: a client's DTLS may be right behind its check.
        """
        verdicts: dict[int, Verdict] = {}
        strangers: list[tuple[int, Arrival]] = []
        known_batch, stranger_batch = UpBatch(), UpBatch()
        for index, (packet, source, via) in enumerate(packets):
            arrival = self._shape(packet, source, via)
            if isinstance(arrival, Verdict):
                verdicts[index] = arrival
                continue
            flow = self._table.find(arrival.client)
            if flow is None or _other_token(flow, arrival):
                strangers.append((index, arrival))
            else:
                verdicts[index] = self._forward_up(flow, arrival, known_batch, now_ms)
        for index, arrival in strangers:
            verdicts[index] = self._handle_stranger(arrival, stranger_batch, now_ms, unix_s)
        ordered = [verdicts[index] for index in range(len(packets))]
        for verdict, (packet, _, _) in zip(ordered, packets, strict=True):
            self._count(verdict, min(len(packet), LENGTH_CUT))
        return ordered, self._trunk.bundles(known_batch, unix_s) + self._trunk.bundles(stranger_batch, unix_s)

    def _shape(self, packet: bytes, source: Source, via: int) -> Arrival | Verdict:
        if not packet:
            return Verdict.EMPTY
        if len(packet) > PAYLOAD_MAX:
            return Verdict.OVERSIZE
        packet_class = classify(packet)
        if packet_class is PacketClass.OTHER:
            return Verdict.NOT_WEBRTC
        return Arrival(packet, canonical_client(*source), via, packet_class)

    def _forward_up(self, flow: Flow, arrival: Arrival, batch: UpBatch, now_ms: int) -> Verdict:
        flow.heard(arrival.via, len(arrival.packet), now_ms)
        batch.add(flow.peer, arrival.via, Frame(flow.client, arrival.packet))
        return _UP_BY_CLASS[arrival.packet_class]

    def _handle_stranger(self, arrival: Arrival, batch: UpBatch, now_ms: int, unix_s: int) -> Verdict:
        """A client without a flow, or a check that may move one."""
        client = arrival.client
        endpoint = (client.ip, client.port)
        if not is_sendable(endpoint) or endpoint in self._locals:
            return Verdict.BAD_SOURCE
        flow = self._table.find(client) or self._adopt(client, arrival.via, now_ms)
        if flow is not None and _other_token(flow, arrival) is None:
            return self._forward_up(flow, arrival, batch, now_ms)
        if arrival.packet_class is not PacketClass.STUN:
            return Verdict.UNKNOWN_CLIENT
        check = parse_check(arrival.packet)
        if not isinstance(check, Check):
            return Verdict[check.name]
        token = self._admission.open(arrival.packet, check, client.ip, now_ms, unix_s)
        if isinstance(token, Verdict):
            return token
        admitted = self._admit(flow, arrival, check.token, token, now_ms)
        if isinstance(admitted, Verdict):
            return admitted
        self._forward_up(admitted, arrival, batch, now_ms)
        return Verdict.UP_ADMITTED if flow is None else Verdict.UP_REPOINTED

    def _admit(
        self, flow: Flow | None, arrival: Arrival, text: bytes, token: RouteToken, now_ms: int
    ) -> Flow | Verdict:
        """Makes the client's flow, or moves it; the limits of the tables are the last that may refuse."""
        if flow is None and self._is_closed_to(arrival.via, token.session_id):
            return Verdict.DRAINING
        stays_in_session = flow is not None and flow.session_id == token.session_id
        if not stays_in_session and self._table.session_flows(token.session_id) >= self._limits.session_flows:
            return Verdict.SESSION_BUDGET
        peer = self._trunk.peers.find_or_insert(token.transceiver, now_ms)
        if peer is None:
            return Verdict.PEERS_FULL
        if flow is not None:
            self._table.repoint(flow, peer, token.session_id, text)
            self._events["flows_repointed"] += 1
            return flow
        if not self._make_room():
            return Verdict.TABLE_FULL
        flow = Flow(arrival.client, arrival.via, peer, token.session_id, text, is_confirmed=False, last_seen_ms=now_ms)
        self._table.insert(flow)
        self._events["flows_created"] += 1
        return flow

    def _is_closed_to(self, via: int, session_id: bytes) -> bool:
        """A session with flows goes on, at whichever worker they are: its caller may change networks."""
        if not self._is_draining and via not in self._leaving:
            return False
        return not (self._table.session_flows(session_id) or self._siblings.have_session(session_id))

    def _make_room(self) -> bool:
        if self._table.has_room():
            return True
        if not self._table.can_evict():
            return False
        self._table.evict_oldest_unconfirmed()
        self._events["flows_evicted"] += 1
        return True

    # --- down: transceiver to client --------------------------------------------------------------

    def handle_down(
        self, datagrams: Sequence[tuple[Endpoint, bytes]], now_ms: int, unix_s: int
    ) -> tuple[list[Verdict], list[Verdict], list[Down]]:
        """The verdict of each trunk datagram, of each frame of those accepted, and what goes to clients."""
        verdicts: list[Verdict] = []
        frame_verdicts: list[Verdict] = []
        out: list[Down] = []
        for source, datagram in datagrams:
            accepted = self._trunk.receive(source, datagram, now_ms, unix_s)
            verdict = _trunk_verdict(accepted)
            self._count(verdict, len(datagram))
            verdicts.append(verdict)
            if isinstance(accepted, Verdict):
                continue
            for frame in accepted.frames:
                frame_verdict = self._handle_frame(frame, accepted.peer, accepted.header.via, out, now_ms)
                self._count(frame_verdict, len(frame.payload))
                frame_verdicts.append(frame_verdict)
        return verdicts, frame_verdicts, out

    def _handle_frame(self, frame: Frame, peer: Peer, via: int, out: list[Down], now_ms: int) -> Verdict:
        flow = self._table.find(frame.client)
        if frame.closes:
            return self._close(flow, peer)
        if not frame.payload:
            return Verdict.DOWN_EMPTY
        if flow is None:
            found = self._find_again(frame.client, peer, via, now_ms)
            if isinstance(found, Verdict):
                return found
            flow, verdict = found
        elif flow.peer is not peer:
            return Verdict.DOWN_NOT_YOURS
        elif flow.is_confirmed or flow.token is None:
            verdict = Verdict.DOWN_FORWARDED
        elif len(frame.payload) > flow.bytes_up:
            return Verdict.DOWN_AMPLIFIED  # the answer to a forged source may not be larger than the forgery
        else:
            self._table.confirm(flow)
            self._events["flows_confirmed"] += 1
            verdict = Verdict.DOWN_CONFIRMED
        flow.packets_down += 1
        out.append(Down(flow.client, flow.via, frame.payload))
        return verdict

    def _close(self, flow: Flow | None, peer: Peer) -> Verdict:
        if flow is None or flow.peer is not peer:
            return Verdict.DOWN_CLOSE_UNKNOWN
        self._table.remove(flow)
        self._events["flows_closed"] += 1
        return Verdict.DOWN_CLOSED

    def _find_again(self, client: Client, peer: Peer, via: int, now_ms: int) -> tuple[Flow, Verdict] | Verdict:
        """A flow that is not here: it moves over from another worker, if it leads to this very transceiver, else the
        transceiver's word makes one."""
        usable_via = self._usable_via(via, client)
        if usable_via is None or not is_sendable((client.ip, client.port)):
            return Verdict.DOWN_BAD_ADDRESS
        adopted = self._adopt(client, usable_via, now_ms, peer.address)
        if adopted is not None:
            return adopted, Verdict.DOWN_FORWARDED
        recreated = self._recreate(client, peer, usable_via, now_ms)
        return recreated if isinstance(recreated, Verdict) else (recreated, Verdict.DOWN_RECREATED)

    def _recreate(self, client: Client, peer: Peer, via: int, now_ms: int) -> Flow | Verdict:
        """The transceiver vouches for an address it has authenticated.

        The flow stays unconfirmed, and gives way to others, until its client's next check has been authenticated here:
        a late answer to a forged source that has lost its flow already must not take up room for good.
        """
        if not self._recreations.take(now_ms):
            return Verdict.DOWN_RECREATE_BUDGET
        if not self._make_room():
            return Verdict.DOWN_TABLE_FULL
        flow = Flow(client, via, peer, NO_SESSION, None, is_confirmed=False, last_seen_ms=now_ms)
        self._table.insert(flow)
        self._events["flows_recreated"] += 1
        return flow

    def _usable_via(self, via: int, client: Client) -> int | None:
        """The bundle's, if it names a local address of the client's family, else the first that is one."""
        of_family = [index for index, (ip, _) in enumerate(self._locals) if is_ipv4(ip) == is_ipv4(client.ip)]
        return via if via in of_family else next(iter(of_family), None)

    # --- other workers ----------------------------------------------------------------------------

    def _adopt(self, client: Client, via: int, now_ms: int, transceiver: Endpoint | None = None) -> Flow | None:
        """The flow another worker has of this client, as our own: with its state, its token and its silence."""
        if not self._siblings:
            return None
        if not self._siblings.may_look(now_ms):
            self._events["sibling_lookups_refused"] += 1
            return None
        found = self._siblings.find(client, now_ms)
        if found is None or transceiver not in (None, found.transceiver):
            return None
        if not (is_sendable(found.transceiver) and is_allowed(found.transceiver[0], self._allowed)):
            return None
        peer = self._trunk.peers.find_or_insert(found.transceiver, now_ms)
        if peer is None or not self._make_room():
            return None
        last_seen_ms = min(found.last_seen_ms, now_ms)
        flow = Flow(client, via, peer, found.session_id, found.token, found.is_confirmed, last_seen_ms)
        self._table.insert(flow)
        self._events["flows_adopted"] += 1
        return flow

    # --- time, and what an operator sees ----------------------------------------------------------

    def sweep(self, now_ms: int) -> None:
        """Visits every flow once and removes what has been silent for too long."""
        for flow in self._table.expired(now_ms, self._limits.unconfirmed_after_ms, self._limits.idle_after_ms):
            self._table.remove(flow)
            self._events["flows_expired_idle" if flow.is_confirmed else "flows_expired_unconfirmed"] += 1

    def hello(self, now_us: int, unix_s: int) -> list[tuple[Endpoint, bytes]]:
        """The HELLOs that are due."""
        return self._trunk.hellos(now_us, unix_s, is_draining=self._is_draining)

    def flows(self) -> list[FlowRecord]:
        return self._table.records()

    def counters(self) -> Counters:
        return Counters(
            {verdict.name: self._packets[verdict] for verdict in Verdict},
            {verdict.name: self._bytes[verdict] for verdict in Verdict},
            {event: self._events[event] for event in EVENTS},
        )

    def _count(self, verdict: Verdict, length: int) -> None:
        self._packets[verdict] += 1
        self._bytes[verdict] += length


def _other_token(flow: Flow, arrival: Arrival) -> bytes | None:
    """The token of a check that does not carry the one this flow was admitted with, else None."""
    if arrival.packet_class is not PacketClass.STUN:
        return None
    check = parse_check(arrival.packet)
    if not isinstance(check, Check) or check.token == flow.token:
        return None
    return check.token


def _trunk_verdict(accepted: Accepted | Verdict) -> Verdict:
    if isinstance(accepted, Verdict):
        return accepted
    return Verdict.TRUNK_HELLO if accepted.header.kind.is_hello else Verdict.TRUNK_BUNDLE
