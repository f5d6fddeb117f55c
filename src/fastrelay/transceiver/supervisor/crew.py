"""The workers of a transceiver: starting them, replacing them, and cutting none of their calls.

Lives here: succession, heartbeats, holding back what dies too often, growing and retiring. Must not live here: why it
happens (supervisor), the processes themselves (process).

A call lives and dies with its worker's process, so whatever replaces one starts the successor first, and lets the
predecessor's calls end beside it. Only a death or a hang ends calls; their clients' next offer finds another worker.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from fastrelay.errors import ConfigError, WorkerError
from fastrelay.observe.logs import facts
from fastrelay.transceiver.supervisor.member import Member
from fastrelay.transceiver.supervisor.process import Stage, WorkerProcess
from fastrelay.transceiver.supervisor.sockets import Neighbourhood
from fastrelay.transceiver.worker.orders import Charge, Order, Word

LOG = logging.getLogger(__name__)

START_PATIENCE_S: Final = 60.0
"""An agent's module may load a model."""
HANG_AFTER_S: Final = 3.0
"""A worker speaks twice a second."""
BLIND_AFTER_S: Final = 1.0
"""Between two looks, of which there are ten a second: a supervisor that was held up so long has heard nobody."""
STOP_PATIENCE_S: Final = 8.0
"""For goodbyes, agents that finish, and answers under way."""
QUICK_DEATH_S: Final = 10.0
"""A worker that dies sooner than this after its start is held back a little longer each time."""
RETRY_FIRST_S, RETRY_LAST_S = 0.1, 5.0
GROWN_AGAIN_AFTER_S: Final = 60.0
"""A worker that outgrows its memory sooner than this is left alone: another would do the same."""

MakeCharge = Callable[[int, int], Charge]
"""Settings of now for a slot and a CPU."""


