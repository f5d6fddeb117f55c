"""Clients whose packets move from one worker to another: their flows follow, and only those that should."""

from dataclasses import replace
from ipaddress import ip_network

import pytest

from fastrelay.relay.dataplane.limits import Limits
from fastrelay.wire.trunk import Client, Frame
from tests.dataplane.conftest import MakeCore
from tests.dataplane.cores import Core, Sent, Setup
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

SHARED = Setup(hash_key=b"one for all workers of a relay..")
TICKET, RELOADED = ticket(1, T1), ticket(2, T2)
CHECK, OTHER_CHECK = check(TICKET), check(RELOADED)


def workers(make_core: MakeCore, count: int = 2, setup: Setup = SHARED) -> list[Core]:
    """Workers of one relay, each with all the others as its siblings."""
    cores = [make_core(setup) for _ in range(count)]
    for core in cores:
        core.set_siblings([other for other in cores if other is not core])
    return cores


def up(core: Core, packet: bytes, client: Client = ALICE, after_ms: int = 0, via: int = 0) -> str:
    return core.up([(packet, client, via)], NOW_MS + after_ms).verdicts[0]


def frame(core: Core, sequence: int, client: Client = ALICE, after_ms: int = 0, by: tuple[str, int] = T1) -> str:
    datagram = down(Frame(client, DTLS), sequence=sequence)
    return core.down([(by, datagram)], NOW_MS + after_ms).frame_verdicts[0]


def confirm(
    core: Core, packet: bytes = CHECK, client: Client = ALICE, after_ms: int = 0, by: tuple[str, int] = T1
) -> None:
    """One check and its answer."""
    assert up(core, packet, client, after_ms) in ("UP_ADMITTED", "UP_REPOINTED", "UP_STUN")
    sequence = 1 + after_ms
    assert frame(core, sequence, client, after_ms, by) in ("DOWN_CONFIRMED", "DOWN_FORWARDED")


def events(core: Core) -> dict[str, int]:
    return core.counters().events


# --- up ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packet", "verdict"), [(SRTP, "UP_SRTP"), (DTLS, "UP_DTLS"), (CHECK, "UP_STUN")], ids=["media", "dtls", "check"]
)
def test_flow_follows_its_client_with_any_packet(make_core: MakeCore, packet: bytes, verdict: str) -> None:
    first, second = workers(make_core)
    confirm(first)
    upward = second.up([(packet, ALICE, 2)])
    assert upward.verdicts == [verdict]
    assert [(bundle.to, bundle.via) for bundle in second.bundles(upward)] == [(T1, 2)]
    (flow,) = second.flows()
    assert (flow.client, flow.via, flow.peer, flow.is_confirmed, flow.packets_up) == (ALICE, 2, T1, True, 1)
    assert flow.session_id == first.flows()[0].session_id
    assert events(second) == {"flows_adopted": 1}


def test_adopted_flow_knows_its_token(make_core: MakeCore) -> None:
    first, second = workers(make_core)
    confirm(first)
    assert [up(second, packet) for packet in (SRTP, CHECK)] == ["UP_SRTP", "UP_STUN"]


def test_check_with_another_token_is_authenticated_in_full(make_core: MakeCore) -> None:
    first, second, third = workers(make_core, 3)
    confirm(first)
    assert up(second, check(RELOADED, password="guess" * 5)) == "STUN_BAD_INTEGRITY"
    assert up(third, OTHER_CHECK) == "UP_REPOINTED"
    assert [core.flows()[0].peer for core in (first, second, third)] == [T1, T1, T2]
    assert events(third) == {"flows_adopted": 1, "flows_repointed": 1}


def test_unanswered_flow_stays_where_it_is(make_core: MakeCore) -> None:
    first, second = workers(make_core)
    assert up(first, CHECK) == "UP_ADMITTED"
    assert up(second, SRTP) == "UNKNOWN_CLIENT"
    assert up(second, CHECK) == "UP_ADMITTED"
    assert events(second) == {"flows_created": 1}


