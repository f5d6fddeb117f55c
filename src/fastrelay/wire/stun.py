"""STUN as a relay reads it and as its peers write it.

Lives here: the readable twin of ext/wire/stun.c (finding the route token in a connectivity check and verifying it), and
a small writer and reader of Binding messages for whoever stands at the other end: the tests, the demonstration's echo
peer, the benchmarks. Attributes are encoded by aioice; its errors end here.
Must not live here: transactions, timers, candidate pairs, what a token means.
"""

import enum
import hmac
import secrets
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from aioice import stun as codec

from fastrelay.errors import WireError

HEADER_LENGTH = 20
MAGIC_COOKIE = 0x2112A442
BINDING_REQUEST = 0x0001
BINDING_RESPONSE = 0x0101
USERNAME = 0x0006
MESSAGE_INTEGRITY = 0x0008
INTEGRITY_LENGTH = 20
TRANSACTION_ID_LENGTH = 12

_HEADER = struct.Struct("!HHI12s")
_ATTRIBUTE_HEADER = struct.Struct("!HH")


class CheckRefusal(enum.Enum):
    """Why a datagram is not a check that could make a flow. The names are those of ext/verdict.h."""

    STUN_MALFORMED = enum.auto()
    STUN_NOT_A_CHECK = enum.auto()
    STUN_NO_USERNAME = enum.auto()
    STUN_NO_INTEGRITY = enum.auto()


@dataclass(frozen=True, slots=True)
class Check:
    """What a relay takes from a connectivity check."""

    token: bytes
    integrity_offset: int


def parse_check(packet: bytes) -> Check | CheckRefusal:
    """Find the route token in a Binding request (RFC 8489 §5, RFC 8445 §7.2.2), or say why there is none."""
    try:
        message_type = _parse_header(packet)
        if message_type != BINDING_REQUEST:
            return CheckRefusal.STUN_NOT_A_CHECK
        attributes = list(_walk_attributes(packet))
    except WireError:
        return CheckRefusal.STUN_MALFORMED

    username: bytes | None = None
    integrity_offset: int | None = None
    for offset, attribute, value in attributes:
        if attribute == USERNAME and username is None:
            username = value  # RFC 8489 §14: of two alike, the first counts
        elif attribute == MESSAGE_INTEGRITY:
            if len(value) != INTEGRITY_LENGTH:
                return CheckRefusal.STUN_MALFORMED
            integrity_offset = offset
            break  # RFC 8489 §14.5: what follows is not covered and is ignored
    token, _, client_ufrag = (username or b"").partition(b":")
    if not token or not client_ufrag:
        return CheckRefusal.STUN_NO_USERNAME
    if integrity_offset is None:
        return CheckRefusal.STUN_NO_INTEGRITY
    return Check(token, integrity_offset)


def integrity_matches(packet: bytes, check: Check, password: str) -> bool:
    """Tell whether the packet was signed with this password, in constant time."""
    value_at = check.integrity_offset + _ATTRIBUTE_HEADER.size
    # RFC 8489 §14.5: the digest is taken as if the message ended with this attribute.
    length = value_at + INTEGRITY_LENGTH - HEADER_LENGTH
    covered = packet[:2] + length.to_bytes(2, "big") + packet[4 : check.integrity_offset]
    digest = hmac.digest(password.encode(), covered, "sha1")
    return hmac.compare_digest(digest, packet[value_at : value_at + INTEGRITY_LENGTH])


def _parse_header(packet: bytes) -> int:
    """Return the message type. RFC 8489 §5; a datagram carries one message, so the length counts all of it."""
    if len(packet) < HEADER_LENGTH:
        raise WireError("header", 0, "the message is shorter than its header")
    message_type, length, cookie, _ = _HEADER.unpack_from(packet)
    if message_type & 0xC000:
        raise WireError("type", 0, "the two top bits are not zero")
    if cookie != MAGIC_COOKIE:
        raise WireError("cookie", 4, "not the magic cookie")
    if length % 4 or length != len(packet) - HEADER_LENGTH:
        raise WireError("length", 2, "not the number of bytes after the header, in whole words")
    return int(message_type)


