"""Data channels as bytes: how one is announced (RFC 8832 §5), and what a message says (RFC 8831 §6.6, §8).

Lives here: DATA_CHANNEL_OPEN and its ACK; text and binary content with their payload protocol identifiers.
Must not live here: streams, chunks, whether a channel may be opened.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from fastrelay.errors import WireError

DCEP: Final = 50
"""The payload protocol of the announcements; the others are those of content."""
STRING, BINARY, STRING_EMPTY, BINARY_EMPTY = 51, 53, 56, 57
ACK: Final = 2
OPEN: Final = 3
ACK_MESSAGE: Final = bytes([ACK])
LABEL_BYTES_MAX: Final = 256
"""Of a label, and of a protocol. They are names; the format would allow 65,535."""

_HEADER = struct.Struct("!BBHLHH")
_LIMITED_RETRANSMITS, _LIMITED_LIFETIME, _UNORDERED = 0x01, 0x02, 0x80


@dataclass(frozen=True, slots=True)
class Opening:
    """What a channel is to be like. At most one of the two limits is set; none: reliable."""

    label: str
    protocol: str = ""
    is_ordered: bool = True
    max_retransmits: int | None = None
    max_lifetime_ms: int | None = None


def build_opening(opening: Opening) -> bytes:
    """Return the DATA_CHANNEL_OPEN message. Its lengths count bytes, not characters."""
    label, protocol = opening.label.encode(), opening.protocol.encode()
    kind, reliability = 0 if opening.is_ordered else _UNORDERED, 0
    if opening.max_retransmits is not None:
        kind, reliability = kind | _LIMITED_RETRANSMITS, opening.max_retransmits
    elif opening.max_lifetime_ms is not None:
        kind, reliability = kind | _LIMITED_LIFETIME, opening.max_lifetime_ms
    return _HEADER.pack(OPEN, kind, 0, reliability, len(label), len(protocol)) + label + protocol


def parse_opening(data: bytes) -> Opening:
    """Read a DATA_CHANNEL_OPEN message."""
    if len(data) < _HEADER.size:
        raise WireError("DATA_CHANNEL_OPEN", 0, "is cut off")
    _, kind, _, reliability, label_length, protocol_length = _HEADER.unpack_from(data)
    if max(label_length, protocol_length) > LABEL_BYTES_MAX:
        raise WireError("label or protocol", 8, f"is longer than {LABEL_BYTES_MAX} bytes")
    if len(data) != _HEADER.size + label_length + protocol_length:
        raise WireError("DATA_CHANNEL_OPEN", 8, f"of {len(data)} bytes announces {label_length} and {protocol_length}")
    limit = kind & ~_UNORDERED
    if limit not in {0, _LIMITED_RETRANSMITS, _LIMITED_LIFETIME}:
        raise WireError("channel type", 1, f"{kind} is unknown")
    try:
        label = data[_HEADER.size : _HEADER.size + label_length].decode()
        protocol = data[_HEADER.size + label_length :].decode()
    except UnicodeDecodeError as error:
        raise WireError("label or protocol", _HEADER.size, "is not UTF-8") from error
    return Opening(
        label,
        protocol,
        is_ordered=not kind & _UNORDERED,
        max_retransmits=reliability if limit == _LIMITED_RETRANSMITS else None,
        max_lifetime_ms=reliability if limit == _LIMITED_LIFETIME else None,
    )


def build_content(content: str | bytes) -> tuple[int, bytes]:
    """Return payload protocol and user data. SCTP cannot carry nothing: an empty message is sent as one zero byte."""
    if isinstance(content, str):
        return (STRING, content.encode()) if content else (STRING_EMPTY, b"\0")
    return (BINARY, content) if content else (BINARY_EMPTY, b"\0")


def parse_content(protocol: int, data: bytes) -> str | bytes | None:
    """Return what a message says; None: not of a kind that we know, or text that is not UTF-8."""
    if protocol == STRING:
        try:
            return data.decode()
        except UnicodeDecodeError:
            return None
    if protocol == BINARY:
        return data
    if protocol == STRING_EMPTY:
        return ""
    return b"" if protocol == BINARY_EMPTY else None
