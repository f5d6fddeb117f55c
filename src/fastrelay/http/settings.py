"""What an operator may say about signalling.

Lives here: the values, checked. Must not live here: where they come from (the transceiver's configuration).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from fastrelay.http.keys import ApiKeys

SECRET_LIFETIME_S: Final = 600
SECRET_LIFETIME_S_MIN: Final = 10
SECRET_LIFETIME_S_MAX: Final = 7200
BODY_BYTES_MAX: Final = 262_144
"""Of a request: an offer has at most 64 KiB, and its session may say as much again, twice written as JSON."""
REQUEST_S: Final = 10.0
"""For a request to arrive and to be answered."""
RETRY_AFTER_S: Final = 2
"""What a client that is turned away is told, where the reason says nothing better."""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Signalling, as configured. A reload replaces it whole."""

    api_keys: ApiKeys = field(default_factory=ApiKeys)
    is_open: bool = False
    """Whether calls are made without any key. Meant for one machine and for networks that are closed otherwise."""
    allowed_origins: tuple[str, ...] = ()
    """Pages of other hosts that may call from a browser, as `https://host`; `*` is any."""
    public_url: str = ""
    """What `Location` begins with, `https://host`, where this machine has a name of its own behind a balancer."""
    redirect_to: str = ""
    """Another cluster, as `https://host`: where new calls are sent while this one drains."""
    secret_lifetime_s: int = SECRET_LIFETIME_S
    """Of a client secret whose maker does not say."""
    request_s: float = REQUEST_S
    serves_demo: bool = False
    """Whether the demonstration page is at `/`."""

    def allows_origin(self, origin: str) -> bool:
        """Whether pages of this origin may read answers."""
        return "*" in self.allowed_origins or origin in self.allowed_origins
