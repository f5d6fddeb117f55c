"""RTCP packets: round trips, what others send, and everything that is cut, changed or announces too much."""

import contextlib
import struct

import pytest
from aiortc import rtp as aiortc
from hypothesis import given
from hypothesis import strategies as st

from fastrelay.errors import WireError
from fastrelay.wire import rtcp
from fastrelay.wire.rtcp import (
    Goodbye,
    Nack,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    parse_compound,
)

words = st.integers(0, 0xFFFF_FFFF)
blocks = st.builds(
    ReportBlock, words, st.integers(0, 255), st.integers(-0x80_0000, 0x7F_FFFF), words, words, words, words
)
some_blocks = st.lists(blocks, max_size=31).map(tuple)
BLOCK = ReportBlock(7, 128, -1, 70_000, 48, 0x1234_5678, 65_536)
REPORT = rtcp.build_sender_report(SenderReport(9, 1 << 63, 960, 2, 200, (BLOCK,)))
NAME = rtcp.build_source_description(SourceDescription(9, "name"))


@given(st.builds(SenderReport, words, st.integers(0, (1 << 64) - 1), words, words, words, some_blocks))
def test_sender_reports_round_trip(report: SenderReport) -> None:
    assert parse_compound(rtcp.build_sender_report(report)) == [report]


@given(st.builds(ReceiverReport, words, some_blocks))
def test_receiver_reports_round_trip(report: ReceiverReport) -> None:
    assert parse_compound(rtcp.build_receiver_report(report)) == [report]


@given(words, st.text(min_size=1, max_size=60))
def test_names_round_trip(ssrc: int, cname: str) -> None:
    description = SourceDescription(ssrc, cname)
    assert parse_compound(rtcp.build_source_description(description)) == [description]


@given(st.lists(words, max_size=31).map(tuple), st.text(max_size=60))
def test_goodbyes_round_trip(ssrcs: tuple[int, ...], reason: str) -> None:
    assert parse_compound(rtcp.build_goodbye(Goodbye(ssrcs, reason))) == [Goodbye(ssrcs, reason)]


@given(st.integers(0, 0xFFFF), st.sets(st.integers(0, 600), min_size=1, max_size=60))
def test_requests_for_lost_packets_round_trip_over_a_roll_over(start: int, lost: set[int]) -> None:
    sequences = tuple((start + behind) & 0xFFFF for behind in sorted(lost))
    assert parse_compound(rtcp.build_nack(Nack(9, 7, sequences))) == [Nack(9, 7, sequences)]


def test_one_item_asks_for_seventeen_packets() -> None:
    request = rtcp.build_nack(Nack(9, 7, tuple(range(100, 117))))
    assert request[12:] == struct.pack("!HH", 100, 0xFFFF)
    assert len(rtcp.build_nack(Nack(9, 7, (100, 117)))) == 20


def test_a_compound_of_all_kinds_is_read_in_order() -> None:
    packets: list[RtcpPacket] = [
        SenderReport(9, 1 << 63, 960, 2, 200, (BLOCK,)),
        SourceDescription(9, "name"),
        Nack(9, 7, (1, 5)),
        Goodbye((9,), "done"),
    ]
    compound = REPORT + NAME + rtcp.build_nack(Nack(9, 7, (1, 5))) + rtcp.build_goodbye(Goodbye((9,), "done"))
    assert parse_compound(compound) == packets


def test_another_implementation_reads_what_we_write() -> None:
    sender, names, request, goodbye = aiortc.RtcpPacket.parse(WHOLE)
    assert isinstance(sender, aiortc.RtcpSrPacket)
    assert (sender.ssrc, sender.sender_info.packet_count, sender.reports[0].packets_lost) == (9, 2, -1)
    assert isinstance(names, aiortc.RtcpSdesPacket)
    assert names.chunks[0].items == [(1, b"name")]
    assert isinstance(request, aiortc.RtcpRtpfbPacket)
    assert (request.media_ssrc, request.lost) == (7, [1, 5])
    assert isinstance(goodbye, aiortc.RtcpByePacket)
    assert goodbye.sources == [9]


def test_we_read_what_another_implementation_writes() -> None:
    info = aiortc.RtcpReceiverInfo(7, 128, -1, 70_000, 48, 0x1234_5678, 65_536)
    written = [
        bytes(aiortc.RtcpRrPacket(9, [info])),
        bytes(aiortc.RtcpSdesPacket([aiortc.RtcpSourceInfo(9, [(1, b"name")])])),
        bytes(aiortc.RtcpRtpfbPacket(1, 9, 7, [1, 5, 40])),
        bytes(aiortc.RtcpByePacket([9])),
    ]
    assert parse_compound(b"".join(written)) == [
        ReceiverReport(9, (BLOCK,)),
        SourceDescription(9, "name"),
        Nack(9, 7, (1, 5, 40)),
        Goodbye((9,)),
    ]


def test_kinds_that_a_voice_call_does_not_need_are_skipped() -> None:
    picture_loss = struct.pack("!BBHII", 0x81, 206, 2, 9, 7)
    transport_wide = struct.pack("!BBHIIHHI", 0x8F, 205, 4, 9, 7, 1, 0, 0)
    extended = struct.pack("!BBHI", 0x80, 207, 1, 9)
    assert parse_compound(picture_loss + transport_wide + NAME + extended) == [SourceDescription(9, "name")]