class Crew:
    """All workers of one transceiver. Made on the supervisor's loop."""

    def __init__(self, charge_of: MakeCharge, http: int, neighbourhood: Neighbourhood) -> None:
        self.members: list[Member] = []
        self.draining_deadline_s: float | None = None
        self.memory_max_bytes = 0
        self.wanted_cpus: list[int] = []
        self.charge_of = charge_of
        self._http = http
        self._neighbourhood = neighbourhood
        self._loop = asyncio.get_running_loop()
        self._looked_s = self._loop.time()
        self._is_stopping = False
        self._serial = 0
        self._listeners: list[Callable[[WorkerProcess, Word, Mapping[str, Any]], None]] = []

    # --- starting

    async def start(self, cpus: Sequence[int]) -> None:
        """One worker on each CPU. ConfigError or WorkerError when one does not come up."""
        self.wanted_cpus = list(cpus)
        self.members = [Member(index, cpu) for index, cpu in enumerate(cpus)]
        for member in self.members:
            self._launch(member)
        await asyncio.gather(*(self._take_place(member) for member in self.members))

    def _launch(self, member: Member) -> WorkerProcess:
        """A process that is to take this place."""
        slot, neighbours = self._neighbourhood.open()
        with neighbours:
            process = WorkerProcess(member.index, self.charge_of(slot, member.cpu), self._heard, self._ended)
            try:
                process.start([self._http, neighbours.fileno()])
            except ConfigError:
                self._neighbourhood.release(slot)
                raise
        member.successor = process
        member.started_at_s = time.time()
        return process

    async def _take_place(self, member: Member) -> None:
        """Until the successor serves, and has the place. WorkerError, or its own ConfigError, when it does not."""
        process = member.successor
        assert process is not None
        if not await self._comes_up(process):
            member.successor = None
            if process.problem is not None:
                raise process.problem
            raise WorkerError(f"worker {member.index} did not start ({process.last_end or 'no answer'})")
        predecessor, member.process, member.successor = member.process, process, None
        LOG.info(
            "worker started",
            extra=facts(worker=member.index, pid=process.pid, slot=process.slot, cpu=member.cpu, trunk=process.trunk),
        )
        if predecessor is not None and predecessor.stage is not Stage.ENDED:
            member.leaving.append(predecessor)
            predecessor.drain(None, keeps_door=False)

    async def _comes_up(self, process: WorkerProcess) -> bool:
        served = asyncio.Event()

        def listen(speaker: WorkerProcess, word: Word, _: Mapping[str, Any]) -> None:
            if speaker is process and word is Word.READY:
                served.set()

        self._listeners.append(listen)
        waits = [self._loop.create_task(served.wait()), self._loop.create_task(process.has_ended.wait())]
        try:
            await asyncio.wait(waits, timeout=START_PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._listeners.remove(listen)
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        if not served.is_set():
            process.kill()
            await process.has_ended.wait()
        return served.is_set()

    # --- succession

    async def replace(self, member: Member) -> None:
        """Another process in this place; the present one drains. On an error the present one stays."""
        member.is_due = False
        self._launch(member)
        await self._take_place(member)

    async def replace_all(self) -> None:
        """One after the other; the first that does not come up ends it."""
        for member in list(self.members):
            if member.process is not None and not member.is_retiring:
                await self.replace(member)

    @property
    def is_of_wanted_size(self) -> bool:
        return [member.cpu for member in self.members if not member.is_retiring] == self.wanted_cpus

    async def resize(self) -> None:
        """One worker on each of the CPUs that are wanted; those beyond let their calls end."""
        cpus = self.wanted_cpus
        for member in self.members[len(cpus) :]:
            self._retire(member)
        for index, cpu in enumerate(cpus):
            if index >= len(self.members):
                member = Member(index, cpu)
                self.members.append(member)
                self._launch(member)
                await self._take_place(member)
            else:
                member = self.members[index]
                has_moved, member.cpu = member.cpu != cpu, cpu
                if has_moved or member.is_retiring:
                    member.is_retiring = False
                    await self.replace(member)

    def _retire(self, member: Member) -> None:
        if member.is_retiring:
            return
        member.is_retiring = True
        LOG.info("worker retires", extra=facts(worker=member.index, calls=member.calls))
        if member.process is not None:
            member.leaving.append(member.process)
            member.process.drain(None, keeps_door=False)
            member.process = None

    # --- looking after them

    def _heard(self, process: WorkerProcess, word: Word, body: Mapping[str, Any]) -> None:
        for listen in list(self._listeners):
            listen(process, word, body)

    def _ended(self, process: WorkerProcess) -> None:
        self._neighbourhood.release(process.slot)
        member = self.members[process.index]
        member.past.add(process.status)
        was_expected = process.problem is not None or process.last_end == "exit code 0"
        if process in member.leaving:
            member.leaving.remove(process)
            level = logging.INFO if was_expected else logging.ERROR
            LOG.log(
                level, "worker has drained" if was_expected else "worker died while it drained", extra=_who(process)
            )
        elif process is member.process:
            member.process = None
            member.last_end = process.last_end
            if self.draining_deadline_s is None and not self._is_stopping:
                LOG.error("worker died", extra=_who(process))
                self._hold_back(member, process.started_s)
        self._let_retired_go()

    def _hold_back(self, member: Member, started_s: float) -> None:
        """The first death is forgiven at once; one that follows soon costs a wait that doubles."""
        now_s = self._loop.time()
        if now_s - started_s > QUICK_DEATH_S:
            member.quick_deaths = 0
        member.quick_deaths += 1
        wait_s = 0.0
        if member.quick_deaths > 1:
            wait_s = min(RETRY_FIRST_S * 2 ** (member.quick_deaths - 2), RETRY_LAST_S)
            LOG.warning("worker is held back", extra=facts(worker=member.index, seconds=wait_s))
        member.retry_s = now_s + wait_s

    def _let_retired_go(self) -> None:
        while self.members and self.members[-1].is_retiring and not self.members[-1].processes:
            LOG.info("worker retired", extra=facts(worker=self.members.pop().index))

    def end_stuck(self, now_s: float) -> None:
        """Processes that have fallen silent are ended; what follows is what follows any death.

        A machine or a container that was frozen wakes in any order: what it slept through was no silence of theirs.
        """
        was_blind, self._looked_s = now_s - self._looked_s > BLIND_AFTER_S, now_s
        if was_blind:
            for process in self.processes:
                process.heard_s = now_s
        for member in self.members:
            for process in member.processes:
                silent_s = now_s - process.heard_s
                if process.stage is not Stage.STARTING and silent_s > HANG_AFTER_S:
                    LOG.error(
                        "worker is stuck and is ended",
                        extra=facts(
                            worker=member.index, pid=process.pid, calls=process.calls, silent_s=round(silent_s, 1)
                        ),
                    )
                    member.hangs += 1
                    process.heard_s = now_s  # its end may take a moment
                    process.kill()

    def vacancies(self, now_s: float) -> list[Member]:
        """Places whose process has died, and that may be filled now."""
        return [
            member
            for member in self.members
            if member.process is None
            and member.successor is None
            and not member.is_retiring
            and now_s >= member.retry_s
        ]

    async def fill(self, member: Member) -> None:
        """Put a process in a vacant place; one that does not come up is a death like another."""
        member.restarts += 1
        started_s = self._loop.time()
        try:
            self._launch(member)
            await self._take_place(member)
        except (WorkerError, ConfigError) as error:
            LOG.error("worker does not start", extra=facts(worker=member.index, problem=str(error)))
            self._hold_back(member, started_s)

    def overgrown(self, now_s: float) -> list[Member]:
        """Places whose process takes more memory than it may, and has been there for a while."""
        return [
            member
            for member in self.members
            if member.process is not None
            and 0 < self.memory_max_bytes < member.process.rss_bytes
            and now_s - member.process.started_s > GROWN_AGAIN_AFTER_S
        ]

    # --- all of them at once

    @property
    def processes(self) -> list[WorkerProcess]:
        """All that run, those that drain included."""
        return [process for member in self.members for process in member.processes]

    @property
    def calls(self) -> int:
        return sum(process.calls for process in self.processes)

    @property
    def totals(self) -> dict[str, int]:
        """Of the transceiver as a whole: calls now, and what there has been since its start."""
        sums = [member.sums for member in self.members]
        return {
            "calls": self.calls,
            "leaving": self.leaving_calls,
            "opened": sum(each.opened for each in sums),
            "audio_in": sum(each.tables["exchange"]["audio"] for each in sums),
            "audio_out": sum(each.tables["exchange"]["audio_sent"] for each in sums),
        }

    @property
    def leaving_calls(self) -> int:
        """Of processes that drain beside their successors."""
        return sum(process.calls for member in self.members for process in member.leaving)

    async def ask(
        self,
        asked: Sequence[WorkerProcess],
        order: Order,
        values_of: Callable[[WorkerProcess], Mapping[str, Any]],
        patience_s: float,
    ) -> dict[WorkerProcess, tuple[Word, Mapping[str, Any]]]:
        """Each one's answer to an order; of whoever ends meanwhile, or gives none in time, there is none."""
        self._serial += 1
        serial = self._serial
        answers: dict[WorkerProcess, tuple[Word, Mapping[str, Any]]] = {}
        is_complete = asyncio.Event()

        def listen(speaker: WorkerProcess, word: Word, body: Mapping[str, Any]) -> None:
            if speaker in asked and body.get("serial") == serial:
                answers[speaker] = word, body
                if len(answers) == len(asked):
                    is_complete.set()

        self._listeners.append(listen)
        try:
            for process in asked:
                process.order(order, serial=serial, **values_of(process))
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s if asked else 0):
                    await is_complete.wait()
        finally:
            self._listeners.remove(listen)
        return answers

    def drain(self, deadline_s: float) -> None:
        """All calls end by themselves, or by then; new clients are told to go elsewhere."""
        self.draining_deadline_s = self._loop.time() + deadline_s
        for process in self.processes:
            process.drain(deadline_s, keeps_door=process.stage is not Stage.DRAINING)

    async def stop(self) -> None:
        """End all of them; whoever does not go is made to."""
        self._is_stopping = True
        running = self.processes
        for process in running:
            process.order(Order.STOP)
        ends = [self._loop.create_task(process.has_ended.wait()) for process in running]
        if ends:
            _, late = await asyncio.wait(ends, timeout=STOP_PATIENCE_S)
            for process in [process for process, end in zip(running, ends, strict=True) if end in late]:
                LOG.warning("worker did not stop and is ended", extra=_who(process))
                process.kill()
            await asyncio.gather(*ends)


def _who(process: WorkerProcess) -> dict[str, dict[str, object]]:
    return facts(worker=process.index, pid=process.pid, slot=process.slot, end=process.last_end, calls=process.calls)
