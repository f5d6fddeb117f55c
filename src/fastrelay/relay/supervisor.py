"""The supervisor: owns sockets and pages, forks the workers, and takes the operator's signals.

Lives here: start, reload, stop, and what happens when a worker dies. Must not live here: packets (worker), what the
operator sees on a screen (cli, observe).

No thread may run in the process that enters a Supervisor: a fork copies only the thread that calls it.
"""

from __future__ import annotations

import logging
import os
import pwd
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from fastrelay._ext.host import offload_works
from fastrelay.errors import ConfigError, WorkerError
from fastrelay.observe.logs import facts
from fastrelay.relay.resources import WorkerResources, open_resources
from fastrelay.relay.settings import RelaySettings
from fastrelay.relay.worker import READY, RELOADED, WorkerPlan, become_worker
from fastrelay.routing.keys import KeyRing
from fastrelay.wire.address import format_endpoint

LOG = logging.getLogger(__name__)

SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD})
START_PATIENCE_S = 10.0
ANSWER_PATIENCE_S = 2.0
STOP_PATIENCE_S = 2.0


@dataclass(slots=True)
class WorkerProcess:
    """A running worker. `control` is our end of the socket pair; closing it is the order to stop."""

    index: int
    pid: int
    control: socket.socket


class Supervisor:
    """One relay. Entering it starts the workers; leaving it ends what still runs and closes what it opened."""

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings
        self._workers: list[WorkerProcess] = []
        self._ring = KeyRing(())
        self._former_mask: set[signal.Signals | int] | None = None
        self.resources: list[WorkerResources] = []

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self.close)
            self._start()
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End at once what still runs, and close what was opened."""
        self._kill()
        for resources in self.resources:
            resources.close()
        self.resources.clear()
        if self._former_mask is not None:
            # what came too late to matter must not strike when it is let through
            while signal.sigtimedwait(SIGNALS, 0) is not None:
                pass
            signal.pthread_sigmask(signal.SIG_SETMASK, self._former_mask)
            self._former_mask = None

    @property
    def listening(self) -> list[str]:
        """The addresses for clients, which all workers share."""
        return [format_endpoint(opened.ip, opened.port) for opened in self.resources[0].listeners]

    @property
    def trunks(self) -> list[str]:
        """The address towards transceivers of each worker."""
        return [format_endpoint(resources.trunk.ip, resources.trunk.port) for resources in self.resources]

    # --- start

    def _start(self) -> None:
        # blocked from here on and taken one by one in serve(): none is lost, and none interrupts
        self._former_mask = set(signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS))
        cpus = choose_cpus(self._settings)
        is_offloading = self._settings.is_offloading and self._offload_is_sound()
        self._settings = replace(self._settings, is_offloading=is_offloading)
        self.resources = open_resources(self._settings)
        self._report_warnings()
        # order matters: sockets may need privileges, keys must not; what can be read now can be reloaded later
        if self._settings.user is not None:
            drop_privileges(self._settings.user)
        self._ring = self._load_ring()
        for index, resources in enumerate(self.resources):
            self._fork(WorkerPlan(index, cpus[index], resources, self._settings, self._ring, is_offloading))
        for worker in self._workers:
            if self._answer(worker, START_PATIENCE_S) != READY:
                raise WorkerError(f"worker {worker.index} (pid {worker.pid}) did not start")
        for worker in self._workers:
            LOG.info("worker started", extra=facts(worker=worker.index, pid=worker.pid, cpu=cpus[worker.index]))

    def _offload_is_sound(self) -> bool:
        if offload_works(":" in self._settings.trunk[0]):
            return True
        LOG.warning("UDP_SEGMENT does not deliver what is sent on this kernel: the trunk goes without, at more CPU")
        return False

    def _report_warnings(self) -> None:
        warnings = [
            warning
            for resources in self.resources
            for opened in (*resources.listeners, resources.trunk)
            for warning in opened.warnings
        ]
        for warning in dict.fromkeys(warnings):
            LOG.warning(warning)

    def _load_ring(self) -> KeyRing:
        ring = self._settings.load_keys()
        ring.minting_key(time.time())  # without one the trunk would have no MAC
        return ring

    def _fork(self, plan: WorkerPlan) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            ours.close()
            # a sibling's end kept open here would hide the supervisor's death from that sibling
            for sibling in self._workers:
                sibling.control.close()
            become_worker(plan, theirs)
        theirs.close()
        self._workers.append(WorkerProcess(plan.index, pid, ours))

    def _answer(self, worker: WorkerProcess, patience_s: float) -> bytes:
        """What the worker says next; nothing when it is gone or silent."""
        worker.control.settimeout(patience_s)
        try:
            return worker.control.recv(64)
        except (TimeoutError, ConnectionResetError):
            return b""

    # --- serve

    def serve(self, on_tick: Callable[[], None] | None = None, tick_s: float = 1.0) -> None:
        """Run until TERM or INT. `on_tick` is called at once and then every `tick_s`. WorkerError when one dies."""
        due_s = time.monotonic()
        while True:
            if on_tick is not None and time.monotonic() >= due_s:
                on_tick()
                due_s = max(due_s + tick_s, time.monotonic())
            wait_s = tick_s if on_tick is None else due_s - time.monotonic()
            received = signal.sigtimedwait(SIGNALS, max(wait_s, 0.0))
            number = None if received is None else received.si_signo
            if number in (signal.SIGTERM, signal.SIGINT):
                LOG.info("stopping", extra=facts(signal=signal.Signals(number).name))
                self._stop()
                return
            if number == signal.SIGHUP:
                self._reload()
            self._look_for_the_dead()

    def _reload(self) -> None:
        """All of the new ring or nothing of it."""
        try:
            ring = self._load_ring()
        except ConfigError as error:
            LOG.error("key ring refused, the old one stays", extra=facts(problem=str(error)))
            return
        message = ring.build().encode()
        for worker in self._workers:
            worker.control.settimeout(ANSWER_PATIENCE_S)
            with suppress(OSError):  # one that is gone gives no answer below either
                worker.control.send(message)
        answers = [self._answer(worker, ANSWER_PATIENCE_S) for worker in self._workers]
        for worker, answer in zip(self._workers, answers, strict=True):
            if answer != RELOADED:
                LOG.error("worker did not take the key ring", extra=facts(worker=worker.index))
        if all(answer == RELOADED for answer in answers):
            LOG.info("key ring reloaded", extra=facts(**ring_changes(self._ring, ring)))
        self._ring = ring

    def _look_for_the_dead(self) -> None:
        for worker in list(self._workers):
            ended = _wait_for(worker.pid)
            if ended is not None:
                self._forget(worker)
                self._stop()
                raise WorkerError(f"worker {worker.index} (pid {worker.pid}) died ({ended}); the relay ends with it")

    # --- stop

    def _stop(self) -> None:
        """Ends the workers cleanly: each finishes its slice. A second signal, or too long a wait, ends them at once."""
        for worker in self._workers:
            worker.control.close()
        deadline_s = time.monotonic() + STOP_PATIENCE_S
        while self._workers:
            for worker in list(self._workers):
                if _wait_for(worker.pid) is not None:
                    self._forget(worker)
            if not self._workers:
                return
            left_s = deadline_s - time.monotonic()
            received = signal.sigtimedwait(SIGNALS - {signal.SIGHUP}, max(left_s, 0.0))
            if received is None or received.si_signo != signal.SIGCHLD:
                LOG.warning(
                    "workers are ended at once", extra=facts(workers=[worker.index for worker in self._workers])
                )
                self._kill()

    def _kill(self) -> None:
        for worker in list(self._workers):
            os.kill(worker.pid, signal.SIGKILL)
            os.waitpid(worker.pid, 0)
            self._forget(worker)

    def _forget(self, worker: WorkerProcess) -> None:
        worker.control.close()
        self._workers.remove(worker)


def _wait_for(pid: int) -> str | None:
    """How a worker ended, or None while it runs."""
    waited, status = os.waitpid(pid, os.WNOHANG)
    if not waited:
        return None
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def choose_cpus(settings: RelaySettings) -> list[int]:
    """A CPU for each worker: those asked for, else the process's own in turn."""
    available = sorted(os.sched_getaffinity(0))
    missing = [cpu for cpu in settings.cpus if cpu not in available]
    if missing:
        raise ConfigError("--cpus", f"{missing[0]} is not among this process's CPUs {','.join(map(str, available))}")
    if settings.cpus:
        return list(settings.cpus)
    if settings.workers > len(available):
        LOG.warning("more workers than CPUs: they will wait for each other", extra=facts(cpus=len(available)))
    return [available[index % len(available)] for index in range(settings.workers)]


def drop_privileges(user: str) -> None:
    """Become another user for good, with that user's groups alone."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise ConfigError("--user", f"there is no user {user!r}") from None
    if account.pw_uid == os.geteuid():
        return
    try:
        os.initgroups(account.pw_name, account.pw_gid)
        os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
        os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    except PermissionError as error:
        raise ConfigError("--user", f"cannot become {user!r}: only root may") from error


def ring_changes(old: KeyRing, new: KeyRing) -> dict[str, list[int]]:
    """Which key ids came, went, or have other times. An id with another secret came and went."""
    before = {(key.id, key.secret): key for key in old.keys}
    after = {(key.id, key.secret): key for key in new.keys}
    return {
        "added": [key.id for name, key in after.items() if name not in before],
        "dropped": [key.id for name, key in before.items() if name not in after],
        "changed": [key.id for name, key in after.items() if name in before and key != before[name]],
    }
