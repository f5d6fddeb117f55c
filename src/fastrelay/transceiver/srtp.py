"""SRTP and SRTCP of a call (RFC 3711, RFC 7714), many calls' packets at once.

Lives here: the face, and the choice between libsrtp called for whole batches (srtp_batch.py, ext/srtp.pyx) and packet
by packet through pylibsrtp's public interface (srtp_session.py). Both do the same. Must not live here: RTCP's meaning
(reports.py), the making of keys (dtls.py), pacing.

A stream, in or out, belongs to one thread. `ACTIVE` says which of the two is in use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fastrelay._ext.srtp import RtpPacket
from fastrelay.transceiver import srtp_batch
from fastrelay.transceiver.srtp_session import PAYLOAD_MAX_BYTES
from fastrelay.wire.rtp import SrtpRefusal

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

ACTIVE: Literal["batch", "session"] = "batch" if srtp_batch.is_available else "session"

if TYPE_CHECKING or ACTIVE == "batch":
    from fastrelay.transceiver.srtp_batch import SrtpInbound, SrtpOutbound, open_rtp, seal_rtp
else:
    from fastrelay.transceiver.srtp_session import SrtpInbound, SrtpOutbound, open_rtp, seal_rtp
