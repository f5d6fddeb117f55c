"""pylibsrtp, wrapped: sessions of the keys DTLS made, its errors in our words, and its functions' addresses.

Lives here: every name of pylibsrtp that we use, public or private. Must not live here: RTP, batches, statistics.

Its public Session copies each packet several times and takes 1.4 µs. Its private names lead to libsrtp itself, which
ext/srtp.pyx calls for a whole batch. They may change with any release: find_entry() asks for each and tries them out.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from pylibsrtp import Error, Policy, Session

from fastrelay.transceiver.keying import SrtpKeys, SrtpProfile
from fastrelay.wire.rtp import SrtpRefusal

REPLAY_WINDOW = 256
"""Packets, five seconds of speech: what comes later was given up long ago. libsrtp moves the whole window with
every packet: 1,024 cost a fifth of all that a packet costs."""
SENDING_WINDOW = 64
"""Packets; libsrtp's least. We never seal one twice."""
TAG_LENGTHS = {SrtpProfile.AEAD_AES_128_GCM: 16, SrtpProfile.AES128_CM_SHA1_80: 10}
"""Bytes that authentication adds to a packet."""
RTCP_INDEX_LENGTH = 4
"""Bytes that SRTCP adds besides (RFC 3711 §3.4)."""
SEAL_MAX_BYTES = 1352
"""What pylibsrtp's Session takes for sealing, RTP or RTCP; so that both paths refuse alike, of the batches too."""

_PROFILES = {
    SrtpProfile.AEAD_AES_128_GCM: Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    SrtpProfile.AES128_CM_SHA1_80: Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
}


# pylibsrtp's words for libsrtp's statuses, which ext/media/srtp.c knows by their numbers
_TEXTS = {
    "authentication failure": SrtpRefusal.FORGED,
    "unable to perform desired validation": SrtpRefusal.FORGED,
    "replay check failed (bad index)": SrtpRefusal.REPLAYED,
    "replay check failed (index too old)": SrtpRefusal.TOO_OLD,
    "error parsing data": SrtpRefusal.MALFORMED,
    "packet index is too old to consider": SrtpRefusal.TOO_OLD,
}


def open_inbound(keys: SrtpKeys) -> Session:
    """Make the context of what the peer seals, whatever its SSRCs."""
    return _open_session(keys.profile, keys.remote, Policy.SSRC_ANY_INBOUND, 0, REPLAY_WINDOW)


def open_outbound(keys: SrtpKeys, ssrc: int) -> Session:
    """Make the context of our one stream."""
    return _open_session(keys.profile, keys.local, Policy.SSRC_SPECIFIC, ssrc, SENDING_WINDOW)


def _open_session(profile: SrtpProfile, key: bytes, ssrc_type: int, ssrc: int, window: int) -> Session:
    expected = profile.key_length + profile.salt_length
    if len(key) != expected:
        raise ValueError(f"{profile.name}: {len(key)} bytes of key and salt, not {expected}")
    policy = Policy(key=key, ssrc_type=ssrc_type, ssrc_value=ssrc, srtp_profile=_PROFILES[profile])
    policy.window_size = window
    return Session(policy)


def call_session(verb: Callable[[bytes], bytes], packet: bytes) -> bytes | SrtpRefusal:
    """Call a Session's method: a packet it cannot take is refused, not raised."""
    try:
        return verb(packet)
    except Error as error:
        return _TEXTS.get(str(error), SrtpRefusal.FAILED)


@dataclass(frozen=True, slots=True)
class Entry:
    """Addresses of libsrtp's functions: `srtp_err_status_t (*)(srtp_t, void *packet, int *length)` each."""

    protect: int
    protect_rtcp: int
    unprotect: int
    unprotect_rtcp: int


SIGNATURE = "srtp_err_status_t(*)(struct srtp_ctx_t_ *, void *, int *)"


def find_entry() -> Entry | None:
    """Find the functions behind Session; None when this pylibsrtp does not show them as we know them."""
    try:
        binding = importlib.import_module("pylibsrtp._binding")
        ffi, lib = binding.ffi, binding.lib
        functions = [ffi.addressof(lib, f"srtp_{name}") for name in Entry.__slots__]
        if any(ffi.typeof(function).cname != SIGNATURE for function in functions):
            return None
        entry = Entry(*(int(ffi.cast("uintptr_t", function)) for function in functions))
        has_context = context_of(Session()) != 0
    except (ImportError, AttributeError, TypeError, ValueError, KeyError):
        return None
    return entry if has_context else None


def context_of(session: Session) -> int:
    """Return the address of a session's srtp_t, which lives as long as the session."""
    ffi = importlib.import_module("pylibsrtp._binding").ffi
    # cffi's handle; Session has no public name for it
    return int(ffi.cast("uintptr_t", vars(session)["_srtp"][0]))
