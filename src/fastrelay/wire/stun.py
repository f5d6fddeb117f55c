"""STUN as a relay reads it, as a transceiver answers it, and as a client writes it.

Lives here: the readable twin of ext/wire/stun.c (finding the route token in a connectivity check and verifying it); the
reader of checks and the writer of answers of whoever stands behind the relay, by hand, because checks come in storms
(aioice takes 29 us for the two, these take 9); the client's writer and reader, by aioice, whose errors end here.
Must not live here: transactions, timers, candidate pairs, what a token means.
"""

import enum
import hmac
import secrets
import socket
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from aioice import stun as codec

from fastrelay.errors import WireError

HEADER_LENGTH = 20
MAGIC_COOKIE = 0x2112A442
BINDING_REQUEST = 0x0001
BINDING_RESPONSE = 0x0101
BINDING_ERROR = 0x0111
USERNAME = 0x0006
MESSAGE_INTEGRITY = 0x0008
ERROR_CODE = 0x0009
UNKNOWN_ATTRIBUTES = 0x000A
XOR_MAPPED_ADDRESS = 0x0020
PRIORITY = 0x0024
USE_CANDIDATE = 0x0025
FINGERPRINT = 0x8028
ICE_CONTROLLED = 0x8029
ICE_CONTROLLING = 0x802A
INTEGRITY_LENGTH = 20
FINGERPRINT_LENGTH = 4
TRANSACTION_ID_LENGTH = 12

OPTIONAL_FROM = 0x8000
"""From here up, an attribute that is not understood may be ignored (RFC 8489 §14)."""
UNDERSTOOD = frozenset(
    {
        *(0x0001, 0x0014, 0x0015, 0x001C, 0x001D, 0x001E),  # RFC 8489 §18.3: they say nothing to us and are ignored
        *(USERNAME, MESSAGE_INTEGRITY, ERROR_CODE, UNKNOWN_ATTRIBUTES, XOR_MAPPED_ADDRESS, PRIORITY, USE_CANDIDATE),
    }
)
LENGTHS = {PRIORITY: 4, USE_CANDIDATE: 0, ICE_CONTROLLED: 8, ICE_CONTROLLING: 8}
"""What a check may carry beside its name and signature, and how long that must be (RFC 8445 §16.1)."""
FINGERPRINT_XOR = 0x5354554E

_HEADER = struct.Struct("!HHI12s")
_ATTRIBUTE_HEADER = struct.Struct("!HH")
_MAPPED_HEADER = struct.Struct("!HHHH")
_COOKIE = MAGIC_COOKIE.to_bytes(4, "big")
_INTEGRITY_HEADER = _ATTRIBUTE_HEADER.pack(MESSAGE_INTEGRITY, INTEGRITY_LENGTH)
_FINGERPRINT_HEADER = _ATTRIBUTE_HEADER.pack(FINGERPRINT, FINGERPRINT_LENGTH)


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
    return _signature_matches(packet, check.integrity_offset, password)


def _signature_matches(packet: bytes, integrity_offset: int, password: str) -> bool:
    value_at = integrity_offset + _ATTRIBUTE_HEADER.size
    # RFC 8489 §14.5: the digest is taken as if the message ended with this attribute.
    length = value_at + INTEGRITY_LENGTH - HEADER_LENGTH
    covered = packet[:2] + length.to_bytes(2, "big") + packet[4:integrity_offset]
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


class StunError(enum.IntEnum):
    """The refusals we answer with, by their codes."""

    BAD_REQUEST = 400
    UNKNOWN_ATTRIBUTE = 420
    ROLE_CONFLICT = 487


@dataclass(frozen=True, slots=True)
class Request:
    """A Binding request as its receiver sees it. `is_signed` tells whether it is authentic."""

    transaction_id: bytes
    username: str
    priority: int | None
    is_nominating: bool
    is_controlled: bool = False
    """Whether the sender takes us to be in control."""
    malformed: int | None = None
    """The first attribute that has not the length it must have."""
    unknown: tuple[int, ...] = ()
    """Attributes that must be understood, and are not."""
    integrity_offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Response:
    """An authenticated Binding response as the sender of the request sees it."""

    transaction_id: bytes
    mapped_address: tuple[str, int]


