"""A connectivity check is found, understood and verified: by RFC 5769, as real clients send it, and the same in C."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from aioice import stun as aioice_stun
from hypothesis import given
from hypothesis import strategies as st

from fastrelay._ext import codec
from fastrelay.errors import WireError
from fastrelay.relay.dataplane.verdict import Verdict
from fastrelay.wire import stun
from fastrelay.wire.stun import Check, CheckRefusal, integrity_matches, parse_check
from tests import golden

MALFORMED, NOT_A_CHECK, NO_USERNAME, NO_INTEGRITY = CheckRefusal

# RFC 5769. The password of the first three is PASSWORD.
PASSWORD = "VOkJxbRl1RmTxUk/WvJxBt"
SAMPLE_REQUEST = bytes.fromhex(
    "00010058 2112a442 b7e7a701bc34d686fa87dfae"
    "80220010 5354554e207465737420636c69656e74"
    "00240004 6e0001ff"
    "80290008 932ff9b151263b36"
    "00060009 6576746a3a68367659 202020"
    "00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004 e57a3bcf"
)
SAMPLE_IPV4_RESPONSE = bytes.fromhex(
    "0101003c 2112a442 b7e7a701bc34d686fa87dfae"
    "8022000b 7465737420766563746f72 20"
    "00200008 0001a147e112a643"
    "00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7"
    "80280004 c07d4c96"
)
SAMPLE_IPV6_RESPONSE = bytes.fromhex(
    "01010048 2112a442 b7e7a701bc34d686fa87dfae"
    "8022000b 7465737420766563746f72 20"
    "00200014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    "00080014 a382954e4be67bf11784c97c8292c275bfe3ed41"
    "80280004 c8fb0b4c"
)
SAMPLE_LONG_TERM_REQUEST = bytes.fromhex(
    "00010060 2112a442 78ad3433c6ad72c029da412e"
    "00060012 e3839ee38388e383aae38383e382afe382b9 0000"
    "0015001c 662f2f3439396b39353464364f4c33346f4c394653547679363473 41"
    "0014000b 6578616d706c652e6f7267 00"
    "00080014 f67024656dd64a3e02b8e0712e85c9a28ca89666"
)
TRANSACTION_ID = SAMPLE_REQUEST[8:20]
INTEGRITY_AT = 76
FINGERPRINT_AT = 100


def attribute(kind: int, value: bytes, *, length: int | None = None) -> bytes:
    header = kind.to_bytes(2, "big") + (len(value) if length is None else length).to_bytes(2, "big")
    return header + value + b" " * (-len(value) % 4)


def message(*attributes: bytes, kind: int = 0x0001) -> bytes:
    body = b"".join(attributes)
    return kind.to_bytes(2, "big") + len(body).to_bytes(2, "big") + SAMPLE_REQUEST[4:20] + body


def changed(packet: bytes, at: int, value: int) -> bytes:
    return packet[:at] + bytes([value]) + packet[at + 1 :]


USERNAME = attribute(0x0006, b"token:ufrag")
INTEGRITY = attribute(0x0008, bytes(20))
FINGERPRINT = attribute(0x8028, bytes(4))


class Case(NamedTuple):
    id: str
    packet: bytes
    expected: Check | CheckRefusal


CASES = [
    Case("RFC 5769 request: USERNAME fourth, padded with spaces", SAMPLE_REQUEST, Check(b"evtj", INTEGRITY_AT)),
    Case("RFC 5769 response over IPv4", SAMPLE_IPV4_RESPONSE, NOT_A_CHECK),
    Case("RFC 5769 response over IPv6", SAMPLE_IPV6_RESPONSE, NOT_A_CHECK),
    Case("RFC 5769 long-term request: a user name of one part", SAMPLE_LONG_TERM_REQUEST, NO_USERNAME),
    Case("least check", message(USERNAME, INTEGRITY), Check(b"token", 36)),
    Case("with fingerprint", message(USERNAME, INTEGRITY, FINGERPRINT), Check(b"token", 36)),
    Case("empty", b"", MALFORMED),
    Case("one byte", b"\x00", MALFORMED),
    Case("header short of a byte", message()[:19], MALFORMED),
    Case("header alone", message(), NO_USERNAME),
    Case("top bit set", changed(SAMPLE_REQUEST, 0, 0x80), MALFORMED),
    Case("second bit set", changed(SAMPLE_REQUEST, 0, 0x40), MALFORMED),
    Case("cookie off by one", changed(SAMPLE_REQUEST, 7, 0x43), MALFORMED),
    Case("length one less", changed(SAMPLE_REQUEST, 3, 0x57), MALFORMED),
    Case("length one more", changed(SAMPLE_REQUEST, 3, 0x59), MALFORMED),
    Case("length a word less", changed(SAMPLE_REQUEST, 3, 0x54), MALFORMED),
    Case("length a word more", changed(SAMPLE_REQUEST, 3, 0x5C), MALFORMED),
    Case("not whole words, and the length agrees", changed(message() + b"\0\0", 3, 2), MALFORMED),
    Case("bytes after the message", SAMPLE_REQUEST + bytes(4), MALFORMED),
    Case("indication", message(USERNAME, INTEGRITY, kind=0x0011), NOT_A_CHECK),
    Case("error response", message(USERNAME, INTEGRITY, kind=0x0111), NOT_A_CHECK),
    Case("TURN allocate", message(USERNAME, INTEGRITY, kind=0x0003), NOT_A_CHECK),
    Case("not a check, and malformed further in", message(attribute(6, b"", length=1), kind=0x0101), NOT_A_CHECK),
    Case("last attribute is empty", message(USERNAME, INTEGRITY, attribute(9, b"")), Check(b"token", 36)),
    Case("last attribute reaches one byte out", message(USERNAME, INTEGRITY, attribute(9, b"", length=1)), MALFORMED),
    Case("attribute of 65,535 bytes", message(attribute(0x0006, b"", length=0xFFFF)), MALFORMED),
    Case("malformed after the signature", message(USERNAME, INTEGRITY, attribute(9, b"1234", length=5)), MALFORMED),
    Case("no USERNAME", message(INTEGRITY), NO_USERNAME),
    Case("USERNAME empty", message(attribute(6, b""), INTEGRITY), NO_USERNAME),
    Case("USERNAME a colon", message(attribute(6, b":"), INTEGRITY), NO_USERNAME),
    Case("USERNAME without a colon", message(attribute(6, b"token"), INTEGRITY), NO_USERNAME),
    Case("USERNAME without a token", message(attribute(6, b":ufrag"), INTEGRITY), NO_USERNAME),
    Case("USERNAME without a client ufrag", message(attribute(6, b"token:"), INTEGRITY), NO_USERNAME),
    Case("colon only in the padding", message(b"\x00\x06\x00\x02to:x", INTEGRITY), NO_USERNAME),
    Case("parts of one character", message(attribute(6, b"t:u"), INTEGRITY), Check(b"t", 28)),
    Case("two colons", message(attribute(6, b"t:u:v"), INTEGRITY), Check(b"t", 32)),
    Case("token is not text", message(attribute(6, b"\x00\xff:u"), INTEGRITY), Check(b"\x00\xff", 28)),
    Case("two USERNAMEs: the first counts", message(USERNAME, attribute(6, b"b:b"), INTEGRITY), Check(b"token", 44)),
    Case("two USERNAMEs, the first bad", message(attribute(6, b"bad"), USERNAME, INTEGRITY), NO_USERNAME),
    Case("USERNAME after the signature", message(INTEGRITY, USERNAME), NO_USERNAME),
    Case("no signature", message(USERNAME), NO_INTEGRITY),
    Case("only a fingerprint", message(USERNAME, FINGERPRINT), NO_INTEGRITY),
    Case("only SHA-256, which ICE does not use", message(USERNAME, attribute(0x001C, bytes(32))), NO_INTEGRITY),
    Case("neither", message(FINGERPRINT), NO_USERNAME),
    Case("signature a byte short", message(USERNAME, attribute(8, bytes(19))), MALFORMED),
    Case("signature a byte long", message(USERNAME, attribute(8, bytes(21))), MALFORMED),
    Case("second signature is ignored", message(USERNAME, INTEGRITY, attribute(8, bytes(4))), Check(b"token", 36)),
    Case("bad signature and no USERNAME", message(attribute(8, bytes(4))), MALFORMED),
    Case("unknown attribute first", message(attribute(0x7F, b"??"), USERNAME, INTEGRITY), Check(b"token", 44)),
]
PACKETS = {case.id: case.packet for case in CASES}


def c_parse_check(packet: bytes) -> Check | CheckRefusal:
    verdict, token, integrity_offset = codec.parse_check(packet)
    return CheckRefusal[tuple(Verdict)[verdict].name] if verdict else Check(token, integrity_offset)


def is_accepted(packet: bytes, password: str = PASSWORD) -> bool:
    check = parse_check(packet)
    accepted = isinstance(check, Check) and integrity_matches(packet, check, password)
    if isinstance(check, Check):
        assert codec.integrity_matches(packet, password.encode()) == accepted
    return accepted


def captured(kind: int, direction: str | None = None) -> Iterator[tuple[str, bytes]]:
    """Yield the STUN messages of one type in all captures, with the capture's name."""
    for name in golden.NAMES:
        for packet in golden.load(name):
            is_of_kind = packet.kind == "stun" and packet.payload[:2] == kind.to_bytes(2, "big")
            if is_of_kind and direction in (None, packet.direction):
                yield name, packet.payload


