"""Two ends of a call's SRTP for tests: a peer on pylibsrtp's own Session, and our streams on either path."""

import itertools
from dataclasses import dataclass
from types import ModuleType

import pytest
from pylibsrtp import Policy, Session

from fastrelay._ext.srtp import Reception
from fastrelay.transceiver import srtp_batch, srtp_session
from fastrelay.transceiver.keying import SrtpKeys, SrtpProfile
from fastrelay.wire.rtp import build_header

PATHS = pytest.mark.parametrize("path", [srtp_batch, srtp_session], ids=["batch", "session"])
PROFILES = pytest.mark.parametrize("profile", SrtpProfile, ids=lambda profile: profile.name)
OPUS = 111
SSRC = 0xCAFEBABE
PTIME_TICKS = 960

_NUMBERS = {
    SrtpProfile.AEAD_AES_128_GCM: Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    SrtpProfile.AES128_CM_SHA1_80: Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
}


def keys_of(profile: SrtpProfile) -> SrtpKeys:
    length = profile.key_length + profile.salt_length
    return SrtpKeys(profile, local=bytes(range(1, length + 1)), remote=bytes(range(101, length + 101)))


def rtp(sequence: int, payload: bytes = b"speech", *, ssrc: int = SSRC, payload_type: int = OPUS) -> bytes:
    """An open packet of a stream that began with sequence number 0 at timestamp 0."""
    timestamp = sequence * PTIME_TICKS & 0xFFFF_FFFF
    return build_header(payload_type, sequence & 0xFFFF, timestamp, ssrc, is_marked=False) + payload


@dataclass
class Peer:
    """The other end: independent of our code."""

    sending: Session
    receiving: Session

    @classmethod
    def of(cls, profile: SrtpProfile) -> "Peer":
        keys = keys_of(profile)
        sending = Policy(keys.remote, Policy.SSRC_ANY_OUTBOUND, 0, _NUMBERS[profile])
        sending.window_size = 1024  # libsrtp keeps an order for senders too
        receiving = Policy(keys.local, Policy.SSRC_ANY_INBOUND, 0, _NUMBERS[profile])
        return cls(Session(sending), Session(receiving))

    def seal(self, *sequences: int, ssrc: int = SSRC) -> list[bytes]:
        return [self.sending.protect(rtp(sequence, ssrc=ssrc)) for sequence in sequences]


def run(path: ModuleType, profile: SrtpProfile, packets: list[bytes]) -> list[object]:
    """What a fresh stream makes of these packets, 20 ms apart; and the stream's statistics at the end."""
    inbound = path.SrtpInbound(keys_of(profile), payload_types=frozenset({OPUS}))
    results = [
        result
        for packet, now_us in zip(packets, itertools.count(0, 20_000), strict=False)
        for result in path.open_rtp([(inbound, packet)], now_us)
    ]
    return [*results, figures(inbound.reception)]


def figures(reception: Reception) -> dict[str, object]:
    names = ("ssrc", "packets", "octets", "first", "highest", "cycles", "expected", "lost", "jitter")
    return {name: getattr(reception, name) for name in names} | {"missing": reception.missing()}
