"""SRTP by libsrtp's own functions, called for whole batches without Python in between: see ext/srtp.pyx.

Lives here: joining the compiled streams to pylibsrtp's sessions, and finding out whether that can be done. Must not
live here: the choice between this and srtp_session.py, whose classes have the same interface.
"""

from __future__ import annotations

from pylibsrtp import Error

from fastrelay._ext.srtp import Inbound, Outbound, connect, open_rtp, seal_rtp
from fastrelay.transceiver.keying import SrtpKeys, SrtpProfile
from fastrelay.transceiver.libsrtp import (
    TAG_LENGTHS,
    context_of,
    find_entry,
    open_inbound,
    open_outbound,
)
from fastrelay.wire.rtp import SrtpRefusal

__all__ = ["SrtpInbound", "SrtpOutbound", "is_available", "open_rtp", "seal_rtp"]


class SrtpInbound(Inbound):
    """What the peer seals with its key: RTP of the negotiated payload types, and RTCP."""

    __slots__ = ()

    def __init__(self, keys: SrtpKeys, *, payload_types: frozenset[int]) -> None:
        session = open_inbound(keys)
        super().__init__(session, context_of(session), TAG_LENGTHS[keys.profile], payload_types)


class SrtpOutbound(Outbound):
    """Our stream: numbers and seals what it is given."""

    __slots__ = ()

    def __init__(self, keys: SrtpKeys, *, ssrc: int, payload_type: int, first_sequence: int) -> None:
        """Begin below 2^15, or a receiver that misses the first packets may miss a roll-over (RFC 3711 §3.3.1)."""
        session = open_outbound(keys, ssrc)
        super().__init__(session, context_of(session), TAG_LENGTHS[keys.profile], ssrc, payload_type, first_sequence)


def _connect() -> bool:
    entry = find_entry()
    if entry is None:
        return False
    connect(entry.protect, entry.protect_rtcp, entry.unprotect, entry.unprotect_rtcp, SrtpRefusal)
    return all(_agrees(profile) for profile in SrtpProfile)


def _agrees(profile: SrtpProfile) -> bool:
    """Seal a packet here and open it with pylibsrtp: the addresses are those of the functions we mean."""
    key = bytes(range(profile.key_length + profile.salt_length))
    keys = SrtpKeys(profile, local=key, remote=key)
    (sealed,) = seal_rtp([(SrtpOutbound(keys, ssrc=1, payload_type=0, first_sequence=0), b"payload", 0, False)])
    try:
        return bool(open_inbound(keys).unprotect(sealed).endswith(b"payload"))
    except Error:
        return False


is_available = _connect()
"""Whether this module's streams can be used with the pylibsrtp that is installed."""
