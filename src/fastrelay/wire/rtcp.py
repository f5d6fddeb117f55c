"""RTCP as a voice call needs it (RFC 3550 §6, RFC 4585 §6.2.1): reports, names, goodbyes and requests for lost packets.

Lives here: reading and writing compound packets. What is not of these kinds is skipped, whole. Must not live here:
encryption, when to report, what round trip or loss follow from a report (fastrelay.transceiver.reports).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from fastrelay.errors import WireError

COMPOUND_MAX_BYTES = 1500
NACK_ITEMS_MAX = 64
"""Requests read of one packet, of 17 sequence numbers each: more than any store of sent packets holds."""
CNAME_MAX_BYTES = 255
REASON_MAX_BYTES = 255
BLOCKS_MAX = 31

SENDER_REPORT = 200
RECEIVER_REPORT = 201
SOURCE_DESCRIPTION = 202
GOODBYE = 203
TRANSPORT_FEEDBACK = 205
GENERIC_NACK = 1  # a format of TRANSPORT_FEEDBACK
CNAME = 1  # an item of SOURCE_DESCRIPTION

_HEADER = struct.Struct("!BBH")
_SSRC = struct.Struct("!I")
_SENDER = struct.Struct("!IQIII")
_BLOCK = struct.Struct("!IB3sIIII")
_NACK = struct.Struct("!HH")


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What one receiver says of one stream (RFC 3550 §6.4.1)."""

    ssrc: int
    fraction_lost: int
    """Of the packets since its last report, in 256ths."""
    lost: int
    """Since the beginning; signed, because duplicates count against it."""
    highest: int
    jitter: int
    last_report: int
    """The middle 32 bits of the NTP time in the latest sender report, 0 when there was none."""
    delay: int
    """Since that report came, in 65,536ths of a second."""


@dataclass(frozen=True, slots=True)
class SenderReport:
    """One sender's clocks and counts, and what it says as a receiver."""

    ssrc: int
    ntp_time: int
    rtp_time: int
    packets: int
    octets: int
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """What one says that sends nothing."""

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """The lasting name of a source; of its other items none is of use here."""

    ssrc: int
    cname: str


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Sources that end."""

    ssrcs: tuple[int, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Nack:
    """Packets of `media_ssrc` that its receiver asks for again."""

    ssrc: int
    media_ssrc: int
    sequences: tuple[int, ...]


RtcpPacket = SenderReport | ReceiverReport | SourceDescription | Goodbye | Nack


def parse_compound(data: bytes) -> list[RtcpPacket]:
    """Read a compound packet. WireError when any packet of it is unsound: no half of it counts."""
    if not _HEADER.size <= len(data) <= COMPOUND_MAX_BYTES:
        raise WireError("compound", 0, f"has {len(data)} bytes, not {_HEADER.size} to {COMPOUND_MAX_BYTES}")
    packets: list[RtcpPacket] = []
    offset = 0
    while offset < len(data):
        if len(data) - offset < _HEADER.size:
            raise WireError("header", offset, "reaches beyond the packet")
        first, kind, words = _HEADER.unpack_from(data, offset)
        end = offset + 4 + 4 * words
        if first >> 6 != 2 or end > len(data):
            raise WireError("header", offset, "is not version 2, or announces more than there is")
        body_end = end - _padding(data, offset, end) if first & 0x20 else end
        packets += _parse_body(kind, first & 0x1F, data[offset + 4 : body_end], offset + 4)
        offset = end
    return packets


def _padding(data: bytes, offset: int, end: int) -> int:
    # RFC 3550 §6.4.1: on the last packet only, in whole words
    padding = data[end - 1]
    if end != len(data) or padding % 4 or not 0 < padding <= end - offset - 4:
        raise WireError("padding", end - 1, "is not on the last packet, or longer than it")
    return padding


def _parse_body(kind: int, count: int, body: bytes, offset: int) -> list[RtcpPacket]:
    if kind == SENDER_REPORT:
        _require(body, _SENDER.size + count * _BLOCK.size, "sender report", offset)
        ssrc, ntp_time, rtp_time, packets, octets = _SENDER.unpack_from(body)
        return [SenderReport(ssrc, ntp_time, rtp_time, packets, octets, _parse_blocks(body, _SENDER.size, count))]
    if kind == RECEIVER_REPORT:
        _require(body, _SSRC.size + count * _BLOCK.size, "receiver report", offset)
        (ssrc,) = _SSRC.unpack_from(body)
        return [ReceiverReport(ssrc, _parse_blocks(body, _SSRC.size, count))]
    if kind == SOURCE_DESCRIPTION:
        return _parse_names(body, count, offset)
    if kind == GOODBYE:
        return [_parse_goodbye(body, count, offset)]
    if kind == TRANSPORT_FEEDBACK and count == GENERIC_NACK:
        return [_parse_nack(body, offset)]
    return []


def _require(body: bytes, length: int, what: str, offset: int) -> None:
    if len(body) < length:
        raise WireError(what, offset, f"has {len(body)} bytes, not {length}")


def _parse_blocks(body: bytes, at: int, count: int) -> tuple[ReportBlock, ...]:
    blocks = []
    for start in range(at, at + count * _BLOCK.size, _BLOCK.size):
        ssrc, fraction, lost, highest, jitter, last_report, delay = _BLOCK.unpack_from(body, start)
        lost = int.from_bytes(lost, "big", signed=True)
        blocks.append(ReportBlock(ssrc, fraction, lost, highest, jitter, last_report, delay))
    return tuple(blocks)


def _parse_names(body: bytes, count: int, offset: int) -> list[RtcpPacket]:
    names: list[RtcpPacket] = []
    at = 0
    for _ in range(count):
        _require(body[at:], _SSRC.size + 1, "source description", offset + at)
        (ssrc,) = _SSRC.unpack_from(body, at)
        at += _SSRC.size
        cname = ""
        while body[at : at + 1] != b"\0":  # RFC 3550 §6.5: a null ends the items, and pads to the next word
            _require(body[at:], 2, "source description item", offset + at)
            item, length = body[at], body[at + 1]
            _require(body[at + 2 :], length, "source description item", offset + at)
            if item == CNAME and not cname:
                cname = body[at + 2 : at + 2 + length].decode("utf-8", "replace")
            at += 2 + length
        at = (at + 4) // 4 * 4
        names.append(SourceDescription(ssrc, cname))
    return names


def _parse_goodbye(body: bytes, count: int, offset: int) -> Goodbye:
    sources = count * _SSRC.size
    _require(body, sources, "goodbye", offset)
    reason = b""
    if len(body) > sources:
        _require(body, sources + 1 + body[sources], "reason of a goodbye", offset)
        reason = body[sources + 1 : sources + 1 + body[sources]]
    ssrcs = tuple(ssrc for (ssrc,) in _SSRC.iter_unpack(body[:sources]))
    return Goodbye(ssrcs, reason.decode("utf-8", "replace"))


def _parse_nack(body: bytes, offset: int) -> Nack:
    _require(body, 2 * _SSRC.size, "request for lost packets", offset)
    if len(body) % 4:
        raise WireError("request for lost packets", offset, "is not whole")
    (ssrc,), (media_ssrc,) = _SSRC.unpack_from(body), _SSRC.unpack_from(body, _SSRC.size)
    items = body[2 * _SSRC.size :][: NACK_ITEMS_MAX * _NACK.size]
    sequences = []
    for first, others in _NACK.iter_unpack(items):
        sequences.append(first)
        sequences += [(first + bit + 1) & 0xFFFF for bit in range(16) if others >> bit & 1]
    return Nack(ssrc, media_ssrc, tuple(sequences))


def build_sender_report(report: SenderReport) -> bytes:
    """Write a sender report. Counters that outgrow their fields roll over (RFC 3550 §6.4.1)."""
    sender = _SENDER.pack(
        report.ssrc,
        report.ntp_time & 0xFFFF_FFFF_FFFF_FFFF,
        report.rtp_time & 0xFFFF_FFFF,
        report.packets & 0xFFFF_FFFF,
        report.octets & 0xFFFF_FFFF,
    )
    return _build(SENDER_REPORT, len(report.blocks), sender + _build_blocks(report.blocks))


def build_receiver_report(report: ReceiverReport) -> bytes:
    """Write a receiver report."""
    return _build(RECEIVER_REPORT, len(report.blocks), _SSRC.pack(report.ssrc) + _build_blocks(report.blocks))


def build_source_description(description: SourceDescription) -> bytes:
    """Write one source's CNAME."""
    name = description.cname.encode()
    if not 0 < len(name) <= CNAME_MAX_BYTES:
        raise ValueError(f"a CNAME has 1 to {CNAME_MAX_BYTES} bytes, not {len(name)}")
    chunk = _SSRC.pack(description.ssrc) + bytes((CNAME, len(name))) + name
    return _build(SOURCE_DESCRIPTION, 1, chunk + bytes(4 - len(chunk) % 4))


