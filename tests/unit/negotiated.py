"""The server's half of an answer, for tests of negotiation."""

from fastrelay.transceiver.negotiation import Answering, Role

UFRAG = "EAbcdefghijklmnopqrstuvwxyz0123456789+/ABCDEFGHIJKL"
PASSWORD = "abcdefghijklmnopqrstuvwxyz012345"
FINGERPRINT = ":".join(["AB"] * 32)
IPV4 = ("192.0.2.7", 3478)
IPV6 = ("2001:db8::7", 3479)


def answering(*addresses: tuple[str, int], role: Role = "passive") -> Answering:
    return Answering(
        ufrag=UFRAG,
        password=PASSWORD,
        addresses=addresses or (IPV4, IPV6),
        fingerprint=FINGERPRINT,
        role=role,
        ssrc=0xFEDCBA98,
        cname="c4lL",
        session_id=bytes(range(0xF8, 0x100)),
    )
