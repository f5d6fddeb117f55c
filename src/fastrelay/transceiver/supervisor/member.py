"""One worker's place in the crew: what it keeps over the lives of its processes.

Lives here: its state and what is counted of it. Must not live here: decisions (crew).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastrelay.observe.status import WorkerState, WorkerStatus
from fastrelay.transceiver.supervisor.process import Stage, WorkerProcess
from fastrelay.transceiver.supervisor.sums import Sums


@dataclass(slots=True)
class Member:
    """One worker's place in the crew."""

    index: int
    cpu: int
    process: WorkerProcess | None = None
    """Who has the place; None while a death is waited out."""
    successor: WorkerProcess | None = None
    """Who is about to take it."""
    leaving: list[WorkerProcess] = field(default_factory=list)
    """Who has had it, and lets its calls end."""
    past: Sums = field(default_factory=Sums)
    """What processes that have ended have counted."""
    restarts: int = 0
    hangs: int = 0
    quick_deaths: int = 0
    retry_s: float = 0.0
    started_at_s: float = 0.0
    last_end: str | None = None
    is_due: bool = False
    """Its process is to be replaced when its turn comes."""
    is_retiring: bool = False
    """It goes when its calls have gone."""

    @property
    def processes(self) -> list[WorkerProcess]:
        """All that run."""
        found = [self.process, self.successor, *self.leaving]
        return [process for process in found if process is not None and process.stage is not Stage.ENDED]

    @property
    def calls(self) -> int:
        return sum(process.calls for process in self.processes)

    @property
    def state(self) -> WorkerState:
        if self.is_retiring:
            return WorkerState.RETIRING
        if self.process is None:
            return WorkerState.WAITING if self.successor is None else WorkerState.STARTING
        return WorkerState.STARTING if self.process.stage is Stage.STARTING else WorkerState.SERVING

    @property
    def status(self) -> WorkerStatus:
        process = self.process or self.successor
        return WorkerStatus(
            index=self.index,
            pid=0 if process is None else process.pid,
            cpu=self.cpu,
            state=self.state,
            started_at_s=self.started_at_s,
            restarts=self.restarts,
            hangs=self.hangs,
            last_end=self.last_end,
            trunk="" if process is None else process.trunk,
            release="" if process is None else process.release,
        )

    @property
    def sums(self) -> Sums:
        """All that was ever counted in this place."""
        return self.past.plus([process.status for process in self.processes])

    def report(self) -> dict[str, Any]:
        """Numbers of now, for /status."""
        process = self.process
        status = {} if process is None else process.status
        return {
            "index": self.index,
            "pid": 0 if process is None else process.pid,
            "state": self.state.value,
            "cpu": self.cpu,
            "flows": self.calls,
            "states": status.get("states", {}),
            "leaving": [{"pid": each.pid, "slot": each.slot, "calls": each.calls} for each in self.leaving],
            "rss_bytes": 0 if process is None else process.rss_bytes,
            "lag_s": status.get("lag_s"),
            "agent": status.get("agent"),
            "relays": status.get("relays", []),
        }
