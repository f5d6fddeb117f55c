"""The workers of one relay: starting them, replacing them while packets come, and giving up none of their flows.

Lives here: succession, the heartbeat, growing and retiring. Must not live here: why it happens (supervisor), the
processes themselves (process, worker), the kernel's choice among them (steering).

Everything that replaces a worker is one operation, succession: the successor is forked first and waits, the
predecessor finishes its slice and ends, the successor attaches to the same sockets and the same page. What arrives in
between waits in the sockets. A crash and a hang differ from a reload and an upgrade in one thing: the predecessor does
not finish its slice.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Final

from fastrelay.errors import ConfigError, WorkerError
from fastrelay.observe.logs import facts
from fastrelay.observe.status import WorkerState
from fastrelay.relay.addresses import close_listeners, left_behind
from fastrelay.relay.handover import Heir
from fastrelay.relay.member import Member
from fastrelay.relay.orders import give
from fastrelay.relay.process import STOP_PATIENCE_S, UNKNOWN_END, WorkerProcess
from fastrelay.relay.resources import WorkerResources, open_worker
from fastrelay.relay.settings import RelaySettings
from fastrelay.relay.steering import Steerer
from fastrelay.relay.worker import SERVING, WorkerPlan
from fastrelay.routing.keys import KeyRing
from fastrelay.service.run_dir import RunDir
from fastrelay.wire.address import format_endpoint

LOG = logging.getLogger(__name__)

START_PATIENCE_S: Final = 10.0
HANG_AFTER_MS: Final = 1200
"""A worker turns its loop every 50 ms even when idle."""
STOP_LOOK_S: Final = 0.05
COUNT_EVERY_S: Final = 2.0
"""How often the flows on an address that is leaving are counted."""
QUICK_DEATH_S: Final = 10.0
"""A worker that dies sooner than this after its start is held back a little longer each time."""
RETRY_FIRST_S, RETRY_LAST_S = 0.1, 5.0
BY_SOMEONES_HAND: Final = (signal.SIGKILL.name, UNKNOWN_END)
DEATHS_BY_PAGE: Final = 3
"""Quick deaths in a row, by no one's hand, after which the flow page itself is the suspect."""


