"""Fields of a packet for people: right for what browsers send, and never an error whatever the bytes."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrelay.wire.dissect import dissect
from fastrelay.wire.stun import build_check, build_response

CAPTURES = sorted((Path(__file__).parents[1] / "data" / "captures").glob("*.jsonl"))
CHECK = build_check("token:frag", "password", transaction_id=bytes(range(12)), priority=7, is_nominating=True)
DTLS = bytes.fromhex("16 fefd 0000 000000000005 0010 01") + bytes(15)
SRTP = bytes.fromhex("80 ef 0102 00000003 deadbeef") + b"speech"
SRTCP = bytes.fromhex("81 c9 0007 deadbeef") + bytes(20)


def test_a_checks_fields_are_named() -> None:
    fields = dict(dissect(CHECK))
    assert fields["type"] == "Binding request"
    assert fields["length"] == str(len(CHECK) - 20)
    assert fields["transaction id"] == bytes(range(12)).hex()
    assert (fields["USERNAME"], fields["PRIORITY"], fields["USE-CANDIDATE"]) == ("token:frag", "7", "yes")
    assert fields["MESSAGE-INTEGRITY"].endswith("… (20 bytes)")


@pytest.mark.parametrize("address", [("192.0.2.9", 61_000), ("2001:db8::9", 61_000)], ids=["ipv4", "ipv6"])
def test_a_responses_address_is_read(address: tuple[str, int]) -> None:
    fields = dict(dissect(build_response(bytes(range(12)), address, "password")))
    assert fields["type"] == "Binding success response"
    assert fields["XOR-MAPPED-ADDRESS"] in {"192.0.2.9:61000", "[2001:db8::9]:61000"}


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        pytest.param(DTLS, {"record": "handshake", "version": "DTLS 1.2", "message": "ClientHello"}, id="dtls"),
        pytest.param(DTLS, {"epoch": "0", "sequence": "5", "length": "16"}, id="dtls numbers"),
        pytest.param(b"\x17" + DTLS[1:], {"record": "application data"}, id="dtls data"),
        pytest.param(SRTP, {"payload type": "111", "marker": "yes", "sequence": "258"}, id="srtp"),
        pytest.param(SRTP, {"timestamp": "3", "ssrc": "0xdeadbeef"}, id="srtp numbers"),
        pytest.param(SRTCP, {"report": "receiver report", "ssrc": "0xdeadbeef"}, id="srtcp"),
        pytest.param(
            b"GET / HTTP/1.1\r\n\r\n", {"first bytes": "474554202f20485454502f312e310d0a… (18 bytes)"}, id="http"
        ),
        pytest.param(bytes.fromhex("0111") + CHECK[2:], {"type": "Binding error response"}, id="error response"),
        pytest.param(bytes.fromhex("0003") + CHECK[2:], {"type": "Allocate request"}, id="turn"),
        pytest.param(
            CHECK[:4] + bytes(4) + CHECK[8:], {"cookie": "00000000, which is not STUN's 2112a442"}, id="cookie"
        ),
        pytest.param(CHECK + b"\0", {"after the last attribute": "00"}, id="junk behind"),
        pytest.param(CHECK[:24], {"USERNAME": "empty, cut: 0 of 10 bytes"}, id="cut attribute"),
    ],
)
def test_fields_are_told(packet: bytes, expected: dict[str, str]) -> None:
    fields = dict(dissect(packet))
    assert {name: fields.get(name) for name in expected} == expected


def test_an_empty_packet_has_no_fields() -> None:
    assert dissect(b"") == []


@pytest.mark.parametrize("packet", [CHECK, DTLS, SRTP, SRTCP], ids=["stun", "dtls", "srtp", "srtcp"])
def test_any_cut_and_any_flip_is_taken(packet: bytes) -> None:
    for length in range(len(packet)):
        dissect(packet[:length])
    for at in range(len(packet)):
        dissect(packet[:at] + bytes([packet[at] ^ 0xFF]) + packet[at + 1 :])


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_and_shown_on_one_line(packet: bytes) -> None:
    assert all("\n" not in name + value for name, value in dissect(packet))


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_what_browsers_send_is_known(capture: Path) -> None:
    for line in capture.read_text().splitlines()[1:]:
        record = json.loads(line)
        fields = dict(dissect(base64.b64decode(record["payload"])))
        unknown = [name for name in fields if name.startswith(("attribute 0x", "first bytes"))]
        assert unknown == [], record["kind"]