def parse_request(packet: bytes) -> Request:
    """Read a Binding request, authentic or not.

    WireError for anything else, and for what has no user name, no signature, or a FINGERPRINT that does not match.
    """
    _expect(packet, BINDING_REQUEST)
    values: dict[int, bytes] = {}
    integrity_offset = 0
    for offset, attribute, value in _walk_attributes(packet):
        if attribute == FINGERPRINT:
            _verify_fingerprint(packet, offset, value)
        elif not integrity_offset:  # RFC 8489 §14.5: what follows the signature is not covered and is ignored
            values.setdefault(attribute, value)  # §14: of two alike, the first counts
            if attribute == MESSAGE_INTEGRITY:
                integrity_offset = offset
    if len(values.get(MESSAGE_INTEGRITY, b"")) != INTEGRITY_LENGTH:
        raise WireError("MESSAGE-INTEGRITY", HEADER_LENGTH, "missing, or not of its length")
    try:
        username = values[USERNAME].decode()
    except (KeyError, UnicodeDecodeError) as error:
        raise WireError("USERNAME", HEADER_LENGTH, "missing, or not UTF-8") from error
    priority = values.get(PRIORITY)
    return Request(
        transaction_id=packet[8:HEADER_LENGTH],
        username=username,
        priority=None if priority is None else int.from_bytes(priority, "big"),
        is_nominating=USE_CANDIDATE in values,
        is_controlled=ICE_CONTROLLED in values,
        malformed=next((kind for kind, value in values.items() if len(value) != LENGTHS.get(kind, len(value))), None),
        unknown=tuple(kind for kind in values if kind < OPTIONAL_FROM and kind not in UNDERSTOOD),
        integrity_offset=integrity_offset,
    )


def is_signed(packet: bytes, request: Request, password: str) -> bool:
    """Tell whether the packet that this request was read from was signed with this password, in constant time."""
    return _signature_matches(packet, request.integrity_offset, password)


def read_request(packet: bytes, password: str) -> Request:
    """Read a Binding request that was signed with this password; WireError for anything else."""
    request = parse_request(packet)
    if not is_signed(packet, request, password):
        raise WireError("MESSAGE-INTEGRITY", request.integrity_offset, "signed with another password")
    if request.malformed is not None:
        raise WireError("attribute", HEADER_LENGTH, f"0x{request.malformed:04x} has not its length")
    return request


def build_response(transaction_id: bytes, mapped_address: tuple[str, int], password: str) -> bytes:
    """Write the answer to a check: where it came from, signed with the password the check was signed with."""
    ip, port = mapped_address
    if ":" in ip:
        # RFC 8489 §14.2: hidden under the cookie and the transaction id, from NATs that rewrite addresses
        mask, family, packed = _COOKIE + transaction_id, 2, socket.inet_pton(socket.AF_INET6, ip)
    else:
        mask, family, packed = _COOKIE, 1, socket.inet_pton(socket.AF_INET, ip)
    hidden = (int.from_bytes(packed, "big") ^ int.from_bytes(mask, "big")).to_bytes(len(packed), "big")
    address = _MAPPED_HEADER.pack(XOR_MAPPED_ADDRESS, 4 + len(packed), family, port ^ MAGIC_COOKIE >> 16)
    return _sign(BINDING_RESPONSE, transaction_id, address + hidden, password)