@pytest.mark.parametrize("parse", [parse_check, c_parse_check], ids=["python", "c"])
@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_check_is_found_or_refused(case: Case, parse: Callable[[bytes], Check | CheckRefusal]) -> None:
    assert parse(case.packet) == case.expected


def test_rfc_5769_request_is_signed_with_its_password() -> None:
    assert is_accepted(SAMPLE_REQUEST)
    assert not is_accepted(SAMPLE_REQUEST, PASSWORD + "x")
    assert not is_accepted(SAMPLE_REQUEST, PASSWORD[:-1])
    assert not is_accepted(SAMPLE_REQUEST, "")


def test_nothing_shorter_is_a_check() -> None:
    for packet in (SAMPLE_REQUEST, *(packet for _, packet in captured(0x0001))):
        for length in range(len(packet)):
            assert parse_check(packet[:length]) is MALFORMED
            assert c_parse_check(packet[:length]) is MALFORMED


def test_any_changed_byte_up_to_the_signature_refuses_the_check() -> None:
    for at in range(FINGERPRINT_AT):
        for flip in (0x01, 0x80, 0xFF):
            packet = changed(SAMPLE_REQUEST, at, SAMPLE_REQUEST[at] ^ flip)
            assert not is_accepted(packet), (at, flip)
            assert c_parse_check(packet) == parse_check(packet)


