"""ICE's lite end knows where its client is, until when it consents, and what a restart changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrelay.transceiver.ice import CLIENTS_MAX, NOMINATION_HOLDS_S, NOMINATIONS_MAX, IceLite
from fastrelay.wire.stun import build_check, read_response
from tests.unit.ice_end import NAME, PASSWORD, REMOTE, T0_S, UFRAG, A, B, Ice, path_of

# --- where the client is


def test_first_check_is_told_once() -> None:
    ice = Ice()
    answers = [ice.check(path, nominates=nominates) for path, nominates in ((A, False), (A, True), (B, False))]
    assert [answer.is_first for answer in answers if answer] == [True, False, False]


def test_latest_checked_path_is_selected_until_one_is_nominated() -> None:
    ice = Ice()
    seen = []
    for path, nominates in ((A, False), (B, False), (A, False), (B, True), (A, False), (A, True), (B, False)):
        answer = ice.check(path, nominates=nominates)
        assert answer is not None
        seen.append((ice.selected == A, answer.has_moved))
    assert seen == [
        (True, False),
        (False, True),
        (True, True),
        (False, True),
        (False, False),
        (True, True),
        (True, False),
    ]


def test_client_that_moves_and_nominates_is_followed_at_once() -> None:
    ice = Ice()
    ice.check(A, nominates=True)
    answer = ice.check(B, T0_S + 1, nominates=True)
    assert answer is not None
    assert (answer.has_moved, ice.selected) == (True, B)
    assert ice.knows(A)
    assert ice.knows(B)


def test_client_heard_through_another_relay_stays_the_same_client() -> None:
    ice = Ice()
    ice.check(A, nominates=True)
    other = path_of(50_001, relay=("192.0.2.2", 3479), via=3)
    assert ice.knows(other)
    answer = ice.check(other)
    assert answer is not None
    assert not answer.has_moved
    assert ice.selected == other
    assert ice.paths == (other,)


def test_datagrams_of_a_known_client_are_followed_through_another_relay() -> None:
    ice = Ice()
    ice.check(A, nominates=True)
    other = path_of(50_001, relay=("192.0.2.2", 3479), via=3)
    ice.follow(other)
    assert ice.selected is other
    assert ice.paths == (other,)


def test_datagrams_of_another_address_are_followed_but_move_nothing() -> None:
    ice = Ice()
    ice.check(A, nominates=True)
    ice.check(B)
    by_another_relay = path_of(50_002, via=7)
    ice.follow(by_another_relay)
    assert ice.selected == A
    assert ice.paths == (A, by_another_relay)
    for stranger in (path_of(50_003), path_of(50_001, "203.0.113.8")):
        ice.follow(stranger)
        assert not ice.knows(stranger)
    assert ice.paths == (A, by_another_relay)


@pytest.mark.parametrize(
    ("silent_s", "moves"),
    [(0.0, False), (6.0, False), (NOMINATION_HOLDS_S, False), (NOMINATION_HOLDS_S + 0.01, True)],
)
def test_silent_nominated_path_yields_to_one_that_is_checked(silent_s: float, moves: bool) -> None:
    ice = Ice()
    ice.check(A, nominates=True)
    answer = ice.check(B, T0_S + silent_s)
    assert answer is not None
    assert answer.has_moved == moves
    assert ice.selected == (B if moves else A)


def test_path_taken_over_from_a_silent_one_holds_like_a_nominated_one() -> None:
    ice = Ice()
    ice.check(A, nominates=True)
    ice.check(B, T0_S + 10)
    ice.check(A, T0_S + 11)
    assert ice.selected == B
    ice.check(A, T0_S + 12, nominates=True)
    assert ice.selected == A


def test_replayed_nomination_moves_nothing() -> None:
    ice = Ice()
    check = build_check(NAME, PASSWORD, is_nominating=True)
    ice.handle(A, check, T0_S)
    replayed = ice.handle(B, check, T0_S + 0.1)
    assert replayed is not None
    assert (replayed.has_moved, ice.selected) == (False, A)


def test_delayed_nomination_does_not_undo_its_successor() -> None:
    ice = Ice()
    first = build_check(NAME, PASSWORD, is_nominating=True)
    ice.handle(A, first, T0_S)
    ice.check(B, nominates=True)
    ice.handle(A, first, T0_S)
    assert ice.selected == B


def test_number_of_addresses_is_bounded_and_the_longest_unchecked_gives_way() -> None:
    ice = Ice()
    paths = [path_of(40_000 + number) for number in range(CLIENTS_MAX + 1)]
    for path in paths[:-1]:
        ice.check(path)
    ice.check(paths[0])  # no longer the longest unchecked
    ice.check(paths[-1])
    assert len(ice.paths) == CLIENTS_MAX
    assert [ice.knows(path) for path in paths] == [True, False] + [True] * (CLIENTS_MAX - 1)


def test_selected_address_never_gives_way() -> None:
    ice = Ice()
    ice.check(A, nominates=True)
    for number in range(5 * CLIENTS_MAX):
        ice.check(path_of(40_000 + number))
        assert len(ice.paths) <= CLIENTS_MAX
    assert ice.selected == A
    assert ice.knows(A)


def test_nominations_remembered_are_bounded() -> None:
    ice = Ice()
    for _ in range(3 * NOMINATIONS_MAX):
        ice.check(A, nominates=True)
    assert len(ice._nominations) == NOMINATIONS_MAX


@given(
    checks=st.lists(
        st.tuples(st.integers(1, 12), st.booleans(), st.floats(0, 12), st.integers(0, 2)), min_size=1, max_size=60
    )
)
def test_whatever_is_checked_the_selected_path_is_known_and_the_latest_of_its_client(
    checks: list[tuple[int, bool, float, int]],
) -> None:
    ice, now_s, latest = Ice(), T0_S, {}
    for port, nominates, pause_s, via in checks:
        now_s += pause_s
        path = path_of(port, via=via)
        latest[port] = path
        before = ice.selected
        answer = ice.check(path, now_s, nominates=nominates)
        assert answer is not None
        assert ice.selected is not None
        assert ice.knows(ice.selected)
        assert ice.selected == latest[ice.selected.client[1]]
        assert answer.has_moved == (before is not None and before.client != ice.selected.client)
        assert answer.is_first == (before is None)
        assert not nominates or ice.selected == path
        assert 1 <= len(ice.paths) <= CLIENTS_MAX


# --- consent


def test_consent_is_given_by_each_check_and_ends_with_silence() -> None:
    ice = Ice(consent_s=30.0)
    until_s = [ice.consent_until_s]
    for path, now_s, password in ((A, 1, PASSWORD), (B, 3, PASSWORD), (A, 20, "wrong")):
        ice.check(path, T0_S + now_s, password=password)
        until_s.append(ice.consent_until_s)
    assert until_s == [None, T0_S + 31, T0_S + 33, T0_S + 33]


# --- restart

NEW, NEW_PASSWORD, NEW_REMOTE = "another+ufrag", "another.password.........", "CLN2"
NEW_NAME = f"{NEW}:{NEW_REMOTE}"


def ufrags(ice: IceLite) -> list[str]:
    assert ice.ufrag == ice.ufrags[-1]
    return list(ice.ufrags)


def test_restart_answers_old_credentials_until_the_new_are_used() -> None:
    ice = Ice()
    ice.check(A, nominates=True)
    ice.restart(NEW, NEW_PASSWORD, NEW_REMOTE, T0_S)
    assert ufrags(ice) == [UFRAG, NEW]
    assert ice.check(A) is not None
    answer = ice.check(B, name=NEW_NAME, password=NEW_PASSWORD)
    assert answer is not None
    assert read_response(answer.answer, NEW_PASSWORD).mapped_address == B.client[:2]
    assert ufrags(ice) == [NEW]
    assert ice.check(A) is None


def test_credentials_of_two_generations_do_not_mix() -> None:
    ice = Ice()
    ice.restart(NEW, NEW_PASSWORD, NEW_REMOTE, T0_S)
    assert ice.check(A, name=NEW_NAME, password=PASSWORD) is None
    assert ice.check(A, name=NAME, password=NEW_PASSWORD) is None
    assert ice.check(A, name=f"{NEW}:{REMOTE}", password=NEW_PASSWORD) is None
    assert ufrags(ice) == [UFRAG, NEW]


def test_refused_check_with_new_credentials_retires_nothing() -> None:
    ice = Ice()
    ice.restart(NEW, NEW_PASSWORD, NEW_REMOTE, T0_S)
    assert ice.handle(A, build_check(NEW_NAME, NEW_PASSWORD, is_controlled=True), T0_S) is not None
    assert ufrags(ice) == [UFRAG, NEW]


def test_media_stays_where_it_was_until_the_restarted_client_nominates() -> None:
    ice = Ice()
    ice.check(A, nominates=True)
    ice.restart(NEW, NEW_PASSWORD, NEW_REMOTE, T0_S)
    answer = ice.check(B, name=NEW_NAME, password=NEW_PASSWORD)
    assert answer is not None
    assert (answer.is_first, answer.has_moved, ice.selected) == (False, False, A)
    ice.check(B, name=NEW_NAME, password=NEW_PASSWORD, nominates=True)
    assert ice.selected == B


def test_restart_before_the_first_check_answers_both() -> None:
    ice = Ice()
    ice.restart(NEW, NEW_PASSWORD, NEW_REMOTE, T0_S)
    assert ice.consent_until_s is None
    first = ice.check(A)
    assert first is not None
    assert first.is_first
    assert ice.check(A, name=NEW_NAME, password=NEW_PASSWORD) is not None


def test_second_restart_replaces_the_first_that_was_never_used() -> None:
    ice = Ice()
    ice.check(A)
    ice.restart("never+used", "never.used.password", "NVR", T0_S)
    ice.restart(NEW, NEW_PASSWORD, NEW_REMOTE, T0_S)
    assert ufrags(ice) == [UFRAG, NEW]
    assert ice.check(A, name="never+used:NVR", password="never.used.password") is None
    assert ice.check(A) is not None
    assert ice.check(A, name=NEW_NAME, password=NEW_PASSWORD) is not None


def test_many_restarts_leave_one_generation() -> None:
    ice = Ice()
    for number in range(20):
        name, password = f"ufrag{number}", f"password.{number}"
        ice.restart(name, password, REMOTE, T0_S)
        assert ice.check(A, name=f"{name}:{REMOTE}", password=password) is not None
        assert ufrags(ice) == [name]


def test_restart_gives_the_client_time_to_gather_again() -> None:
    ice = Ice(consent_s=30.0)
    ice.check(A)
    ice.restart(NEW, NEW_PASSWORD, NEW_REMOTE, T0_S + 29)
    assert ice.consent_until_s == T0_S + 59


def test_restarts_without_a_check_do_not_stand_for_consent() -> None:
    ice = Ice(consent_s=30.0)
    ice.check(A)
    for after_s in (10, 30, 50):
        ice.restart(f"ufrag{after_s}", NEW_PASSWORD, NEW_REMOTE, T0_S + after_s)
    assert ice.consent_until_s == T0_S + 40
