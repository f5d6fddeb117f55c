"""Whatever happens to a call, in whatever order: afterwards it either talks, or it has ended for a reason that fits."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from fastrelay.transceiver.dtls import DtlsRole
from fastrelay.transceiver.session.events import Ended, Established, Heard, Moved, Reached
from fastrelay.transceiver.session.states import EndReason, State
from tests.emulator.browser import CHROMIUM, FIREFOX, Remote
from tests.emulator.network import Conditions, Datagram
from tests.emulator.session_end import REMOTE, Call, Shape, new_call

STRANGER = ("198.51.100.66", 6_666)
CONSENT_S = 30.0
FOUND_WITHIN_S = 15.0
"""Two of the longest pauses between checks, and some: a browser that never nominates again may have moved."""

Step = Callable[[Call], None]


def wait(seconds: float) -> Step:
    return lambda call: call.network.run_for(seconds)


def weather(up: Conditions, down: Conditions) -> Step:
    def step(call: Call) -> None:
        call.network.up.conditions, call.network.down.conditions = up, down

    return step


def move(number: int) -> Step:
    return lambda call: call.browser.move((f"203.0.113.{number}", 50_000 + number))


def change_relay(number: int) -> Step:
    def step(call: Call) -> None:
        call.server.relay = (f"192.0.2.{number}", 3479)

    return step


def restart(number: int) -> Step:
    def step(call: Call) -> None:
        remote = Remote(f"again+{number}", f"password.of.restart.{number}.", REMOTE.fingerprint)
        call.server.session.ice.restart(remote.ufrag, remote.password, f"C{number}", call.network.now_s)
        call.browser.restart_ice(remote, f"C{number}", call.network.now_s)

    return step


def garbage(payload: bytes) -> Step:
    def step(call: Call) -> None:
        for client in (call.browser.address, STRANGER):
            call.server.receive(Datagram(client, payload), call.network.now_s)

    return step


def replay(number: int) -> Step:
    def step(call: Call) -> None:
        sent = call.network.up.sent
        if sent:
            call.server.receive(sent[number % len(sent)], call.network.now_s)

    return step


def speak(call: Call) -> None:
    call.browser.speak(b"whatever happens")


NUMBERS = st.integers(1, 250)
SHARES = st.sampled_from([0.0, 0.1, 0.5, 1.0])
CONDITIONS = st.builds(
    Conditions,
    delay_s=st.sampled_from([0.001, 0.05, 0.3]),
    jitter_s=st.sampled_from([0.0, 0.1]),
    loss=SHARES,
    duplication=st.sampled_from([0.0, 0.3]),
    overtaking=st.sampled_from([0.0, 0.3]),
)
STEPS = st.one_of(
    st.builds(wait, st.sampled_from([0.0, 0.02, 0.1, 1.0, 9.0, 20.0])),
    st.builds(weather, CONDITIONS, CONDITIONS),
    st.builds(move, NUMBERS),
    st.builds(change_relay, NUMBERS),
    st.builds(restart, NUMBERS),
    st.builds(garbage, st.binary(min_size=1, max_size=60)),
    st.builds(replay, st.integers(0, 10_000)),
    st.just(speak),
)
SHAPES = st.builds(Shape, st.sampled_from(DtlsRole), st.sampled_from([CHROMIUM, FIREFOX]), st.sampled_from([1200, 300]))
LEGAL_ENDS = {EndReason.NO_CHECK, EndReason.HANDSHAKE_TIMEOUT, EndReason.CONSENT_EXPIRED}


@settings(max_examples=150, deadline=None)
@given(shape=SHAPES, steps=st.lists(STEPS, max_size=25), seed=st.integers(0, 2**32))
def test_after_any_history_a_call_talks_or_has_ended(shape: Shape, steps: list[Step], seed: int) -> None:
    call = new_call(shape, seed=seed)
    for step in steps:
        step(call)
    weather(Conditions(), Conditions())(call)
    call.network.run_for(FOUND_WITHIN_S)
    session = call.server.session
    if session.state is State.ENDED:
        assert session.reason in LEGAL_ENDS
        assert call.server.take_outgoing() == []
    else:
        assert call.is_connected
        call.echo(b"still here")
        call.network.run_for(CONSENT_S)
        call.echo(b"and still")
    assert_orderly(call)


def assert_orderly(call: Call) -> None:
    """Events came in an order that owners may rely on, and nobody was sent to but the client."""
    kinds = [type(event) for event in call.server.events]
    for once in (Reached, Established, Heard, Ended):
        assert kinds.count(once) <= 1
    firsts = [kinds.index(kind) for kind in (Reached, Established, Heard) if kind in kinds]
    assert firsts == sorted(firsts)
    assert Ended not in kinds or kinds[-1] is Ended
    places = [event.path.client for event in call.server.events if isinstance(event, Reached | Moved)]
    assert all(before != after for before, after in pairwise(places))
    assert STRANGER not in {datagram.client for datagram in call.network.down.sent}
