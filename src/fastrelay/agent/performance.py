"""One agent's run on one call, from its first line to the last of it that is left.

Lives here: starting, and ending in three steps; a task on the media loop, or a thread with a loop of its own.
Must not live here: what is counted and logged of it (hosting), the queues (border).

When a call ends, its iterators end, so an agent returns by itself, with time to save what it has. What it awaits
otherwise is cancelled after LEAVE_S. What still runs GRACE_S later is left behind: a thread cannot be killed, only be
made to raise SystemExit once it runs Python again.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Protocol

from fastrelay.agent.border import Border
from fastrelay.agent.call import Call, CallEnded
from fastrelay.agent.loading import LoadedAgent
from fastrelay.observe.logs import facts

LOG = logging.getLogger(__name__)

LEAVE_S: Final = 1.0
"""For an agent to return by itself: a recording is closed in milliseconds."""
GRACE_S: Final = 2.0
"""After it has been cancelled."""
LOOK_EVERY_S: Final = 0.5
GREEDY_SHARE: Final = 0.3
"""Of a processor, over LOOK_EVERY_S: coding a call's audio takes a hundredth."""
THREAD_CLOCK: Final = 6
"""Linux's clock of what a single thread has used (CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED)."""
PLACES_MAX: Final = 6
"""Of a failure's traceback, in its log line."""
ENDINGS: Final = (CallEnded, StopAsyncIteration)
"""What speaking, and `anext` on what the client says, raise when a call is over."""


class Host(Protocol):
    """Who keeps count of performances. Everything on the media loop."""

    def may_start(self, performance: Performance) -> bool: ...
    def has_ended(self, performance: Performance, problem: str | None, places: list[str]) -> None: ...
    def was_cancelled(self, performance: Performance) -> None: ...
    def was_abandoned(self, performance: Performance) -> None: ...
    def is_gone(self, performance: Performance) -> None: ...


class Performance(ABC):
    """What both kinds have in common. Everything on the media loop."""

    def __init__(self, agent: LoadedAgent, call_id: str, media_loop: asyncio.AbstractEventLoop, host: Host) -> None:
        self.call_id = call_id
        self.is_abandoned = False
        self._agent = agent
        self._media_loop = media_loop
        self._host = host
        self._timer: asyncio.TimerHandle | None = None
        self._has_ended = False
        self._is_gone = False

    def prepare(self, call: Call, border: Border) -> None:
        """Take what was made around this performance's own ways across."""
        self._call = call
        self._border = border

    def start(self) -> None:
        """Begin, or tell the outlet why not."""
        if self._host.may_start(self):
            self._begin()
        else:
            self._is_gone = True
            problem = "too many agents that do not end run in this process"
            self._media_loop.call_soon(self._tell_outlet, problem)

    def stop(self) -> None:
        """The call is over, and the agent has been told by its iterators."""
        if not self._is_gone:
            self._timer = self._media_loop.call_later(LEAVE_S, self._insist)

    @abstractmethod
    def to_media(self, callback: Callable[[], None]) -> None:
        """Have something done on the media loop."""

    @abstractmethod
    def to_agent(self, callback: Callable[[], None]) -> None:
        """Have something done on the agent's loop."""

    @abstractmethod
    def _begin(self) -> None: ...

    @abstractmethod
    def _cancel(self) -> None: ...

    def _insist(self) -> None:
        if not self._has_ended:
            self._host.was_cancelled(self)
        self._cancel()
        self._timer = self._media_loop.call_later(GRACE_S, self._abandon)

    def _abandon(self) -> None:
        self.is_abandoned = True
        self._host.was_abandoned(self)

    async def _perform(self) -> None:
        try:
            await self._agent.function(self._call)
        except SystemExit as error:  # asyncio would let it through, and end the loop, or the process
            raise RuntimeError(f"the agent called sys.exit({error.code!r})") from error
        await self._call.played()  # what it has said last is to be heard

    def _note_end(self, problem: str | None, places: list[str]) -> None:
        if self._has_ended:  # what it left behind in its loop has now called sys.exit()
            return
        self._has_ended = True
        if self.is_abandoned:  # how it ended after all is our own doing
            problem = None
        self._host.has_ended(self, problem, places)
        self._tell_outlet(problem)

    def _tell_outlet(self, problem: str | None) -> None:
        if self._border.end_reason is None:
            self._border.outlet.agent_ended(problem)

    def _note_gone(self) -> None:
        self._is_gone = True
        if self._timer is not None:
            self._timer.cancel()
        self._host.is_gone(self)

    def _problem_of(self, task: asyncio.Task[None]) -> tuple[str | None, list[str]]:
        """Say how a finished task failed, and where; nothing when it did not, or only because the call was over."""
        is_over = self._border.end_reason is not None
        if task.cancelled():
            return (None, []) if is_over else ("it cancelled itself", [])
        error = task.exception()
        if isinstance(error, BaseExceptionGroup) and is_over:  # of a TaskGroup
            error = error.split(ENDINGS)[1]
        if error is None or (is_over and isinstance(error, ENDINGS)):
            return None, []
        return describe(error)


