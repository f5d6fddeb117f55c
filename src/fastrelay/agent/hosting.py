"""Where agents run: on a thread of their own, or beside the packets.

Lives here: the host of a process, what it makes for a call, and the count of agents that would not end.
Must not live here: what one agent's run is made of (performance), the queues (border).
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastrelay.agent.border import Border
from fastrelay.agent.call import Call
from fastrelay.agent.loading import LoadedAgent
from fastrelay.agent.performance import InlinePerformance, Performance, ThreadPerformance
from fastrelay.agent.seat import Outlet, Seat
from fastrelay.observe.logs import facts

LOG = logging.getLogger(__name__)

SWITCH_INTERVAL_S: Final = 0.0002
"""How long a thread that computes keeps the GIL from others that want it. Set once, where agents are on threads: the
media loop wants the GIL back after each system call. Beside one agent that burns a core, frames of 100 calls were late
by (median, 99 %) 5.6 and 11.5 ms at Python's 5 ms, 1.8 and 3.4 ms at 1 ms, 1.0 and 2.5 ms at 0.2 ms; not less below."""
ABANDONED_MAX: Final = 100
"""Threads that would not end, each with its stack and what it refers to. With so many the process starts no more:
new calls end at once, and the status says why."""


@dataclass(slots=True)
class HostCounts:
    """What became of the agents of one process."""

    started: int = 0
    ended: int = 0
    failed: int = 0
    """Of those ended: raised."""
    cancelled: int = 0
    """Did not return by themselves when their call was over."""
    abandoned: int = 0
    """Threads that did not end even when cancelled, and run on."""
    refused: int = 0
    """Not started, because ABANDONED_MAX threads run on."""


class AgentHost:
    """Seats one agent on any number of calls. Made, used and closed on the media loop."""

    def __init__(self, agent: LoadedAgent, loop: asyncio.AbstractEventLoop) -> None:
        self.agent = agent
        self.counts = HostCounts()
        self._loop = loop
        self._performing: set[Performance] = set()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        if not agent.is_inline:
            sys.setswitchinterval(SWITCH_INTERVAL_S)

    @property
    def running(self) -> int:
        """Agents that have begun and not ended, those abandoned included."""
        return len(self._performing)

    def seat(
        self,
        call_id: str,
        metadata: Mapping[str, Any],
        outlet: Outlet,
        statistics: Callable[[], Mapping[str, Any]],
    ) -> Seat:
        """Make a seat for a call. Its agent begins with `start`."""
        kind = InlinePerformance if self.agent.is_inline else ThreadPerformance
        performance = kind(self.agent, call_id, self._loop, self)
        border = Border(self._loop, performance.to_media, performance.to_agent, outlet, statistics)
        performance.prepare(Call(call_id, metadata, border), border)
        return Seat(border, performance)

    async def close(self) -> None:
        """Wait for the agents of calls that are over; those that do not end in their time are left behind."""
        await self._is_empty.wait()

    # What a performance tells

    def may_start(self, performance: Performance) -> bool:
        """Take one in, unless too many threads have been left behind."""
        if self.counts.abandoned >= ABANDONED_MAX and not self.agent.is_inline:
            self.counts.refused += 1
            return False
        self.counts.started += 1
        self._performing.add(performance)
        self._is_empty.clear()
        return True

    def has_ended(self, performance: Performance, problem: str | None, places: list[str]) -> None:
        """The agent's function is through."""
        self.counts.ended += 1
        if problem is not None:
            self.counts.failed += 1
            LOG.error(
                "agent failed",
                extra=facts(call=performance.call_id, agent=self.agent.name, problem=problem, places=places),
            )

    def was_cancelled(self, performance: Performance) -> None:
        """It had to be made to end."""
        self.counts.cancelled += 1

    def is_gone(self, performance: Performance) -> None:
        """Nothing of it runs any more."""
        if performance.is_abandoned:
            self.counts.abandoned -= 1
        self._performing.discard(performance)
        self._note_emptiness()

    def was_abandoned(self, performance: Performance) -> None:
        """It did not end in its time, and nobody waits for it any longer."""
        self.counts.abandoned += 1
        LOG.warning(
            "agent does not end, it is left behind",
            extra=facts(call=performance.call_id, agent=self.agent.name, abandoned=self.counts.abandoned),
        )
        self._note_emptiness()

    def _note_emptiness(self) -> None:
        if all(performance.is_abandoned for performance in self._performing):
            self._is_empty.set()
