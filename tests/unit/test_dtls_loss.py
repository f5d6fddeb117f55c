"""Handshakes over a wire that loses, doubles, delays and reorders, on a clock that only timers move."""

import random
from collections.abc import Callable

import pytest

from fastrelay.transceiver.dtls import CHANGE_CIPHER_SPEC, DtlsRole, DtlsState
from fastrelay.transceiver.dtls_flight import EARLY_RESENDS, RESEND_AFTER_S
from tests.unit.dtls_ends import Fate, Sent, Wire, arrives, connected, endpoint

SMALL_MTU_BYTES = 256
"""So that flights need several datagrams, and every one of them can meet its fate."""
EARLY_S = sum(RESEND_AFTER_S[:EARLY_RESENDS])


def wire_with(fate: Fate, mtu_bytes: int) -> Wire:
    return Wire(
        endpoint(DtlsRole.PASSIVE, mtu_bytes=mtu_bytes), endpoint(DtlsRole.ACTIVE, mtu_bytes=mtu_bytes), fate=fate
    )


def positions(mtu_bytes: int) -> int:
    wire = wire_with(arrives, mtu_bytes)
    wire.start()
    wire.settle()
    return len(wire.carried)


def lost(position: int) -> Fate:
    return lambda sent: [] if sent.index == position else [sent.datagram]


def lost_with_the_next(position: int) -> Fate:
    return lambda sent: [] if sent.index in (position, position + 1) else [sent.datagram]


def doubled(position: int) -> Fate:
    return lambda sent: [sent.datagram] * 2 if sent.index == position else [sent.datagram]


def late(position: int) -> Fate:
    """It arrives behind the next one of the same sender."""
    held: dict[DtlsRole, bytes] = {}

    def fate(sent: Sent) -> list[bytes]:
        if sent.index == position:
            held[sent.sender] = sent.datagram
            return []
        overtaken = held.pop(sent.sender, None)
        return [sent.datagram] if overtaken is None else [sent.datagram, overtaken]

    return fate


def shuffled(seed: int) -> Fate:
    """A fifth is lost, a fifth held back until the sender's next, a tenth comes twice."""
    chance = random.Random(seed)
    held: dict[DtlsRole, list[bytes]] = {role: [] for role in DtlsRole}

    def fate(sent: Sent) -> list[bytes]:
        if chance.random() < 0.2:
            return []
        waiting = held[sent.sender]
        waiting.append(sent.datagram)
        if chance.random() < 0.2:
            return []
        arriving = waiting[::-1]
        waiting.clear()
        return [*arriving, sent.datagram] if chance.random() < 0.1 else arriving

    return fate


@pytest.mark.parametrize("fate", [lost, lost_with_the_next, doubled, late], ids=lambda fate: fate.__name__)
@pytest.mark.parametrize("mtu_bytes", [SMALL_MTU_BYTES, 1200])
def test_one_mishap_at_any_position_is_mended_early(fate: Callable[[int], Fate], mtu_bytes: int) -> None:
    count = positions(mtu_bytes)
    assert count >= 4
    for position in range(count):
        wire = wire_with(fate(position), mtu_bytes)
        wire.start()
        wire.run(until_s=10.0)
        assert wire.is_up, f"position {position}"
        assert wire.now_s <= EARLY_S, f"position {position} took {wire.now_s} s"
        assert wire.passive.keys is not None
        assert wire.active.keys is not None
        assert wire.passive.keys.local == wire.active.keys.remote


@pytest.mark.parametrize("seed", range(12))
def test_a_wire_that_loses_a_fifth_and_shuffles_still_connects(seed: int) -> None:
    wire = wire_with(shuffled(seed), SMALL_MTU_BYTES)
    wire.start()
    wire.run(until_s=10.0)
    assert wire.is_up


def test_a_flight_is_sent_after_50_100_and_200_ms() -> None:
    end = endpoint(DtlsRole.ACTIVE)
    end.start(0.0)
    first = end.take_outgoing()
    times: list[float] = []
    while len(times) < EARLY_RESENDS:
        due_s = end.next_timer_s()
        assert due_s is not None
        end.handle_timer(due_s)
        times.append(round(due_s, 3))
        assert [len(one) for one in end.take_outgoing()] == [len(one) for one in first]
    assert times == [0.05, 0.15, 0.35]


def test_a_flight_goes_on_being_sent_less_often_until_the_end() -> None:
    end = endpoint(DtlsRole.ACTIVE, timeout_s=5.0)
    end.start(0.0)
    times: list[float] = []
    while (due_s := end.next_timer_s()) is not None:
        end.take_outgoing()
        end.handle_timer(due_s)
        if end.take_outgoing():
            times.append(round(due_s, 3))
    assert times == [0.05, 0.15, 0.35, 0.75, 1.55, 2.35, 3.15, 3.95, 4.75]


def test_a_timer_that_is_not_due_sends_nothing() -> None:
    end = endpoint(DtlsRole.ACTIVE)
    end.start(0.0)
    end.take_outgoing()
    end.handle_timer(0.049)
    assert end.take_outgoing() == []


def test_a_client_that_repeats_its_flight_gets_the_servers_last_one_again() -> None:
    # nothing of the server arrives that begins with ChangeCipherSpec
    wire = Wire(fate=lambda sent: [] if sent.datagram[0] == CHANGE_CIPHER_SPEC else [sent.datagram])
    wire.start()
    wire.settle()
    assert (wire.passive.state, wire.active.state) == (DtlsState.CONNECTED, DtlsState.HANDSHAKING)
    assert wire.passive.next_timer_s() is None
    wire.fate = arrives
    wire.run(until_s=1.0)
    assert wire.is_up
    assert wire.now_s == pytest.approx(0.05)


def test_a_connected_end_does_not_answer_repeats_once_it_has_heard_data() -> None:
    wire = connected()
    flight = next(one for one in wire.carried if len(one) > 400 and one[13] == 11)
    wire.active.send(b"data")
    wire.settle()
    wire.passive.handle(flight, 5.0)
    assert wire.passive.take_outgoing() == []
    assert wire.passive.state is DtlsState.CONNECTED
