"""What a supervisor and a worker say to each other.

Lives here: the kinds of messages, and the two that carry settings. Must not live here: the socket (io.channel), what is
done with them (process; supervisor.crew).

    supervisor → worker                                     worker → supervisor
    plan      settings, and two sockets: HTTP, neighbours   ready     its trunk address
    prepare   other settings, to be tried                   prepared, refused
    commit    take what was prepared                        status    twice a second: its heartbeat
    drain     no more calls; the end after a deadline       drained   no call is left
    calls     tell of your calls                            calls
    stop      end now                                       failed    it cannot start, and why
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from fastrelay.errors import ConfigError, FastrelayError, PeerError
from fastrelay.http.keys import ApiKeys
from fastrelay.routing.keys import KeyRing
from fastrelay.transceiver.worker.plan import WorkerPlan


class Order(StrEnum):
    """Kinds of messages to a worker."""

    PLAN = "plan"
    PREPARE = "prepare"
    COMMIT = "commit"
    DRAIN = "drain"
    CALLS = "calls"
    STOP = "stop"


class Word(StrEnum):
    """Kinds of messages from a worker."""

    READY = "ready"
    PREPARED = "prepared"
    REFUSED = "refused"
    STATUS = "status"
    CALLS = "calls"
    DRAINED = "drained"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Charge:
    """All that a worker works with: its plan, and the secrets beside it."""

    plan: WorkerPlan
    ring: KeyRing = field(repr=False)
    api_keys: str | None = field(repr=False)
    """The content of the file; None where calls are open to anyone."""

    def build(self) -> dict[str, Any]:
        """As members of a message."""
        return {"plan": self.plan.build(), "ring": self.ring.build(), "api_keys": self.api_keys}

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """PeerError for what is no charge; ConfigError for keys that this release does not read."""
        plan, ring, api_keys = body.get("plan"), body.get("ring"), body.get("api_keys")
        if not isinstance(plan, dict) or not isinstance(ring, str) or not isinstance(api_keys, (str, type(None))):
            raise PeerError("a worker's settings are not as they should be")
        return cls(WorkerPlan.parse(plan), KeyRing.parse(ring), api_keys)

    @property
    def accepted_keys(self) -> ApiKeys:
        return ApiKeys() if self.api_keys is None else ApiKeys.parse(self.api_keys)


def in_words(error: FastrelayError) -> dict[str, str | None]:
    """A refusal as members of a message: the option that it is about, where it is the operator's, and the problem."""
    if not isinstance(error, ConfigError):
        return {"key": None, "problem": str(error)}
    return {"key": "--agent" if error.key == "agent" else error.key, "problem": error.problem}
