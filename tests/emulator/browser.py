"""A browser as far as a transceiver can tell: its checks, its DTLS and its audio, without a socket or a clock.

Lives here: the schedule of checks that browsers were seen to keep, nomination, when DTLS starts, SRTP both ways, a
change of address, an ICE restart. Must not live here: SDP, SCTP (its packets pass through send and take_received).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from fastrelay.errors import WireError
from fastrelay.transceiver.dtls import DtlsContexts, DtlsEndpoint, DtlsRole, DtlsState
from fastrelay.transceiver.srtp import RtpPacket, SrtpInbound, SrtpOutbound, SrtpRefusal, open_rtp, seal_rtp
from fastrelay.wire.demux import PacketClass, classify
from fastrelay.wire.stun import BINDING_ERROR, StunError, build_check, read_error, read_response
from tests.emulator.network import Address, Datagram

CHECKS_WAITING_MAX = 32
HANDSHAKE_S = 60.0
"""Browsers are patient: it is the server that gives up first."""
FRAME_SAMPLES = 960
"""20 ms at 48 kHz, which Opus's timestamps count."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a browser spaces its checks, and whether it nominates once or with each of them."""

    retry_s: float
    """Until a pair is nominated."""
    first_s: tuple[float, ...]
    """From then on, one after the other."""
    steady_s: float
    blackout_s: float
    """Once two in a row are not answered."""
    nominates_always: bool


CHROMIUM = Manner(retry_s=0.06, first_s=(1.08, 1.1), steady_s=2.5, blackout_s=0.48, nominates_always=True)
FIREFOX = Manner(retry_s=0.1, first_s=(), steady_s=5.0, blackout_s=1.0, nominates_always=False)


@dataclass(frozen=True, slots=True)
class Remote:
    """What the answer says of the server."""

    ufrag: str
    password: str
    fingerprint: str


