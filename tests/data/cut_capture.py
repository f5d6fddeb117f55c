"""Cut a packet capture of one WebRTC call down to golden test data.

    python tests/data/cut_capture.py CAPTURE.pcap OUT.jsonl [--client-password ICE-PWD]

Reads a pcap of link type LINUX_SLL2 (what `tcpdump -i any` writes) and keeps the UDP datagrams between the two ends of
the call: all STUN, all DTLS, all SRTCP, and the first SRTP packets of each direction. Everything else on the machine
(DNS, SSDP) goes. A packet's kind is told by its structure and never by RFC 7983's ranges, so that the tests can hold
the demultiplexer against it.
"""

import argparse
import base64
import json
import struct
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SRTP_PER_DIRECTION = 250
SLL2_LINK_TYPE = 276
SLL2_HEADER_LENGTH = 20
UDP_PROTOCOL = 17
STUN_COOKIE = bytes.fromhex("2112a442")
STUN_BINDING_REQUEST = 1
STUN_USERNAME = 6
DTLS_VERSIONS = (b"\xfe\xff", b"\xfe\xfd")
DTLS_HANDSHAKE = 22
DTLS_CLIENT_HELLO = 1
# sender report to extended report; what each RTCP packet type is comes from RFC 3550, 4585 and 3611
RTCP_PACKET_TYPES = {200, 201, 202, 203, 204, 205, 206, 207}
# Opus in the offers the captures belong to: 111 in all but Firefox's
OPUS_PAYLOAD_TYPES = {109, 111}


@dataclass(frozen=True)
class Datagram:
    """One UDP datagram of the capture; an end is the packed address and the port."""

    time_s: float
    source: tuple[bytes, int]
    destination: tuple[bytes, int]
    payload: bytes


def read_datagrams(capture: bytes) -> Iterator[Datagram]:
    """Yield every UDP datagram of a little-endian pcap."""
    magic, link_type = struct.unpack_from("<I16xI", capture)
    if magic != 0xA1B2C3D4 or link_type & 0xFFFF != SLL2_LINK_TYPE:
        sys.exit("not a little-endian pcap of link type LINUX_SLL2")
    offset = 24
    while offset < len(capture):
        seconds, microseconds, kept, length = struct.unpack_from("<IIII", capture, offset)
        if kept != length:
            sys.exit("the capture cut its packets short")
        packet = capture[offset + 16 : offset + 16 + kept]
        offset += 16 + kept
        ether_type = int.from_bytes(packet[:2], "big")
        datagram = _read_udp(ether_type, packet[SLL2_HEADER_LENGTH:], seconds + microseconds / 1e6)
        if datagram:
            yield datagram


def _read_udp(ether_type: int, packet: bytes, time_s: float) -> Datagram | None:
    if ether_type == 0x0800 and packet[9] == UDP_PROTOCOL:
        source, destination, udp = packet[12:16], packet[16:20], packet[(packet[0] & 15) * 4 :]
    elif ether_type == 0x86DD and packet[6] == UDP_PROTOCOL:
        source, destination, udp = packet[8:24], packet[24:40], packet[40:]
    else:
        return None
    source_port, destination_port, length = struct.unpack_from("!HHH", udp)
    return Datagram(time_s, (source, source_port), (destination, destination_port), udp[8:length])


def kind_of(payload: bytes) -> str | None:
    """Name a packet's protocol by its structure; None when it is not of the call."""
    if payload[4:8] == STUN_COOKIE and int.from_bytes(payload[2:4], "big") == len(payload) - 20:
        return "stun"
    if _is_dtls(payload):
        return "dtls"
    if len(payload) >= 12 and payload[0] >> 6 == 2:
        if payload[1] in RTCP_PACKET_TYPES:
            return "srtcp"
        if payload[1] & 0x7F in OPUS_PAYLOAD_TYPES:
            return "srtp"
    return None


def _is_dtls(payload: bytes) -> bool:
    """Whether the datagram is a chain of DTLS 1.2 records that ends where it ends."""
    offset = 0
    while offset < len(payload):
        if payload[offset + 1 : offset + 3] not in DTLS_VERSIONS:
            return False
        offset += 13 + int.from_bytes(payload[offset + 11 : offset + 13], "big")
    return offset == len(payload) and offset > 0


def sender_ufrag(payload: bytes) -> bytes | None:
    """Return the ufrag of whoever sent this Binding request (RFC 8445 §7.2.2)."""
    if kind_of(payload) != "stun" or int.from_bytes(payload[:2], "big") != STUN_BINDING_REQUEST:
        return None
    offset = 20
    while offset < len(payload):
        attribute, length = struct.unpack_from("!HH", payload, offset)
        if attribute == STUN_USERNAME:
            return payload[offset + 4 : offset + 4 + length].partition(b":")[2]
        offset += 4 + (length + 3) // 4 * 4
    return None


def is_client_hello(payload: bytes) -> bool:
    """Whether the datagram opens a DTLS handshake."""
    return kind_of(payload) == "dtls" and payload[0] == DTLS_HANDSHAKE and payload[13] == DTLS_CLIENT_HELLO


class Ends:
    """Which socket is whose: told by the ufrags in the checks, and by who opened DTLS."""

    def __init__(self, datagrams: list[Datagram], client_is_dtls_server: bool) -> None:
        self._ufrags = {d.source: ufrag for d in datagrams if (ufrag := sender_ufrag(d.payload))}
        opener = next(d for d in datagrams if is_client_hello(d.payload))
        self._client_ufrag = self._ufrags[opener.destination if client_is_dtls_server else opener.source]

    def direction(self, datagram: Datagram) -> str | None:
        """Who sent this datagram, "client" or "server"; None when neither of its sockets has sent a check."""
        source, destination = self._ufrags.get(datagram.source), self._ufrags.get(datagram.destination)
        if source is None and destination is None:
            return None
        is_from_client = source == self._client_ufrag if source else destination != self._client_ufrag
        return "client" if is_from_client else "server"


def cut(datagrams: list[Datagram], client_is_dtls_server: bool) -> Iterator[dict[str, object]]:
    """Yield the records to keep."""
    ends = Ends(datagrams, client_is_dtls_server)
    started_s: float | None = None
    srtp_kept: Counter[str] = Counter()
    for datagram in datagrams:
        kind, direction = kind_of(datagram.payload), ends.direction(datagram)
        if kind is None or direction is None:
            continue
        if kind == "srtp":
            srtp_kept[direction] += 1
            if srtp_kept[direction] > SRTP_PER_DIRECTION:
                continue
        if started_s is None:
            started_s = datagram.time_s
        yield {
            "direction": direction,
            "time_s": round(datagram.time_s - started_s, 6),
            "kind": kind,
            "payload": base64.b64encode(datagram.payload).decode(),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("capture", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--client-password", help="ice-pwd of the client's offer, where it is known")
    arguments = parser.parse_args()

    datagrams = list(read_datagrams(arguments.capture.read_bytes()))
    header = {"source": arguments.capture.name, "client_password": arguments.client_password}
    records = [header, *cut(datagrams, client_is_dtls_server="dtls_server" in arguments.capture.name)]
    arguments.out.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="ascii")


if __name__ == "__main__":
    main()
