"""A call is set up over any network that lets something through: a browser, a session, and trouble between them.

Times are the emulated network's: one way takes 10 ms unless a test says otherwise, so a call without trouble is set
up in 80 ms (Chromium's manner) or 120 ms (Firefox's).
"""

from __future__ import annotations

from itertools import combinations
from statistics import median

import pytest

from fastrelay.transceiver.dtls import DtlsRole
from fastrelay.transceiver.session.events import Established, Heard, Reached
from fastrelay.transceiver.session.states import State
from tests.emulator.browser import CHROMIUM, FIREFOX
from tests.emulator.network import Conditions, Fate
from tests.emulator.session_end import Call, Shape, new_call

UNTROUBLED_S = 0.12
RESENT_ONCE_S = 0.25
"""With one datagram gone, late or doubled: what is sent again is sent within 100 ms."""

SHAPES = [
    pytest.param(Shape(DtlsRole.PASSIVE, CHROMIUM), id="Chromium, we are passive"),
    pytest.param(Shape(DtlsRole.ACTIVE, CHROMIUM), id="Chromium, we are active"),
    pytest.param(Shape(DtlsRole.PASSIVE, FIREFOX), id="Firefox, we are passive"),
    pytest.param(Shape(DtlsRole.PASSIVE, CHROMIUM, mtu_bytes=300), id="a hello in pieces, we are passive"),
    pytest.param(Shape(DtlsRole.ACTIVE, FIREFOX, mtu_bytes=300), id="flights in pieces, we are active"),
]


def lengths(shape: Shape) -> tuple[int, int]:
    """How many datagrams each direction takes until the first echo is heard."""
    call = new_call(shape)
    call.connect(UNTROUBLED_S)
    call.echo(b"frame")
    return len(call.network.up.sent), len(call.network.down.sent)


def assert_sound(call: Call) -> None:
    """Both ends speak and hear, and the session has gone the straight way."""
    call.echo(b"frame")
    kinds = [type(event) for event in call.server.events]
    assert kinds == [Reached, Established, Heard]
    assert call.server.session.reason is None


@pytest.mark.parametrize("shape", SHAPES)
def test_call_is_set_up(shape: Shape) -> None:
    call = new_call(shape)
    assert call.connect(1) <= UNTROUBLED_S + 1e-9
    assert call.browser.mapped_address == call.browser.address
    assert_sound(call)


@pytest.mark.parametrize("fate", Fate, ids=lambda fate: fate.name.lower())
@pytest.mark.parametrize("direction", ["up_fates", "down_fates"])
@pytest.mark.parametrize("shape", SHAPES)
def test_one_datagram_at_any_position_harms_nothing(shape: Shape, direction: str, fate: Fate) -> None:
    up, down = lengths(shape)
    for position in range(up if direction == "up_fates" else down):
        fates = {position: fate}
        call = new_call(shape, up_fates=fates) if direction == "up_fates" else new_call(shape, down_fates=fates)
        assert call.connect(5) <= RESENT_ONCE_S, (position, fate)
        assert_sound(call)


@pytest.mark.parametrize("shape", SHAPES)
def test_any_two_datagrams_may_be_lost(shape: Shape) -> None:
    up, down = lengths(shape)
    for lost in combinations(
        [("up", number) for number in range(up)] + [("down", number) for number in range(down)], 2
    ):
        call = new_call(
            shape,
            up_fates={number: Fate.LOST for way, number in lost if way == "up"},
            down_fates={number: Fate.LOST for way, number in lost if way == "down"},
        )
        assert call.connect(5) <= 2 * RESENT_ONCE_S, lost
        assert_sound(call)


@pytest.mark.parametrize(
    ("loss", "median_s", "longest_s"), [(0.1, 0.5, 2.5), (0.2, 0.7, 5.0), (0.3, 1.0, 8.0)], ids=["10%", "20%", "30%"]
)
@pytest.mark.parametrize("shape", SHAPES)
def test_call_is_set_up_despite_random_trouble(shape: Shape, loss: float, median_s: float, longest_s: float) -> None:
    """Both ways: loss, 5 % doubled, 10 % overtaken, 30 to 60 ms."""
    trouble = Conditions(delay_s=0.03, jitter_s=0.03, loss=loss, duplication=0.05, overtaking=0.1)
    taken_s = []
    for seed in range(40):
        call = new_call(shape, up=trouble, down=trouble, seed=seed)
        taken_s.append(call.connect(longest_s))
        assert_sound(call)
    assert median(taken_s) <= median_s


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("delay_s", [0.15, 0.4], ids=["300 ms", "800 ms"])
def test_long_way_costs_round_trips_and_no_more(shape: Shape, delay_s: float) -> None:
    far = Conditions(delay_s=delay_s)
    call = new_call(shape, up=far, down=far)
    # a check and its answer; two round trips of DTLS; and a nomination, which goes beside it
    assert call.connect(10) <= 4 * 2 * delay_s + 0.2
    assert_sound(call)


def test_browser_in_the_wrong_role_takes_the_other() -> None:
    call = new_call(Shape(is_controlled=True))
    assert call.connect(1) <= RESENT_ONCE_S
    assert not call.browser.is_controlled
    assert_sound(call)


def test_nothing_but_silence_ends_a_session_that_no_check_reaches() -> None:
    call = new_call(up=Conditions(loss=1.0))
    session = call.server.session
    call.network.run_until(lambda: session.state is State.ENDED, session.limits.first_check_s + 1)
    assert len(call.network.down.sent) == 0


def test_same_seed_gives_the_same_call() -> None:
    trouble = Conditions(jitter_s=0.05, loss=0.2, duplication=0.1, overtaking=0.1)
    first, second = (new_call(up=trouble, down=trouble, seed=11) for _ in range(2))
    assert first.connect(10) == second.connect(10)
    assert len(first.network.up.sent) == len(second.network.up.sent)
