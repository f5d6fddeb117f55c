"""The C parts as Python sees them: the door for tests and vectors."""

from collections.abc import Iterable
from typing import Self, final

def classify(packet: bytes) -> int:
    """Return the packet class, numbered as in ext/wire/demux.h. ValueError for an empty packet."""

def parse_check(packet: bytes) -> tuple[int, bytes, int]:
    """Return 0, the token and MESSAGE-INTEGRITY's offset; or the refusing verdict, an empty token and 0."""

def integrity_matches(packet: bytes, password: bytes) -> bool:
    """Tell whether a check was signed with this password. ValueError for what is not a check."""

def hmac_digest(digest: str, key: bytes, message: bytes, out_length: int) -> bytes:
    """Return the first bytes of an HMAC: `digest` is SHA1 or SHA256. ValueError for more bytes than it has."""

def token_key_id(text: bytes) -> int:
    """Return the key id that a token names, after a look at its shape. TokenError MALFORMED."""

@final
class TokenCodec:
    """A key ring in C, and what seals and opens with it."""

    def __new__(cls, entries: Iterable[tuple[int, bytes, int, int | None]]) -> Self: ...
    def minting_id(self, now_s: int) -> int | None:
        """Return the id of the key that seals now, or None."""

    def derived_keys(self, key_id: int) -> tuple[bytes, bytes, bytes]:
        """Return the token, ICE and trunk keys. KeyError for an id that is not in the ring."""

    def seal(self, key_id: int, cluster: int, session_id: bytes, minted_at_s: int, address: bytes, port: int) -> str:
        """Return the text for a packed address of 4 or 16 bytes. KeyError for an id not in the ring, or ValueError."""

    def open(self, text: bytes) -> tuple[int, bytes, int, bytes, int]:
        """Return cluster, session id, mint time, packed address and port. TokenError MALFORMED, UNKNOWN_KEY, FORGED."""

    def ice_password(self, text: bytes) -> str:
        """Return the password that goes with a token. TokenError MALFORMED or UNKNOWN_KEY."""
