"""One WebRTC session: ICE, DTLS and SRTP joined, and the way through its states.

Lives here: which engine gets which datagram, and what each outcome means for the session. Must not live here: sockets,
clocks, tasks (transceiver.worker), what the engines do inside (ice, dtls, srtp, reports), agents.

Five verbs: handle a datagram, take what is to be sent, take what has happened, ask for the next timer, let time pass.
Audio takes a shorter way: the owner opens and seals whole batches of many sessions with `inbound` and `outbound`, and
tells the session of the first packet alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastrelay._ext.trunk_port import Path
from fastrelay.transceiver.dtls import DtlsEndpoint, DtlsFailure, DtlsState
from fastrelay.transceiver.ice import IceLite
from fastrelay.transceiver.reports import Bye, Nack, Reports
from fastrelay.transceiver.retransmission import SentPackets
from fastrelay.transceiver.session.events import Ended, Established, Heard, Moved, Reached, Received, SessionEvent
from fastrelay.transceiver.session.limits import SessionLimits
from fastrelay.transceiver.session.states import TRANSITIONS, EndReason, State
from fastrelay.transceiver.srtp import SrtpInbound, SrtpOutbound, SrtpRefusal


@dataclass(frozen=True, slots=True)
class Stream:
    """What was agreed on our audio: its name on the wire and Opus's number in this session."""

    ssrc: int
    cname: str
    payload_type: int
    first_sequence: int
    has_nack: bool = False


@dataclass(slots=True)
class Phases:
    """When each step of the set-up was reached, on the owner's clock."""

    opened_s: float
    """The offer has come."""
    answered_s: float | None = None
    checked_s: float | None = None
    established_s: float | None = None
    heard_s: float | None = None

    def since_opened_ms(self) -> dict[str, float | None]:
        """Milliseconds from the offer to each step; None for one that has not been reached."""
        steps = {
            "answer_ms": self.answered_s,
            "check_ms": self.checked_s,
            "handshake_ms": self.established_s,
            "first_audio_ms": self.heard_s,
        }
        return {name: None if at_s is None else round((at_s - self.opened_s) * 1000, 1) for name, at_s in steps.items()}


