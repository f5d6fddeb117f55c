"""Client secrets: what a server gives a browser so that it may call for a while, without the API key.

Lives here: sealing and opening `ek_…`. Must not live here: the endpoint (realtime), API keys (keys).

A secret is sealed with AES-SIV under a key derived from the key ring. So every worker and every machine of the cluster
opens what any of them has made, with nothing stored; nobody can make or change one without the ring; and what the
server says about the session stays between it and the agent. One secret may start many calls until it expires.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fastrelay.errors import FastrelayError
from fastrelay.routing.keys import Key, KeyRing

PREFIX: Final = "ek_"
SESSION_BYTES_MAX: Final = 4096
"""Of the session as JSON: the secret travels in a header, and a header has 8 KiB."""
LENGTH_MAX: Final = 6144
_VERSION: Final = 1
_FIELDS = struct.Struct("!Q8s")


class SecretError(FastrelayError):
    """A client secret that opens nothing. The sentence is for the client's developer."""


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """What is in a secret."""

    name: str
    """Tells one secret from another in lists and logs; it is no secret itself."""
    expires_at_s: int
    session: Mapping[str, Any]


class SecretKeeper:
    """Makes and opens client secrets. Times are Unix seconds."""

    def __init__(self, ring: KeyRing) -> None:
        self.set_ring(ring)

    def set_ring(self, ring: KeyRing) -> None:
        """Take a rotated ring. Secrets made with keys that still open stay good."""
        self._ring = ring
        self._ciphers = {key.id: AESSIV(_derive(key)) for key in ring.keys}

    def mint(self, session: Mapping[str, Any], *, lifetime_s: int, now_s: float) -> tuple[str, ClientSecret]:
        """Make a secret. ValueError when the session is too large or no JSON; ConfigError when no key mints."""
        text = json.dumps(session, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        if len(text) > SESSION_BYTES_MAX:
            raise ValueError(f"the session has more than {SESSION_BYTES_MAX} bytes")
        key = self._ring.minting_key(now_s)
        header = bytes([_VERSION << 4 | key.id])
        name, expires_at_s = secrets.token_bytes(8), int(now_s) + lifetime_s
        sealed = self._ciphers[key.id].encrypt(_FIELDS.pack(expires_at_s, name) + text, [header])
        value = base64.urlsafe_b64encode(header + sealed).decode().rstrip("=")
        return PREFIX + value, ClientSecret(name.hex(), expires_at_s, session)

    def open(self, value: str, now_s: float) -> ClientSecret:
        """Open a secret. SecretError for one that was never made here, or is over."""
        sealed = _decode(value)
        header = sealed[:1]
        key = self._ring.find(header[0] & 15)
        if header[0] >> 4 != _VERSION or key is None or not key.is_open(now_s):
            raise SecretError("the client secret was made with a key that is not in use here")
        try:
            content = self._ciphers[key.id].decrypt(sealed[1:], [header])
        except InvalidTag:
            raise SecretError("the client secret was not made here") from None
        expires_at_s, name = _FIELDS.unpack_from(content)
        if now_s >= expires_at_s:
            raise SecretError("the client secret has expired")
        return ClientSecret(name.hex(), expires_at_s, json.loads(content[_FIELDS.size :]))


def _decode(value: str) -> bytes:
    text = value.removeprefix(PREFIX)
    if len(value) > LENGTH_MAX or not text.isascii():
        raise SecretError("the client secret was not made here")
    try:
        sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise SecretError("the client secret was not made here") from None
    # The decoder ignores spare bits; and below this length there is nothing to decrypt.
    if len(sealed) <= 16 + _FIELDS.size or base64.urlsafe_b64encode(sealed).decode().rstrip("=") != text:
        raise SecretError("the client secret was not made here")
    return sealed


def _derive(key: Key) -> bytes:
    """HKDF-SHA256 (RFC 5869), apart from every other use of the ring's secrets."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"fastrelay client secret v1").derive(key.secret)
