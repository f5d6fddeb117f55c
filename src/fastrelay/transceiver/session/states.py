"""The life of a session: its states, what may follow what, and why it may end.

Lives here: the table. Must not live here: what makes a session change its state (session).

    WAITING        the answer has gone out; no authenticated check has come yet
    HANDSHAKING    a check has come: the client's address is known, DTLS runs
    ESTABLISHED    both ends hold SRTP keys: media and events flow
    ENDED          for exactly one reason; nothing is sent or taken any more
"""

from __future__ import annotations

from enum import Enum, StrEnum, auto
from typing import Final


class State(Enum):
    """Where a session stands."""

    WAITING = auto()
    HANDSHAKING = auto()
    ESTABLISHED = auto()
    ENDED = auto()


TRANSITIONS: Final = {
    State.WAITING: frozenset({State.HANDSHAKING, State.ENDED}),
    State.HANDSHAKING: frozenset({State.ESTABLISHED, State.ENDED}),
    State.ESTABLISHED: frozenset({State.ENDED}),
    State.ENDED: frozenset[State](),
}


class EndReason(StrEnum):
    """Why a session ended. The values are stable: they are in logs, metrics and the API."""

    CLIENT_HUNG_UP = "client_hung_up"
    """The client deleted the call, or closed DTLS."""
    AGENT_HUNG_UP = "agent_hung_up"
    AGENT_RETURNED = "agent_returned"
    AGENT_FAILED = "agent_failed"
    """It raised; the log has the place."""
    NO_CHECK = "no_check"
    """No authenticated connectivity check came in time."""
    HANDSHAKE_TIMEOUT = "handshake_timeout"
    HANDSHAKE_FAILED = "handshake_failed"
    """DTLS could not agree, or broke."""
    WRONG_FINGERPRINT = "wrong_fingerprint"
    """The certificate is not the one that the offer named."""
    CONSENT_EXPIRED = "consent_expired"
    """No authenticated check came for the time that RFC 7675 allows."""
    TOO_LONG = "too_long"
    """The call reached the longest duration that is allowed."""
    DRAINED = "drained"
    """The transceiver was told to end, and its deadline came."""
    STOPPED = "stopped"
    """The transceiver was told to end at once."""
