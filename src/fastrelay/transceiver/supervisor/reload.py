"""Other settings for a running transceiver: all of them, or nothing.

Lives here: what may change while calls go on, in which order it is done, and what is said of it. Must not live here:
reading the configuration (configuration), how a worker takes it (worker.process).

Every worker tries the new settings before any takes them. What a process has from its birth, as its trunk port, changes
by succession, and then the first successor is the trial. An agent is such a thing: to import it beside live calls would
hold them up, for libraries are loaded with Python's lock held, seconds long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from fastrelay.errors import ConfigError, WorkerError
from fastrelay.service.privileges import choose_cpus
from fastrelay.service.tallies import ring_changes
from fastrelay.transceiver.supervisor.charges import Charges
from fastrelay.transceiver.supervisor.crew import Crew
from fastrelay.transceiver.supervisor.process import Stage, WorkerProcess
from fastrelay.transceiver.supervisor.settings import WORKERS_MAX, TransceiverSettings
from fastrelay.transceiver.worker.orders import Charge, Order, Word

TRIAL_PATIENCE_S: Final = 5.0
FIXED: Final = {"user": "--user", "run_dir": "--run-dir", "admin": "--admin", "log_form": "--log"}
FIXED_HTTP: Final = {"listen": "--http"}
TOLD: Final = ("agent", "allowed", "cluster", "dtls_role", "limits", "relays", "signalling", "trunk")
"""Of these the log says that they have changed; of the keys, which."""


async def apply(crew: Crew, old: Charges, new: Charges) -> dict[str, object]:
    """Bring the crew to the new settings; what changed, for the log. ConfigError: nothing has changed."""
    refuse_fixed(old.settings, new.settings)
    cpus = cpus_of(new.settings)
    prepared = await _prepare(crew, new)
    crew.charge_of = new.charge
    is_by_succession = born_with(old.settings) != born_with(new.settings)
    first = next((member for member in crew.members if member.process is not None), None)
    try:
        if is_by_succession and first is not None:
            await crew.replace(first)
    except (ConfigError, WorkerError) as error:
        crew.charge_of = old.charge
        raise error if isinstance(error, ConfigError) else ConfigError("workers", str(error)) from error
    _commit(prepared, new)
    crew.memory_max_bytes = new.settings.limits.memory_mib << 20
    if is_by_succession:
        for member in crew.members:
            member.is_due = member is not first and member.process is not None
    crew.wanted_cpus = cpus
    return changes_between(old, new)


async def _prepare(crew: Crew, new: Charges) -> dict[WorkerProcess, Any]:
    """Those that could work so, with the serial number under which they wait for the word."""
    asked = [process for process in crew.processes if process.stage is not Stage.STARTING]
    answers = await crew.ask(asked, Order.PREPARE, lambda process: _values(new, process), TRIAL_PATIENCE_S)
    for process in asked:
        word, body = answers.get(process, (None, {}))
        if word is Word.REFUSED:
            raise ConfigError(str(body.get("key") or "workers"), str(body.get("problem")))
        if word is None and process.stage is not Stage.ENDED:
            raise ConfigError("workers", f"worker {process.index} (pid {process.pid}) does not say whether it can")
    return {process: body["serial"] for process, (_, body) in answers.items()}


def _values(new: Charges, process: WorkerProcess) -> Mapping[str, Any]:
    return _charge_of(new, process).build()


def _charge_of(new: Charges, process: WorkerProcess) -> Charge:
    """The new settings for a process that is there, and has its agent."""
    charge = new.charge(process.slot, process.cpu)
    return replace(charge, plan=replace(charge.plan, agent=process.charge.plan.agent))


def _commit(prepared: Mapping[WorkerProcess, Any], new: Charges) -> None:
    for process, serial in prepared.items():
        if process.order(Order.COMMIT, serial=serial):
            process.charge = _charge_of(new, process)


def cpus_of(settings: TransceiverSettings) -> list[int]:
    """A CPU for each worker."""
    return choose_cpus(settings.cpus, settings.worker_count)[:WORKERS_MAX]


def born_with(settings: TransceiverSettings) -> tuple[object, ...]:
    """What a worker's process has from its beginning to its end."""
    http = settings.signalling
    return settings.trunk, settings.allowed, settings.agent, http.serves_demo, http.certificate_file is None


def refuse_fixed(old: TransceiverSettings, new: TransceiverSettings) -> None:
    changed = [option for name, option in FIXED.items() if getattr(old, name) != getattr(new, name)]
    for name, option in FIXED_HTTP.items():
        if getattr(old.signalling, name) != getattr(new.signalling, name):
            changed.append(option)
    if changed:
        raise ConfigError(changed[0], "cannot change while the transceiver runs; restart it")


def changes_between(old: Charges, new: Charges) -> dict[str, object]:
    changes: dict[str, object] = {f"keys_{how}": ids for how, ids in ring_changes(old.ring, new.ring).items() if ids}
    for name in TOLD:
        if getattr(old.settings, name) != getattr(new.settings, name):
            changes[name] = "changed"
    if old.api_keys != new.api_keys:
        changes["api_keys"] = "changed"
    if cpus_of(old.settings) != cpus_of(new.settings):
        changes["workers"] = len(cpus_of(new.settings))
    return changes
