"""Which protocol a client datagram belongs to: the readable twin of ext/wire/demux.h.

Lives here: the demultiplexing of RFC 7983 §7 (STUN, DTLS and RTP share one port) and RFC 5761 §4 (RTP and RTCP share
one port). Must not live here: parsing, policy, anything that depends on who sent the packet.
"""

import enum


class PacketClass(enum.IntEnum):
    """The classes of ext/wire/demux.h, with its numbers."""

    STUN = 0
    DTLS = 1
    SRTP = 2
    SRTCP = 3
    OTHER = 4


# RFC 7983 §7. ZRTP (16-19) and TURN channels (64-79) are in that table too, and no WebRTC client speaks them to us.
_STUN_FIRST_BYTES = range(4)
_DTLS_FIRST_BYTES = range(20, 64)
_RTP_FIRST_BYTES = range(128, 192)
# RFC 5761 §4: these are payload types 64-95 with the marker bit, which RTP must not use beside RTCP.
_RTCP_PACKET_TYPES = range(192, 224)


def classify(packet: bytes) -> PacketClass:
    """Name the protocol of a datagram. It holds at least one byte: empty ones are refused before this."""
    first_byte = packet[0]
    if first_byte in _STUN_FIRST_BYTES:
        return PacketClass.STUN
    if first_byte in _DTLS_FIRST_BYTES:
        return PacketClass.DTLS
    if first_byte not in _RTP_FIRST_BYTES or len(packet) < 2:
        return PacketClass.OTHER
    return PacketClass.SRTCP if packet[1] in _RTCP_PACKET_TYPES else PacketClass.SRTP
