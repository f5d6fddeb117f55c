"""Checks are read and answers written as RFC 8489 says, and as another implementation writes them."""

import pytest
from aioice import stun as aioice_stun
from hypothesis import given
from hypothesis import strategies as st

from fastrelay.errors import WireError
from fastrelay.wire import stun
from tests import golden
from tests.golden import attribute

PASSWORD = "VOkJxbRl1RmTxUk/WvJxBt"
TRANSACTION_ID = bytes(range(12))


def signed(*attributes: bytes) -> bytes:
    return golden.signed(attribute(0x0006, b"token:ufrag") + b"".join(attributes), PASSWORD)


@pytest.mark.parametrize(
    ("packet", "malformed", "unknown"),
    [
        pytest.param(signed(), None, (), id="a name alone"),
        pytest.param(signed(attribute(0x24, bytes(4))), None, (), id="PRIORITY"),
        pytest.param(signed(attribute(0x24, bytes(3))), 0x24, (), id="PRIORITY a byte short"),
        pytest.param(signed(attribute(0x24, bytes(5))), 0x24, (), id="PRIORITY a byte long"),
        pytest.param(signed(attribute(0x25, b"\0")), 0x25, (), id="USE-CANDIDATE with a value"),
        pytest.param(signed(attribute(0x8029, bytes(4))), 0x8029, (), id="ICE-CONTROLLED of four bytes"),
        pytest.param(signed(attribute(0x802A, bytes(9))), 0x802A, (), id="ICE-CONTROLLING of nine bytes"),
        pytest.param(signed(attribute(0x7FFF, b"?")), None, (0x7FFF,), id="must be understood, and is not"),
        pytest.param(signed(attribute(0x8000, b"?")), None, (), id="need not be understood"),
        pytest.param(signed(attribute(0xC057, bytes(4))), None, (), id="GOOG-NETWORK-INFO"),
        pytest.param(signed(attribute(0x0014, b"realm")), None, (), id="understood, and of no use"),
        pytest.param(signed(attribute(2, b""), attribute(3, b"")), None, (2, 3), id="two that are not understood"),
    ],
)
def test_faults_of_an_authentic_request_are_told(packet: bytes, malformed: int | None, unknown: tuple[int]) -> None:
    request = stun.parse_request(packet)
    assert stun.is_signed(packet, request, PASSWORD)
    assert (request.malformed, request.unknown) == (malformed, unknown)


@pytest.mark.parametrize(
    ("after", "is_read"),
    [
        pytest.param(attribute(0x0025, b""), True, id="what follows the signature is ignored"),
        pytest.param(attribute(0x8028, bytes(4)), False, id="a fingerprint of other bytes"),
        pytest.param(attribute(0x8028, b""), False, id="an empty fingerprint"),
    ],
)
def test_request_is_read_as_far_as_its_signature(after: bytes, is_read: bool) -> None:
    covered = signed()
    packet = golden.message(covered, covered[20:] + after)
    if is_read:
        assert not stun.parse_request(packet).is_nominating
    else:
        with pytest.raises(WireError, match="FINGERPRINT"):
            stun.parse_request(packet)


def test_fingerprint_that_is_not_last_is_refused() -> None:
    built = stun.build_check("a:b", PASSWORD)
    fingerprint = built[-8:]
    assert stun.read_request(built, PASSWORD).username == "a:b"
    for attributes in (built[20:] + attribute(0x8022, b""), fingerprint + built[20:-8]):
        with pytest.raises(WireError, match="FINGERPRINT"):
            stun.parse_request(golden.message(built, attributes))


@pytest.mark.parametrize("error", stun.StunError, ids=lambda error: error.name)
def test_refusal_is_signed_and_read_back(error: stun.StunError) -> None:
    unknown = (2, 0x7FFF, 3) if error is stun.StunError.UNKNOWN_ATTRIBUTE else ()
    packet = stun.build_error(TRANSACTION_ID, error, PASSWORD, unknown)
    assert stun.read_error(packet, PASSWORD) == (TRANSACTION_ID, error)
    assert (b"\x00\x02\x7f\xff\x00\x03" in packet) == bool(unknown)
    with pytest.raises(WireError, match="MESSAGE-INTEGRITY"):
        stun.read_error(packet, PASSWORD + "x")
    with pytest.raises(WireError, match="type"):
        stun.read_response(packet, PASSWORD)


def test_refusal_without_a_code_is_a_wire_error() -> None:
    built = aioice_stun.Message(aioice_stun.Method.BINDING, aioice_stun.Class.ERROR, TRANSACTION_ID)
    built.add_message_integrity(PASSWORD.encode())
    with pytest.raises(WireError, match="ERROR-CODE"):
        stun.read_error(bytes(built), PASSWORD)


@given(ip=st.ip_addresses().map(str), port=st.integers(0, 65535), transaction_id=st.binary(min_size=12, max_size=12))
def test_response_is_what_aioice_writes(ip: str, port: int, transaction_id: bytes) -> None:
    named = {"XOR-MAPPED-ADDRESS": (ip, port)}
    built = aioice_stun.Message(aioice_stun.Method.BINDING, aioice_stun.Class.RESPONSE, transaction_id, named)
    built.add_message_integrity(PASSWORD.encode())
    assert stun.build_response(transaction_id, (ip, port), PASSWORD) == bytes(built)
