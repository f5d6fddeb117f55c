"""The key ring: the secrets that seal route tokens, and when each of them counts.

Lives here: keys and what is derived from them, the ring's file and environment form, rotation and retirement
(docs/route-token.md specifies all of it).
Must not live here: tokens, the trunk, a clock. Times are Unix seconds, and the present is an argument.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, cast

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fastrelay.errors import ConfigError
from fastrelay.io.private_file import read_private_file

VERSION: Final = 1
KEYS_MAX: Final = 16  # a key id is four bits of the token
SECRET_LENGTH: Final = 32
TIME_MAX: Final = 2**53 - 1  # the largest integer that every JSON reader keeps exact
TOKEN_LIFETIME_S: Final = 86400  # the relay's default, ext/limits.h
ROTATION_DELAY_S: Final = 3600  # time to bring the new ring to every relay
ENVIRONMENT: Final = "FASTRELAY_KEYS"
ENVIRONMENT_FILE: Final = "FASTRELAY_KEYS_FILE"


@dataclass(frozen=True, slots=True)
class Key:
    """One secret of the ring. It opens tokens while now < open_until_s, and may seal while also now >= mint_from_s."""

    id: int
    secret: bytes = field(repr=False)
    mint_from_s: int
    open_until_s: int | None = None
    siv_key: bytes = field(init=False, repr=False, compare=False)
    ice_key: bytes = field(init=False, repr=False, compare=False)
    trunk_key: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.id < KEYS_MAX:
            raise ValueError(f"a key id is 0 to {KEYS_MAX - 1}, not {self.id}")
        if len(self.secret) != SECRET_LENGTH:
            raise ValueError(f"a secret has {SECRET_LENGTH} bytes, not {len(self.secret)}")
        for moment in (self.mint_from_s, self.open_until_s or 0):
            if not 0 <= moment <= TIME_MAX:
                raise ValueError(f"a time is 0 to {TIME_MAX} seconds, not {moment}")
        object.__setattr__(self, "siv_key", _derive(self.secret, b"fastrelay route token v1", 32))
        object.__setattr__(self, "ice_key", _derive(self.secret, b"fastrelay ice password v1", 32))
        object.__setattr__(self, "trunk_key", _derive(self.secret, b"fastrelay trunk mac v1", 16))

    def is_open(self, now_s: float) -> bool:
        """Tell whether tokens of this key still open. A key that is not open is retired."""
        return self.open_until_s is None or now_s < self.open_until_s

    def is_minting(self, now_s: float) -> bool:
        """Tell whether this key may seal. Which of several does is the ring's question."""
        return self.mint_from_s <= now_s and self.is_open(now_s)

    @property
    def fingerprint(self) -> str:
        """What may be shown and compared in place of the secret."""
        return hashlib.sha256(b"fastrelay key fingerprint v1" + self.secret).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Up to sixteen keys, by id. A ring never changes: rotate and retire return the next one."""

    keys: tuple[Key, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", tuple(sorted(self.keys, key=lambda key: key.id)))
        if len({key.id for key in self.keys}) != len(self.keys):
            raise ValueError("two keys share an id")

    @classmethod
    def new(cls, *, now_s: int) -> KeyRing:
        """Make a ring of one random key that mints at once."""
        return cls((Key(0, secrets.token_bytes(SECRET_LENGTH), now_s),))

    @classmethod
    def load(cls, path: str | Path) -> KeyRing:
        """Read a ring file. ConfigError when it is missing, open to others than its owner, or not a ring."""
        return cls.parse(read_private_file(Path(path)), source=str(path))

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> KeyRing | None:
        """Read the ring that FASTRELAY_KEYS holds or FASTRELAY_KEYS_FILE names; None when neither is set."""
        text, path = environ.get(ENVIRONMENT), environ.get(ENVIRONMENT_FILE)
        if text and path:
            raise ConfigError(ENVIRONMENT, f"set together with {ENVIRONMENT_FILE}; leave one out")
        if text:
            return cls.parse(text, source=ENVIRONMENT)
        return cls.load(path) if path else None

    @classmethod
    def parse(cls, text: str | bytes, *, source: str = "key ring") -> KeyRing:
        """Read the JSON form. `source` begins the key that a ConfigError names; no error repeats a secret."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            # The decoder's own message could show a piece of the file.
            raise ConfigError(source, "not JSON") from None
        members = _members(document, source, {"version", "keys"})
        if members["version"] != VERSION or isinstance(members["version"], bool):
            raise ConfigError(f"{source}: version", f"must be {VERSION}")
        entries = members["keys"]
        if not isinstance(entries, list) or not entries:
            raise ConfigError(f"{source}: keys", "must be a list of at least one key")
        keys = [_parse_key(entry, f"{source}: keys[{index}]") for index, entry in enumerate(entries)]
        for index, key in enumerate(keys):
            if any(key.id == earlier.id for earlier in keys[:index]):
                raise ConfigError(f"{source}: keys[{index}].id", f"{key.id} is there twice")
        return cls(tuple(keys))

    def build(self) -> str:
        """Write the JSON form, secrets included."""
        keys = [
            {
                "id": key.id,
                "secret": base64.urlsafe_b64encode(key.secret).decode().rstrip("="),
                "mint_from": key.mint_from_s,
                "open_until": key.open_until_s,
            }
            for key in self.keys
        ]
        return json.dumps({"version": VERSION, "keys": keys}, indent=1) + "\n"

    def save(self, path: str | Path, *, is_new: bool = False) -> None:
        """Write the file with mode 0600, whole or not at all. With `is_new`, an existing file is an error."""
        _write_private_file(Path(path), self.build().encode(), is_new=is_new)

    def find(self, key_id: int) -> Key | None:
        """Return the key with this id, retired or not."""
        return next((key for key in self.keys if key.id == key_id), None)

    def minting_key(self, now_s: float) -> Key:
        """Return the key that seals now: of those that may, the last to begin; of equals, the highest id."""
        candidates = [key for key in self.keys if key.is_minting(now_s)]
        if not candidates:
            raise ConfigError("key ring", "holds no key that mints now; rotate it")
        return max(candidates, key=_precedence)

    def trunk_key(self, now_s: float) -> Key | None:
        """Return the key for what is sent on the trunk: the one that mints, else the next that will. None: none opens.

        A peer accepts every key that opens, and a clock a little behind the one that made the ring must not silence
        this end.
        """
        opening = [key for key in self.keys if key.is_open(now_s)]
        minting = [key for key in opening if key.is_minting(now_s)]
        if minting:
            return max(minting, key=_precedence)
        return min(opening, key=lambda key: (key.mint_from_s, -key.id), default=None)

    def rotate(
        self, *, now_s: int, delay_s: int = ROTATION_DELAY_S, token_lifetime_s: int = TOKEN_LIFETIME_S
    ) -> KeyRing:
        """Add a random key that mints after the delay, end the others a token's lifetime later, drop ended keys.

        A key that was to begin no sooner than the new one never mints.
        """
        if delay_s < 0 or token_lifetime_s <= 0:
            raise ValueError("the delay cannot be negative, and a token lives at least a second")
        kept = [key for key in self.keys if key.is_open(now_s)]
        # A second later than a key that began in this very second: of equals the higher id would mint.
        mint_from_s = max(now_s + delay_s, *(key.mint_from_s + 1 for key in kept if key.mint_from_s <= now_s), 0)
        ending = [
            _ended(key, key.mint_from_s if key.mint_from_s >= mint_from_s else mint_from_s + token_lifetime_s)
            for key in kept
        ]
        return KeyRing((*ending, Key(self._next_id(kept), secrets.token_bytes(SECRET_LENGTH), mint_from_s)))

    def retire(self, key_id: int, *, now_s: int) -> KeyRing:
        """End one key now, because its secret is out: its tokens stop opening, and so do its sessions' new addresses.

        ConfigError when there is no such key, or when none would be left to mint.
        """
        if self.find(key_id) is None:
            raise ConfigError("key id", f"{key_id} is not in the ring")
        ring = KeyRing(tuple(_ended(key, now_s) if key.id == key_id else key for key in self.keys))
        if not any(key.is_minting(now_s) for key in ring.keys):
            raise ConfigError("key id", f"{key_id} is the only key that mints now; rotate without delay first")
        return ring

    def entries(self) -> list[tuple[int, bytes, int, int | None]]:
        """List id, secret, mint_from_s and open_until_s of every key: what the compiled modules take."""
        return [(key.id, key.secret, key.mint_from_s, key.open_until_s) for key in self.keys]

    def _next_id(self, kept: Iterable[Key]) -> int:
        # Round robin from the newest key, so that an id returns as late as it can.
        taken = {key.id for key in kept}
        newest_id = max(self.keys, key=_precedence).id if self.keys else -1
        for step in range(1, KEYS_MAX + 1):
            key_id = (newest_id + step) % KEYS_MAX
            if key_id not in taken:
                return key_id
        raise ConfigError("key ring", f"holds {KEYS_MAX} keys that still open; wait until one has ended, or retire one")