def test_flow_a_transceiver_vouches_for_follows_and_stays_unconfirmed(make_core: MakeCore) -> None:
    first, second = workers(make_core)
    assert frame(first, 1) == "DOWN_RECREATED"
    assert up(second, SRTP) == "UP_SRTP"
    assert [flow.is_confirmed for flow in second.flows()] == [False]
    assert [up(second, CHECK), frame(second, 1)] == ["UP_REPOINTED", "DOWN_CONFIRMED"]


def test_tokens_under_another_hash_key_are_not_compared(make_core: MakeCore) -> None:
    """The flow moves, as one a transceiver vouches for; the client's next check is authenticated anew."""
    first, second = make_core(SHARED), make_core(replace(SHARED, hash_key=b"another relay's, for no reason.."))
    second.set_siblings([first])
    confirm(first)
    assert up(second, SRTP) == "UP_SRTP"
    assert [flow.is_confirmed for flow in second.flows()] == [False]
    assert [frame(second, 1), up(second, CHECK), frame(second, 2)] == [
        "DOWN_FORWARDED",
        "UP_REPOINTED",
        "DOWN_CONFIRMED",
    ]


def test_transceiver_no_longer_allowed_is_not_adopted(make_core: MakeCore) -> None:
    first = make_core(SHARED)
    second = make_core(replace(SHARED, allowed=[ip_network("10.0.0.2/32")]))
    second.set_siblings([first])
    confirm(first)
    assert up(second, SRTP) == "UNKNOWN_CLIENT"
    assert second.flows() == []


# --- down -------------------------------------------------------------------------


def test_flow_follows_its_transceivers_frame(make_core: MakeCore) -> None:
    first, second = workers(make_core)
    confirm(first)
    downward = second.down([(T1, down(Frame(ALICE, DTLS), via=2))])
    assert downward.frame_verdicts == ["DOWN_FORWARDED"]
    assert downward.sent == [Sent(ALICE, 2, DTLS)]
    assert up(second, CHECK) == "UP_STUN"  # the token came along
    assert events(second) == {"flows_adopted": 1}


def test_frame_of_another_transceiver_makes_a_flow_at_its_own_word(make_core: MakeCore) -> None:
    first, second = workers(make_core)
    confirm(first)
    assert frame(second, 1, by=T2) == "DOWN_RECREATED"
    assert [(flow.peer, flow.is_confirmed) for flow in second.flows()] == [(T2, False)]


def test_client_silence_goes_on_while_only_frames_move(make_core: MakeCore) -> None:
    first, second = workers(make_core)
    confirm(first)
    assert frame(second, 1, after_ms=9999) == "DOWN_FORWARDED"
    second.sweep(NOW_MS + 60_001)
    assert second.flows() == []


def test_close_looks_nowhere_else(make_core: MakeCore) -> None:
    first, second = workers(make_core)
    confirm(first)
    assert second.down([(T1, down(close(ALICE)))]).frame_verdicts == ["DOWN_CLOSE_UNKNOWN"]
    assert len(first.flows()) == 1


# --- several copies ---------------------------------------------------------------


@pytest.mark.parametrize("order", [[0, 1], [1, 0]], ids=["stale first", "fresh first"])
def test_flow_heard_on_last_is_the_one_that_counts(make_core: MakeCore, order: list[int]) -> None:
    stale, fresh, asking = workers(make_core, 3)
    asking.set_siblings([[stale, fresh][at] for at in order])
    confirm(stale)
    confirm(fresh, OTHER_CHECK, after_ms=1000, by=T2)
    assert up(asking, SRTP, after_ms=1001) == "UP_SRTP"
    assert asking.flows()[0].peer == T2


@pytest.mark.parametrize(("after_ms", "verdict"), [(9999, "UP_SRTP"), (10_000, "UNKNOWN_CLIENT")])
def test_copy_left_behind_counts_for_ten_seconds(make_core: MakeCore, after_ms: int, verdict: str) -> None:
    first, second = workers(make_core)
    confirm(first)
    assert up(second, SRTP, after_ms=after_ms) == verdict


