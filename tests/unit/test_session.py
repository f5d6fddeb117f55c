"""A session's life: every way through its states, and every reason to end, with a clock that the test moves."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from fastrelay.transceiver import Path
from fastrelay.transceiver.certificate import Certificate
from fastrelay.transceiver.dtls import DtlsContexts, DtlsEndpoint, DtlsRole, DtlsState
from fastrelay.transceiver.ice import IceLite
from fastrelay.transceiver.session.events import Ended, Established, Heard, Moved, Reached, Received, SessionEvent
from fastrelay.transceiver.session.limits import SessionLimits
from fastrelay.transceiver.session.session import Session, Stream
from fastrelay.transceiver.session.states import TRANSITIONS, EndReason, State
from fastrelay.transceiver.srtp import RtpPacket, SrtpInbound, SrtpOutbound, SrtpRefusal, open_rtp, seal_rtp
from fastrelay.wire.demux import PacketClass, classify
from fastrelay.wire.stun import build_check

UFRAG, PASSWORD, CLIENT_UFRAG = "servertoken", "password-of-the-server", "abcd"
OPUS = 111
HOME = Path(("192.0.2.7", 5000), ("10.0.0.1", 4000), 0)
ELSEWHERE = Path(("192.0.2.99", 6000), ("10.0.0.1", 4000), 0)
LIMITS = SessionLimits(first_check_s=30, handshake_s=10, consent_s=30, longest_s=3600)
OURS, THEIRS = Certificate.generate(1.7e9), Certificate.generate(1.7e9)
CONTEXTS, THEIR_CONTEXTS = DtlsContexts(OURS), DtlsContexts(THEIRS)


@dataclass
class Client:
    """The other end, as much of it as a session needs to go through its states."""

    session: Session
    role: DtlsRole = DtlsRole.ACTIVE
    path: Path = HOME
    now_s: float = 0.0
    events: list[SessionEvent] = field(default_factory=list)
    heard: dict[PacketClass, list[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.dtls = DtlsEndpoint(THEIR_CONTEXTS, self.role, [("sha-256", OURS.fingerprint)])

    def check(self, *, password: str = PASSWORD, is_nominating: bool = False) -> None:
        packet = build_check(f"{UFRAG}:{CLIENT_UFRAG}", password, is_nominating=is_nominating)
        self.session.handle_check(self.path, packet, self.now_s)
        self.settle()

    def settle(self) -> None:
        """Carry datagrams both ways until neither end has any."""
        while outgoing := self.session.take_outgoing():
            for path, datagram in outgoing:
                assert path.client == self.path.client
                self.heard.setdefault(classify(datagram), []).append(datagram)
                if classify(datagram) is PacketClass.DTLS:
                    self.dtls.handle(datagram, self.now_s)
            self.flush()
        self.events += self.session.take_events()

    def flush(self) -> None:
        for datagram in self.dtls.take_outgoing():
            self.session.handle_dtls(datagram, self.now_s)

    def connect(self) -> None:
        self.dtls.start(self.now_s)
        self.check()
        self.flush()
        self.settle()
        assert self.session.state is State.ESTABLISHED

    def wait(self, seconds: float) -> None:
        """Let time pass, with every timer at its time."""
        end_s = self.now_s + seconds
        while (due_s := self.session.next_timer_s()) is not None and due_s <= end_s:
            self.now_s = max(due_s, self.now_s)
            self.session.handle_timer(self.now_s)
            self.settle()
        self.now_s = end_s


def new_client(*, role: DtlsRole = DtlsRole.PASSIVE, fingerprint: str = THEIRS.fingerprint) -> Client:
    """A session of this role, and its client."""
    session = Session(
        IceLite(UFRAG, PASSWORD, CLIENT_UFRAG, consent_s=LIMITS.consent_s),
        DtlsEndpoint(CONTEXTS, role, [("sha-256", fingerprint)], timeout_s=LIMITS.handshake_s),
        Stream(ssrc=0x1234, cname="call", payload_type=OPUS, first_sequence=7),
        0.0,
        LIMITS,
    )
    return Client(session, DtlsRole.ACTIVE if role is DtlsRole.PASSIVE else DtlsRole.PASSIVE)


@pytest.fixture
def client() -> Client:
    return new_client()


@pytest.mark.parametrize("role", DtlsRole)
def test_check_handshake_audio(role: DtlsRole) -> None:
    client = new_client(role=role)
    client.connect()
    session = client.session
    assert client.events == [Reached(HOME), Established()]
    assert session.dtls.keys is not None
    assert client.dtls.keys is not None
    theirs = SrtpOutbound(client.dtls.keys, ssrc=99, payload_type=OPUS, first_sequence=1)
    assert session.inbound is not None
    (packet,) = open_rtp([(session.inbound, seal_rtp([(theirs, b"opus", 960, True)])[0])], 0)
    assert isinstance(packet, RtpPacket)
    assert packet.payload == b"opus"
    session.note_audio(0.5)
    session.note_audio(0.7)
    assert session.take_events() == [Heard()]
    assert session.phases.heard_s == 0.5


def test_what_we_send_is_the_clients_to_open(client: Client) -> None:
    client.connect()
    assert client.session.outbound is not None
    assert client.dtls.keys is not None
    inbound = SrtpInbound(client.dtls.keys, payload_types=frozenset({OPUS}))
    (packet,) = open_rtp([(inbound, seal_rtp([(client.session.outbound, b"voice", 960, True)])[0])], 0)
    assert isinstance(packet, RtpPacket)
    assert (packet.ssrc, packet.sequence, packet.payload) == (0x1234, 7, b"voice")


def test_application_data_goes_both_ways(client: Client) -> None:
    client.connect()
    client.dtls.send(b"from the client")
    client.flush()
    client.settle()
    assert client.events[-1] == Received(b"from the client")
    assert client.session.send(b"from us", client.now_s)
    client.settle()
    assert client.dtls.take_received() == [b"from us"]


def test_dtls_starts_with_the_first_check_and_not_before() -> None:
    client = new_client(role=DtlsRole.ACTIVE)
    client.session.handle_dtls(b"\x16early", 0.0)
    assert not client.session.take_outgoing()
    client.check()
    assert client.events == [Reached(HOME)]
    assert len(client.heard[PacketClass.DTLS]) > 0


def test_unauthenticated_check_gets_no_answer_and_changes_nothing(client: Client) -> None:
    client.check(password="wrong")
    assert client.heard == {}
    assert client.session.state is State.WAITING
    assert client.session.refused == 1


def test_reports_are_sent_while_established(client: Client) -> None:
    client.connect()
    client.heard.clear()
    client.wait(20)
    assert 2 <= len(client.heard[PacketClass.SRTCP]) <= 40
    keys = client.dtls.keys
    assert keys is not None
    inbound = SrtpInbound(keys, payload_types=frozenset({OPUS}))
    assert not any(isinstance(inbound.open_rtcp(each), SrtpRefusal) for each in client.heard[PacketClass.SRTCP])


def test_client_moves(client: Client) -> None:
    client.connect()
    client.path = ELSEWHERE
    client.check(is_nominating=True)
    assert client.events[-1] == Moved(ELSEWHERE)
    assert client.session.ice.selected == ELSEWHERE


def test_waiting_ends_without_a_check(client: Client) -> None:
    client.wait(LIMITS.first_check_s + 0.1)
    assert client.events == [Ended(EndReason.NO_CHECK)]
    assert client.heard == {}


def test_handshake_ends_in_time(client: Client) -> None:
    client.check()
    client.wait(LIMITS.handshake_s + 1)
    assert client.events[-1] == Ended(EndReason.HANDSHAKE_TIMEOUT)


def test_certificate_must_be_the_offers() -> None:
    client = new_client(fingerprint=OURS.fingerprint)
    client.check()
    client.dtls.start(0.0)
    client.flush()
    client.settle()
    assert client.events[-1] == Ended(EndReason.WRONG_FINGERPRINT)


def test_consent_expires_without_checks(client: Client) -> None:
    client.connect()
    client.wait(LIMITS.consent_s - 0.1)
    assert client.session.state is State.ESTABLISHED
    client.wait(0.2)
    assert client.events[-1] == Ended(EndReason.CONSENT_EXPIRED)


def test_checks_keep_consent(client: Client) -> None:
    client.connect()
    for _ in range(40):
        client.wait(2.5)
        client.check()
    assert client.session.state is State.ESTABLISHED


def test_longest_call_ends(client: Client) -> None:
    client.connect()
    for _ in range(int(LIMITS.longest_s / 25) + 1):
        client.wait(25)
        if client.session.state is State.ESTABLISHED:
            client.check()
    assert client.events[-1] == Ended(EndReason.TOO_LONG)


def test_client_that_closes_dtls_has_hung_up(client: Client) -> None:
    client.connect()
    client.dtls.close(client.now_s)
    client.flush()
    client.settle()
    assert client.events[-1] == Ended(EndReason.CLIENT_HUNG_UP)


def test_end_says_goodbye_twice_over(client: Client) -> None:
    client.connect()
    client.heard.clear()
    client.session.end(EndReason.AGENT_HUNG_UP, client.now_s)
    client.session.end(EndReason.STOPPED, client.now_s)
    client.settle()
    assert len(client.heard[PacketClass.SRTCP]) == 1
    assert client.dtls.state is DtlsState.CLOSED
    assert client.events[-1] == Ended(EndReason.AGENT_HUNG_UP)
    assert client.session.reason is EndReason.AGENT_HUNG_UP


def test_nothing_is_taken_or_sent_after_the_end(client: Client) -> None:
    client.connect()
    client.session.end(EndReason.STOPPED, 0.0)
    client.settle()
    client.heard.clear()
    client.check()
    client.session.handle_dtls(b"\x17late", 0.0)
    client.session.handle_rtcp(b"\x80\xc8late", 0.0)
    assert not client.session.send(b"late", 0.0)
    assert client.session.next_timer_s() is None
    assert (client.session.inbound, client.session.outbound, client.session.reports) == (None, None, None)
    client.session.handle_timer(1e9)
    assert client.session.take_outgoing() == []
    assert client.heard == {}


def test_only_the_end_has_nothing_after_it() -> None:
    assert {state for state in State if not TRANSITIONS[state]} == {State.ENDED}
    assert all(State.ENDED in after for state, after in TRANSITIONS.items() if state is not State.ENDED)
