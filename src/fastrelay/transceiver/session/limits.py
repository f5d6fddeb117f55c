"""How long a session waits for what, with the reason of each bound.

Lives here: the numbers. Must not live here: bounds of a whole transceiver (transceiver.worker).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """All in seconds."""

    first_check_s: float = 30.0
    """From the answer to the first check: a browser starts at once, unless its user must still allow something."""
    handshake_s: float = 10.0
    """From the first check to keys on both ends: four round trips, with losses."""
    consent_s: float = 30.0
    """Silence of the client's checks after which it may no longer be sent to (RFC 7675 §5.1)."""
    longest_s: float = 7200.0
    """A call that never ends is a leak somewhere."""
