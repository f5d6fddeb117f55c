"""Two DTLS ends and the wire between them, with a clock that a test turns.

A wire carries what the ends send, one datagram after another, and asks a `fate` what becomes of each.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from fastrelay.transceiver.certificate import Certificate
from fastrelay.transceiver.dtls import DtlsContexts, DtlsEndpoint, DtlsRole, DtlsState
from fastrelay.transceiver.keying import SrtpProfile

NOW_UNIX_S = 1_800_000_000.0
MTU_BYTES = 1200


@dataclass(frozen=True, slots=True)
class Sent:
    """A datagram on the wire."""

    index: int
    """How many went before it, both ways."""
    sender: DtlsRole
    datagram: bytes


Fate = Callable[[Sent], list[bytes]]
"""What arrives in its place."""


def arrives(sent: Sent) -> list[bytes]:
    return [sent.datagram]


@cache
def certificate(name: str) -> Certificate:
    """A certificate of its own for each name; "rsa" has an RSA key."""
    if name == "rsa":
        return Certificate.sign(rsa.generate_private_key(65537, 2048), NOW_UNIX_S)
    if name == "p384":
        return Certificate.sign(ec.generate_private_key(ec.SECP384R1()), NOW_UNIX_S)
    return Certificate.generate(NOW_UNIX_S)


@cache
def contexts(name: str, profiles: tuple[SrtpProfile, ...] = tuple(SrtpProfile)) -> DtlsContexts:
    return DtlsContexts(certificate(name), profiles)


def named(name: str) -> list[tuple[str, str]]:
    """What an SDP says of the certificate of this name."""
    return [("sha-256", certificate(name).fingerprint)]


def endpoint(
    role: DtlsRole, *, own: str = "", peer: str = "", mtu_bytes: int = MTU_BYTES, timeout_s: float = 10.0
) -> DtlsEndpoint:
    own = own or role.name
    peer = peer or (DtlsRole.ACTIVE if role is DtlsRole.PASSIVE else DtlsRole.PASSIVE).name
    return DtlsEndpoint(contexts(own), role, named(peer), mtu_bytes=mtu_bytes, timeout_s=timeout_s)


@dataclass
class Wire:
    """A passive and an active end; `now_s` moves only when nothing is on the way any more."""

    passive: DtlsEndpoint = field(default_factory=lambda: endpoint(DtlsRole.PASSIVE))
    active: DtlsEndpoint = field(default_factory=lambda: endpoint(DtlsRole.ACTIVE))
    fate: Fate = arrives
    now_s: float = 0.0
    carried: list[bytes] = field(default_factory=list)

    def start(self) -> None:
        self.passive.start(self.now_s)
        self.active.start(self.now_s)

    @property
    def is_up(self) -> bool:
        return self.passive.state is DtlsState.CONNECTED and self.active.state is DtlsState.CONNECTED

    def settle(self) -> None:
        """Carry datagrams until neither end has any left."""
        moved = True
        while moved:
            moved = self._carry(self.active, self.passive) or self._carry(self.passive, self.active)

    def run(self, until_s: float) -> None:
        """Carry, and let time pass from timer to timer, until both are connected or nothing is due before `until_s`."""
        self.settle()
        while not self.is_up:
            due = [at for end in (self.passive, self.active) if (at := end.next_timer_s()) is not None]
            if not due or min(due) > until_s:
                return
            self.now_s = min(due)
            self.passive.handle_timer(self.now_s)
            self.active.handle_timer(self.now_s)
            self.settle()

    def _carry(self, sender: DtlsEndpoint, receiver: DtlsEndpoint) -> bool:
        sent = sender.take_outgoing()
        for datagram in sent:
            index = len(self.carried)
            self.carried.append(datagram)
            for arrived in self.fate(Sent(index, sender.role, datagram)):
                receiver.handle(arrived, self.now_s)
        return bool(sent)


def connected() -> Wire:
    """Two ends that are through their handshake."""
    wire = Wire()
    wire.start()
    wire.settle()
    assert wire.is_up
    return wire
