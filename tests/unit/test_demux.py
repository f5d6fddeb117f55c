"""Every datagram gets its class: by RFC 7983 and RFC 5761, as real clients send it, and the same in C."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrelay._ext import codec
from fastrelay.wire.demux import PacketClass, classify
from tests import golden

STUN, DTLS, SRTP, SRTCP, OTHER = PacketClass

# RFC 7983 §7: the last byte of each range and the first of the next.
FIRST_BYTES = [
    (0, STUN),
    (3, STUN),
    (4, OTHER),
    (15, OTHER),
    (16, OTHER),  # ZRTP
    (19, OTHER),
    (20, DTLS),
    (63, DTLS),
    (64, OTHER),  # TURN channel
    (79, OTHER),
    (80, OTHER),
    (127, OTHER),
    (128, SRTP),
    (191, SRTP),
    (192, OTHER),
    (255, OTHER),
]

# RFC 5761 §4.
SECOND_BYTES = [
    (0, SRTP),
    (63, SRTP),
    (111, SRTP),  # Opus
    (191, SRTP),
    (192, SRTCP),
    (200, SRTCP),  # sender report
    (223, SRTCP),
    (224, SRTP),
    (239, SRTP),  # Opus with the marker bit
    (255, SRTP),
]


@pytest.mark.parametrize(("first_byte", "expected"), FIRST_BYTES)
def test_first_byte_names_the_protocol(first_byte: int, expected: PacketClass) -> None:
    assert classify(bytes([first_byte, 0, 0, 0])) is expected


@pytest.mark.parametrize(("second_byte", "expected"), SECOND_BYTES)
@pytest.mark.parametrize("first_byte", [128, 144, 191])
def test_second_byte_parts_srtcp_from_srtp(first_byte: int, second_byte: int, expected: PacketClass) -> None:
    assert classify(bytes([first_byte, second_byte])) is expected


@pytest.mark.parametrize(("first_byte", "expected"), FIRST_BYTES)
def test_one_byte_is_enough_for_all_but_rtp(first_byte: int, expected: PacketClass) -> None:
    assert classify(bytes([first_byte])) is (OTHER if expected is SRTP else expected)


@pytest.mark.parametrize("name", golden.NAMES)
def test_captured_packet_is_what_its_structure_says(name: str) -> None:
    wrong = [packet for packet in golden.load(name) if classify(packet.payload).name.lower() != packet.kind]
    assert wrong == []


@pytest.mark.parametrize("name", golden.NAMES)
def test_capture_holds_every_kind_in_both_directions(name: str) -> None:
    packets = golden.load(name)
    kinds = Counter((packet.direction, packet.kind) for packet in packets)
    assert set(kinds) == {(who, kind) for who in ("client", "server") for kind in ("stun", "dtls", "srtp", "srtcp")}
    assert [packet.time_s for packet in packets] == sorted(packet.time_s for packet in packets)


@pytest.mark.parametrize(
    ("name", "sizes"), [("chromium156_dtls_client", [1200, 263]), ("firefox153_dtls_client", [1408, 103])]
)
def test_both_datagrams_of_a_browsers_client_hello_are_dtls(name: str, sizes: list[int]) -> None:
    from_client = [packet.payload for packet in golden.load(name) if packet.direction == "client"]
    flight = [payload for payload in from_client if classify(payload) is DTLS][:2]
    assert [len(payload) for payload in flight] == sizes


def test_c_classes_every_first_two_bytes_alike() -> None:
    packets = [bytes([first, second]) for first in range(256) for second in range(256)]
    packets += [bytes([first]) for first in range(256)]
    assert [packet for packet in packets if codec.classify(packet) != classify(packet)] == []


@given(packet=st.binary(min_size=1, max_size=64))
def test_c_classes_any_packet_alike(packet: bytes) -> None:
    assert codec.classify(packet) == classify(packet)
