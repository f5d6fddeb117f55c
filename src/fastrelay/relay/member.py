"""One worker's place in the crew: what it keeps over the lives of its processes.

Lives here: its state and what is counted of it. Must not live here: decisions (crew).
"""

from __future__ import annotations

from dataclasses import dataclass

from fastrelay.observe.status import WorkerState, WorkerStatus
from fastrelay.relay.handover import Heir
from fastrelay.relay.process import WorkerProcess
from fastrelay.relay.resources import WorkerResources
from fastrelay.wire.address import format_endpoint


@dataclass(slots=True)
class Member:
    """One worker's place in the crew: what it keeps over the lives of its processes."""

    heir: Heir
    cpu: int
    state: WorkerState = WorkerState.STARTING
    release: str = ""
    started_at_s: float = 0.0
    started_s: float = 0.0
    restarts: int = 0
    hangs: int = 0
    quick_deaths: int = 0
    crashes: int = 0
    """Of those, the ones that nobody brought about by a SIGKILL."""
    retry_s: float = 0.0
    last_end: str | None = None
    is_due: bool = False
    """Its process is to be replaced when its turn comes."""
    is_retiring: bool = False
    """It gets no new clients, and goes when its flows have gone."""

    @property
    def index(self) -> int:
        return self.heir.index

    @property
    def resources(self) -> WorkerResources:
        return self.heir.resources

    @property
    def process(self) -> WorkerProcess | None:
        return self.heir.process

    @property
    def takes_clients(self) -> bool:
        return self.state is not WorkerState.WAITING and not self.is_retiring

    @property
    def shown_state(self) -> WorkerState:
        """As an operator sees it."""
        return WorkerState.RETIRING if self.is_retiring and self.state is WorkerState.SERVING else self.state

    @property
    def trunk(self) -> str:
        """Its address towards transceivers."""
        return format_endpoint(self.resources.trunk.ip, self.resources.trunk.port)

    @property
    def status(self) -> WorkerStatus:
        return WorkerStatus(
            index=self.index,
            pid=0 if self.process is None else self.process.pid,
            cpu=self.cpu,
            state=self.shown_state,
            started_at_s=self.started_at_s,
            restarts=self.restarts,
            hangs=self.hangs,
            last_end=self.last_end,
            trunk=self.trunk,
            release=self.release,
        )

    def close(self) -> None:
        """What it has open; its process must have been ended, or let go."""
        self.resources.close()
        if self.heir.orphanage is not None:
            self.heir.orphanage.close()
