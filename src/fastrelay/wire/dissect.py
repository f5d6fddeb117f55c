"""What a client packet says of itself, field by field, for people who look at one.

Lives here: names and values of the clear headers of STUN, DTLS, SRTP and SRTCP, as far as the bytes go. Must not live
here: whether any of it is right (stun, demux), or what a relay makes of it (fastrelay.observe.packet).
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from fastrelay.wire.address import format_endpoint
from fastrelay.wire.demux import PacketClass, classify

Fields = list[tuple[str, str]]

SHOWN_BYTES_MAX: Final = 16
_COOKIE: Final = bytes.fromhex("2112a442")
_STUN_CLASSES: Final = ("request", "indication", "success response", "error response")
_STUN_METHODS: Final = {1: "Binding", 3: "Allocate", 4: "Refresh", 6: "Send", 7: "Data", 8: "CreatePermission"}
_ATTRIBUTES: Final = {  # RFC 8489 §18.3, RFC 8445 §16.1, RFC 8656 §18, and what browsers add
    0x0001: "MAPPED-ADDRESS",
    0x0006: "USERNAME",
    0x0008: "MESSAGE-INTEGRITY",
    0x0009: "ERROR-CODE",
    0x000A: "UNKNOWN-ATTRIBUTES",
    0x0014: "REALM",
    0x0015: "NONCE",
    0x001C: "MESSAGE-INTEGRITY-SHA256",
    0x0020: "XOR-MAPPED-ADDRESS",
    0x0024: "PRIORITY",
    0x0025: "USE-CANDIDATE",
    0x8022: "SOFTWARE",
    0x8023: "ALTERNATE-SERVER",
    0x8028: "FINGERPRINT",
    0x8029: "ICE-CONTROLLED",
    0x802A: "ICE-CONTROLLING",
    0xC001: "NETWORK-ID",
    0xC057: "NETWORK-COST",
}
_TEXTS: Final = {0x0006, 0x0014, 0x8022}
_DTLS_TYPES: Final = {
    20: "change cipher spec",
    21: "alert",
    22: "handshake",
    23: "application data",
    24: "heartbeat",
    25: "tls12_cid",
    26: "ack",
}
_HANDSHAKES: Final = {  # RFC 5246 §7.4, RFC 6347 §4.3.2
    0: "HelloRequest",
    1: "ClientHello",
    2: "ServerHello",
    3: "HelloVerifyRequest",
    4: "NewSessionTicket",
    11: "Certificate",
    12: "ServerKeyExchange",
    13: "CertificateRequest",
    14: "ServerHelloDone",
    15: "CertificateVerify",
    16: "ClientKeyExchange",
    20: "Finished",
}
_DTLS_VERSIONS: Final = {b"\xfe\xff": "DTLS 1.0", b"\xfe\xfd": "DTLS 1.2"}
_RTCP_TYPES: Final = {  # RFC 3550 §12.1, RFC 4585 §6.1, RFC 3611 §2
    200: "sender report",
    201: "receiver report",
    202: "source description",
    203: "goodbye",
    204: "application-defined",
    205: "transport feedback",
    206: "payload feedback",
    207: "extended report",
}


def dissect(packet: bytes) -> Fields:
    """Name and value of each field that is there, in the packet's order. An empty packet has none."""
    return _DISSECTORS[classify(packet)](packet) if packet else []


def _stun(packet: bytes) -> Fields:
    """RFC 8489 §5."""
    fields: Fields = []
    if len(packet) >= 2:
        kind = int.from_bytes(packet[:2], "big")
        fields.append(("type", _stun_type(kind)))
    if len(packet) >= 4:
        length = int.from_bytes(packet[2:4], "big")
        left = len(packet) - 20
        fields.append(("length", f"{length}" if length == left else f"{length}, but {left} bytes follow the header"))
    if len(packet) >= 8 and packet[4:8] != _COOKIE:
        fields.append(("cookie", f"{packet[4:8].hex()}, which is not STUN's {_COOKIE.hex()}"))
    if len(packet) >= 20:
        fields.append(("transaction id", packet[8:20].hex()))
    return fields + _attributes(packet)


def _stun_type(kind: int) -> str:
    # RFC 8489 §5: the two bits of the class stand between the bits of the method
    method = kind & 0x000F | (kind & 0x00E0) >> 1 | (kind & 0x3E00) >> 2
    name = _STUN_METHODS.get(method, f"method 0x{method:03x}")
    return f"{name} {_STUN_CLASSES[(kind & 0x0100) >> 7 | (kind & 0x0010) >> 4]}"


