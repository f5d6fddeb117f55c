"""API keys: who may make calls and client secrets.

Lives here: the file, its form, and comparing in constant time. Must not live here: where a request carries a key
(authentication), secrets for browsers (client_secrets).

The file has mode 0600 and a line for each key, a name and the key:   billing-team  sk_3f0c…
What begins with # is a comment. Logs and call lists show names, never keys.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from fastrelay.errors import ConfigError
from fastrelay.io.private_file import read_private_file

KEYS_MAX: Final = 256
KEY_LENGTH_MIN: Final = 16
KEY_LENGTH_MAX: Final = 256
_NAME = re.compile(r"[A-Za-z0-9._\-]{1,64}")
_KEY = re.compile(r"[A-Za-z0-9._~+/=\-]+")  # what may follow `Bearer` (RFC 6750 §2.1)


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """The keys by name, as digests. Immutable: a reload reads another."""

    digests: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, text: str, *, source: str = "API keys") -> Self:
        """Read the file's content. No error repeats a key."""
        digests: dict[str, bytes] = {}
        for number, words in _entries(text):
            where = f"{source}: line {number}"
            if len(words) != 2:
                raise ConfigError(where, "must be a name and a key")
            name, key = words
            if not _NAME.fullmatch(name):
                raise ConfigError(where, "a name has 1 to 64 letters, digits, '.', '_' and '-'")
            if name in digests:
                raise ConfigError(where, f"{name} is there twice")
            if not KEY_LENGTH_MIN <= len(key) <= KEY_LENGTH_MAX or not _KEY.fullmatch(key):
                raise ConfigError(where, f"a key has {KEY_LENGTH_MIN} to {KEY_LENGTH_MAX} letters, digits and ._~+/=-")
            digests[name] = _digest(key)
        if len(digests) > KEYS_MAX:
            raise ConfigError(source, f"more than {KEYS_MAX} keys")
        if not digests:
            raise ConfigError(source, "holds no key")
        return cls(tuple(digests.items()))

    def find(self, key: str) -> str | None:
        """The name that a key goes by, None for a stranger's. Takes as long for every key."""
        digest = _digest(key)
        found = None
        for name, known in self.digests:
            if hmac.compare_digest(known, digest):
                found = name
        return found


def read_keys(path: Path) -> str:
    """The file's content without comments, seen to be usable.

    ConfigError when it is missing, open to others than its owner, or has a bad line.
    """
    try:
        text = read_private_file(path).decode()
    except UnicodeDecodeError:
        raise ConfigError(str(path), "not UTF-8") from None
    ApiKeys.parse(text, source=str(path))
    return "".join(f"{' '.join(words)}\n" for _, words in _entries(text))


def _entries(text: str) -> Iterator[tuple[int, list[str]]]:
    """Lines that say something, by number, as words."""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            yield number, words


def _digest(key: str) -> bytes:
    return hashlib.sha256(b"fastrelay api key v1" + key.encode("utf-8", "surrogateescape")).digest()