def test_what_follows_the_signature_decides_nothing() -> None:
    for at in (*range(FINGERPRINT_AT, FINGERPRINT_AT + 2), *range(FINGERPRINT_AT + 4, len(SAMPLE_REQUEST))):
        assert is_accepted(changed(SAMPLE_REQUEST, at, SAMPLE_REQUEST[at] ^ 0xFF))
    without = changed(SAMPLE_REQUEST[:FINGERPRINT_AT], 3, FINGERPRINT_AT - 20)
    assert is_accepted(without)


# The server's ufrag in each call: what the client's checks name as the token.
SERVER_UFRAGS = {
    "chromium156_dtls_client": b"pDL1",
    "chromium156_dtls_server": b"GMYV",
    "firefox153_dtls_client": b"V5SU",
    "gstreamer122_dtls_client": b"qNM5",
    "pion3_dtls_client": b"17TK",
}


def test_every_captured_client_check_names_its_servers_ufrag() -> None:
    checks = list(captured(0x0001, "client"))
    assert {name for name, _ in checks} == set(golden.NAMES) == set(SERVER_UFRAGS)
    for name, packet in checks:
        check = parse_check(packet)
        assert isinstance(check, Check)
        assert check.token == SERVER_UFRAGS[name]
        assert c_parse_check(packet) == check


