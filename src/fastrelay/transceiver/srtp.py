"""SRTP and SRTCP of a call (RFC 3711, RFC 7714), many calls' packets at once.

Lives here: the face, and the choice between libsrtp called for whole batches (ext/srtp.pyx) and packet by packet
(srtp_session.py). Both do the same. Must not live here: RTCP's meaning (reports.py), keys' making (dtls.py), pacing.

A stream, in or out, belongs to one thread. `ACTIVE` says which of the two is in use.
"""

from __future__ import annotations

from typing import Literal

from fastrelay.transceiver.libsrtp import SrtpRefusal
from fastrelay.transceiver.srtp_session import (
    PAYLOAD_MAX_BYTES,
    RtpPacket,
    SrtpInbound,
    SrtpOutbound,
    open_rtp,
    seal_rtp,
)

__all__ = [
    "ACTIVE",
    "PAYLOAD_MAX_BYTES",
    "RtpPacket",
    "SrtpInbound",
    "SrtpOutbound",
    "SrtpRefusal",
    "open_rtp",
    "seal_rtp",
]

ACTIVE: Literal["batch", "session"] = "session"
