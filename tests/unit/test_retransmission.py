"""Lost packets again: what is kept and for how long, and when another is asked for."""

import pytest

from fastrelay.transceiver.retransmission import (
    ANSWERS_MAX,
    ASKED_TIMES,
    PATIENCE_S,
    RTT_MAX_S,
    SENT_MAX,
    LossRequests,
    SentPackets,
)


def kept(count: int, first: int = 0xFFF0) -> SentPackets:
    sent = SentPackets()
    for at in range(count):
        sent.keep((first + at) & 0xFFFF, b"%d" % at)
    return sent


def test_a_packet_is_sent_again_as_it_was_sealed_over_a_roll_over() -> None:
    sent = kept(20)
    assert sent.find([0xFFF0, 0x0003]) == [b"0", b"19"]
    assert (sent.resent, sent.missed) == (2, 0)


@pytest.mark.parametrize(("behind", "is_kept"), [(SENT_MAX - 1, True), (SENT_MAX, False)], ids=["oldest", "gone"])
def test_so_many_packets_are_kept(behind: int, is_kept: bool) -> None:
    sent = kept(3 * SENT_MAX, first=0)
    assert bool(sent.find([3 * SENT_MAX - 1 - behind])) is is_kept
    assert sent.missed == (not is_kept)


def test_a_request_is_answered_by_a_bounded_burst() -> None:
    assert len(kept(SENT_MAX, first=0).find([*range(SENT_MAX)] * 50)) == ANSWERS_MAX


def test_a_packet_is_asked_for_when_it_is_missing_and_once_more_a_round_trip_later() -> None:
    requests, rtt_s = LossRequests(), 0.05
    assert requests.due([5, 6], rtt_s, 10.0) == [5, 6]
    assert requests.due([5, 6], rtt_s, 10.0 + rtt_s) == []
    assert requests.due([6, 9], rtt_s, 10.0 + rtt_s + PATIENCE_S + 0.001) == [6, 9]
    assert requests.due([6], rtt_s, 20.0) == []
    assert requests.asked == 4


def test_a_packet_is_asked_for_so_often() -> None:
    requests = LossRequests()
    assert sum(len(requests.due([5], 0.01, at)) for at in range(50)) == ASKED_TIMES


@pytest.mark.parametrize(
    ("rtt_s", "is_asking"),
    [(None, False), (0.0, True), (RTT_MAX_S, True), (RTT_MAX_S + 0.001, False)],
    ids=["unknown", "none", "at most", "too long"],
)
def test_nothing_is_asked_for_that_would_come_too_late(rtt_s: float | None, is_asking: bool) -> None:
    assert bool(LossRequests().due([5], rtt_s, 10.0)) is is_asking


def test_what_is_not_missing_any_more_is_forgotten() -> None:
    requests = LossRequests()
    for start in range(0, 6000, 63):
        requests.due([*range(start, start + 63)], 0.01, start)
    # a number that comes again after a roll-over is another packet
    assert requests.due([0], 0.01, 9000.0) == [0]
