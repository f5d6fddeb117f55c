"""fastrelay, the plain C floor and every peer drained in turns: the same packets and buffers, one processor.

Lives here: who takes part and how they are prepared, up and down. Must not live here: the turns (ring.py), tables and
bars (bench/report), single relays.
"""

import ipaddress
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from bench.load.candidates import Candidate, Floor
from bench.load.drain import DRAIN_PACKETS
from bench.load.relay_candidate import Relay
from bench.load.traffic import (
    CLIENT_PORT,
    FIRST_CLIENT,
    FIRST_TRANSCEIVER,
    TRANSCEIVER_PORT,
    DownGenerator,
    Sink,
    Traffic,
)
from bench.peers.candidate import (
    CHANNEL_CLIENT_PORT,
    BackGenerator,
    PeerCandidate,
    PeerGenerator,
    arrivals,
    begin,
    open_generator,
    open_paths,
)
from bench.peers.peer import Opening, Peer, Route
from bench.peers.ring import Compared, Ring
from bench.scenario import Step

FASTRELAY = "fastrelay"


def fitting(traffic: Traffic, peers: Sequence[Peer]) -> Traffic:
    """As many flows, and transceivers, for all as any one of them has room for."""
    flows = [peer.flows_max for peer in peers if peer.flows_max is not None]
    ends = [peer.transceivers_max for peer in peers if peer.transceivers_max is not None]
    return replace(traffic, clients=min([traffic.clients, *flows]), transceivers=min([traffic.transceivers, *ends]))


@dataclass(frozen=True)
class Plan:
    """Who gets which packets, how often. The plain C floor takes turns with them where it is wanted."""

    peers: Sequence[Peer]
    traffic: Traffic
    rounds: int
    drains: int
    is_beside_floor: bool = False

    def packets(self) -> int:
        """Of one drain: as many for all as the smallest queue of any of them holds."""
        return min([DRAIN_PACKETS, *(each.queue_packets for each in self.peers if each.queue_packets is not None)])


def compare_up(plan: Plan, step: Step) -> Compared:
    """Clients to transceivers."""
    ring, traffic = Ring(Compared()), plan.traffic
    route = Route(traffic.clients, transceivers=traffic.transceivers)
    with ExitStack() as stack:
        sink = Sink(TRANSCEIVER_PORT)
        stack.callback(sink.stop)
        sink.drop()
        begun = begin_all(stack, plan.peers, ring.compared, traffic, lambda name: route)
        # one generator for all that want the same of their clients
        plain = open_generator(stack, "plain", traffic, route, has_channels=False)
        channels = open_generator(stack, "channels", traffic, route, has_channels=True)
        for peer in begun:
            generator = channels if peer.opening is Opening.CHANNEL else plain
            if can_open(ring.compared, peer, traffic, generator):
                ring.join(PeerCandidate(peer, generator.fill, arrivals(sink)), sink)
        to = ["--to", f"{FIRST_TRANSCEIVER}:{TRANSCEIVER_PORT}", "--peers", str(traffic.transceivers)]
        start_own(stack, ring, sink, Relay(FASTRELAY, traffic, plain, is_up=True))
        if plan.is_beside_floor:
            start_own(stack, ring, sink, Floor("floor_forward", [*to, *traffic.options()], plain))
        ring.verify(plan.packets())
        ring.measure(plan.rounds, plan.drains, plan.packets(), step)
    return ring.compared


def compare_down(plan: Plan, step: Step) -> Compared:
    """A transceiver to clients: each relay has one of its own, which answers to where packets came from."""
    ring, traffic = Ring(Compared()), plan.traffic
    with ExitStack() as stack:
        both_ways = [peer for peer in plan.peers if peer.is_both_ways]
        for peer in plan.peers:
            if not peer.is_both_ways:
                ring.compared.not_run[f"{peer.name}, down"] = "one upstream socket for all clients: no way back"
        routes = {peer.name: route_down(traffic, number) for number, peer in enumerate(both_ways)}
        backs: dict[str, BackGenerator] = {}
        begun = begin_all(stack, both_ways, ring.compared, traffic, routes.__getitem__)
        opened = []
        for peer in begun:
            backs[peer.name] = BackGenerator(traffic, routes[peer.name].transceiver)
            stack.callback(backs[peer.name].stop)
            # the clients' addresses are the receivers' later
            with ExitStack() as meanwhile:
                clients = open_generator(
                    meanwhile, peer.name, traffic, routes[peer.name], has_channels=peer.opening is Opening.CHANNEL
                )
                if can_open(ring.compared, peer, traffic, clients):
                    opened.append(peer)
        sinks = {port: Sink(port) for port in (CLIENT_PORT, CHANNEL_CLIENT_PORT)}
        for sink in sinks.values():
            stack.callback(sink.stop)
            sink.drop()
        for peer in opened:
            sink = sinks[CHANNEL_CLIENT_PORT if peer.opening is Opening.CHANNEL else CLIENT_PORT]
            ring.join(PeerCandidate(peer, backs[peer.name].fill, arrivals(sink)), sink)
        generator = DownGenerator(traffic, Relay.trunk_key_file(), Relay.KEY_ID)
        stack.callback(generator.stop)
        sizes = ["--size-from", str(traffic.size_from), "--size-to", str(traffic.size_to)]
        to = ["--clients", str(traffic.clients), "--first-client", f"{FIRST_CLIENT}:{CLIENT_PORT}"]
        start_own(stack, ring, sinks[CLIENT_PORT], Relay(FASTRELAY, traffic, generator, is_up=False))
        if plan.is_beside_floor:
            start_own(stack, ring, sinks[CLIENT_PORT], Floor("floor_send", [*to, *sizes], None))
        ring.verify(plan.packets())
        ring.measure(plan.rounds, plan.drains, plan.packets(), step)
    return ring.compared


def begin_all(
    stack: ExitStack, peers: Sequence[Peer], compared: Compared, traffic: Traffic, route_of: Callable[[str], Route]
) -> list[Peer]:
    """Those that could be prepared and started, to be stopped with the stack."""
    begun = []
    for peer in peers:

        def prepare(one: Peer = peer) -> None:
            compared.versions[one.name] = one.prepare()
            begin(one, traffic, route_of(one.name))

        stack.callback(peer.stop)
        if compared.attempt(peer.name, prepare):
            begun.append(peer)
    return begun


def can_open(compared: Compared, peer: Peer, traffic: Traffic, clients: PeerGenerator) -> bool:
    """Whether every client has its path. The peer is paused, or ended: it must not go on working beside the others."""
    if compared.attempt(peer.name, partial(open_paths, peer, traffic, clients)):
        peer.pause()
        return True
    peer.stop()
    return False


def start_own(stack: ExitStack, ring: Ring, sink: Sink, candidate: Candidate) -> None:
    """fastrelay or a floor: those count by themselves and are started as candidates."""
    stack.callback(candidate.stop)
    if ring.attempt(candidate, candidate.start):
        candidate.pause()
        ring.join(candidate, sink)


def route_down(traffic: Traffic, number: int) -> Route:
    """The route to a transceiver of this relay alone; the first address is that of fastrelay's."""
    address = str(ipaddress.IPv4Address(FIRST_TRANSCEIVER) + 1 + number)
    return Route(traffic.clients, (address, TRANSCEIVER_PORT))
