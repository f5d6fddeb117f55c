"""The route token: the server ufrag in which a transceiver has sealed its own address.

Lives here: the readable side of ext/route/token.c (seal, open, ICE password) and the checks a relay makes before it
uses a token, in the relay's order. docs/route-token.md is the specification.
Must not live here: a clock (`now_s` is an argument), sockets, the allowed networks, budgets.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from fastrelay.errors import TokenError, TokenRefusal
from fastrelay.routing.keys import TOKEN_LIFETIME_S, Key, KeyRing

VERSION: Final = 1
SESSION_ID_LENGTH: Final = 8
TEXT_LENGTH_V4: Final = 50
TEXT_LENGTH_V6: Final = 66
ICE_PASSWORD_LENGTH: Final = 24
CLOCK_SKEW_S: Final = 60  # how far a minting clock may be ahead; the relay's default, ext/limits.h

# RFC 8839 §5.4 ice-char; the plain `$` would let a newline through
_TEXT = re.compile(rf"[A-Za-z0-9+/]{{{TEXT_LENGTH_V4}}}(?:[A-Za-z0-9+/]{{{TEXT_LENGTH_V6 - TEXT_LENGTH_V4}}})?")
_FIELDS = Struct("!H8sIH")  # the address follows: 4 or 16 bytes


@dataclass(frozen=True, slots=True)
class RouteToken:
    """What a token says. The transceiver's IP address is kept in canonical text, a v4-mapped one as IPv4."""

    transceiver: tuple[str, int]
    session_id: bytes
    minted_at_s: int
    cluster: int = 0

    def __post_init__(self) -> None:
        ip, port = self.transceiver
        address = ip_address(ip)
        if isinstance(address, IPv6Address):
            if address.scope_id is not None:
                raise ValueError("an address that needs a zone cannot be reached by its token")
            address = address.ipv4_mapped or address
        object.__setattr__(self, "transceiver", (str(address), port))
        if not 1 <= port <= 0xFFFF:
            raise ValueError(f"a transceiver's port is 1 to 65535, not {port}")
        if len(self.session_id) != SESSION_ID_LENGTH:
            raise ValueError(f"a session id has {SESSION_ID_LENGTH} bytes, not {len(self.session_id)}")
        if not 0 <= self.minted_at_s <= 0xFFFF_FFFF:
            raise ValueError(f"the mint time is 32 bits of Unix seconds, not {self.minted_at_s}")
        if not 0 <= self.cluster <= 0xFFFF:
            raise ValueError(f"a cluster is 0 to 65535, not {self.cluster}")

    def seal(self, key: Key) -> str:
        """Return the token's text, the server ufrag. The same token and key give the same text."""
        header = bytes([VERSION << 4 | key.id])
        return _build_text(header + AESSIV(key.siv_key).encrypt(self._build_fields(), [header]))

    def _build_fields(self) -> bytes:
        ip, port = self.transceiver
        return _FIELDS.pack(self.cluster, self.session_id, self.minted_at_s, port) + ip_address(ip).packed


@dataclass(frozen=True, slots=True)
class MintedToken:
    """What the answer to a client carries: `a=ice-ufrag` and `a=ice-pwd`. The password is a secret of the session."""

    ufrag: str
    password: str
    token: RouteToken

    def __repr__(self) -> str:
        return f"MintedToken(ufrag={self.ufrag!r}, token={self.token!r})"


def mint_token(
    ring: KeyRing, *, to: tuple[str, int], now_s: float, cluster: int = 0, session_id: bytes | None = None
) -> MintedToken:
    """Seal a token for the transceiver whose trunk is at `to`, with the key that mints now.

    Without a session id a random one is taken; it is in the result's token. ConfigError when no key mints.
    """
    key = ring.minting_key(now_s)
    if session_id is None:
        session_id = secrets.token_bytes(SESSION_ID_LENGTH)
    token = RouteToken(to, session_id, int(now_s), cluster)
    ufrag = token.seal(key)
    return MintedToken(ufrag, ice_password(ufrag, key), token)


def open_token(
    text: str,
    ring: KeyRing,
    *,
    now_s: float,
    cluster: int | None = None,
    lifetime_s: int = TOKEN_LIFETIME_S,
    clock_skew_s: int = CLOCK_SKEW_S,
) -> RouteToken:
    """Open a token as a relay does. TokenError with the first reason in the relay's order; None takes any cluster."""
    token = open_sealed(text, find_key(text, ring, now_s=now_s))
    check_claims(token, now_s=now_s, cluster=cluster, lifetime_s=lifetime_s, clock_skew_s=clock_skew_s)
    return token


def find_key(text: str, ring: KeyRing, *, now_s: float) -> Key:
    """Return the key a token names, after a look at its shape alone. MALFORMED, UNKNOWN_KEY or RETIRED_KEY."""
    key = ring.find(parse_text(text)[0] & 15)
    if key is None:
        raise TokenError(TokenRefusal.UNKNOWN_KEY)
    if not key.is_open(now_s):
        raise TokenError(TokenRefusal.RETIRED_KEY)
    return key


def open_sealed(text: str, key: Key) -> RouteToken:
    """Open a token with the key it names, whatever the time. MALFORMED or FORGED."""
    sealed = parse_text(text)
    header = sealed[:1]
    try:
        fields = AESSIV(key.siv_key).decrypt(sealed[1:], [header])
    except InvalidTag:
        raise TokenError(TokenRefusal.FORGED) from None
    return _parse_fields(fields)


def check_claims(token: RouteToken, *, now_s: float, cluster: int | None, lifetime_s: int, clock_skew_s: int) -> None:
    """Refuse an authentic token that is not for this place and time. FOREIGN_CLUSTER, EXPIRED or NOT_YET."""
    if cluster is not None and token.cluster != cluster:
        raise TokenError(TokenRefusal.FOREIGN_CLUSTER)
    if now_s > token.minted_at_s + lifetime_s:
        raise TokenError(TokenRefusal.EXPIRED)
    if token.minted_at_s > now_s + clock_skew_s:
        raise TokenError(TokenRefusal.NOT_YET)


def ice_password(text: str, key: Key) -> str:
    """Return the ICE password that goes with a token's text: the relay derives the same, and stores none."""
    return _build_text(hmac.digest(key.ice_key, text.encode(), "sha256"))[:ICE_PASSWORD_LENGTH]


def parse_text(text: str) -> bytes:
    """Return the token's bytes; the low four bits of the first are the key id. MALFORMED by shape."""
    if not _TEXT.fullmatch(text):
        raise TokenError(TokenRefusal.MALFORMED)
    sealed = base64.b64decode(text + "==")
    # The decoder ignores spare bits; built again, they must be the same: a token has one text.
    if _build_text(sealed) != text or sealed[0] >> 4 != VERSION:
        raise TokenError(TokenRefusal.MALFORMED)
    return sealed


def _build_text(content: bytes) -> str:
    """Base64 (RFC 4648 §4) without padding, which is the ICE alphabet."""
    return base64.b64encode(content).decode().rstrip("=")


def _parse_fields(fields: bytes) -> RouteToken:
    cluster, session_id, minted_at_s, port = _FIELDS.unpack_from(fields)
    packed = fields[_FIELDS.size :]
    address = IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)
    # No correct minter writes port 0 or the long form of an IPv4 address.
    if port == 0 or (isinstance(address, IPv6Address) and address.ipv4_mapped is not None):
        raise TokenError(TokenRefusal.MALFORMED)
    return RouteToken((str(address), port), session_id, minted_at_s, cluster)
