"""The supervisor: owns sockets and pages, keeps the workers running, and takes the operator's signals.

Lives here: start, reload, drain, upgrade, stop, and saying how it stands. Must not live here: packets (worker), the
workers' lives (crew), what the operator sees on a screen (cli, observe).

    TERM    drain: no new calls, end when the last one has ended or time is up; a second one ends it now
    INT     end now
    HUP     read configuration and keys again
    USR2    replace this process by what is installed now

No thread may run in the process that enters a Supervisor: a fork copies only the thread that calls it.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from mmap import mmap
from types import TracebackType
from typing import Any, Final, Self

from fastrelay._ext.host import offload_works
from fastrelay.errors import ConfigError
from fastrelay.observe.logs import facts, tell_suppressed
from fastrelay.observe.status import ServiceState, ServiceStatus
from fastrelay.relay import handover, reload, upgrade
from fastrelay.relay.addresses import mark_leaving, open_new
from fastrelay.relay.configuration import errors_at_their_place
from fastrelay.relay.crew import Crew
from fastrelay.relay.handover import Inheritance
from fastrelay.relay.observer import Observer
from fastrelay.relay.resources import HASH_KEY_BYTES
from fastrelay.relay.settings import RelaySettings
from fastrelay.routing.keys import KeyRing
from fastrelay.service.notify import ServiceManager
from fastrelay.service.privileges import account_of, choose_cpus, drop_privileges
from fastrelay.service.run_dir import RunDir
from fastrelay.service.tallies import Tallies, key_statuses
from fastrelay.wire.address import format_endpoint

LOG = logging.getLogger(__name__)

SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD})
TICK_S: Final = 0.1
"""How often workers are looked at: a part of the time after which one counts as stuck."""
PUBLISH_EVERY_S: Final = 1.0
"""How old the status that others see may be, unless a signal has just changed it."""


class Supervisor:
    """One relay. Entering it starts the workers; leaving it ends what still runs and closes what it opened."""

    def __init__(
        self,
        settings: RelaySettings,
        *,
        read_settings: Callable[[], RelaySettings] | None = None,
        release: str = "",
    ) -> None:
        self.settings = settings
        self.ring = KeyRing(())
        self._read_settings = read_settings or (lambda: settings)
        self._release = release
        self._former_mask: set[signal.Signals | int] | None = None
        self._manager = ServiceManager(os.environ)
        self._run_dir: RunDir | None = None
        self._crew: Crew | None = None
        self._observer = Observer(settings.log_form)
        self._rehearsal: upgrade.Rehearsal | None = None
        self._tallies = Tallies(time.time())
        self._state = ServiceState.STARTING
        self._publish_s = 0.0
        self._kept: tuple[dict[str, int], dict[str, Any]] = ({}, {})
        """What the service manager holds: descriptors by name, and what they are."""
        self._has_ended_workers = True

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
        """End at once what still runs, and close what was opened; workers that we could not take over go on."""
        if self._rehearsal is not None:
            self._rehearsal.close()
        self._observer.close()
        if self._crew is not None:
            self._crew.close(ends_workers=self._has_ended_workers)
            self._crew = None
        if self._run_dir is not None:
            if self._has_ended_workers:
                self._run_dir.clear()
            self._run_dir.unlock()
            self._run_dir = None
        if self._former_mask is not None:
            # what came too late to matter must not strike when it is let through
            while signal.sigtimedwait(SIGNALS, 0) is not None:
                pass
            signal.pthread_sigmask(signal.SIG_SETMASK, self._former_mask)
            self._former_mask = None

    @property
    def crew(self) -> Crew:
        assert self._crew is not None, "the supervisor has been entered"
        return self._crew

    @property
    def counter_pages(self) -> list[mmap]:
        """What each worker counts, live."""
        return [resources.counter_page.memory for resources in self.crew.resources]

    @property
    def listening(self) -> list[str]:
        """The addresses for clients, which all workers share."""
        listeners = self.crew.members[0].resources.listeners
        return [format_endpoint(each.opened.ip, each.opened.port) for each in listeners if not each.is_leaving]

    @property
    def trunks(self) -> list[str]:
        """The address towards transceivers of each worker."""
        return [member.trunk for member in self.crew.members]

    @property
    def admin(self) -> str | None:
        """Where health and metrics are served over TCP."""
        return self._observer.address

    # --- start

    def _start(self) -> None:
        # blocked from here on and taken one by one in serve(): none is lost, and none interrupts
        self._former_mask = set(signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS))
        cpus = choose_cpus(self.settings.cpus, self.settings.worker_count)
        is_offloading = self.settings.is_offloading and self._offload_is_sound()
        self.settings = replace(self.settings, is_offloading=is_offloading)
        inheritance = self._inherit()
        self._has_ended_workers = not any(heir.process is not None for heir in inheritance.heirs)
        keys = [heir.resources.hash_key for heir in inheritance.heirs]
        hash_key = next((key for key in keys if key is not None), None) or os.urandom(HASH_KEY_BYTES)
        self._crew = Crew(
            self.settings, self.ring, hash_key, self._release, self._run_dir, is_sorted=inheritance.is_sorted
        )
        self._crew.open(inheritance.heirs, cpus)
        if self.settings.admin is not None and self._observer.tcp is None:
            self._observer.listen(self.settings.admin)
        self._report_warnings()
        # order matters: sockets may need privileges, keys must not; what can be read now can be reloaded later
        if self.settings.user is not None:
            drop_privileges(self.settings.user)
        self.ring = self._crew.ring = self._load_ring()
        self._open_run_dir_sockets()
        if inheritance.heirs:
            self._listen_as_configured(self._crew)
        self._crew.start()
        # from here on it is ours to end them
        self._has_ended_workers = True
        self._keep_descriptors()
        self._begin(inheritance)

    def _begin(self, inheritance: Inheritance) -> None:
        since_s = self._tallies.draining_since_s
        if since_s is not None:
            self.crew.drain()
        self._state = ServiceState.SERVING if since_s is None else ServiceState.DRAINING
        self._observer.start(time.monotonic())
        self._publish()
        self._manager.ready(self._in_words())
        if inheritance.heirs:
            LOG.info("relay taken over", extra=facts(way=inheritance.way, workers=len(inheritance.heirs)))

    def _inherit(self) -> Inheritance:
        """From an exec, from orphaned workers, or from the service manager; nothing at a first start."""
        by_exec = handover.inherited(os.environ)
        if by_exec is not None:
            self._take_state(by_exec)
            return by_exec
        if self.settings.run_dir is None:
            return handover.stored(os.environ)
        self._run_dir = RunDir.make(self.settings.run_dir, account_of(self.settings.user))
        self._run_dir.lock()
        found = handover.adopted(self._run_dir)
        if found.heirs:
            self._tallies.adoptions += 1
            return found
        return handover.stored(os.environ)

    def _take_state(self, inheritance: Inheritance) -> None:
        state = inheritance.state
        self._tallies = Tallies.parse(state["tallies"])
        self._tallies.upgrades += 1
        if state["lock"] is not None and self.settings.run_dir is not None:
            self._run_dir = RunDir(self.settings.run_dir)
            self._run_dir.take_over_lock(state["lock"])
        self._observer.take_over(state["admin"])

    def _listen_as_configured(self, crew: Crew) -> None:
        """What was taken over may listen on other addresses than are wanted now."""
        with ExitStack() as undo:
            open_new(crew.resources, self.settings, undo)
            undo.pop_all()
        mark_leaving(crew.resources, self.settings.listen)

    def _open_run_dir_sockets(self) -> None:
        if self._run_dir is not None:
            self.crew.open_orphanages()
            if self._observer.unix is None:
                self._observer.unix = self._run_dir.listen_for_admin()

    def _offload_is_sound(self) -> bool:
        if offload_works(":" in self.settings.trunk[0]):
            return True
        LOG.warning("UDP_SEGMENT does not deliver what is sent on this kernel: the trunk goes without, at more CPU")
        return False

    def _report_warnings(self) -> None:
        warnings = [warning for member in self.crew.members for warning in member.resources.warnings]
        for warning in dict.fromkeys(warnings):
            LOG.warning("the host did not grant an option", extra=facts(problem=warning))
        if self.settings.run_dir is None:
            LOG.warning(
                "no run directory", extra=facts(so="workers end with the supervisor, no command finds this relay")
            )

    def _load_ring(self) -> KeyRing:
        ring = self.settings.load_keys()
        ring.minting_key(time.time())  # without one the trunk would have no MAC
        return ring

    # --- serve

    def serve(self, on_tick: Callable[[], None] | None = None, tick_s: float = 1.0) -> None:
        """Run until the operator ends it. `on_tick` is called at once and then every `tick_s`."""
        due_s = time.monotonic()
        while self._state is not ServiceState.STOPPING:
            now_s = time.monotonic()
            if on_tick is not None and now_s >= due_s:
                on_tick()
                due_s = max(due_s + tick_s, now_s)
            wait_s = TICK_S if on_tick is None else min(TICK_S, max(due_s - now_s, 0.0))
            received = signal.sigtimedwait(SIGNALS, wait_s)
            if received is not None:
                self._take_signal(received.si_signo)
                self._publish_s = now_s  # whatever it was, it is news
            self._go_on()
        self._stop()

    def _take_signal(self, number: int) -> None:
        if number == signal.SIGTERM and self._state is not ServiceState.DRAINING:
            self._drain()
        elif number in (signal.SIGTERM, signal.SIGINT):
            LOG.info("stopping", extra=facts(signal=signal.Signals(number).name, flows=self.crew.flows))
            self._state = ServiceState.STOPPING
        elif number == signal.SIGHUP:
            self._reload()
        elif number == signal.SIGUSR2:
            self._rehearse()

    def _go_on(self) -> None:
        """What is due between two signals."""
        now_s = time.monotonic()
        self.crew.look_after(now_s)
        self.crew.replace_next()
        if self._rehearsal is not None:
            self._look_at_rehearsal(self._rehearsal)
        if self._state is ServiceState.DRAINING:
            self._look_at_drain()
        self._observer.look_after(now_s)
        if now_s >= self._publish_s:
            self._publish_s = now_s + PUBLISH_EVERY_S
            self._keep_descriptors()
            self._publish()
        self._manager.feed_watchdog()
        tell_suppressed()

    # --- drain and stop

    def _drain(self) -> None:
        self._state = ServiceState.DRAINING
        self._tallies.draining_since_s = time.time()
        LOG.info("draining", extra=facts(flows=self.crew.flows, at_most_s=self.settings.drain_timeout_s))
        self._manager.status(self._in_words())
        self.crew.drain()

    @property
    def _deadline_s(self) -> float | None:
        since_s = self._tallies.draining_since_s
        return None if since_s is None else since_s + self.settings.drain_timeout_s

    def _look_at_drain(self) -> None:
        flows = self.crew.flows
        if not flows:
            LOG.info("drained")
        elif self._deadline_s is not None and time.time() >= self._deadline_s:
            LOG.warning("the time to drain is up", extra=facts(flows=flows))
        else:
            return
        self._state = ServiceState.STOPPING

    def _stop(self) -> None:
        self._manager.stopping(self._in_words())
        self._publish()
        for name in (*self._kept[0], handover.STORED_STATE):
            self._manager.forget(name)
        self.crew.stop()

    # --- reload

    def _reload(self) -> None:
        """All of the new configuration or nothing of it."""
        self._manager.reloading()
        try:
            wanted = self._read_settings()
            with errors_at_their_place(wanted):
                changes = reload.apply(self.crew, self.settings, wanted)
        except ConfigError as error:
            self._tallies.reloads_refused += 1
            self._tallies.last_problem = str(error)
            LOG.error("reload refused, everything stays as it was", extra=facts(problem=str(error)))
        else:
            self._tallies.reloads += 1
            self.settings, self.ring = self.crew.settings, self.crew.ring
            LOG.info("reloaded", extra=facts(**changes))
        self._manager.ready(self._in_words())

    # --- upgrade

    def _rehearse(self) -> None:
        if self._rehearsal is not None:
            LOG.warning("an upgrade is under way already")
            return
        try:
            self._rehearsal = upgrade.Rehearsal(upgrade.own_command(), self._handover_state())
        except ConfigError as error:
            self._refuse_upgrade(error)

    def _look_at_rehearsal(self, rehearsal: upgrade.Rehearsal) -> None:
        try:
            said = rehearsal.outcome()
            if said is None:
                return
            self._rehearsal = None
            LOG.info("upgrading", extra=facts(old=self._release, new=said["release"], keeps_flows=said["keeps_flows"]))
            self._manager.reloading()
            self._observer.stop()
            upgrade.become(upgrade.own_command(), self._handover_state(), self._handed_descriptors())
        except ConfigError as error:
            self._rehearsal = None
            self._refuse_upgrade(error)

    def _refuse_upgrade(self, error: ConfigError) -> None:
        self._tallies.upgrades_refused += 1
        self._tallies.last_problem = str(error)
        LOG.error("upgrade refused, the old release serves on", extra=facts(problem=error.problem))

    def _handed_descriptors(self) -> list[int]:
        """What must stay open over the exec."""
        handed = [descriptor for heir in self.crew.heirs for descriptor in handover.descriptors(heir)]
        handed += [listener.fileno() for _, listener in self._observer.sockets]
        if self._run_dir is not None and self._run_dir.lock_descriptor is not None:
            handed.append(self._run_dir.lock_descriptor)
        return handed

    def _handover_state(self) -> dict[str, Any]:
        return {
            "release": self._release,
            "workers": handover.describe(self.crew.heirs),
            "tallies": self._tallies.build(),
            "fixed": reload.fixed_values(self.settings),
            "is_sorted": self.crew.steerer.is_sorted,
            "lock": None if self._run_dir is None else self._run_dir.lock_descriptor,
            "admin": {name: listener.fileno() for name, listener in self._observer.sockets},
        }

    # --- what others are told

    def _keep_descriptors(self) -> None:
        """The service manager gets what a start after the death of all of us needs, and gives back what is gone."""
        if not self._manager.keeps_descriptors:
            return
        names = {name: at for heir in self.crew.heirs for name, at in handover.stored_names(heir).items()}
        state = handover.stored_state(self.crew.heirs)
        if (names, state) == self._kept:
            return
        for name in self._kept[0].keys() - names.keys():
            self._manager.forget(name)
        for name, descriptor in names.items():
            self._manager.keep(name, descriptor)
        self._kept = names, state
        written = handover.write_state(state)
        self._manager.forget(handover.STORED_STATE)
        self._manager.keep(handover.STORED_STATE, written)
        os.close(written)

    def _publish(self) -> None:
        self._observer.tell(self.status(), [(member.index, member.resources) for member in self.crew.members])

    def status(self) -> ServiceStatus:
        """How this relay stands."""
        # a list in between: a tuple made from a generator leaves a piece of memory behind each time, thousands of times
        workers = [member.status for member in self.crew.members]
        return ServiceStatus(
            release=self._release,
            pid=os.getpid(),
            state=self._state,
            listen=tuple(self.listening),
            workers=tuple(workers),
            keys=key_statuses(self.ring, int(time.time())),
            drain_deadline_s=self._deadline_s,
            steering=self.crew.steerer.way.value,
            config=self.settings.shown,
            **self._tallies.build(),
        )

    def _in_words(self) -> str:
        return f"{self._state}: {len(self.crew.members)} workers, {self.crew.flows} flows"
