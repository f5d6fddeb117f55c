"""A session as an end of the emulated network: what a worker's exchange does with datagrams, for one session.

Lives here: which of the session's verbs a datagram goes to, an echo of the audio, and whole calls, browser and network
included. Must not live here: expectations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

from typing_extensions import Unpack

from fastrelay.transceiver.certificate import Certificate
from fastrelay.transceiver.dtls import DtlsContexts, DtlsEndpoint, DtlsRole
from fastrelay.transceiver.ice import IceLite
from fastrelay.transceiver.session.events import Received, SessionEvent
from fastrelay.transceiver.session.session import Session, Stream
from fastrelay.transceiver.session.states import State
from fastrelay.transceiver.srtp import RtpPacket, SrtpRefusal, open_rtp, seal_rtp
from fastrelay.transceiver.trunk_port import Path
from fastrelay.wire.demux import PacketClass, classify
from tests.emulator.browser import CHROMIUM, Browser, Manner, Remote
from tests.emulator.network import Conditions, Datagram, Fate, Network

UFRAG = "CLNT"
RELAY = ("192.0.2.1", 3479)
PAYLOAD_TYPE = 111
SERVER, CLIENT = Certificate.generate(1.7e9), Certificate.generate(1.7e9)
SERVER_CONTEXTS, CLIENT_CONTEXTS = DtlsContexts(SERVER), DtlsContexts(CLIENT)
REMOTE = Remote("server+ufrag/50", "password.of.the.session.", SERVER.fingerprint)


class Troubles(TypedDict, total=False):
    """What a network may be told (network.Network)."""

    up: Conditions
    down: Conditions
    up_fates: Mapping[int, Fate]
    down_fates: Mapping[int, Fate]
    seed: int


class Call(NamedTuple):
    """Both ends and what lies between them."""

    browser: Browser
    server: SessionEnd
    network: Network

    @property
    def is_connected(self) -> bool:
        """At both ends."""
        return self.browser.is_connected and self.server.session.state is State.ESTABLISHED

    def connect(self, within_s: float) -> float:
        """Set the call up; how long that took."""
        return self.network.run_until(lambda: self.is_connected, within_s)

    def echo(self, frame: bytes, frames_max: int = 50) -> None:
        """Speak until the browser hears what it says: 20 ms a frame, for a second."""
        for _ in range(frames_max):
            assert self.browser.speak(frame)
            self.network.run_for(0.02)
            if any(packet.payload == frame for packet in self.browser.take_heard()):
                return
        raise AssertionError(f"nothing heard of {frames_max} frames")


class SessionEnd:
    """One session. It echoes the audio that it hears."""

    def __init__(self, session: Session, relay: tuple[str, int] = RELAY) -> None:
        self.session = session
        self.relay = relay
        self.events: list[SessionEvent] = []
        self.heard: list[RtpPacket] = []
        self.refused = 0
        """Datagrams of nobody known, of no protocol, or audio that does not open."""
        self._echoes: list[Datagram] = []

    def receive(self, datagram: Datagram, now_s: float) -> None:
        path, payload = Path(datagram.client, self.relay, 0), datagram.payload
        kind = classify(payload)
        if kind is PacketClass.STUN:
            self.session.handle_check(path, payload, now_s)
        elif kind is PacketClass.OTHER or not self.session.ice.knows(path):
            self.refused += 1
        elif kind is PacketClass.DTLS:
            self.session.handle_dtls(payload, now_s)
        elif kind is PacketClass.SRTCP:
            if self.session.handle_rtcp(payload, now_s):
                self.session.follow(path)
        else:
            self._hear(path, payload, now_s)

    @property
    def received(self) -> list[bytes]:
        """Application data of DTLS."""
        return [event.data for event in self.events if isinstance(event, Received)]

    def take_outgoing(self) -> list[Datagram]:
        self.events += self.session.take_events()
        echoes, self._echoes = self._echoes, []
        return [Datagram(path.client[:2], payload) for path, payload in self.session.take_outgoing()] + echoes

    def next_timer_s(self) -> float | None:
        return self.session.next_timer_s()

    def handle_timer(self, now_s: float) -> None:
        self.session.handle_timer(now_s)

    def _hear(self, path: Path, payload: bytes, now_s: float) -> None:
        session = self.session
        if session.inbound is None or session.outbound is None or session.ice.selected is None:
            self.refused += 1
            return
        (packet,) = open_rtp([(session.inbound, payload)], int(now_s * 1e6))
        if isinstance(packet, SrtpRefusal):
            self.refused += 1
            return
        session.follow(path)
        session.note_audio(now_s)
        self.heard.append(packet)
        sealed = seal_rtp([(session.outbound, packet.payload, packet.timestamp, packet.is_marked)])
        self._echoes += [Datagram(session.ice.selected.client[:2], echo) for echo in sealed]


@dataclass(frozen=True, slots=True)
class Shape:
    """What differs between calls: who speaks first in DTLS, and the browser."""

    server_role: DtlsRole = DtlsRole.PASSIVE
    manner: Manner = CHROMIUM
    mtu_bytes: int = 1200
    """Of the browser's flights. A small one cuts its hello into several datagrams, as browsers' hellos come in two."""
    is_controlled: bool = False
    """Whether the browser begins in the wrong role."""
    is_impostor: bool = False
    """Whether its certificate is another than its offer named."""


def new_call(shape: Shape = Shape(), **network: Unpack[Troubles]) -> Call:
    """A browser that has just got its answer, a session that waits for it, and the network between them."""
    role, manner = shape.server_role, shape.manner
    named = SERVER if shape.is_impostor else CLIENT
    server = SessionEnd(
        Session(
            IceLite(REMOTE.ufrag, REMOTE.password, UFRAG),
            DtlsEndpoint(SERVER_CONTEXTS, role, [("sha-256", named.fingerprint)]),
            Stream(ssrc=0x0ECC0, cname="echo", payload_type=PAYLOAD_TYPE, first_sequence=1),
            0.0,
        )
    )
    browser = Browser(
        REMOTE,
        CLIENT_CONTEXTS,
        DtlsRole.ACTIVE if role is DtlsRole.PASSIVE else DtlsRole.PASSIVE,
        ufrag=UFRAG,
        payload_type=PAYLOAD_TYPE,
        manner=manner,
        is_controlled=shape.is_controlled,
        mtu_bytes=shape.mtu_bytes,
    )
    return Call(browser, server, Network(browser, server, **network))