def test_captured_checks_to_a_client_are_signed_with_its_password() -> None:
    verified = 0
    for name, packet in captured(0x0001, "server"):
        if password := golden.client_password(name):
            assert is_accepted(packet, password)
            assert not is_accepted(packet, password.swapcase())
            verified += 1
    assert verified == 11


def test_captured_responses_of_a_client_are_read() -> None:
    read = [
        stun.read_response(packet, password)
        for name, packet in captured(0x0101, "client")
        if (password := golden.client_password(name))
    ]
    assert len(read) == 11
    assert all(port > 1023 for _, port in (response.mapped_address for response in read))


def test_every_captured_response_is_not_a_check() -> None:
    assert {parse_check(packet) for _, packet in captured(0x0101)} == {NOT_A_CHECK}


@pytest.mark.parametrize(
    ("packet", "address"),
    [
        pytest.param(SAMPLE_IPV4_RESPONSE, ("192.0.2.1", 32853), id="IPv4"),
        pytest.param(SAMPLE_IPV6_RESPONSE, ("2001:db8:1234:5678:11:2233:4455:6677", 32853), id="IPv6"),
    ],
)
def test_rfc_5769_response_is_read(packet: bytes, address: tuple[str, int]) -> None:
    assert stun.read_response(packet, PASSWORD) == stun.Response(TRANSACTION_ID, address)


def test_rfc_5769_request_is_read() -> None:
    request = stun.read_request(SAMPLE_REQUEST, PASSWORD)
    assert request == stun.Request(TRANSACTION_ID, "evtj:h6vY", 0x6E0001FF, is_nominating=False, is_controlled=True)


UFRAGS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/", min_size=1, max_size=80)
PASSWORDS = st.text(min_size=1, max_size=100).filter(lambda text: text.isprintable())


@given(
    token=UFRAGS,
    ufrag=UFRAGS,
    password=PASSWORDS,
    transaction_id=st.binary(min_size=12, max_size=12),
    priority=st.integers(0, 2**32 - 1),
    is_nominating=st.booleans(),
)
def test_built_check_is_accepted_and_read_back(
    token: str, ufrag: str, password: str, transaction_id: bytes, priority: int, is_nominating: bool
) -> None:
    packet = stun.build_check(
        f"{token}:{ufrag}", password, transaction_id=transaction_id, priority=priority, is_nominating=is_nominating
    )
    check = parse_check(packet)
    assert isinstance(check, Check)
    assert check.token == token.encode()
    assert is_accepted(packet, password)
    expected = stun.Request(transaction_id, f"{token}:{ufrag}", priority, is_nominating)
    assert stun.read_request(packet, password) == expected


@given(
    ip=st.ip_addresses().map(str),
    port=st.integers(0, 65535),
    password=PASSWORDS,
    transaction_id=st.binary(min_size=12, max_size=12),
)
def test_built_response_is_read_back(ip: str, port: int, password: str, transaction_id: bytes) -> None:
    packet = stun.build_response(transaction_id, (ip, port), password)
    assert stun.read_response(packet, password) == stun.Response(transaction_id, (ip, port))


def test_each_check_has_its_own_transaction() -> None:
    assert len({stun.build_check("a:b", PASSWORD)[8:20] for _ in range(50)}) == 50


def test_transaction_id_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="12 bytes"):
        stun.build_response(b"short", ("192.0.2.1", 1), PASSWORD)


def aioice_message(**attributes: object) -> bytes:
    named = {name.replace("_", "-"): value for name, value in attributes.items()}
    built = aioice_stun.Message(aioice_stun.Method.BINDING, aioice_stun.Class.REQUEST, TRANSACTION_ID, named)
    built.add_message_integrity(PASSWORD.encode())
    return bytes(built)


