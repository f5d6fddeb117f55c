"""RTP's header by its readable twin: parts, padding, extended sequence numbers, and the statistics of a reception."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrelay.errors import WireError
from fastrelay.transceiver.reception import DROPOUT_MAX, HISTORY, Reception
from fastrelay.wire.rtp import HEADER_LENGTH, RtpHeader, build_header, extend_sequence, parse_header, read_payload

EXTENDED = bytes([0x92]) + build_header(111, 7, 960, 9, is_marked=False)[1:] + bytes(8) + b"\xbe\xde\0\1\x10\xff\0\0"


@given(
    st.integers(0, 127), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF_FFFF), st.integers(0, 0xFFFF_FFFF), st.booleans()
)
def test_headers_round_trip(payload_type: int, sequence: int, timestamp: int, ssrc: int, is_marked: bool) -> None:
    packet = build_header(payload_type, sequence, timestamp, ssrc, is_marked=is_marked)
    assert parse_header(packet) == RtpHeader(payload_type, sequence, timestamp, ssrc, is_marked, False, HEADER_LENGTH)


def test_a_header_with_all_parts_is_refused_at_every_length_that_is_too_short() -> None:
    for length in range(len(EXTENDED)):
        with pytest.raises(WireError):
            parse_header(EXTENDED[:length])
    assert parse_header(EXTENDED).length == len(EXTENDED)


@pytest.mark.parametrize("first", [0x00, 0x40, 0xC0])
def test_only_version_two_is_rtp(first: int) -> None:
    with pytest.raises(WireError, match="version at byte 0"):
        parse_header(bytes([first]) + EXTENDED[1:])


@pytest.mark.parametrize(
    ("padding", "payload"),
    [(1, b"abc"), (3, b"a"), (4, b"")],
    ids=["one byte", "all but one", "all"],
)
def test_padding_is_taken_off_the_end(padding: int, payload: bytes) -> None:
    packet = b"\xa0" + bytes(HEADER_LENGTH - 1) + b"abc" + bytes([padding])
    assert read_payload(packet, parse_header(packet)) == payload


@pytest.mark.parametrize("padding", [0, 5, 255])
def test_padding_beyond_the_payload_is_refused(padding: int) -> None:
    packet = b"\xa0" + bytes(HEADER_LENGTH - 1) + b"abc" + bytes([padding])
    with pytest.raises(WireError, match="padding"):
        read_payload(packet, parse_header(packet))


@given(st.integers(0x8001, 1 << 47), st.integers(-0x7FFF, 0x7FFF))
def test_a_sequence_number_means_the_packet_nearest_to_the_highest(highest: int, away: int) -> None:
    assert extend_sequence((highest + away) & 0xFFFF, highest) == highest + away


@given(st.integers(0, 0xFFFF), st.integers(0, 0x8000))
def test_nothing_lies_before_the_first_roll_over(sequence: int, highest: int) -> None:
    assert extend_sequence(sequence, highest) == sequence


@given(st.permutations(range(0xFFE0, 0x10010)), st.integers(0, 48))
def test_what_is_missing_is_what_has_not_come(order: list[int], count: int) -> None:
    reception = Reception()
    reception.begin(9)
    come = [0xFFDF, *order[:count]]
    for sequence in come:
        assert reception.count(sequence & 0xFFFF, 0, 10, 0) == sequence
    expected = set(range(0xFFDF, max(come) + 1))
    assert (reception.expected, reception.lost) == (len(expected), len(expected) - len(come))
    assert reception.missing() == [sequence & 0xFFFF for sequence in sorted(expected - set(come))]


@pytest.mark.parametrize(("ahead", "missing"), [(HISTORY - 1, 62), (HISTORY, 63), (HISTORY + 1, 63), (2000, 63)])
def test_of_a_long_gap_only_the_latest_are_named(ahead: int, missing: int) -> None:
    reception = Reception()
    for sequence in (10, 10 + ahead):
        reception.count(sequence, 0, 10, 0)
    assert len(reception.missing()) == missing
    assert reception.lost == ahead - 1


@pytest.mark.parametrize(("ahead", "lost"), [(DROPOUT_MAX, DROPOUT_MAX - 1), (DROPOUT_MAX + 1, 0)])
def test_a_jump_too_far_ahead_is_no_loss(ahead: int, lost: int) -> None:
    reception = Reception()
    for sequence in (10, 10 + ahead):
        reception.count(sequence, 0, 10, 0)
    assert reception.lost == lost


def test_jitter_is_that_of_rfc_3550_a8() -> None:
    reception, jitter, before = Reception(), 0.0, 0
    for at in range(500):
        late_us = (at * 7919) % 13_000
        reception.count(at, at * 960, 10, at * 20_000 + late_us)
        ticks = (at * 20_000 + late_us) * 48 // 1000 - at * 960
        jitter += (abs(ticks - before) - jitter) / 16 if at else 0
        before = ticks
    assert abs(reception.jitter - jitter) < 1.5