class Session:
    """One session. Nothing that a peer sends makes any of its methods raise."""

    __slots__ = (
        "_events",
        "_outgoing",
        "_report_s",
        "dtls",
        "ice",
        "inbound",
        "limits",
        "outbound",
        "phases",
        "reason",
        "refused",
        "reports",
        "sent",
        "state",
        "stream",
    )

    def __init__(
        self, ice: IceLite, dtls: DtlsEndpoint, stream: Stream, now_s: float, limits: SessionLimits | None = None
    ) -> None:
        self.ice = ice
        self.dtls = dtls
        self.stream = stream
        self.limits = limits or SessionLimits()
        self.state = State.WAITING
        self.reason: EndReason | None = None
        self.phases = Phases(now_s)
        self.inbound: SrtpInbound | None = None
        """Opens the client's audio; None until keys are there."""
        self.outbound: SrtpOutbound | None = None
        self.reports: Reports | None = None
        self.sent: SentPackets | None = None
        """What the owner has sent, kept to be sent again; None where that was not agreed."""
        self.refused = 0
        """Datagrams that came at a wrong time, from a wrong place, or did not authenticate."""
        self._report_s = 0.0
        self._events: list[SessionEvent] = []
        self._outgoing: list[tuple[Path, bytes]] = []

    # --- datagrams

    def handle_check(self, path: Path, packet: bytes, now_s: float) -> None:
        """Take a STUN message. The unauthenticated get no answer."""
        if self.state is State.ENDED:
            return
        check = self.ice.handle(path, packet, now_s)
        if check is None:
            self.refused += 1
            return
        self._outgoing.append((path, check.answer))
        if self.state is State.WAITING and self.ice.selected is not None:
            # at once, without waiting for nomination: it saves the browser a round trip or two
            self._enter(State.HANDSHAKING)
            self.phases.checked_s = now_s
            self._events.append(Reached(path))
            self.dtls.start(now_s)
            self._take_from_dtls(now_s)
        elif check.has_moved and self.ice.selected is not None:
            self._events.append(Moved(self.ice.selected))

    def follow(self, path: Path) -> None:
        """Something authentic came by this path: where the client is the chosen one, it is answered by it as well."""
        self.ice.follow(path)

    def handle_dtls(self, packet: bytes, now_s: float) -> None:
        """Take a DTLS datagram of an address that has shown a check."""
        if self.state in (State.WAITING, State.ENDED):
            self.refused += 1
            return
        self.dtls.handle(packet, now_s)
        self._take_from_dtls(now_s)

    def handle_rtcp(self, packet: bytes, now_s: float) -> bool:
        """Take an SRTCP packet: reports about our audio, and about the client's. Whether it was authentic."""
        if self.inbound is None or self.reports is None or self.state is not State.ESTABLISHED:
            self.refused += 1
            return False
        compound = self.inbound.open_rtcp(packet)
        if isinstance(compound, SrtpRefusal):
            self.refused += 1
            return False
        for news in self.reports.handle(compound, now_s):
            # a client that says goodbye to its stream may start another; what ends a call is DTLS, or consent
            match news:
                case Nack(sequences):
                    self._resend(sequences)
                case Bye():
                    pass
        return True

    def note_audio(self, now_s: float) -> None:
        """The owner has opened an audio packet: the first one, or each where lost ones may be asked for again."""
        if self.state is not State.ESTABLISHED:
            return
        if self.phases.heard_s is None:
            self.phases.heard_s = now_s
            self._events.append(Heard())
        if self.sent is not None and self.reports is not None:
            request = self.reports.build_nack(now_s)
            if request is not None:
                self._send_rtcp(request)

    def keep(self, sealed: bytes) -> None:
        """The owner has sent this audio packet: the client may ask for it once more."""
        if self.sent is not None:
            self.sent.keep(int.from_bytes(sealed[2:4], "big"), sealed)

    def send(self, data: bytes, now_s: float) -> bool:
        """Send an SCTP packet; whether it could be."""
        is_sent = self.state is State.ESTABLISHED and self.dtls.send(data)
        self._collect(now_s)
        return is_sent

    # --- results

    def take_outgoing(self) -> list[tuple[Path, bytes]]:
        """Datagrams to send, in order; each is given once."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def take_events(self) -> list[SessionEvent]:
        """What has happened, in order; each is told once."""
        events, self._events = self._events, []
        return events

    # --- time

    def next_timer_s(self) -> float | None:
        """When handle_timer() should be called next; None when nothing is waited for."""
        if self.state is State.ENDED:
            return None
        due_s = self.phases.opened_s + self.limits.longest_s
        if self.state is State.WAITING:
            return min(due_s, self.phases.opened_s + self.limits.first_check_s)
        dtls_s = self.dtls.next_timer_s()
        if dtls_s is not None:
            due_s = min(due_s, dtls_s)
        if self.state is State.ESTABLISHED:
            due_s = min(due_s, self._report_s)
        if self.ice.consent_until_s is not None:
            due_s = min(due_s, self.ice.consent_until_s)
        return due_s

    def handle_timer(self, now_s: float) -> None:
        """Let time pass: resend, report, and end what has lasted too long."""
        if self.state is State.ENDED:
            return
        if now_s >= self.phases.opened_s + self.limits.longest_s:
            self.end(EndReason.TOO_LONG, now_s)
        elif self.state is State.WAITING:
            if now_s >= self.phases.opened_s + self.limits.first_check_s:
                self.end(EndReason.NO_CHECK, now_s)
        elif self.ice.consent_until_s is not None and now_s >= self.ice.consent_until_s:
            self.end(EndReason.CONSENT_EXPIRED, now_s)
        else:
            dtls_s = self.dtls.next_timer_s()
            if dtls_s is not None and now_s >= dtls_s:
                self.dtls.handle_timer(now_s)
                self._take_from_dtls(now_s)
            self._report(now_s)

    # --- the end

    def end(self, reason: EndReason, now_s: float) -> None:
        """End, saying goodbye where the client can hear it. What came first stays the reason."""
        if self.state is State.ENDED:
            return
        if self.state is State.ESTABLISHED:
            assert self.reports is not None, "made with the keys"
            self._send_rtcp(self.reports.bye())
        if self.state is not State.WAITING and self.dtls.state in (DtlsState.HANDSHAKING, DtlsState.CONNECTED):
            self.dtls.close(now_s)
            self._collect(now_s)
        self._enter(State.ENDED)
        # libsrtp's memory goes now: whoever still holds the session may be a cycle that waits for the collector
        self.inbound = self.outbound = self.reports = self.sent = None
        self.reason = reason
        self._events.append(Ended(reason))

    # --- inside

    def _enter(self, state: State) -> None:
        assert state in TRANSITIONS[self.state], f"{self.state} is not followed by {state}"
        self.state = state

    def _take_from_dtls(self, now_s: float) -> None:
        self._collect(now_s)
        dtls = self.dtls
        if dtls.state is DtlsState.FAILED:
            self.end(_reason_of(dtls.failure), now_s)
            return
        if self.state is State.HANDSHAKING and dtls.state is DtlsState.CONNECTED:
            self._establish(now_s)
        self._events += [Received(data) for data in dtls.take_received()]
        if dtls.state is DtlsState.CLOSED:
            self.end(EndReason.CLIENT_HUNG_UP, now_s)

    def _establish(self, now_s: float) -> None:
        keys, stream = self.dtls.keys, self.stream
        assert keys is not None, "a connected endpoint has keys"
        self.inbound = SrtpInbound(keys, payload_types=frozenset({stream.payload_type}))
        self.outbound = SrtpOutbound(
            keys, ssrc=stream.ssrc, payload_type=stream.payload_type, first_sequence=stream.first_sequence
        )
        self.reports = Reports(stream.ssrc, stream.cname, self.inbound, self.outbound)
        if stream.has_nack:
            self.sent = SentPackets()
        self._enter(State.ESTABLISHED)
        self.phases.established_s = now_s
        self._report_s = now_s
        self._events.append(Established())

    def _collect(self, now_s: float) -> None:
        path = self.ice.selected
        for datagram in self.dtls.take_outgoing():
            if path is not None:
                self._outgoing.append((path, datagram))

    def _report(self, now_s: float) -> None:
        if self.state is not State.ESTABLISHED or self.reports is None:
            return
        if now_s >= self._report_s:
            # RFC 3550 §4: without a wall clock the system's own may stand in the report; only differences are used
            self._send_rtcp(self.reports.build(now_s, now_s))
            self._report_s = self.reports.next_report_s

    def _send_rtcp(self, compound: bytes) -> None:
        if self.outbound is not None and self.ice.selected is not None:
            self._outgoing.append((self.ice.selected, self.outbound.seal_rtcp(compound)))

    def _resend(self, sequences: Sequence[int]) -> None:
        if self.sent is not None and self.ice.selected is not None:
            self._outgoing += [(self.ice.selected, sealed) for sealed in self.sent.find(sequences)]


def _reason_of(failure: DtlsFailure | None) -> EndReason:
    match failure:
        case DtlsFailure.TIMEOUT:
            return EndReason.HANDSHAKE_TIMEOUT
        case DtlsFailure.WRONG_FINGERPRINT:
            return EndReason.WRONG_FINGERPRINT
        case _:
            return EndReason.HANDSHAKE_FAILED
