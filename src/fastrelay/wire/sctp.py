"""The shape of an SCTP packet (RFC 9260 §3), checked before the library that speaks SCTP may see it.

Lives here: lengths, and what a receiver would have to work through because the peer says so. aiortc trusts its peer
with both: a parameter of length 0 keeps it busy for ever, gap blocks that overlap for seconds.
Must not live here: associations, checksums (DTLS has authenticated the packet), what a chunk means.
"""

from __future__ import annotations

import struct
from typing import Final

from fastrelay.errors import WireError

HEADER_LENGTH: Final = 12
CHUNK_HEADER_LENGTH: Final = 4
PACKET_LENGTH_MAX: Final = 1500
"""No packet of ours or a browser's comes near; DTLS carries one in each record."""

ALIKE_MAX: Final = 2
"""Control chunks of one kind in a packet. Nobody has more to say, and each is work or an answer in a packet."""
PARAMETERS_MAX: Final = 2
"""Of a RE-CONFIG chunk (RFC 6525 §3.1). Each is answered in a packet of its own."""

DATA, INIT, INIT_ACK, SACK = 0, 1, 2, 3
HEARTBEAT, HEARTBEAT_ACK, ABORT, SHUTDOWN, ERROR = 4, 5, 6, 7, 9
RECONFIG, FORWARD_TSN = 130, 192

_CHUNK_HEADER = struct.Struct("!BBH")
_PARAMETER_HEADER = struct.Struct("!HH")
_SACK = struct.Struct("!LLHH")
_GAP = struct.Struct("!HH")
DATA_HEADER_LENGTH: Final = 12
_INIT_LENGTH: Final = 16
_RESET_OUTGOING, _RESET_RESPONSE, _ADD_OUTGOING = 13, 16, 17


def check_packet(packet: bytes) -> None:
    """Return when every length in the packet is what its place allows; WireError says which is not."""
    length = len(packet)
    if not HEADER_LENGTH + CHUNK_HEADER_LENGTH <= length <= PACKET_LENGTH_MAX:
        raise WireError("packet", 0, f"{length} bytes are not {HEADER_LENGTH + CHUNK_HEADER_LENGTH} to 1500")
    at = HEADER_LENGTH
    control: list[int] = []
    while at < length:
        if at + CHUNK_HEADER_LENGTH > length:
            raise WireError("chunk", at, "is cut off")
        kind, _, chunk_length = _CHUNK_HEADER.unpack_from(packet, at)
        end = at + chunk_length
        if chunk_length < CHUNK_HEADER_LENGTH or end > length:
            raise WireError("chunk length", at, f"{chunk_length} with {length - at} bytes left")
        _check_chunk(packet, kind, at + CHUNK_HEADER_LENGTH, end)
        if kind != DATA:
            if control.count(kind) == ALIKE_MAX:
                raise WireError("chunk", at, f"is number {ALIKE_MAX + 1} of kind {kind}")
            control.append(kind)
        if kind == INIT and (at != HEADER_LENGTH or end + (-end % 4) < length):
            raise WireError("chunk", at, "INIT must be alone in its packet")  # §6.10
        at = end + (-chunk_length % 4)


def _check_chunk(packet: bytes, kind: int, at: int, end: int) -> None:
    if kind == DATA:
        if end - at <= DATA_HEADER_LENGTH:
            raise WireError("DATA", at, "carries nothing")  # §3.3.1
    elif kind == SACK:
        _check_sack(packet, at, end)
    elif kind in {INIT, INIT_ACK}:
        if end - at < _INIT_LENGTH:
            raise WireError("INIT", at, "is cut off")
        _check_parameters(packet, at + _INIT_LENGTH, end)
    elif kind in {HEARTBEAT, HEARTBEAT_ACK, ABORT, ERROR}:
        _check_parameters(packet, at, end)
    elif kind == RECONFIG:
        _check_parameters(packet, at, end)
        _check_reconfiguration(packet, at, end)
    elif kind == SHUTDOWN:
        if end - at != 4:
            raise WireError("SHUTDOWN", at, "is not 4 bytes long")
    elif kind == FORWARD_TSN and (end - at < 4 or (end - at) % 4):
        raise WireError("FORWARD TSN", at, "is not made of whole streams")  # RFC 3758 §3.2


def _check_parameters(packet: bytes, at: int, end: int) -> None:
    while at < end:
        if at + _PARAMETER_HEADER.size > end:
            raise WireError("parameter", at, "is cut off")
        length = _PARAMETER_HEADER.unpack_from(packet, at)[1]
        if length < _PARAMETER_HEADER.size or at + length > end:
            raise WireError("parameter length", at, f"{length} with {end - at} bytes left")
        at += length + (-length % 4)


def _check_reconfiguration(packet: bytes, at: int, end: int) -> None:
    """RFC 6525 §4: each parameter that is acted on has its whole fixed part."""
    parameters = 0
    while at < end:
        parameters += 1
        if parameters > PARAMETERS_MAX:
            raise WireError("RE-CONFIG parameter", at, f"is number {parameters}")
        kind, length = _PARAMETER_HEADER.unpack_from(packet, at)
        body = length - _PARAMETER_HEADER.size
        if kind == _RESET_OUTGOING:
            is_whole = body >= 12 and body % 2 == 0
        elif kind in {_RESET_RESPONSE, _ADD_OUTGOING}:
            is_whole = body >= 8 and (kind == _RESET_RESPONSE or body == 8)
        else:
            is_whole = True
        if not is_whole:
            raise WireError("RE-CONFIG parameter", at, f"of kind {kind} has {body} bytes")
        at += length + (-length % 4)


def _check_sack(packet: bytes, at: int, end: int) -> None:
    """RFC 9260 §3.3.4. Gap blocks ascend and do not touch, so that all of them name at most 65,535 TSNs."""
    if end - at < _SACK.size:
        raise WireError("SACK", at, "is cut off")
    _, _, gaps, duplicates = _SACK.unpack_from(packet, at)
    if end - at != _SACK.size + 4 * (gaps + duplicates):
        raise WireError("SACK", at, f"of {end - at} bytes announces {gaps} gaps and {duplicates} duplicates")
    last = 0
    for place in range(at + _SACK.size, at + _SACK.size + 4 * gaps, 4):
        start, stop = _GAP.unpack_from(packet, place)
        if start <= last or stop < start:
            raise WireError("gap block", place, f"{start} to {stop} after {last}")
        last = stop