def _precedence(key: Key) -> tuple[int, int]:
    return key.mint_from_s, key.id


def _ended(key: Key, open_until_s: int) -> Key:
    """Never lengthens a key's time."""
    if key.open_until_s is not None and key.open_until_s <= open_until_s:
        return key
    return replace(key, open_until_s=open_until_s)


def _derive(secret: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256 (RFC 5869) with an empty salt; `info` keeps the uses apart."""
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(secret)


def _members(value: object, where: str, names: set[str]) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ConfigError(where, "must be an object")
    members = cast("dict[str, object]", value)
    for name in sorted(names - members.keys()):
        raise ConfigError(f"{where}: {name}", "missing")
    for name in sorted(members.keys() - names):
        raise ConfigError(f"{where}: {name}", "unknown; is this ring from a later version?")
    return members


def _parse_key(entry: object, where: str) -> Key:
    members = _members(entry, where, {"id", "secret", "mint_from", "open_until"})
    ends = members["open_until"] is not None
    return Key(
        id=_parse_integer(members["id"], f"{where}.id", KEYS_MAX - 1),
        secret=_parse_secret(members["secret"], f"{where}.secret"),
        mint_from_s=_parse_integer(members["mint_from"], f"{where}.mint_from", TIME_MAX),
        open_until_s=_parse_integer(members["open_until"], f"{where}.open_until", TIME_MAX) if ends else None,
    )


def _parse_integer(value: object, where: str, maximum: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
        raise ConfigError(where, f"must be a whole number from 0 to {maximum}")
    return value


def _parse_secret(value: object, where: str) -> bytes:
    if isinstance(value, str) and value.isascii():
        try:
            secret = base64.b64decode(value + "=", altchars=b"-_", validate=True)
        except binascii.Error:
            secret = b""
        # Compared again because the decoder ignores spare bits: one secret has one form.
        if len(secret) == SECRET_LENGTH and base64.urlsafe_b64encode(secret).decode() == value + "=":
            return secret
    raise ConfigError(where, f"must be {SECRET_LENGTH} bytes in base64url without padding (43 characters)")


def _write_private_file(path: Path, content: bytes, *, is_new: bool) -> None:
    # A symbolic link stays one: what it names is replaced.
    path = path if is_new else path.resolve()
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            try:
                _keep_owner(file.fileno(), path)
                os.fchmod(file.fileno(), 0o600)
                file.write(content)
                file.flush()
                # Order matters: content on disk before the name, and the name before we say it is done.
                os.fsync(file.fileno())
                if is_new:
                    os.link(temporary, path)
                else:
                    temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise ConfigError(str(path), error.strerror or str(error)) from error


def _keep_owner(descriptor: int, path: Path) -> None:
    """Root may rotate a ring that the relay's user owns; the relay must still be able to read it."""
    if path.exists():
        old, new = path.stat(), os.fstat(descriptor)
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            os.fchown(descriptor, old.st_uid, old.st_gid)
