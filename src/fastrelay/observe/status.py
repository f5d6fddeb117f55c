"""What a relay says of itself beside its counters: processes, keys, draining. The supervisor writes it, others read.

Lives here: the words and their JSON form, which outlives a release: unknown keys are ignored and missing ones have
defaults. Must not live here: numbers that the data plane counts (counters), how any of it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self


class ServiceState(StrEnum):
    """Only a serving relay is ready; a draining one keeps its calls and takes no new ones."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    STOPPING = "stopping"


class WorkerState(StrEnum):
    """Only a starting and a serving worker get new clients."""

    STARTING = "starting"
    SERVING = "serving"
    RETIRING = "retiring"
    """Gets no new clients; ends when the flows it has are gone."""
    WAITING = "waiting"
    """Dead; its successor is held back because it died too often."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker. `pid` is 0 while it waits to be started again."""

    index: int
    pid: int = 0
    cpu: int = 0
    state: WorkerState = WorkerState.STARTING
    started_at_s: float = 0.0
    restarts: int = 0
    hangs: int = 0
    last_end: str | None = None
    trunk: str = ""
    release: str = ""


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """A key of the ring, without its secret."""

    id: int
    mint_from_s: int
    open_until_s: int | None = None
    is_minting: bool = False


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """A relay at one moment. Times are Unix seconds."""

    release: str = ""
    pid: int = 0
    started_at_s: float = 0.0
    state: ServiceState = ServiceState.STARTING
    listen: tuple[str, ...] = ()
    workers: tuple[WorkerStatus, ...] = ()
    keys: tuple[KeyStatus, ...] = ()
    draining_since_s: float | None = None
    drain_deadline_s: float | None = None
    reloads: int = 0
    reloads_refused: int = 0
    upgrades: int = 0
    upgrades_refused: int = 0
    adoptions: int = 0
    last_problem: str | None = None
    steering: str = "kernel"
    config: Mapping[str, Any] = field(default_factory=dict)
    """The configuration in force, secrets left out: key -> {"value": ..., "from": where it was set}."""

    def build(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """From JSON values of this release or a neighbouring one."""
        known = {name: value for name, value in values.items() if name in cls.__dataclass_fields__}
        known["state"] = ServiceState(known.get("state", ServiceState.STARTING))
        known["listen"] = tuple(known.get("listen", ()))
        known["workers"] = tuple(_parse_worker(each) for each in known.get("workers", ()))
        known["keys"] = tuple(KeyStatus(**_known(KeyStatus, each)) for each in known.get("keys", ()))
        return cls(**known)


def _parse_worker(values: Mapping[str, Any]) -> WorkerStatus:
    known = _known(WorkerStatus, values)
    known["state"] = WorkerState(known.get("state", WorkerState.STARTING))
    return WorkerStatus(**known)


def _known(kind: type[WorkerStatus | KeyStatus], values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in kind.__dataclass_fields__}
