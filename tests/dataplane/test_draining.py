"""A relay that drains, and a local address that is to be given up: no new sessions, and nothing else changes."""

from dataclasses import replace

import pytest

from fastrelay.wire.trunk import Frame
from tests.dataplane.conftest import MakeCore
from tests.dataplane.cores import Core, Setup, hello_of
from tests.dataplane.packets import (
    ALICE,
    ALICE_MOVED,
    BOB,
    CAROL,
    DTLS,
    LIMITS,
    NOW_MS,
    SRTP,
    T1,
    T2,
    check,
    close,
    down,
    ticket,
)

TICKET = ticket(1, T1)
CHECK = check(TICKET)
NEW_SESSION = check(ticket(2, T2))


@pytest.fixture
def draining(core: Core) -> Core:
    """It has one call, of Alice."""
    assert core.up([(CHECK, ALICE, 0)]).verdicts == ["UP_ADMITTED"]
    core.set_draining(True)
    return core


def test_new_session_is_refused(draining: Core) -> None:
    upward = draining.up([(NEW_SESSION, BOB, 0)])
    assert (upward.verdicts, upward.datagrams) == (["DRAINING"], [])
    assert len(draining.flows()) == 1


def test_token_is_judged_first(draining: Core) -> None:
    forged = check(ticket(2, T2), password="guess" * 5)
    foreign = check(ticket(2, T2, cluster=9))
    assert draining.up([(forged, BOB, 0), (foreign, BOB, 0)]).verdicts == [
        "STUN_BAD_INTEGRITY",
        "TOKEN_FOREIGN_CLUSTER",
    ]


def test_caller_who_changes_networks_keeps_the_call(draining: Core) -> None:
    assert draining.up([(CHECK, ALICE_MOVED, 0), (CHECK, CAROL, 1)]).verdicts == ["UP_ADMITTED"] * 2


def test_session_that_has_ended_does_not_begin_again(draining: Core) -> None:
    assert draining.down([(T1, down(close(ALICE)))]).frame_verdicts == ["DOWN_CLOSED"]
    assert draining.up([(CHECK, ALICE, 0)]).verdicts == ["DRAINING"]


def test_known_client_goes_on_and_may_be_repointed(draining: Core) -> None:
    assert draining.up([(SRTP, ALICE, 0)]).verdicts == ["UP_SRTP"]
    assert draining.up([(NEW_SESSION, ALICE, 0)]).verdicts == ["UP_REPOINTED"]


def test_lost_flow_is_made_again(draining: Core) -> None:
    assert draining.down([(T1, down(Frame(BOB, DTLS)))]).frame_verdicts == ["DOWN_RECREATED"]
    assert draining.up([(NEW_SESSION, BOB, 0)]).verdicts == ["UP_REPOINTED"]


def test_session_without_an_id_is_refused(draining: Core) -> None:
    """Flows without one, made again from the trunk, are not counted as a session's."""
    assert draining.down([(T1, down(Frame(BOB, DTLS)))]).frame_verdicts == ["DOWN_RECREATED"]
    assert draining.up([(check(ticket(0, T1)), CAROL, 1)]).verdicts == ["DRAINING"]


def test_draining_can_be_taken_back(draining: Core) -> None:
    draining.set_draining(False)
    assert draining.up([(NEW_SESSION, BOB, 0)]).verdicts == ["UP_ADMITTED"]


def test_hellos_say_so(draining: Core) -> None:
    assert [hello_of(datagram).draining for _, datagram in draining.hello(NOW_MS)] == [True]
    draining.set_draining(False)
    assert [hello_of(datagram).draining for _, datagram in draining.hello(NOW_MS + 1000)] == [False]


def test_session_with_flows_at_a_sibling_goes_on(make_core: MakeCore) -> None:
    setup = Setup(hash_key=bytes(range(32)))
    first, second = make_core(setup), make_core(setup)
    second.set_siblings([first])
    second.set_draining(True)
    assert first.up([(CHECK, ALICE, 0)]).verdicts == ["UP_ADMITTED"]
    assert second.up([(CHECK, ALICE_MOVED, 0), (NEW_SESSION, BOB, 0)]).verdicts == ["UP_ADMITTED", "DRAINING"]


def test_flow_of_a_sibling_is_adopted(make_core: MakeCore) -> None:
    setup = Setup(hash_key=bytes(range(32)))
    first, second = make_core(setup), make_core(setup)
    second.set_siblings([first])
    second.set_draining(True)
    assert first.up([(CHECK, ALICE, 0)]).verdicts == ["UP_ADMITTED"]
    assert first.down([(T1, down(Frame(ALICE, DTLS)))]).frame_verdicts == ["DOWN_CONFIRMED"]
    assert second.up([(SRTP, ALICE, 0)]).verdicts == ["UP_SRTP"]


def test_room_in_the_session_is_asked_for_afterwards(make_core: MakeCore) -> None:
    core = make_core(Setup(limits=replace(LIMITS, session_flows=1)))
    assert core.up([(CHECK, ALICE, 0)]).verdicts == ["UP_ADMITTED"]
    core.set_draining(True)
    assert core.up([(CHECK, ALICE_MOVED, 0), (NEW_SESSION, BOB, 0)]).verdicts == ["SESSION_BUDGET", "DRAINING"]


def test_leaving_address_takes_no_new_session_and_keeps_the_old(make_core: MakeCore) -> None:
    core = make_core(Setup(leaving=[2]))
    assert core.up([(CHECK, ALICE, 2)]).verdicts == ["DRAINING"]
    assert core.up([(CHECK, ALICE, 0), (SRTP, ALICE, 2)]).verdicts == ["UP_ADMITTED", "UP_SRTP"]
    assert core.up([(CHECK, ALICE_MOVED, 2), (NEW_SESSION, BOB, 2)]).verdicts == ["UP_ADMITTED", "DRAINING"]
    assert core.up([(NEW_SESSION, BOB, 0)]).verdicts == ["UP_ADMITTED"]
    assert [hello_of(datagram).draining for _, datagram in core.hello(NOW_MS)] == [False, False]
