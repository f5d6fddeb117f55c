"""ICE's lite end answers every authentic check and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrelay.transceiver.ice import IceLite
from fastrelay.wire.stun import StunError, build_check, build_response, read_error, read_response
from tests import golden
from tests.golden import attribute
from tests.unit.ice_end import NAME, PASSWORD, REMOTE, T0_S, UFRAG, A, Ice, path_of

USERNAME = attribute(0x0006, NAME.encode())
PRIORITY = attribute(0x0024, b"\x6e\x7f\x1e\xff")
CONTROLLING = attribute(0x802A, bytes(8))
NOMINATE = attribute(0x0025, b"")

# --- whose checks are answered


def test_check_is_answered_with_the_address_it_came_from() -> None:
    for path in (A, path_of(9, "2001:db8::7")):
        check = build_check(NAME, PASSWORD)
        answer = Ice().handle(path, check, T0_S)
        assert answer is not None
        response = read_response(answer.answer, PASSWORD)
        assert response.transaction_id == check[8:20]
        assert response.mapped_address == path.client[:2]


@pytest.mark.parametrize("name", golden.NAMES)
def test_checks_of_real_clients_are_answered(name: str) -> None:
    packets = [packet.payload for packet in golden.load(name) if packet.direction == "client" and packet.kind == "stun"]
    checks = [golden.with_ticket(packet, UFRAG, PASSWORD) for packet in packets if golden.is_check(packet)]
    remote = dict(golden.walk(checks[0]))[0x0006].decode().partition(":")[2]
    ice = IceLite(UFRAG, PASSWORD, remote)
    for check in checks:
        answer = ice.handle(A, check, T0_S)
        assert answer is not None
        assert read_response(answer.answer, PASSWORD).transaction_id == check[8:20]
    assert ice.refused == 0


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param([USERNAME, CONTROLLING, PRIORITY], id="as Chromium"),
        pytest.param([PRIORITY, CONTROLLING, USERNAME], id="the name last"),
        pytest.param([CONTROLLING, NOMINATE, USERNAME, PRIORITY], id="nominating, before the name"),
        pytest.param([attribute(0x8022, b"a client"), USERNAME, PRIORITY, CONTROLLING], id="SOFTWARE first"),
        pytest.param([USERNAME, CONTROLLING, PRIORITY, attribute(0xC057, b"\0\x01\0\x0a")], id="GOOG-NETWORK-INFO"),
        pytest.param([USERNAME, PRIORITY], id="no role"),
        pytest.param([USERNAME], id="a name alone"),
    ],
)
def test_authentic_check_is_answered_whatever_its_attributes(attributes: list[bytes]) -> None:
    assert Ice().is_answered(golden.signed(b"".join(attributes), PASSWORD))


def test_check_that_never_nominates_again_keeps_being_answered() -> None:
    ice = Ice()
    ice.check(A, nominates=True)
    for beat in range(1, 100):
        now_s = T0_S + beat * 5.0
        assert ice.check(A, now_s) is not None
        assert ice.consent_until_s == now_s + 30.0


@pytest.mark.parametrize(
    ("name", "password"),
    [
        pytest.param(NAME, PASSWORD + "x", id="another password"),
        pytest.param(NAME, PASSWORD[:-1], id="a part of the password"),
        pytest.param(NAME, REMOTE, id="the ufrag for a password"),
        pytest.param(f"{UFRAG}:other", PASSWORD, id="another client"),
        pytest.param(f"other:{REMOTE}", PASSWORD, id="another session"),
        pytest.param(f"{REMOTE}:{UFRAG}", PASSWORD, id="the name the wrong way round"),
        pytest.param(f"{NAME}x", PASSWORD, id="more than the name"),
        pytest.param(NAME[:-1], PASSWORD, id="less than the name"),
        pytest.param(f"{UFRAG}:", PASSWORD, id="half a name"),
        pytest.param(UFRAG, PASSWORD, id="no colon"),
    ],
)
def test_check_of_a_stranger_meets_silence(name: str, password: str) -> None:
    ice = Ice()
    assert ice.check(A, name=name, password=password) is None
    assert (ice.refused, ice.selected, ice.consent_until_s, ice.paths) == (1, None, None, ())
    assert not ice.knows(A)


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x00\x01", id="two bytes"),
        pytest.param(golden.message(build_check(NAME, PASSWORD), USERNAME), id="unsigned"),
        pytest.param(golden.signed(PRIORITY, PASSWORD), id="signed, without a name"),
        pytest.param(golden.signed(attribute(6, b"\xff\xfe"), PASSWORD), id="a name that is not text"),
        pytest.param(b"\x00\x11" + build_check(NAME, PASSWORD)[2:], id="a Binding indication"),
        pytest.param(b"\x00\x03" + build_check(NAME, PASSWORD)[2:], id="a TURN request"),
        pytest.param(build_response(bytes(12), ("192.0.2.9", 9), PASSWORD), id="a response"),
    ],
)
def test_what_is_no_check_meets_silence(packet: bytes) -> None:
    assert not Ice().is_answered(packet)


def test_check_with_any_byte_changed_meets_silence() -> None:
    check = build_check(NAME, PASSWORD, is_nominating=True)
    ice = Ice()
    for at in range(len(check)):
        for flip in (0x01, 0x80, 0xFF):
            changed = check[:at] + bytes([check[at] ^ flip]) + check[at + 1 :]
            # of the last attribute's type a changed byte makes one that is ignored, after the signature
            assert ice.is_answered(changed) == (at in (len(check) - 8, len(check) - 7)), (at, flip)


def test_check_cut_or_prolonged_meets_silence() -> None:
    check = build_check(NAME, PASSWORD, is_nominating=True)
    ice = Ice()
    for length in range(len(check)):
        assert not ice.is_answered(check[:length])
    for more in range(1, 9):
        assert not ice.is_answered(check + bytes(more))
    assert ice.is_answered(check)


@given(packet=st.one_of(st.binary(max_size=200), st.builds(golden.signed, st.binary(max_size=80), st.just(PASSWORD))))
def test_any_bytes_are_answered_or_counted(packet: bytes) -> None:
    Ice().is_answered(packet)


# --- refusals of authentic checks


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        pytest.param(attribute(0x8029, bytes(8)), StunError.ROLE_CONFLICT, id="takes us to be in control"),
        pytest.param(attribute(0x8029, b"\xff" * 8), StunError.ROLE_CONFLICT, id="whatever its tie-breaker"),
        pytest.param(CONTROLLING + attribute(0x8029, bytes(8)), StunError.ROLE_CONFLICT, id="both roles"),
        pytest.param(attribute(0x0024, b"12"), StunError.BAD_REQUEST, id="PRIORITY of two bytes"),
        pytest.param(attribute(0x0025, b"1234"), StunError.BAD_REQUEST, id="USE-CANDIDATE with a value"),
        pytest.param(attribute(0x7ABC, b""), StunError.UNKNOWN_ATTRIBUTE, id="an attribute that must be understood"),
    ],
)
def test_authentic_check_that_cannot_succeed_is_refused_and_changes_nothing(attributes: bytes, code: int) -> None:
    ice = Ice()
    check = golden.signed(USERNAME + attributes, PASSWORD)
    answer = ice.handle(A, check, T0_S)
    assert answer is not None
    assert read_error(answer.answer, PASSWORD) == (check[8:20], code)
    assert (answer.is_first, answer.has_moved) == (False, False)
    assert (ice.selected, ice.consent_until_s, ice.paths, ice.refused) == (None, None, (), 0)


def test_client_that_takes_the_other_role_after_a_conflict_is_answered() -> None:
    ice = Ice()
    refused = ice.handle(A, build_check(NAME, PASSWORD, is_controlled=True), T0_S)
    assert refused is not None
    assert read_error(refused.answer, PASSWORD)[1] == 487
    answer = ice.check(A)
    assert answer is not None
    assert answer.is_first