class Crew:
    """All workers. Their places are their indexes, and the order of their sockets in each group of the kernel."""

    def __init__(
        self,
        settings: RelaySettings,
        ring: KeyRing,
        hash_key: bytes,
        release: str,
        run_dir: RunDir | None,
        *,
        is_sorted: bool,
    ) -> None:
        self.settings = settings
        self.ring = ring
        self.members: list[Member] = []
        # the same salt for as long as the tables live: clients stay with their workers over an upgrade
        self.steerer = Steerer(settings.steering, int.from_bytes(hash_key[:4], "big"), is_sorted=is_sorted)
        self.is_draining = False
        self._count_s = 0.0
        self._hash_key = hash_key
        self._release = release
        self._run_dir = run_dir

    # --- opening and starting

    def open(self, heirs: Sequence[Heir], cpus: Sequence[int]) -> None:
        """Take over what is there, and open what is missing for one worker on each of these CPUs."""
        for heir in heirs:
            self._refuse_misfit(heir)
            if heir.resources.replace_misfits(heir.index):
                LOG.warning("the table has another form in this release: flows come back from the trunk")
            self.members.append(self._member_of(heir, cpus))
        # those that are missing listen beside those that are there
        for index in sorted(set(range(len(cpus))) - {heir.index for heir in heirs}):
            self._open_member(index, cpus[index], self.settings)
        self.members.sort(key=lambda member: member.index)

    def _member_of(self, heir: Heir, cpus: Sequence[int]) -> Member:
        is_running = heir.process is not None
        return Member(
            heir,
            cpus[heir.index % len(cpus)],
            WorkerState.SERVING if is_running else WorkerState.STARTING,
            started_s=time.monotonic(),
            is_due=is_running,
            is_retiring=heir.index >= len(cpus),
        )

    def _refuse_misfit(self, heir: Heir) -> None:
        """What is taken over was made with the settings of its time; some of them cannot change."""
        if heir.resources.capacity != self.settings.limits.flows:
            raise ConfigError(
                "--flows", f"the tables that are taken over hold {heir.resources.capacity}; other sizes need a restart"
            )
        ip, port = self.settings.trunk
        trunk = heir.resources.trunk
        if trunk.ip != ip or port not in (0, trunk.port - heir.index):
            has = format_endpoint(trunk.ip, trunk.port)
            raise ConfigError(
                "--trunk", f"worker {heir.index}, which is taken over, has {has}; another needs a restart"
            )

    def _open_member(self, index: int, cpu: int, settings: RelaySettings) -> Member:
        resources = open_worker(settings, index, [member.resources for member in self.members])
        member = Member(Heir(index, resources, None, None), cpu)
        self.members.append(member)
        return member

    def open_orphanages(self) -> None:
        """Once privileges are dropped: the sockets on which workers wait for another supervisor."""
        if self._run_dir is not None:
            for member in self.members:
                if member.heir.orphanage is None:
                    member.heir.orphanage = self._run_dir.listen_for_adoption(member.index)

    def start(self) -> None:
        """Start every worker that has no process. WorkerError when one does not come up."""
        waiting = [member for member in self.members if member.process is None]
        for member in waiting:
            self._fork(member)
        for member in waiting:
            if not self._serves(member):
                raise WorkerError(f"worker {member.index} did not start ({member.last_end or 'no answer'})")
        self.steer()

    def _fork(self, member: Member) -> None:
        member.heir.process = WorkerProcess.fork(
            WorkerPlan(
                member.index,
                member.cpu,
                member.resources,
                self.settings,
                self.ring,
                self._hash_key,
                {other.index: other.resources.flow_page.memory for other in self.members if other is not member},
                self.is_draining or member.is_retiring,
                member.heir.orphanage,
                None if member.process is None else member.process.pidfd,
                self.steerer.is_sorted,
            )
        )
        member.started_s, member.started_at_s = time.monotonic(), time.time()
        member.release = self._release

    def _serves(self, member: Member) -> bool:
        """Whether a worker that was forked comes to serve; one that does not is ended."""
        process = member.process
        assert process is not None
        if process.answer(START_PATIENCE_S) != SERVING:
            process.kill()
            member.last_end = process.last_end
            member.heir.process = None
            return False
        member.state = WorkerState.SERVING
        LOG.info("worker started", extra=facts(worker=member.index, pid=process.pid, cpu=member.cpu))
        return True

    # --- succession

    def replace_all(self) -> None:
        """Every worker's process is to make way for another, one after the other."""
        for member in self.members:
            member.is_due = True

    def replace_next(self) -> bool:
        """Replace the next process that is due; whether there was one."""
        for member in self.members:
            if member.is_due:
                member.is_due = False
                self._succeed(member)
                return True
        return False

    def replace_due(self) -> None:
        """All of them, now: a predecessor still has what it was forked with, also sockets that we have closed."""
        while self.replace_next():
            continue

    def _succeed(self, member: Member) -> None:
        predecessor = member.process
        self._fork(member)
        if predecessor is not None:
            predecessor.ask_to_stop()
            self._wait_for_end(predecessor, member)
        if not self._serves(member):
            self._hold_back(member, time.monotonic())

    def _wait_for_end(self, predecessor: WorkerProcess, member: Member) -> None:
        """While its heart beats it will end; one that stands still is ended like any other that does."""
        deadline_s = time.monotonic() + STOP_PATIENCE_S
        while not predecessor.has_ended(STOP_LOOK_S):
            now_s = time.monotonic()
            if now_s >= deadline_s or now_s * 1000 - member.resources.alive_ms > HANG_AFTER_MS:
                LOG.warning("worker did not stop and is ended", extra=facts(worker=member.index, pid=predecessor.pid))
                predecessor.kill()
        predecessor.close()

    # --- looking after them

    def look_after(self, now_s: float) -> None:
        """Replace the dead and the stuck, and let go of the retired whose flows have gone."""
        for member in self.members:
            if member.state is WorkerState.WAITING:
                if now_s >= member.retry_s:
                    self._restart(member)
            elif member.process is None or not member.process.is_alive:
                self._bury(member, now_s)
            elif self._is_stuck(member, now_s):
                self._end_stuck(member, now_s)
        self._let_retired_go()
        if now_s >= self._count_s and any(each.is_leaving for each in self.resources[0].listeners):
            self._count_s = now_s + COUNT_EVERY_S
            self._close_left_behind()

    def _close_left_behind(self) -> None:
        endpoints = left_behind(self.members)
        if endpoints:
            close_listeners(self.resources, endpoints)
            LOG.info("address closed", extra=facts(listen=[format_endpoint(*endpoint) for endpoint in endpoints]))
            self.replace_all()

    def _is_stuck(self, member: Member, now_s: float) -> bool:
        silent_ms = now_s * 1000 - max(member.resources.alive_ms, member.started_s * 1000)
        return silent_ms > HANG_AFTER_MS

    def _end_stuck(self, member: Member, now_s: float) -> None:
        assert member.process is not None
        silent_s = now_s - member.resources.alive_ms / 1000
        LOG.error(
            "worker is stuck and is replaced",
            extra=facts(worker=member.index, pid=member.process.pid, silent_s=round(silent_s, 1)),
        )
        member.hangs += 1
        member.process.kill()
        self._bury(member, now_s)

    def _bury(self, member: Member, now_s: float) -> None:
        process = member.process
        if process is not None:
            process.close()
            member.last_end = process.last_end
            member.heir.process = None
            LOG.error(
                "worker died", extra=facts(worker=member.index, pid=process.pid, end=process.last_end or UNKNOWN_END)
            )
        self._hold_back(member, now_s)
        if now_s >= member.retry_s:
            self._restart(member)

    def _hold_back(self, member: Member, now_s: float) -> None:
        """The first death is forgiven at once; one that follows soon costs a wait that doubles."""
        if now_s - member.started_s > QUICK_DEATH_S:
            member.quick_deaths = member.crashes = 0
        member.quick_deaths += 1
        member.crashes += member.last_end not in BY_SOMEONES_HAND
        wait_s = 0.0
        if member.quick_deaths > 1:
            wait_s = min(RETRY_FIRST_S * 2 ** (member.quick_deaths - 2), RETRY_LAST_S)
        if member.crashes == DEATHS_BY_PAGE:
            LOG.error("worker keeps crashing and its flow table is built anew", extra=facts(worker=member.index))
            member.resources.forget_flows()
            member.crashes = 0
        member.retry_s = now_s + wait_s
        member.state = WorkerState.WAITING
        if wait_s:
            LOG.warning("worker is held back", extra=facts(worker=member.index, seconds=wait_s))
            self.steer()

    def _restart(self, member: Member) -> None:
        member.restarts += 1
        self._begin(member)

    def _begin(self, member: Member) -> None:
        member.state = WorkerState.STARTING
        self._fork(member)
        if not self._serves(member):
            self._hold_back(member, time.monotonic())
            return
        self.steer()

    # --- more workers, and fewer

    def open_more(self, count: int, settings: RelaySettings, undo: ExitStack) -> None:
        """What more workers than before will need. ConfigError; `undo` takes back what was opened."""
        for index in range(len(self.members), count):
            undo.callback(self._withdraw, self._open_member(index, 0, settings))
        self.open_orphanages()

    def _withdraw(self, member: Member) -> None:
        self.members.remove(member)
        member.close()

    def resize(self, cpus: Sequence[int]) -> None:
        """One worker on each of these CPUs, from now on; what they need has been opened."""
        for member in [member for member in self.members if member.process is None and not member.started_s]:
            member.cpu = cpus[member.index]
            give("sibling", self.members, [member.resources.flow_page.descriptor], worker=member.index)
            self._begin(member)
        for member in self.members:
            self._set_retiring(member, is_retiring=member.index >= len(cpus))
            if member.index < len(cpus) and member.cpu != cpus[member.index]:
                member.cpu = cpus[member.index]
                member.is_due = True
        self.steer()

    def _set_retiring(self, member: Member, *, is_retiring: bool) -> None:
        if is_retiring == member.is_retiring:
            return
        member.is_retiring = is_retiring
        give("drain", [member], is_draining=is_retiring or self.is_draining)
        LOG.info("worker retires" if is_retiring else "worker is kept after all", extra=facts(worker=member.index))

    def _let_retired_go(self) -> None:
        """From the last place down: a group of sockets stays in order only if its last ones leave first."""
        while self.members and self.members[-1].is_retiring and not self.members[-1].resources.flows:
            member = self.members.pop()
            if member.process is not None:
                member.process.stop()
            member.close()
            give("forget", self.members, worker=member.index)
            LOG.info("worker retired", extra=facts(worker=member.index))

    # --- all of them at once

    def take_settings(self, settings: RelaySettings, ring: KeyRing) -> None:
        """Keys, networks and limits, into the running loops."""
        self.settings, self.ring = settings, ring
        self.steerer.wanted = settings.steering
        give(
            "settings",
            self.members,
            keys=ring.build(),
            allowed=[str(network) for network in settings.allowed],
            limits=asdict(settings.limits),
        )

    def drain(self) -> None:
        self.is_draining = True
        give("drain", self.members, is_draining=True)

    def steer(self) -> None:
        """Tell the kernel which workers may be chosen."""
        active = [member for member in self.members if member.takes_clients]
        self.steerer.steer(
            [[listener.opened.socket for listener in member.resources.listeners] for member in self.members],
            [(member.index, member.cpu) for member in active],
        )

    @property
    def resources(self) -> list[WorkerResources]:
        """What each worker has, in the order of their places."""
        return [member.resources for member in self.members]

    @property
    def flows(self) -> int:
        return sum(member.resources.flows for member in self.members)

    @property
    def heirs(self) -> list[Heir]:
        return [member.heir for member in self.members]

    # --- ending

    def stop(self) -> None:
        """Each finishes its slice; one that does not is ended."""
        processes = [member.process for member in self.members if member.process is not None]
        for process in processes:
            process.ask_to_stop()
        deadline_s = time.monotonic() + STOP_PATIENCE_S
        for process in processes:
            process.wait_for_end(max(deadline_s - time.monotonic(), 0.0))
        for member in self.members:
            member.heir.process = None

    def close(self, *, ends_workers: bool) -> None:
        """Close what is open; workers that still run are ended, or left to the next supervisor."""
        for member in self.members:
            if member.process is not None:
                if ends_workers:
                    member.process.kill()
                else:
                    member.process.close()
                member.heir.process = None
            member.close()
        self.members.clear()
