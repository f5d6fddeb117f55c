"""What DTLS hands to SRTP: a profile and two master keys (RFC 5764 §4.2).

Lives here: these values alone, so that neither engine knows the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class SrtpProfile(Enum):
    """The profiles we speak, with their DTLS-SRTP number, key and salt length. The first is preferred."""

    AEAD_AES_128_GCM = ("SRTP_AEAD_AES_128_GCM", 0x0007, 16, 12)
    AES128_CM_SHA1_80 = ("SRTP_AES128_CM_SHA1_80", 0x0001, 16, 14)

    def __init__(self, openssl_name: str, number: int, key_length: int, salt_length: int) -> None:
        self.openssl_name = openssl_name
        self.number = number
        self.key_length = key_length
        self.salt_length = salt_length

    @property
    def material_length(self) -> int:
        """Bytes that both directions need from the exporter."""
        return 2 * (self.key_length + self.salt_length)


@dataclass(frozen=True, slots=True, repr=False)
class SrtpKeys:
    """Master key and salt of each direction, concatenated as libsrtp takes them. Never shown."""

    profile: SrtpProfile
    local: bytes
    """Of what we send."""
    remote: bytes
    """Of what the peer sends."""

    def __repr__(self) -> str:
        return f"SrtpKeys({self.profile.name})"
