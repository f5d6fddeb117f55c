"""SCTP packets whose lengths do not add up, or would keep a receiver busy, are refused before anything reads them."""

from __future__ import annotations

import struct

import pytest

from fastrelay.errors import WireError
from fastrelay.wire.sctp import PACKET_LENGTH_MAX, check_packet

HEADER = bytes(12)


def chunk(kind: int, body: bytes, *, length: int | None = None) -> bytes:
    return struct.pack("!BBH", kind, 0, 4 + len(body) if length is None else length) + body + b"\0" * (-len(body) % 4)


def parameter(kind: int, body: bytes, *, length: int | None = None) -> bytes:
    return struct.pack("!HH", kind, 4 + len(body) if length is None else length) + body + b"\0" * (-len(body) % 4)


INIT_BODY = bytes(16)
DATA = chunk(0, bytes(12) + b"x")


def sack(*gaps: tuple[int, int], duplicates: int = 0, announced: int | None = None) -> bytes:
    head = struct.pack("!LLHH", 5, 1000, len(gaps) if announced is None else announced, duplicates)
    return chunk(3, head + b"".join(struct.pack("!HH", *gap) for gap in gaps) + bytes(4 * duplicates))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(DATA, id="data"),
        pytest.param(DATA * 3, id="three chunks of data"),
        pytest.param(chunk(1, INIT_BODY + parameter(0xC000, b"") + parameter(0x8008, b"\xc0\x82")), id="init"),
        pytest.param(sack(), id="sack"),
        pytest.param(sack((2, 3), (5, 5), (7, 65_535), duplicates=2), id="sack with gaps"),
        pytest.param(chunk(4, parameter(1, b"heartbeat")), id="heartbeat"),
        pytest.param(chunk(6, b""), id="abort"),
        pytest.param(chunk(10, b"cookie"), id="cookie echo"),
        pytest.param(chunk(7, bytes(4)), id="shutdown"),
        pytest.param(chunk(130, parameter(13, bytes(14))), id="reset of a stream"),
        pytest.param(chunk(130, parameter(16, bytes(8)) + parameter(13, bytes(12))), id="two parameters"),
        pytest.param(chunk(192, bytes(12)), id="forward tsn"),
        pytest.param(chunk(77, b"?"), id="unknown chunk"),
        pytest.param(chunk(130, parameter(99, b"?")), id="unknown parameter"),
        pytest.param(DATA + chunk(11, b""), id="bundled"),
        pytest.param(chunk(4, parameter(1, b"?")) * 2 + sack() + DATA, id="two control chunks alike"),
    ],
)
def test_sound_packet_passes(body: bytes) -> None:
    check_packet(HEADER + body)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param(b"", "packet", id="no chunk"),
        pytest.param(chunk(0, bytes(12)), "DATA", id="data without data"),
        pytest.param(chunk(0, b""), "DATA", id="data without a header"),
        pytest.param(chunk(11, b"", length=0), "chunk length", id="chunk of no length"),
        pytest.param(chunk(11, b"", length=3), "chunk length", id="chunk shorter than its header"),
        pytest.param(chunk(11, b"", length=5), "chunk length", id="chunk longer than the packet"),
        pytest.param(chunk(1, INIT_BODY[:15]), "INIT", id="init cut off"),
        pytest.param(
            chunk(1, INIT_BODY + parameter(7, b"", length=0)), "parameter length", id="parameter of no length"
        ),
        pytest.param(chunk(1, INIT_BODY + parameter(7, b"", length=3)), "parameter length", id="parameter of 3 bytes"),
        pytest.param(chunk(2, INIT_BODY + parameter(7, b"", length=5)), "parameter length", id="parameter too long"),
        pytest.param(chunk(2, INIT_BODY + b"\0\0"), "parameter", id="parameter cut off"),
        pytest.param(chunk(1, INIT_BODY) + DATA, "chunk", id="init with company"),
        pytest.param(DATA + chunk(1, INIT_BODY), "chunk", id="company with init"),
        pytest.param(chunk(4, parameter(1, b"", length=0)), "parameter length", id="heartbeat"),
        pytest.param(chunk(6, parameter(1, b"", length=0)), "parameter length", id="abort"),
        pytest.param(chunk(9, parameter(1, b"", length=0)), "parameter length", id="error"),
        pytest.param(chunk(3, bytes(11)), "SACK", id="sack cut off"),
        pytest.param(sack((1, 2), announced=2), "SACK", id="more gaps announced than there are"),
        pytest.param(sack((1, 2), announced=0), "SACK", id="fewer gaps announced than there are"),
        pytest.param(sack((0, 0)), "gap block", id="gap at nothing"),
        pytest.param(sack((5, 4)), "gap block", id="gap backwards"),
        pytest.param(sack((1, 65_535), (1, 65_535)), "gap block", id="gaps overlap"),
        pytest.param(sack((4, 5), (2, 3)), "gap block", id="gaps descend"),
        pytest.param(chunk(7, bytes(3)), "SHUTDOWN", id="shutdown"),
        pytest.param(chunk(130, parameter(13, bytes(11))), "RE-CONFIG parameter", id="reset cut off"),
        pytest.param(chunk(130, parameter(13, bytes(13))), "RE-CONFIG parameter", id="reset of half a stream"),
        pytest.param(chunk(130, parameter(16, bytes(7))), "RE-CONFIG parameter", id="response cut off"),
        pytest.param(chunk(130, parameter(17, bytes(9))), "RE-CONFIG parameter", id="addition too long"),
        pytest.param(chunk(130, parameter(16, bytes(8)) * 3), "RE-CONFIG parameter", id="three parameters"),
        pytest.param(chunk(4, b"") * 3, "chunk", id="three control chunks alike"),
        pytest.param(chunk(192, bytes(3)), "FORWARD TSN", id="forward tsn cut off"),
        pytest.param(chunk(192, bytes(6)), "FORWARD TSN", id="forward tsn of half a stream"),
        pytest.param(DATA + b"\0\0", "chunk", id="junk behind"),
        pytest.param(bytes(PACKET_LENGTH_MAX - 11), "packet", id="one byte too long"),
    ],
)
def test_unsound_packet_is_refused_with_its_field(body: bytes, field: str) -> None:
    with pytest.raises(WireError) as caught:
        check_packet(HEADER + body)
    assert caught.value.field == field


@pytest.mark.parametrize("length", range(16))
def test_packet_without_room_for_a_chunk_is_refused(length: int) -> None:
    with pytest.raises(WireError):
        check_packet(bytes(length))


def test_longest_packet_passes() -> None:
    body = chunk(0, bytes(PACKET_LENGTH_MAX - 16))
    assert len(HEADER + body) == PACKET_LENGTH_MAX
    check_packet(HEADER + body)
