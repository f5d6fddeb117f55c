"""Watching a relay or a transceiver until something has become of it: an order carried out or refused, or its end.

Lives here: asking again and again although it may be changing its processes meanwhile, and what is left when it
has ended. Must not live here: which orders there are and what is printed (cli), how one question is asked (client).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fastrelay.errors import ConfigError, PeerError
from fastrelay.observe.answers import Snapshot
from fastrelay.observe.client import AdminClient
from fastrelay.observe.running import RunningSupervisor

LOOK_EVERY_S: Final = 0.05
PATIENCE_S: Final = 5.0
"""How long it may be without answers: a relay's admin process is started again after a crash and at an upgrade."""


def look(client: AdminClient) -> Snapshot:
    """Its state, as soon as it answers. PeerError when it does not for too long."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return Snapshot.parse(client.status())
        except PeerError:
            if time.monotonic() >= deadline_s:
                raise
        time.sleep(LOOK_EVERY_S)


class Following:
    """One of them, watched through its end."""

    def __init__(self, client: AdminClient, supervisor: RunningSupervisor, *, timeout_s: float | None = None) -> None:
        self._client = client
        self._supervisor = supervisor
        self._deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        self._started_s = time.monotonic()
        self.last: Snapshot | None = None
        """What it said last."""
        self.silence: str | None = None
        """Why it has not answered the last time, if it has not."""
        self.has_ended = False

    @property
    def tier(self) -> str:
        """What it is, as far as it has said."""
        return "supervisor" if self.last is None else self.last.tier

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._started_s

    def looks(self, every_s: float = LOOK_EVERY_S) -> Iterator[Snapshot]:
        """What it says, again and again, until it has ended or time is up; `has_ended` tells which.

        Times at which it gives no answer are passed over: its end is seen by its process alone.
        """
        while True:
            try:
                self.last = Snapshot.parse(self._client.status())
            except (PeerError, ConfigError) as error:  # the run directory may be gone before the process
                self.silence = str(error)
            else:
                self.silence = None
                yield self.last
            left_s = every_s if self._deadline_s is None else min(every_s, self._deadline_s - time.monotonic())
            self.has_ended = self._supervisor.has_ended(within_s=max(left_s, 0.0))
            if self.has_ended or left_s < every_s:
                return

    def orphans(self) -> list[int]:
        """Workers that still run although their supervisor has ended: it died instead of stopping."""
        if self.last is None:
            return []
        return [each.pid for each in self.last.service.workers if each.pid and _is_running(each.pid)]


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