def test_own_copy_is_used_until_the_next_check_corrects_it(make_core: MakeCore) -> None:
    """The client went to the second worker, moved to another transceiver there, and came back."""
    first, second = workers(make_core)
    confirm(first)
    confirm(second, OTHER_CHECK, after_ms=1000, by=T2)
    stale = first.up([(SRTP, ALICE, 0)], NOW_MS + 2000)
    assert [bundle.to for bundle in first.bundles(stale)] == [T1]
    assert frame(first, 1, after_ms=2000, by=T2) == "DOWN_NOT_YOURS"
    assert up(first, OTHER_CHECK, after_ms=2001) == "UP_REPOINTED"
    assert frame(first, 2, after_ms=2001, by=T2) == "DOWN_FORWARDED"
    assert frame(first, 9000, after_ms=2001, by=T1) == "DOWN_NOT_YOURS"


def test_copy_left_behind_goes_idle_though_frames_pass(make_core: MakeCore) -> None:
    first, second = workers(make_core)
    confirm(first)
    assert up(second, SRTP, after_ms=10) == "UP_SRTP"
    assert frame(first, 100, after_ms=50_000) == "DOWN_FORWARDED"
    first.sweep(NOW_MS + 60_001)
    assert first.flows() == []


# --- limits -----------------------------------------------------------------------


def limited(**limits: int) -> Setup:
    return replace(SHARED, limits=replace(LIMITS, **limits))


def test_lookups_have_a_budget_and_are_then_judged_as_without_siblings(make_core: MakeCore) -> None:
    first, second = workers(make_core, setup=limited(sibling_lookups_per_s=1, sibling_lookups_burst=1))
    confirm(first, after_ms=1)
    assert up(second, SRTP, BOB) == "UNKNOWN_CLIENT"
    assert [up(second, SRTP), up(second, SRTP, after_ms=999)] == ["UNKNOWN_CLIENT"] * 2
    assert up(second, SRTP, after_ms=1000) == "UP_SRTP"
    assert frame(second, 1, CAROL, after_ms=1000) == "DOWN_RECREATED"
    assert events(second) == {"flows_adopted": 1, "flows_recreated": 1, "sibling_lookups_refused": 3}


def test_worker_without_siblings_spends_no_budget(make_core: MakeCore) -> None:
    core = make_core(limited(sibling_lookups_per_s=1, sibling_lookups_burst=1))
    assert [up(core, SRTP) for _ in range(3)] == ["UNKNOWN_CLIENT"] * 3
    assert events(core) == {}


def test_full_table_adopts_only_what_can_take_an_unconfirmed_place(make_core: MakeCore) -> None:
    first = make_core(SHARED)
    second = make_core(limited(flows=1))
    second.set_siblings([first])
    confirm(first)
    confirm(first, check(ticket(3, T1)), BOB, after_ms=1)
    assert up(second, check(ticket(4, T1)), CAROL, via=1) == "UP_ADMITTED"
    assert [up(second, SRTP), up(second, SRTP, BOB)] == ["UP_SRTP", "UNKNOWN_CLIENT"]
    assert frame(second, 1, BOB) == "DOWN_TABLE_FULL"
    assert events(second) == {"flows_created": 1, "flows_adopted": 1, "flows_evicted": 1}


def test_siblings_may_have_another_capacity(make_core: MakeCore) -> None:
    first, second = make_core(replace(SHARED, limits=Limits(flows=5000, peers=8))), make_core(limited(flows=3))
    first.set_siblings([second])
    second.set_siblings([first])
    confirm(first)
    assert up(second, SRTP) == "UP_SRTP"
    confirm(second, check(ticket(3, T1)), ALICE_MOVED, after_ms=1)
    assert up(first, SRTP, ALICE_MOVED, after_ms=1) == "UP_SRTP"


def test_siblings_are_replaced(make_core: MakeCore) -> None:
    first, second = workers(make_core)
    confirm(first)
    second.set_siblings([])
    assert up(second, SRTP) == "UNKNOWN_CLIENT"
