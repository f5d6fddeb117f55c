"""Records and flights: borders, packing, numbering, and when a flight is due again."""

import pytest

from fastrelay.transceiver.dtls_flight import EARLY_RESENDS, RESEND_AFTER_S, Flight, split_records


def record(length: int, *, epoch: int = 0, sequence: int = 0, kind: int = 22) -> bytes:
    head = bytes([kind]) + b"\xfe\xfd" + epoch.to_bytes(2, "big") + sequence.to_bytes(6, "big")
    return head + length.to_bytes(2, "big") + bytes(length)


def sequences(datagrams: list[bytes]) -> list[int]:
    return [int.from_bytes(one[5:11], "big") for datagram in datagrams for one in split_records(datagram)]


@pytest.mark.parametrize("lengths", [[], [0], [1], [100, 0, 1200], [16_384, 1]], ids=str)
def test_records_are_cut_at_their_borders(lengths: list[int]) -> None:
    records = [record(length) for length in lengths]
    assert split_records(b"".join(records)) == records


@pytest.mark.parametrize(
    ("lengths", "packed"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([74, 87], [187], id="both in one"),
        pytest.param([87, 87], [200], id="exactly full"),
        pytest.param([87, 88], [100, 101], id="one byte too many"),
        pytest.param([300, 10], [313, 23], id="one that cannot be cut goes alone"),
        pytest.param([10, 300, 10], [23, 313, 23], id="and keeps its place"),
    ],
)
def test_records_share_datagrams_up_to_the_mtu(lengths: list[int], packed: list[int]) -> None:
    assert [len(one) for one in Flight(200).pack([record(length) for length in lengths])] == packed


def test_unprotected_records_are_numbered_anew_each_time_they_leave() -> None:
    flight = Flight(1200)
    sent = flight.start([record(5), record(5, epoch=1, sequence=7), record(5)], 0.0)
    assert sequences(sent) == [0, 7, 1]
    assert sequences(flight.resend(0.05)) == [2, 7, 3]
    assert sequences(flight.pack([record(2, kind=21)])) == [4]


def test_a_flight_is_due_after_each_interval_and_the_last_one_stays() -> None:
    flight = Flight(1200)
    flight.start([record(5)], 100.0)
    now_s = 100.0
    for wait_s in (*RESEND_AFTER_S, RESEND_AFTER_S[-1]):
        assert flight.resend_s == pytest.approx(now_s + wait_s)
        now_s += wait_s
        flight.resend(now_s)
    assert RESEND_AFTER_S[:EARLY_RESENDS] == (0.05, 0.1, 0.2)


def test_a_new_flight_is_early_again() -> None:
    flight = Flight(1200)
    flight.start([record(5)], 0.0)
    early = []
    for _ in range(EARLY_RESENDS + 1):
        early.append(flight.is_early)
        flight.resend(1.0)
    flight.start([record(6)], 2.0)
    assert [*early, flight.is_early] == [True] * EARLY_RESENDS + [False, True]
    assert flight.resend_s == 2.0 + RESEND_AFTER_S[0]


def test_what_openssl_has_rewritten_replaces_the_flight() -> None:
    flight = Flight(1200)
    flight.start([record(5, epoch=1, sequence=1)], 0.0)
    assert sequences(flight.resend(1.0, [record(5, epoch=1, sequence=2)])) == [2]
    assert sequences(flight.resend(2.0, [])) == [2]


def test_a_last_flight_is_repeated_no_more_often_than_flights_are_resent() -> None:
    flight = Flight(1200)
    flight.start([record(5)], 0.0)
    assert flight.repeat(0.049) == []
    assert len(flight.repeat(0.05)) == 1
    assert flight.repeat(0.05) == []
    assert len(flight.repeat(0.1)) == 1
    flight.forget()
    assert flight.repeat(1.0) == []