class Browser:
    """One client. Time starts when it has got the answer: its first check is due at once."""

    def __init__(
        self,
        remote: Remote,
        contexts: DtlsContexts,
        role: DtlsRole = DtlsRole.ACTIVE,
        *,
        ufrag: str = "CLNT",
        address: Address = ("203.0.113.7", 50_000),
        ssrc: int = 0x1234_5678,
        payload_type: int = 111,
        manner: Manner = CHROMIUM,
        is_controlled: bool = False,
        mtu_bytes: int = 1200,
        now_s: float = 0.0,
    ) -> None:
        self.remote, self.ufrag, self.address, self.manner = remote, ufrag, address, manner
        self.is_controlled = is_controlled
        """Its own idea of its role; wrong against a lite end, until that says so."""
        self.is_writable = False
        self.is_nominated = False
        self.mapped_address: Address | None = None
        self.dtls = DtlsEndpoint(
            contexts, role, [("sha-256", remote.fingerprint)], mtu_bytes=mtu_bytes, timeout_s=HANDSHAKE_S
        )
        self.refused = 0
        """Datagrams that were of no use: not for us, not authentic, too early."""
        self.ssrc, self._payload_type = ssrc, payload_type
        self._inbound: SrtpInbound | None = None
        self._outbound: SrtpOutbound | None = None
        self._timestamp = 0
        self._early: bytes | None = None
        self._next_check_s = now_s
        self._kept_up = 0  # checks sent since the nomination
        self._unanswered = 0
        # transactions of checks that may still be answered, and whether they nominate
        self._waiting: OrderedDict[bytes, bool] = OrderedDict()
        self._outgoing: list[Datagram] = []
        self._heard: list[RtpPacket] = []
        self._reports: list[bytes] = []

    @property
    def is_connected(self) -> bool:
        """Its pair is nominated and DTLS is through: `connectionState` says "connected"."""
        return self.is_nominated and self.dtls.state is DtlsState.CONNECTED

    # --- verbs of an end

    def receive(self, datagram: Datagram, now_s: float) -> None:
        payload = datagram.payload
        if datagram.client != self.address or not payload:
            self.refused += 1
            return
        match classify(payload):
            case PacketClass.STUN:
                self._receive_answer(payload, now_s)
            case PacketClass.DTLS:
                self._receive_dtls(payload, now_s)
            case PacketClass.SRTP:
                self._receive_audio(payload, now_s)
            case PacketClass.SRTCP:
                self._receive_reports(payload)
            case PacketClass.OTHER:
                self.refused += 1

    def take_outgoing(self) -> list[Datagram]:
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def next_timer_s(self) -> float | None:
        dtls_s = self.dtls.next_timer_s()
        return self._next_check_s if dtls_s is None else min(self._next_check_s, dtls_s)

    def handle_timer(self, now_s: float) -> None:
        if now_s >= self._next_check_s:
            self._check(now_s)
        dtls_s = self.dtls.next_timer_s()
        if dtls_s is not None and now_s >= dtls_s:
            self.dtls.handle_timer(now_s)
            self._collect()

    # --- what its user and its page do

    def speak(self, payload: bytes, *, is_marked: bool = False) -> bool:
        """Send an Opus frame of 20 ms; False while there are no keys."""
        if self._outbound is None:
            return False
        self._put(*seal_rtp([(self._outbound, payload, self._timestamp, is_marked)]))
        self._timestamp += FRAME_SAMPLES
        return True

    def take_heard(self) -> list[RtpPacket]:
        """The server's audio, in the order it came."""
        heard, self._heard = self._heard, []
        return heard

    def report(self, compound: bytes) -> bool:
        """Send RTCP; False while there are no keys."""
        if self._outbound is None:
            return False
        self._put(self._outbound.seal_rtcp(compound))
        return True

    def take_reports(self) -> list[bytes]:
        reports, self._reports = self._reports, []
        return reports

    def send(self, data: bytes) -> bool:
        """Send application data of DTLS: an SCTP packet."""
        is_sent = self.dtls.send(data)
        self._collect()
        return is_sent

    def take_received(self) -> list[bytes]:
        return self.dtls.take_received()

    def close(self, now_s: float) -> None:
        """The page closes the connection."""
        self.dtls.close(now_s)
        self._collect()

    def move(self, address: Address) -> None:
        """A NAT has forgotten us, and knows us by another address from now on. Nobody tells the browser."""
        self.address = address

    def restart_ice(self, remote: Remote, ufrag: str, now_s: float) -> None:
        """Both ends have new credentials; DTLS and SRTP go on (RFC 8445 §9)."""
        self.remote, self.ufrag = remote, ufrag
        self.is_nominated = self.is_writable = False
        self._kept_up = self._unanswered = 0
        self._waiting.clear()
        self._next_check_s = now_s

    # --- checks

    def _check(self, now_s: float) -> None:
        # regular nomination: a pair is nominated once a check on it has been answered
        is_nominating = self.is_writable and (self.manner.nominates_always or not self.is_nominated)
        packet = build_check(
            f"{self.remote.ufrag}:{self.ufrag}",
            self.remote.password,
            is_nominating=is_nominating,
            is_controlled=self.is_controlled,
        )
        self._waiting[packet[8:20]] = is_nominating
        if len(self._waiting) > CHECKS_WAITING_MAX:
            self._waiting.popitem(last=False)
        self._put(packet)
        self._next_check_s = now_s + self._interval_s()
        self._unanswered += 1

    def _interval_s(self) -> float:
        manner = self.manner
        if not self.is_nominated:
            return manner.retry_s
        if self._unanswered >= 2:
            return manner.blackout_s
        self._kept_up += 1
        return manner.first_s[self._kept_up - 1] if self._kept_up <= len(manner.first_s) else manner.steady_s

    def _receive_answer(self, packet: bytes, now_s: float) -> None:
        try:
            if int.from_bytes(packet[:2], "big") == BINDING_ERROR:
                self._receive_refusal(*read_error(packet, self.remote.password), now_s)
                return
            response = read_response(packet, self.remote.password)
        except WireError:
            self.refused += 1
            return
        is_nominating = self._waiting.pop(response.transaction_id, None)
        if is_nominating is None:
            self.refused += 1
            return
        self._unanswered = 0
        self.mapped_address = response.mapped_address
        self.is_nominated = self.is_nominated or is_nominating
        self.is_writable = True
        self._start_dtls(now_s)

    def _receive_refusal(self, transaction_id: bytes, code: int, now_s: float) -> None:
        if self._waiting.pop(transaction_id, None) is not None and code == StunError.ROLE_CONFLICT:
            self.is_controlled = False  # RFC 8445 §7.2.5.1: take the other role and check again
            self._next_check_s = now_s

    # --- DTLS and what it carries

    def _start_dtls(self, now_s: float) -> None:
        if self.dtls.state is not DtlsState.NEW:
            return
        self.dtls.start(now_s)
        if self._early is not None:
            self.dtls.handle(self._early, now_s)
        self._after_dtls()

    def _receive_dtls(self, packet: bytes, now_s: float) -> None:
        if self.dtls.state is DtlsState.NEW:
            self._early = packet  # Chromium keeps the newest ClientHello that comes before its checks are answered
            return
        self.dtls.handle(packet, now_s)
        self._after_dtls()

    def _after_dtls(self) -> None:
        self._collect()
        keys = self.dtls.keys
        if keys is not None and self._inbound is None:
            self._inbound = SrtpInbound(keys, payload_types=frozenset({self._payload_type}))
            self._outbound = SrtpOutbound(keys, ssrc=self.ssrc, payload_type=self._payload_type, first_sequence=1)

    def _receive_audio(self, packet: bytes, now_s: float) -> None:
        if self._inbound is None:
            self.refused += 1
            return
        (opened,) = open_rtp([(self._inbound, packet)], int(now_s * 1e6))
        if isinstance(opened, SrtpRefusal):
            self.refused += 1
        else:
            self._heard.append(opened)

    def _receive_reports(self, packet: bytes) -> None:
        opened = SrtpRefusal.FORGED if self._inbound is None else self._inbound.open_rtcp(packet)
        if isinstance(opened, SrtpRefusal):
            self.refused += 1
        else:
            self._reports.append(opened)

    def _collect(self) -> None:
        self._put(*self.dtls.take_outgoing())

    def _put(self, *payloads: bytes) -> None:
        self._outgoing += [Datagram(self.address, payload) for payload in payloads]
