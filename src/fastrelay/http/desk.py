"""Where signalling meets calls: what the HTTP side asks for, and the refusals it turns into statuses.

Lives here: the border. Must not live here: HTTP (the other modules of this package), sessions (transceiver.worker,
which implements it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from fastrelay.errors import FastrelayError


class Refusal(StrEnum):
    """Why a call is not made or not changed. The values are the `code` of the API's errors."""

    INVALID_OFFER = "invalid_offer"
    """The SDP cannot be used; the problem names the line."""
    TOO_MANY_CALLS = "too_many_calls"
    TOO_MANY_OFFERS = "too_many_offers"
    """Offers come faster than allowed."""
    DRAINING = "draining"
    NO_SUCH_CALL = "no_such_call"


class CallRefused(FastrelayError):
    """What was asked for cannot be done. `problem` is a sentence for the client's developer."""

    def __init__(self, refusal: Refusal, problem: str, *, param: str | None = None, retry_after_s: int | None = None):
        super().__init__(problem)
        self.refusal = refusal
        self.problem = problem
        self.param = param
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A client's wish to talk."""

    offer: str
    """SDP, as it came."""
    way: str
    """`realtime`, `whip` or `websocket`: how it was asked."""
    session: Mapping[str, Any] = field(default_factory=dict)
    """The caller's own words for the agent: becomes the call's metadata."""
    subject: str = ""
    """Which key or secret allowed it; never the secret itself."""


@dataclass(frozen=True, slots=True)
class OpenedCall:
    """What goes back to the client."""

    call_id: str
    answer: str
    etag: str
    """Names the ICE session: a restart makes another one. Without quotation marks."""


@dataclass(frozen=True, slots=True)
class RestartedIce:
    """What a client needs to go on with other ICE credentials."""

    fragment: str
    """The server's part as an SDP fragment (RFC 8840)."""
    etag: str


class CallDesk(Protocol):
    """What makes, finds and ends calls. All of it runs on the worker's loop. CallRefused for what cannot be done."""

    async def open_call(self, request: CallRequest) -> OpenedCall: ...

    def home_of(self, call_id: str) -> Path | None:
        """The unix socket of the worker of this machine that has the call; None when it is ours, or nobody's."""

    def neighbours(self) -> Sequence[Path]:
        """The unix sockets of this machine's other workers."""

    def etag_of(self, call_id: str) -> str:
        """The call's present ICE session. NO_SUCH_CALL."""

    async def restart_ice(self, call_id: str, fragment: str) -> RestartedIce:
        """Take the client's new ufrag and password, and mint new ones of ours."""

    async def end_call(self, call_id: str) -> None:
        """The client hangs up. NO_SUCH_CALL when there is no such call, or no longer."""

    def statistics(self, call_id: str) -> Mapping[str, Any]:
        """The call's telemetry, at most a second old. NO_SUCH_CALL."""

    def calls(self) -> list[Mapping[str, Any]]:
        """This worker's calls, a short line of facts each."""

    @property
    def is_draining(self) -> bool: ...
