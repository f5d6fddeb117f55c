"""The certificate a transceiver shows in DTLS, and what a certificate's fingerprint is (RFC 8122 §5).

Lives here: making one, and digests as SDP writes them. Must not live here: who is trusted (dtls), SDP.

It is signed by itself: what makes it good is that its fingerprint came with the answer, over HTTPS. One is made for
each process and lives as long; its key is never written anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

HASHES: Final[dict[str, type[hashes.HashAlgorithm]]] = {
    "sha-256": hashes.SHA256,
    "sha-384": hashes.SHA384,
    "sha-512": hashes.SHA512,
}
"""Digests a fingerprint may be made with. SHA-1 and MD5 can be forged, and are as good as none."""

VALID_DAYS: Final = 365
"""As long as W3C lets a browser's own be valid."""
CLOCK_SKEW: Final = timedelta(days=1)


def fingerprint_of(certificate: x509.Certificate, algorithm: str) -> str:
    """The digest as SDP writes it: `AA:BB:…`. `algorithm` is one of HASHES."""
    return certificate.fingerprint(HASHES[algorithm]()).hex(":").upper()


@dataclass(frozen=True, slots=True, repr=False)
class Certificate:
    """A certificate and its private key. Never shown."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

    @classmethod
    def generate(cls, now_unix_s: float) -> Self:
        """A new ECDSA P-256 one: the curve that every browser speaks, and the fastest to sign with."""
        return cls.sign(ec.generate_private_key(ec.SECP256R1()), now_unix_s)

    @classmethod
    def sign(cls, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, now_unix_s: float) -> Self:
        """A new one over a key that exists."""
        # the name says nothing about host or operator: every caller reads it
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fastrelay")])
        now = datetime.fromtimestamp(now_unix_s, UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(now + timedelta(days=VALID_DAYS))
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

    @property
    def fingerprint(self) -> str:
        """Its SHA-256 fingerprint, for the answer."""
        return fingerprint_of(self.certificate, "sha-256")

    @property
    def der(self) -> bytes:
        """The certificate as it travels."""
        return self.certificate.public_bytes(serialization.Encoding.DER)
