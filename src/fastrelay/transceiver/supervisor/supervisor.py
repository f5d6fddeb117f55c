"""The supervisor: opens what is shared, keeps the workers running, and takes the operator's signals.

Lives here: start, reload, drain, replacement, stop, and saying how it stands. Must not live here: calls (worker),
the workers' lives (crew), HTTP (routes), what the operator sees on a screen (cli, observe).

    TERM    drain: no new calls, end when the last one has ended or time is up; a second one ends it now
    INT     end now
    HUP     read configuration and keys again
    USR2    replace every worker's process by what is installed now; calls stay where they are until they end
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastrelay.errors import ConfigError, WorkerError
from fastrelay.observe.admin.server import Doors
from fastrelay.observe.logs import facts, tell_suppressed
from fastrelay.observe.status import ServiceState, ServiceStatus
from fastrelay.service.notify import ServiceManager
from fastrelay.service.tallies import Tallies, key_statuses
from fastrelay.transceiver.supervisor import reload
from fastrelay.transceiver.supervisor.charges import Charges
from fastrelay.transceiver.supervisor.configuration import errors_at_their_place
from fastrelay.transceiver.supervisor.crew import Crew
from fastrelay.transceiver.supervisor.premises import Premises
from fastrelay.transceiver.supervisor.routes import TransceiverRoutes
from fastrelay.transceiver.supervisor.settings import TransceiverSettings

LOG = logging.getLogger(__name__)

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
ENDING: Final = (signal.SIGTERM, signal.SIGINT)
ORDERS_MAX: Final = 16
TICK_S: Final = 0.1
DEADLINE_MARGIN_S: Final = 5.0
"""Workers end their calls at the deadline by themselves; whoever has not by then is ended."""


class Supervisor:
    """One transceiver. run() is its life."""

    def __init__(
        self,
        settings: TransceiverSettings,
        *,
        read_settings: Callable[[], TransceiverSettings] | None = None,
        release: str = "",
    ) -> None:
        self.settings = settings
        self._read_settings = read_settings or (lambda: settings)
        self._release = release
        self._tallies = Tallies(time.time())
        self._state = ServiceState.STARTING
        self._manager = ServiceManager(os.environ)
        self._crew: Crew | None = None
        self._charges: Charges | None = None
        self._premises: Premises | None = None
        self._signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
        self._waiting: deque[signal.Signals] = deque(maxlen=ORDERS_MAX)
        """Orders that change the crew, and whose turn comes when the present change is done."""
        self._change: asyncio.Task[None] | None = None
        """What is being done to the crew; one thing at a time."""

    @property
    def crew(self) -> Crew:
        assert self._crew is not None, "the supervisor runs"
        return self._crew

    @property
    def charges(self) -> Charges:
        assert self._charges is not None, "the supervisor runs"
        return self._charges

    @property
    def premises(self) -> Premises:
        assert self._premises is not None, "the supervisor runs"
        return self._premises

    # --- its life

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Until the operator ends it. ConfigError or WorkerError when it cannot begin."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._signals.put_nowait, number)
        try:
            with Premises(self.settings) as self._premises:
                await self._serve(self._premises, on_ready)
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    async def _serve(self, premises: Premises, on_ready: Callable[[], None]) -> None:
        doors = Doors(TransceiverRoutes(self))
        try:
            await self._start(premises)
            if self._state is ServiceState.STOPPING:
                return
            await doors.open(premises.admin_sockets)
            self._state = ServiceState.SERVING
            self._manager.ready(self._in_words())
            on_ready()
            while self._state is not ServiceState.STOPPING:
                await self._turn()
            self._manager.stopping(self._in_words())
        finally:
            await _cancelled(self._change)
            if self._crew is not None:
                await self._crew.stop()
            await doors.close()

    async def _start(self, premises: Premises) -> None:
        cpus = reload.cpus_of(self.settings)
        self._charges = Charges.of(self.settings, premises.neighbourhood.folder)
        self._crew = Crew(self._charges.charge, premises.http.fileno(), premises.neighbourhood)
        self._crew.memory_max_bytes = self.settings.limits.memory_mib << 20
        starting = asyncio.get_running_loop().create_task(self._crew.start(cpus))
        while not starting.done():
            if await self._next_signal(starting) in ENDING:
                self._state = ServiceState.STOPPING
                await _cancelled(starting)
                return
        starting.result()

    async def _next_signal(self, instead: asyncio.Task[None] | None = None) -> signal.Signals | None:
        """The next one within a tick; None also as soon as other work is done."""
        coming = asyncio.get_running_loop().create_task(self._signals.get())
        awaited = {coming} if instead is None else {coming, instead}
        await asyncio.wait(awaited, timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED)
        if coming.done():
            return coming.result()
        await _cancelled(coming)
        return None

    async def _turn(self) -> None:
        number = await self._next_signal()
        if number is not None:
            self._take_signal(number)
        now_s = asyncio.get_running_loop().time()
        self.crew.end_stuck(now_s)
        if self._state is ServiceState.DRAINING:
            self._look_at_drain(now_s)
        if self._change is None or self._change.done():
            _tell_fault(self._change)
            work = self._next_change(now_s)
            self._change = None if work is None else asyncio.get_running_loop().create_task(work)
        self._manager.feed_watchdog()
        tell_suppressed()

    def _take_signal(self, number: signal.Signals) -> None:
        if number is signal.SIGTERM and self._state is not ServiceState.DRAINING:
            self._drain()
        elif number in ENDING:
            LOG.info("stopping", extra=facts(signal=number.name, calls=self.crew.calls))
            self._state = ServiceState.STOPPING
        elif number not in self._waiting:
            self._waiting.append(number)

    # --- drain

    def _drain(self) -> None:
        self._state = ServiceState.DRAINING
        self._tallies.draining_since_s = time.time()
        at_most_s = self.settings.drain_timeout_s
        LOG.info("draining", extra=facts(calls=self.crew.calls, at_most_s=at_most_s))
        if self._change is not None:
            self._change.cancel()  # nobody is to take a place any more
        self._manager.status(self._in_words())
        self.crew.drain(at_most_s)

    def _look_at_drain(self, now_s: float) -> None:
        deadline_s = self.crew.draining_deadline_s
        if not self.crew.processes:
            LOG.info("drained")
        elif deadline_s is not None and now_s >= deadline_s + DEADLINE_MARGIN_S:
            LOG.warning("the time to drain is up", extra=facts(calls=self.crew.calls))
        else:
            return
        self._state = ServiceState.STOPPING

    # --- changes of the crew

    def _next_change(self, now_s: float) -> Coroutine[Any, Any, None] | None:
        """What is to be done next. While it drains, only what keeps calls going."""
        crew = self.crew
        if self._waiting:
            number = self._waiting.popleft()
            if number is signal.SIGHUP:
                return self._reload()
            return None if self._state is ServiceState.DRAINING else self._replace_all()
        if self._state is ServiceState.DRAINING:
            return None
        if vacant := crew.vacancies(now_s):
            return crew.fill(vacant[0])
        if not crew.is_of_wanted_size:
            return self._tried(crew.resize())
        if due := next((member for member in crew.members if member.is_due), None):
            return self._tried(crew.replace(due))
        if grown := crew.overgrown(now_s):
            LOG.warning("worker has outgrown its memory and is replaced", extra=facts(worker=grown[0].index))
            return self._tried(crew.replace(grown[0]))
        return None

    async def _tried(self, work: Coroutine[Any, Any, None]) -> None:
        """A change that nobody waits for: what goes wrong with it is told, and it is not tried again by itself."""
        try:
            await work
        except (ConfigError, WorkerError) as error:
            self._tallies.last_problem = str(error)
            self.crew.wanted_cpus = [member.cpu for member in self.crew.members if not member.is_retiring]
            LOG.error("a worker could not be replaced, the old one serves on", extra=facts(problem=str(error)))

    async def _reload(self) -> None:
        """All of the new configuration or nothing of it."""
        self._manager.reloading()
        try:
            wanted = self._read_settings()
            with errors_at_their_place(wanted):
                charges = Charges.of(wanted, self.charges.neighbours)
                changes = await reload.apply(self.crew, self.charges, charges)
        except ConfigError as error:
            self._tallies.reloads_refused += 1
            self._tallies.last_problem = str(error)
            LOG.error("reload refused, everything stays as it was", extra=facts(problem=str(error)))
        else:
            self._tallies.reloads += 1
            self.settings, self._charges = wanted, charges
            LOG.info("reloaded", extra=facts(**changes))
        self._manager.ready(self._in_words())

    async def _replace_all(self) -> None:
        """Each worker's process, by what is installed now."""
        self._manager.reloading()
        try:
            await self.crew.replace_all()
        except (ConfigError, WorkerError) as error:
            self._tallies.upgrades_refused += 1
            self._tallies.last_problem = str(error)
            LOG.error("replacement of the workers refused, the old ones serve on", extra=facts(problem=str(error)))
        else:
            self._tallies.upgrades += 1
            LOG.info("workers replaced", extra=facts(workers=len(self.crew.members), draining=self.crew.leaving_calls))
        self._manager.ready(self._in_words())

    # --- what others are told

    def status(self) -> ServiceStatus:
        """How this transceiver stands."""
        since_s = self._tallies.draining_since_s
        return ServiceStatus(
            release=self._release,
            pid=os.getpid(),
            state=self._state,
            listen=(self.premises.url,),
            workers=tuple([member.status for member in self.crew.members]),
            keys=key_statuses(self.charges.ring, int(time.time())),
            drain_deadline_s=None if since_s is None else since_s + self.settings.drain_timeout_s,
            steering="",
            config=self.settings.shown,
            **self._tallies.build(),
        )

    def _in_words(self) -> str:
        return f"{self._state}: {len(self.crew.members)} workers, {self.crew.calls} calls"


def _tell_fault(change: asyncio.Task[None] | None) -> None:
    """A bug of ours in a change must not take the supervisor, and with it the service, along."""
    fault = None if change is None or change.cancelled() else change.exception()
    if fault is not None:
        trace = "".join(traceback.format_exception(fault))
        LOG.error("a change of the workers failed", extra=facts(trace=trace))


async def _cancelled(task: asyncio.Task[Any] | None) -> None:
    """Until it has ended, too soon."""
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