def build_goodbye(goodbye: Goodbye) -> bytes:
    """Write a goodbye, with its reason if it has one."""
    reason = goodbye.reason.encode()
    if len(reason) > REASON_MAX_BYTES:
        raise ValueError(f"a reason has at most {REASON_MAX_BYTES} bytes, not {len(reason)}")
    body = b"".join(_SSRC.pack(ssrc) for ssrc in goodbye.ssrcs)
    if reason:
        body += bytes((len(reason),)) + reason
    return _build(GOODBYE, len(goodbye.ssrcs), body + bytes(-len(body) % 4))


def build_nack(nack: Nack) -> bytes:
    """Write a request for packets, whose sequence numbers come oldest first."""
    body = _SSRC.pack(nack.ssrc) + _SSRC.pack(nack.media_ssrc)
    return _build(TRANSPORT_FEEDBACK, GENERIC_NACK, body + _build_nack_items(nack.sequences))


def _build_nack_items(sequences: Sequence[int]) -> bytes:
    items: list[list[int]] = []
    for sequence in sequences:
        behind = (sequence - items[-1][0] - 1) & 0xFFFF if items else 16
        if behind < 16:
            items[-1][1] |= 1 << behind
        else:
            items.append([sequence, 0])
    if len(items) > NACK_ITEMS_MAX:
        raise ValueError(f"{len(sequences)} packets need {len(items)} items, at most {NACK_ITEMS_MAX}")
    return b"".join(_NACK.pack(first, others) for first, others in items)


def _build_blocks(blocks: Sequence[ReportBlock]) -> bytes:
    if len(blocks) > BLOCKS_MAX:
        raise ValueError(f"{len(blocks)} report blocks, at most {BLOCKS_MAX}")
    return b"".join(
        _BLOCK.pack(
            block.ssrc,
            block.fraction_lost,
            max(min(block.lost, 0x7F_FFFF), -0x80_0000).to_bytes(3, "big", signed=True),
            block.highest & 0xFFFF_FFFF,
            block.jitter & 0xFFFF_FFFF,
            block.last_report,
            block.delay & 0xFFFF_FFFF,
        )
        for block in blocks
    )


def _build(kind: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(2 << 6 | count, kind, len(body) // 4) + body
