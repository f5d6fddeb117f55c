"""An established call lives through what networks and browsers do to it: silence, moves, restarts, and ends."""

from __future__ import annotations

import pytest

from fastrelay.transceiver.dtls import DtlsRole, DtlsState
from fastrelay.transceiver.session.events import Ended, Moved
from fastrelay.transceiver.session.states import EndReason, State
from tests.emulator.browser import CHROMIUM, FIREFOX, Manner, Remote
from tests.emulator.network import Conditions, Fate
from tests.emulator.session_end import REMOTE, Call, Shape, new_call

ELSEWHERE = ("198.51.100.20", 61_000)
SILENCE = Conditions(loss=1.0)
PERFECT = Conditions()
RENEWED = Remote("renewed+ufrag", "renewed.password........", REMOTE.fingerprint)
GOODBYE = 203  # RFC 3550 §6.6
ROLES = pytest.mark.parametrize("role", DtlsRole, ids=lambda role: f"we are {role.name.lower()}")


def connected(manner: Manner = CHROMIUM, role: DtlsRole = DtlsRole.PASSIVE) -> Call:
    call = new_call(Shape(role, manner))
    call.connect(1)
    call.echo(b"hello")
    return call


def moves(call: Call) -> list[str]:
    """Where the client was found, as often as it was elsewhere than before."""
    return [event.path.client[0] for event in call.server.events if isinstance(event, Moved)]


def rtcp_types(compound: bytes) -> list[int]:
    types, at = [], 0
    while at < len(compound):
        types.append(compound[at + 1])
        at += 4 + 4 * int.from_bytes(compound[at + 2 : at + 4], "big")
    return types


def assert_ended(call: Call, reason: EndReason) -> None:
    session = call.server.session
    assert (session.state, session.reason) == (State.ENDED, reason)
    assert call.server.events[-1] == Ended(reason)
    assert session.next_timer_s() is None
    assert call.server.take_outgoing() == []


@pytest.mark.parametrize("manner", [CHROMIUM, FIREFOX], ids=["Chromium", "Firefox, which nominates once"])
def test_call_stands_for_ten_minutes(manner: Manner) -> None:
    call = connected(manner)
    for _ in range(10):
        call.network.run_for(60)
        call.echo(b"still here")
    assert call.server.session.state is State.ESTABLISHED
    assert moves(call) == []


@pytest.mark.parametrize("loss", [0.1, 0.3])
def test_speech_is_heard_through_loss(loss: float) -> None:
    call = connected()
    call.network.up.conditions = call.network.down.conditions = Conditions(loss=loss, jitter_s=0.03, overtaking=0.05)
    heard = set()
    for number in range(500):
        call.browser.speak(b"frame %d" % number)
        call.network.run_for(0.02)
        heard |= {packet.payload for packet in call.browser.take_heard()}
    assert len(heard) == pytest.approx(500 * (1 - loss) ** 2, rel=0.15)
    assert call.server.refused == call.browser.refused == 0


@pytest.mark.parametrize("silent_s", [5, 20, 27])
def test_call_goes_on_after_a_silence_shorter_than_consent(silent_s: float) -> None:
    call = connected()
    call.network.up.conditions = call.network.down.conditions = SILENCE
    call.network.run_for(silent_s)
    call.network.up.conditions = call.network.down.conditions = PERFECT
    call.network.run_for(1)
    call.echo(b"back again")
    assert call.server.session.state is State.ESTABLISHED


def test_consent_expires_after_silence() -> None:
    call = connected()
    call.network.up.conditions = SILENCE
    session = call.server.session
    taken_s = call.network.run_until(lambda: session.state is State.ENDED, 31)
    assert 27 < taken_s <= 30
    assert_ended(call, EndReason.CONSENT_EXPIRED)


@pytest.mark.parametrize(
    ("manner", "within_s"),
    [pytest.param(CHROMIUM, 2.6, id="nominating again"), pytest.param(FIREFOX, 12.0, id="never nominating again")],
)
def test_client_behind_a_new_address_is_found(manner: Manner, within_s: float) -> None:
    call = connected(manner)
    call.network.run_for(30)
    call.browser.move(ELSEWHERE)
    session = call.server.session

    def is_found() -> bool:
        return session.ice.selected is not None and session.ice.selected.client[:2] == ELSEWHERE

    call.network.run_until(is_found, within_s)
    call.echo(b"from elsewhere")
    assert moves(call) == [ELSEWHERE[0]]


@ROLES
def test_ice_restart_keeps_keys_and_audio(role: DtlsRole) -> None:
    call = connected(role=role)
    keys = call.browser.dtls.keys
    call.server.session.ice.restart(RENEWED.ufrag, RENEWED.password, "CLN2", call.network.now_s)
    call.browser.restart_ice(RENEWED, "CLN2", call.network.now_s)
    call.browser.move(ELSEWHERE)
    call.connect(1)
    call.echo(b"after the restart")
    assert call.browser.dtls.keys is keys
    assert call.server.session.ice.ufrags == (RENEWED.ufrag,)
    assert moves(call) == [ELSEWHERE[0]]


@pytest.mark.parametrize("fate", Fate, ids=lambda fate: fate.name.lower())
@pytest.mark.parametrize("position", range(4))
def test_ice_restart_survives_trouble_with_any_datagram(position: int, fate: Fate) -> None:
    for direction in ("up", "down"):
        call = connected()
        call.server.session.ice.restart(RENEWED.ufrag, RENEWED.password, "CLN2", call.network.now_s)
        call.browser.restart_ice(RENEWED, "CLN2", call.network.now_s)
        link = call.network.up if direction == "up" else call.network.down
        link.doom(len(link.sent) + position, fate)
        call.connect(1)
        call.echo(b"after the restart")


def test_relay_that_carries_the_client_may_change_at_any_time() -> None:
    call = connected()
    call.server.relay = ("192.0.2.2", 3479)
    call.echo(b"through the other")
    session = call.server.session
    assert session.ice.selected is not None
    assert session.ice.selected.relay == call.server.relay
    call.network.run_for(10)
    call.echo(b"and again")


@ROLES
def test_page_that_closes_ends_the_session(role: DtlsRole) -> None:
    call = connected(role=role)
    call.browser.close(call.network.now_s)
    call.network.run_for(0.1)
    assert_ended(call, EndReason.CLIENT_HUNG_UP)


@ROLES
def test_session_that_ends_is_heard_by_the_browser(role: DtlsRole) -> None:
    call = connected(role=role)
    call.server.session.end(EndReason.AGENT_HUNG_UP, call.network.now_s)
    call.network.run_for(0.1)
    assert call.browser.dtls.state is DtlsState.CLOSED
    assert rtcp_types(call.browser.take_reports()[-1])[-1] == GOODBYE
    assert_ended(call, EndReason.AGENT_HUNG_UP)


def test_page_that_disappears_during_set_up_ends_by_a_timeout() -> None:
    call = new_call()
    session = call.server.session
    call.network.run_until(lambda: session.state is State.HANDSHAKING, 1)
    call.network.up.conditions = SILENCE
    call.network.run_until(lambda: session.state is State.ENDED, 11)
    assert_ended(call, EndReason.HANDSHAKE_TIMEOUT)


def test_browser_with_another_certificate_than_its_offer_names_gets_no_keys() -> None:
    call = new_call(Shape(is_impostor=True))
    session = call.server.session
    call.network.run_until(lambda: session.state is State.ENDED, 1)
    assert_ended(call, EndReason.WRONG_FINGERPRINT)
    assert session.inbound is None