def build_error(transaction_id: bytes, error: StunError, password: str, unknown: tuple[int, ...] = ()) -> bytes:
    """Write a signed refusal (RFC 8489 §14.8). UNKNOWN_ATTRIBUTE names the `unknown` ones."""
    attributes = _attribute(ERROR_CODE, bytes([0, 0, error // 100, error % 100]))
    if unknown:
        attributes += _attribute(UNKNOWN_ATTRIBUTES, b"".join(kind.to_bytes(2, "big") for kind in unknown))
    return _sign(BINDING_ERROR, transaction_id, attributes, password)


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE_HEADER.pack(kind, len(value)) + value + bytes(-len(value) % 4)


def _sign(message_type: int, transaction_id: bytes, attributes: bytes, password: str) -> bytes:
    """Complete a message: its header, MESSAGE-INTEGRITY and FINGERPRINT, each over what stands before it."""
    if len(transaction_id) != TRANSACTION_ID_LENGTH:
        raise ValueError(f"a transaction id has {TRANSACTION_ID_LENGTH} bytes, not {len(transaction_id)}")
    length = len(attributes) + _ATTRIBUTE_HEADER.size + INTEGRITY_LENGTH
    covered = _HEADER.pack(message_type, length, MAGIC_COOKIE, transaction_id) + attributes
    digest = hmac.digest(password.encode(), covered, "sha1")
    length += _ATTRIBUTE_HEADER.size + FINGERPRINT_LENGTH
    header = _HEADER.pack(message_type, length, MAGIC_COOKIE, transaction_id)
    signed = header + attributes + _INTEGRITY_HEADER + digest
    return signed + _FINGERPRINT_HEADER + (zlib.crc32(signed) ^ FINGERPRINT_XOR).to_bytes(4, "big")


def _verify_fingerprint(packet: bytes, offset: int, value: bytes) -> None:
    """RFC 8489 §14.7: the last attribute, a checksum over all before it."""
    checksum = (zlib.crc32(packet[:offset]) ^ FINGERPRINT_XOR).to_bytes(FINGERPRINT_LENGTH, "big")
    if value != checksum or offset + _ATTRIBUTE_HEADER.size + FINGERPRINT_LENGTH != len(packet):
        raise WireError("FINGERPRINT", offset, "not the checksum of what stands before it, or not last")


def _expect(packet: bytes, expected_type: int) -> None:
    message_type = _parse_header(packet)
    if message_type != expected_type:
        raise WireError("type", 0, f"0x{message_type:04x} where 0x{expected_type:04x} was expected")


# --- the client's side


def build_check(
    username: str,
    password: str,
    *,
    transaction_id: bytes | None = None,
    priority: int = 0x6E7F1EFF,
    tie_breaker: int = 0,
    is_nominating: bool = False,
    is_controlled: bool = False,
) -> bytes:
    """Write a connectivity check as a browser does: USERNAME first, MESSAGE-INTEGRITY and FINGERPRINT last."""
    role = "ICE-CONTROLLED" if is_controlled else "ICE-CONTROLLING"
    attributes: dict[str, object] = {"USERNAME": username, role: tie_breaker, "PRIORITY": priority}
    if is_nominating:
        attributes["USE-CANDIDATE"] = None
    if transaction_id is None:
        transaction_id = secrets.token_bytes(TRANSACTION_ID_LENGTH)
    message = codec.Message(codec.Method.BINDING, codec.Class.REQUEST, transaction_id, attributes)
    message.add_message_integrity(password.encode())
    return bytes(message)


def read_response(packet: bytes, password: str) -> Response:
    """Read a Binding response that was signed with this password; WireError for anything else."""
    message = _read(packet, BINDING_RESPONSE, password)
    if "XOR-MAPPED-ADDRESS" not in message.attributes:
        raise WireError("XOR-MAPPED-ADDRESS", HEADER_LENGTH, "missing")
    return Response(message.transaction_id, message.attributes["XOR-MAPPED-ADDRESS"])


def read_error(packet: bytes, password: str) -> tuple[bytes, int]:
    """Read a refusal that was signed with this password: its transaction and code; WireError for anything else."""
    message = _read(packet, BINDING_ERROR, password)
    if message.error_code is None:
        raise WireError("ERROR-CODE", HEADER_LENGTH, "missing")
    return message.transaction_id, message.error_code


def _read(packet: bytes, expected_type: int, password: str) -> codec.Message:
    # aioice takes any cookie and cuts attributes that are too long, so the shape is checked before it sees the bytes.
    _expect(packet, expected_type)
    for _ in _walk_attributes(packet):
        pass
    try:
        message = codec.parse_message(packet)
    except (ValueError, struct.error) as error:
        raise WireError("attribute", HEADER_LENGTH, str(error)) from error
    if not message.check_message_integrity(password.encode()):
        raise WireError("MESSAGE-INTEGRITY", HEADER_LENGTH, "missing, or signed with another password")
    return message