@pytest.mark.parametrize(
    ("packet", "field"),
    [
        pytest.param(b"", "header", id="empty"),
        pytest.param(changed(SAMPLE_REQUEST, 7, 0), "cookie", id="cookie"),
        pytest.param(changed(SAMPLE_REQUEST, 0, 0x40), "type", id="top bits"),
        pytest.param(changed(SAMPLE_REQUEST, 3, 0x54), "length", id="length"),
        pytest.param(SAMPLE_IPV4_RESPONSE, "type", id="a response"),
        pytest.param(message(attribute(0x24, b"", length=4)), "attribute", id="attribute out of bounds"),
        pytest.param(golden.signed(USERNAME + attribute(0x24, b"ab"), PASSWORD), "attribute", id="short PRIORITY"),
        pytest.param(message(attribute(0x06, b"\xff\xfe"), INTEGRITY), "USERNAME", id="USERNAME is not UTF-8"),
        pytest.param(changed(SAMPLE_REQUEST, 107, 0), "FINGERPRINT", id="fingerprint"),
        pytest.param(message(USERNAME), "MESSAGE-INTEGRITY", id="unsigned"),
        pytest.param(message(USERNAME, INTEGRITY), "MESSAGE-INTEGRITY", id="signed wrongly"),
        pytest.param(aioice_message(PRIORITY=1), "USERNAME", id="no USERNAME"),
    ],
)
def test_request_that_cannot_be_read_is_a_wire_error(packet: bytes, field: str) -> None:
    with pytest.raises(WireError) as caught:
        stun.read_request(packet, PASSWORD)
    assert caught.value.field == field


def test_response_without_an_address_is_a_wire_error() -> None:
    built = aioice_stun.Message(aioice_stun.Method.BINDING, aioice_stun.Class.RESPONSE, TRANSACTION_ID)
    built.add_message_integrity(PASSWORD.encode())
    with pytest.raises(WireError, match="XOR-MAPPED-ADDRESS"):
        stun.read_response(bytes(built), PASSWORD)


VALUES = st.binary(max_size=40)
ATTRIBUTES = st.one_of(
    st.just(USERNAME),
    st.just(INTEGRITY),
    st.builds(attribute, st.sampled_from([0x0006, 0x0008, 0x0024, 0x8028, 0x8022]), VALUES),
    st.builds(attribute, st.integers(0, 0xFFFF), VALUES, length=st.integers(0, 48)),
)
MESSAGES = st.builds(
    lambda attributes, kind: message(*attributes, kind=kind),
    st.lists(ATTRIBUTES, max_size=6),
    st.sampled_from([0x0001, 0x0001, 0x0001, 0x0101, 0x0011, 0x4001]),
)
EDITED = st.builds(
    lambda packet, at, value: changed(packet, at % len(packet), value),
    st.one_of(st.sampled_from([packet for packet in PACKETS.values() if packet]), MESSAGES),
    st.integers(0, 2047),
    st.integers(0, 255),
)


@given(packet=st.one_of(MESSAGES, EDITED, st.binary(max_size=120)))
def test_c_answers_any_packet_alike(packet: bytes) -> None:
    check = parse_check(packet)
    assert c_parse_check(packet) == check
    if isinstance(check, Check):
        assert codec.integrity_matches(packet, PASSWORD.encode()) == integrity_matches(packet, check, PASSWORD)


@given(packet=st.one_of(MESSAGES, EDITED, st.binary(max_size=120)))
def test_relay_and_transceiver_read_any_check_alike(packet: bytes) -> None:
    try:
        request = stun.parse_request(packet)
    except WireError:
        return
    check = parse_check(packet)
    token, colon, client_ufrag = request.username.encode().partition(b":")
    if isinstance(check, Check):
        assert (check.token, check.integrity_offset) == (token, request.integrity_offset)
        assert stun.is_signed(packet, request, PASSWORD) == integrity_matches(packet, check, PASSWORD)
    else:
        assert check is NO_USERNAME
        assert not (token and colon and client_ufrag)


@given(packet=st.one_of(MESSAGES, EDITED, st.binary(max_size=120)))
def test_any_packet_is_read_or_a_wire_error(packet: bytes) -> None:
    try:
        request = stun.read_request(packet, PASSWORD)
    except WireError:
        return
    assert request.username