def test_other_items_of_a_source_description_are_skipped() -> None:
    chunk = struct.pack("!I", 9) + b"\x02\x03you" + b"\x01\x04name" + b"\x06\x00" + b"\0"
    second = struct.pack("!I", 8) + b"\0\0\0\0"
    data = struct.pack("!BBH", 0x82, 202, 7) + chunk.ljust(20, b"\0") + second
    assert parse_compound(data) == [SourceDescription(9, "name"), SourceDescription(8, "")]


def test_padding_belongs_to_the_last_packet() -> None:
    padded = bytes([NAME[0] | 0x20]) + struct.pack("!BH", 202, len(NAME) // 4) + NAME[4:] + b"\0\0\0\x04"
    assert parse_compound(REPORT + padded) == parse_compound(REPORT + NAME)
    with pytest.raises(WireError, match="padding"):
        parse_compound(padded + REPORT)


@pytest.mark.parametrize("padding", [0, 3, 20, 252, 255])
def test_padding_that_is_not_whole_words_of_the_packet_is_refused(padding: int) -> None:
    with pytest.raises(WireError, match="padding"):
        parse_compound(struct.pack("!BBHI3xB", 0xA0, 201, 2, 9, padding))


WHOLE = REPORT + NAME + rtcp.build_nack(Nack(9, 7, (1, 5))) + rtcp.build_goodbye(Goodbye((9,), "done"))


def test_a_compound_cut_within_a_packet_is_refused_whole() -> None:
    borders = {len(REPORT), len(REPORT + NAME), len(WHOLE) - 16, len(WHOLE)}
    for length in range(len(WHOLE)):
        if length not in borders:
            with pytest.raises(WireError):
                parse_compound(WHOLE[:length])


def read_or_refuse(data: bytes) -> None:
    """Whatever else is raised fails the test."""
    with contextlib.suppress(WireError):
        parse_compound(data)


def test_any_byte_may_change_and_the_answer_is_packets_or_a_wire_error() -> None:
    for at in range(len(WHOLE)):
        for flip in (1, 2, 4, 8, 16, 32, 64, 128, 255):
            read_or_refuse(WHOLE[:at] + bytes([WHOLE[at] ^ flip]) + WHOLE[at + 1 :])


@given(st.lists(st.tuples(st.integers(0x80, 0xBF), st.integers(199, 208), st.binary(max_size=40)), max_size=5))
def test_junk_of_true_kinds_is_packets_or_a_wire_error(parts: list[tuple[int, int, bytes]]) -> None:
    data = b"".join(
        struct.pack("!BBH", first, kind, (len(body) + 3) // 4) + body.ljust((len(body) + 3) // 4 * 4, b"\0")
        for first, kind, body in parts
    )
    read_or_refuse(data)


@pytest.mark.parametrize("length", [0, 3, rtcp.COMPOUND_MAX_BYTES + 1])
def test_a_compound_has_a_least_and_a_greatest_size(length: int) -> None:
    with pytest.raises(WireError, match=f"has {length} bytes"):
        parse_compound(bytes(length))


def test_a_request_is_read_up_to_its_bound() -> None:
    items = struct.pack("!HH", 1, 0xFFFF) * 300
    data = struct.pack("!BBHII", 0x81, 205, 302, 9, 7) + items
    (nack,) = parse_compound(data)
    assert isinstance(nack, Nack)
    assert len(nack.sequences) == rtcp.NACK_ITEMS_MAX * 17


@pytest.mark.parametrize(
    ("build", "problem"),
    [
        pytest.param(lambda: rtcp.build_source_description(SourceDescription(9, "")), "CNAME", id="no name"),
        pytest.param(lambda: rtcp.build_source_description(SourceDescription(9, "x" * 256)), "CNAME", id="long name"),
        pytest.param(lambda: rtcp.build_goodbye(Goodbye((9,), "x" * 256)), "reason", id="long reason"),
        pytest.param(lambda: rtcp.build_receiver_report(ReceiverReport(9, (BLOCK,) * 32)), "blocks", id="blocks"),
        pytest.param(
            lambda: rtcp.build_nack(Nack(9, 7, tuple(range(0, 65 * 17, 17)))), "items", id="request of many packets"
        ),
    ],
)
def test_what_does_not_fit_is_not_built(build: object, problem: str) -> None:
    assert callable(build)
    with pytest.raises(ValueError, match=problem):
        build()


def test_counters_that_outgrow_their_fields_roll_over() -> None:
    block = ReportBlock(7, 0, 1 << 30, 1 << 33, 1 << 34, 0, 1 << 35)
    report = SenderReport(9, 1 << 65, 1 << 33, (1 << 32) + 1, (1 << 32) + 2, (block,))
    (read,) = parse_compound(rtcp.build_sender_report(report))
    assert read == SenderReport(9, 0, 0, 1, 2, (ReportBlock(7, 0, 0x7F_FFFF, 0, 0, 0, 0),))