def _walk_attributes(packet: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield offset, type and value of every attribute of a message whose header is sound."""
    offset = HEADER_LENGTH
    while offset < len(packet):
        attribute, length = _ATTRIBUTE_HEADER.unpack_from(packet, offset)
        value_at = offset + _ATTRIBUTE_HEADER.size
        next_offset = value_at + (length + 3) // 4 * 4
        if next_offset > len(packet):
            raise WireError("attribute", offset, "reaches beyond the message")
        yield offset, attribute, packet[value_at : value_at + length]
        offset = next_offset


@dataclass(frozen=True, slots=True)
class Request:
    """An authenticated Binding request as its receiver sees it."""

    transaction_id: bytes
    username: str
    priority: int | None
    is_nominating: bool


@dataclass(frozen=True, slots=True)
class Response:
    """An authenticated Binding response as the sender of the request sees it."""

    transaction_id: bytes
    mapped_address: tuple[str, int]


def build_check(
    username: str,
    password: str,
    *,
    transaction_id: bytes | None = None,
    priority: int = 0x6E7F1EFF,
    tie_breaker: int = 0,
    is_nominating: bool = False,
) -> bytes:
    """Write a connectivity check as a browser does: USERNAME first, MESSAGE-INTEGRITY and FINGERPRINT last."""
    attributes: dict[str, object] = {"USERNAME": username, "ICE-CONTROLLING": tie_breaker, "PRIORITY": priority}
    if is_nominating:
        attributes["USE-CANDIDATE"] = None
    if transaction_id is None:
        transaction_id = secrets.token_bytes(TRANSACTION_ID_LENGTH)
    return _build(codec.Class.REQUEST, transaction_id, attributes, password)


def build_response(transaction_id: bytes, mapped_address: tuple[str, int], password: str) -> bytes:
    """Write the answer to a check: where it came from, signed with the password the check was signed with."""
    return _build(codec.Class.RESPONSE, transaction_id, {"XOR-MAPPED-ADDRESS": mapped_address}, password)


def read_request(packet: bytes, password: str) -> Request:
    """Read a Binding request that was signed with this password; WireError for anything else."""
    message = _read(packet, BINDING_REQUEST, password)
    attributes = message.attributes
    if "USERNAME" not in attributes:
        raise WireError("USERNAME", HEADER_LENGTH, "missing")
    return Request(
        transaction_id=message.transaction_id,
        username=attributes["USERNAME"],
        priority=attributes.get("PRIORITY"),
        is_nominating="USE-CANDIDATE" in attributes,
    )


def read_response(packet: bytes, password: str) -> Response:
    """Read a Binding response that was signed with this password; WireError for anything else."""
    message = _read(packet, BINDING_RESPONSE, password)
    if "XOR-MAPPED-ADDRESS" not in message.attributes:
        raise WireError("XOR-MAPPED-ADDRESS", HEADER_LENGTH, "missing")
    return Response(message.transaction_id, message.attributes["XOR-MAPPED-ADDRESS"])


def _build(message_class: codec.Class, transaction_id: bytes, attributes: dict[str, object], password: str) -> bytes:
    if len(transaction_id) != TRANSACTION_ID_LENGTH:
        raise ValueError(f"a transaction id has {TRANSACTION_ID_LENGTH} bytes, not {len(transaction_id)}")
    message = codec.Message(codec.Method.BINDING, message_class, transaction_id, attributes)
    message.add_message_integrity(password.encode())
    return bytes(message)


def _read(packet: bytes, expected_type: int, password: str) -> codec.Message:
    # aioice takes any cookie and cuts attributes that are too long, so the shape is checked before it sees the bytes.
    message_type = _parse_header(packet)
    if message_type != expected_type:
        raise WireError("type", 0, f"0x{message_type:04x} where 0x{expected_type:04x} was expected")
    for _ in _walk_attributes(packet):
        pass
    try:
        message = codec.parse_message(packet)
    except (ValueError, struct.error) as error:
        raise WireError("attribute", HEADER_LENGTH, str(error)) from error
    if not message.check_message_integrity(password.encode()):
        raise WireError("MESSAGE-INTEGRITY", HEADER_LENGTH, "missing, or signed with another password")
    return message
