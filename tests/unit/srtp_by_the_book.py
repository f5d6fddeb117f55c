"""SRTP written down from RFC 3711 and RFC 7714 alone, on bare AES, AES-GCM and HMAC: the peer that libsrtp is checked
against. test_srtp_vectors.py checks it against the RFCs' own figures.
"""

import hmac
import struct
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fastrelay.transceiver.keying import SrtpProfile

RTP_CIPHER, RTP_AUTH, RTP_SALT, RTCP_CIPHER, RTCP_AUTH, RTCP_SALT = range(6)


def xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def counter_mode(key: bytes, start: bytes, data: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.CTR(start)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def derive(master_key: bytes, master_salt: bytes, label: int, length: int) -> bytes:
    """RFC 3711 §4.3.1, with a key derivation rate of zero; RFC 7714 §11 fills the shorter salt up with zeros."""
    key_id = (label << 48).to_bytes(14, "big")
    return counter_mode(master_key, xor(master_salt.ljust(14, b"\0"), key_id) + b"\0\0", bytes(length))


def keystream_start(salt: bytes, ssrc: int, index: int) -> bytes:
    """RFC 3711 §4.1.1: the counter of AES-CM."""
    return xor(salt + b"\0\0", struct.pack("!4xI", ssrc) + index.to_bytes(6, "big") + b"\0\0")


def gcm_nonce(salt: bytes, ssrc: int, index: int) -> bytes:
    """RFC 7714 §8.1 and §9.1: a packet's index has six bytes, of which SRTCP uses the last four."""
    return xor(salt, b"\0\0" + ssrc.to_bytes(4, "big") + index.to_bytes(6, "big"))


@dataclass(frozen=True)
class Book:
    """One direction of a call."""

    profile: SrtpProfile
    master: bytes

    def _derive(self, label: int, length: int) -> bytes:
        key_length = self.profile.key_length
        return derive(self.master[:key_length], self.master[key_length:], label, length)

    def seal_rtp(self, packet: bytes, roll_overs: int = 0) -> bytes:
        """Of a packet with a header of twelve bytes."""
        header, payload = packet[:12], packet[12:]
        sequence, ssrc = int.from_bytes(packet[2:4], "big"), int.from_bytes(packet[8:12], "big")
        index = roll_overs << 16 | sequence
        key, salt = self._derive(RTP_CIPHER, 16), self._derive(RTP_SALT, self.profile.salt_length)
        if self.profile is SrtpProfile.AEAD_AES_128_GCM:
            return header + AESGCM(key).encrypt(gcm_nonce(salt, ssrc, index), payload, header)
        sealed = header + counter_mode(key, keystream_start(salt, ssrc, index), payload)
        return sealed + hmac.digest(self._derive(RTP_AUTH, 20), sealed + roll_overs.to_bytes(4, "big"), "sha1")[:10]

    def seal_rtcp(self, packet: bytes, index: int) -> bytes:
        header, body = packet[:8], packet[8:]
        ssrc, trailer = int.from_bytes(packet[4:8], "big"), (1 << 31 | index).to_bytes(4, "big")
        key, salt = self._derive(RTCP_CIPHER, 16), self._derive(RTCP_SALT, self.profile.salt_length)
        if self.profile is SrtpProfile.AEAD_AES_128_GCM:
            return header + AESGCM(key).encrypt(gcm_nonce(salt, ssrc, index), body, header + trailer) + trailer
        sealed = header + counter_mode(key, keystream_start(salt, ssrc, index), body) + trailer
        return sealed + hmac.digest(self._derive(RTCP_AUTH, 20), sealed, "sha1")[:10]