def _attributes(packet: bytes) -> Fields:
    fields: Fields = []
    at = 20
    while at + 4 <= len(packet):
        kind, length = int.from_bytes(packet[at : at + 2], "big"), int.from_bytes(packet[at + 2 : at + 4], "big")
        value = packet[at + 4 : at + 4 + length]
        name = _ATTRIBUTES.get(kind, f"attribute 0x{kind:04x}")
        cut = "" if len(value) == length else f", cut: {len(value)} of {length} bytes"
        fields.append((name, _value(kind, value, packet) + cut))
        at += 4 + (length + 3) // 4 * 4
    if 20 <= at < len(packet):
        fields.append(("after the last attribute", _shown(packet[at:])))
    return fields


def _value(kind: int, value: bytes, packet: bytes) -> str:
    name = _ATTRIBUTES.get(kind)
    if kind in _TEXTS:
        text = value.decode(errors="replace")
        return text if text and text.isprintable() else _shown(value)
    if name == "PRIORITY" and len(value) == 4:
        return str(int.from_bytes(value, "big"))
    if name == "USE-CANDIDATE" and not value:
        return "yes"
    if name == "XOR-MAPPED-ADDRESS" and len(value) in (8, 20):
        return _xored_address(value, packet)
    if name == "ERROR-CODE" and len(value) >= 4:
        return f"{(value[2] & 7) * 100 + value[3]} {value[4:].decode(errors='replace')}".strip()
    return _shown(value)


def _xored_address(value: bytes, packet: bytes) -> str:
    """RFC 8489 §14.2."""
    mask = packet[4:20]
    port = int.from_bytes(value[2:4], "big") ^ int.from_bytes(mask[:2], "big")
    packed = bytes(byte ^ masked for byte, masked in zip(value[4:], mask, strict=False))
    address = IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)
    return format_endpoint(str(address), port)


def _dtls(packet: bytes) -> Fields:
    """RFC 6347 §4.1; the record alone, and the kind of the first handshake message while it is not encrypted."""
    fields: Fields = [("record", _DTLS_TYPES.get(packet[0], f"type {packet[0]}"))]
    if len(packet) >= 3:
        fields.append(("version", _DTLS_VERSIONS.get(packet[1:3], packet[1:3].hex())))
    if len(packet) >= 13:
        epoch = int.from_bytes(packet[3:5], "big")
        fields += [("epoch", str(epoch)), ("sequence", str(int.from_bytes(packet[5:11], "big")))]
        fields.append(("length", str(int.from_bytes(packet[11:13], "big"))))
        if packet[0] == 22 and epoch == 0 and len(packet) >= 14:
            fields.append(("message", _HANDSHAKES.get(packet[13], f"handshake {packet[13]}")))
    return fields


def _srtp(packet: bytes) -> Fields:
    """RFC 3550 §5.1; SRTP leaves this header in the clear (RFC 3711 §3.1)."""
    fields: Fields = [("payload type", str(packet[1] & 0x7F)), ("marker", "yes" if packet[1] & 0x80 else "no")]
    if len(packet) >= 12:
        fields += [
            ("sequence", str(int.from_bytes(packet[2:4], "big"))),
            ("timestamp", str(int.from_bytes(packet[4:8], "big"))),
            ("ssrc", f"0x{packet[8:12].hex()}"),
        ]
    return fields


def _srtcp(packet: bytes) -> Fields:
    """RFC 3550 §6.4; SRTCP leaves the first eight bytes in the clear (RFC 3711 §3.4)."""
    fields: Fields = [("report", _RTCP_TYPES.get(packet[1], f"type {packet[1]}"))]
    if len(packet) >= 8:
        fields.append(("ssrc", f"0x{packet[4:8].hex()}"))
    return fields


def _other(packet: bytes) -> Fields:
    return [("first bytes", _shown(packet))]


def _shown(value: bytes) -> str:
    if not value:
        return "empty"
    shown = value[:SHOWN_BYTES_MAX].hex()
    return shown if len(value) <= SHOWN_BYTES_MAX else f"{shown}… ({len(value)} bytes)"


_DISSECTORS: Final[dict[PacketClass, Callable[[bytes], Fields]]] = {
    PacketClass.STUN: _stun,
    PacketClass.DTLS: _dtls,
    PacketClass.SRTP: _srtp,
    PacketClass.SRTCP: _srtcp,
    PacketClass.OTHER: _other,
}