class InlinePerformance(Performance):
    """An agent on the media loop: what crosses the border is called at once."""

    _task: asyncio.Task[None] | None = None

    def to_media(self, callback: Callable[[], None]) -> None:
        """Call it: we are there."""
        callback()

    to_agent = to_media

    def _begin(self) -> None:
        self._task = self._media_loop.create_task(self._perform(), name=f"agent {self.call_id}")
        self._task.add_done_callback(self._finish)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._note_end(*self._problem_of(task))
        self._note_gone()


class ThreadPerformance(Performance):
    """An agent on a thread of its own, with an event loop of its own."""

    def __init__(self, agent: LoadedAgent, call_id: str, media_loop: asyncio.AbstractEventLoop, host: Host) -> None:
        super().__init__(agent, call_id, media_loop, host)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def to_media(self, callback: Callable[[], None]) -> None:
        """Hand it over. A loop that is closed is a process that ends: nobody wants to know any more."""
        hand_over(self._media_loop, callback)

    def to_agent(self, callback: Callable[[], None]) -> None:
        """Hand it over. Who waits has made the loop before; a closed one has nobody who waits."""
        if self._loop is not None:
            hand_over(self._loop, callback)

    def _begin(self) -> None:
        self._native_id: int | None = None
        self._used_s = 0.0
        self._look_timer = self._media_loop.call_later(LOOK_EVERY_S, self._look)
        self._thread = threading.Thread(target=self._run, name=f"agent {self.call_id}", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # the system allows no more threads
            problem = str(error)
            self._media_loop.call_soon(lambda: self._note_end(problem, []))
            self._media_loop.call_soon(self._note_gone)

    def _abandon(self) -> None:
        super()._abandon()
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self._thread.ident or 0), ctypes.py_object(SystemExit)
        )

    def _cancel(self) -> None:
        self.to_agent(self._cancel_here)

    def _cancel_here(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _look(self) -> None:
        """Let an agent that computes give way to the media loop whenever that wakes, from now on.

        The kernel takes a processor from a thread of this policy at once; from any other only at the end of its slice,
        up to 4 ms later: beside one agent that burned a core, frames of other calls were late by 4 to 6 ms (99 %), and
        are by 1. For those that compute little it would only mean to be interrupted with the GIL in their hands.
        """
        used_s = None if self._native_id is None else cpu_used_s(self._native_id)
        if self._native_id is not None and used_s is not None:
            if used_s - self._used_s > GREEDY_SHARE * LOOK_EVERY_S:
                self._make_give_way(self._native_id)
                return
            self._used_s = used_s
        self._look_timer = self._media_loop.call_later(LOOK_EVERY_S, self._look)

    def _make_give_way(self, native_id: int) -> None:
        LOG.info("agent computes and gives way", extra=facts(call=self.call_id))
        try:
            os.sched_setscheduler(native_id, os.SCHED_IDLE, os.sched_param(0))
        except ProcessLookupError:
            return  # it has ended meanwhile
        except PermissionError as error:
            LOG.warning("agents do not give way to the media loop", extra=facts(problem=str(error.strerror)))

    def _note_gone(self) -> None:
        self._look_timer.cancel()
        super()._note_gone()

    def _run(self) -> None:
        """The thread."""
        self._native_id = threading.get_native_id()
        try:
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                runner.run(self._watch())
        except (SystemExit, KeyboardInterrupt, OSError) as error:
            # The first two of tasks that the agent has left; the last of a loop that no descriptors could be had for.
            problem, places = describe(error)
            self.to_media(lambda: self._note_end(problem, places))
        finally:
            self.to_media(self._note_gone)

    async def _watch(self) -> None:
        """Run the agent, and tell how it ended before the runner tidies up, which may take its time."""
        self._task = asyncio.create_task(self._perform(), name=f"agent {self.call_id}")
        await asyncio.wait({self._task})
        problem, places = self._problem_of(self._task)
        self.to_media(lambda: self._note_end(problem, places))


def cpu_used_s(native_id: int) -> float | None:
    """What a thread of this process has used of processors; None when it has ended."""
    try:
        return time.clock_gettime(~native_id << 3 | THREAD_CLOCK)
    except OSError:
        return None


def hand_over(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    """Have something done on a loop of another thread, unless that is closed."""
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:
        if not loop.is_closed():
            raise


def describe(error: BaseException) -> tuple[str, list[str]]:
    """Say what was raised, and the places it came through, the innermost last. Of a group, its first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)[-PLACES_MAX:]
    return f"{type(error).__name__}: {error}", [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
