"""Every error fastrelay raises on purpose, on one screen.

Lives here: the tree. Who is at fault picks the branch: the operator, the peer's bytes, the peer's behaviour, or the
holder of a route token. Catching the root catches nothing that is a bug.
Must not live here: formatting for terminals, exit codes, other libraries' exceptions.
"""

from __future__ import annotations

from enum import StrEnum


class FastrelayError(Exception):
    """The root: what can go wrong although the program is right."""


class ConfigError(FastrelayError):
    """The operator's: a setting, a file or an argument that cannot be used. `key` names it."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key
        self.problem = problem


class WireError(FastrelayError):
    """The peer's bytes: `field`, at byte `offset` of what was parsed, breaks the format."""

    def __init__(self, field: str, offset: int, problem: str) -> None:
        super().__init__(f"{field} at byte {offset}: {problem}")
        self.field = field
        self.offset = offset
        self.problem = problem


class PeerError(FastrelayError):
    """The peer's behaviour: well-formed bytes that must not come now, or not from there."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class WorkerError(FastrelayError):
    """A relay's own: a worker process that would not start, or died."""


class TokenRefusal(StrEnum):
    """Why a route token does not open. Each name, after `TOKEN_`, is the relay's verdict for the same token."""

    MALFORMED = "wrong length, alphabet or version, or an address in a form that is never minted"
    UNKNOWN_KEY = "sealed with a key id that is not in the key ring"
    RETIRED_KEY = "sealed with a key past its open_until"
    FORGED = "does not open with its key"
    FOREIGN_CLUSTER = "belongs to another cluster"
    EXPIRED = "older than the token lifetime"
    NOT_YET = "minted in the future, beyond the clock skew"


class TokenError(FastrelayError):
    """A route token that must not be used, for exactly one `reason`."""

    def __init__(self, reason: TokenRefusal) -> None:
        super().__init__(f"token {reason.value}")
        self.reason = reason
