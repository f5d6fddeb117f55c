"""A relay's workers and descriptors, on their way to another supervisor.

Lives here: the three ways they travel, and the one form they travel in. Must not live here: what the new supervisor
does with them (supervisor), how a worker answers (worker).

- *exec*: a new release takes the supervisor's process over; descriptors keep their numbers, a memfd holds the rest.
- *adoption*: the supervisor died; each worker hands over what it has, on its socket in the run directory.
- *the service manager's store*: all of them died; sockets and pages come back with the next start, and workers do not.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import struct
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from fastrelay.errors import ConfigError, PeerError
from fastrelay.io.channel import Channel
from fastrelay.observe.logs import facts
from fastrelay.relay.introduction import VERSION, Introduction
from fastrelay.relay.process import WorkerProcess
from fastrelay.relay.resources import WorkerResources
from fastrelay.service.notify import kept_descriptors
from fastrelay.service.run_dir import RunDir

LOG = logging.getLogger(__name__)

EXEC_VARIABLE: Final = "FASTRELAY_HANDOVER"
STORED_STATE: Final = "state"
_CREDENTIALS = struct.Struct("=iII")


@dataclass(slots=True)
class Heir:
    """A worker's resources in new hands, with its process where that still runs."""

    index: int
    resources: WorkerResources
    process: WorkerProcess | None
    orphanage: socket.socket | None
    """Where the worker waits for adoption should the supervisor die."""


@dataclass(slots=True)
class Inheritance:
    """All that a supervisor takes over: nothing at a first start."""

    heirs: list[Heir]
    state: Mapping[str, Any]
    """What the supervisor remembers beside its workers: start time, counts of reloads and upgrades, draining."""
    way: str = "start"
    is_sorted: bool = True
    """Whether the places of the workers' sockets in their groups are those of the workers: closing one of them moves
    the last to its place, and who died first among orphans nobody knows."""


NOTHING: Final = Inheritance([], {})


# --- exec ------------------------------------------------------------------------


def write_state(state: Mapping[str, Any]) -> int:
    """A memfd with the state, to be read by read_state()."""
    descriptor = os.memfd_create("fastrelay-handover", os.MFD_CLOEXEC)
    os.write(descriptor, json.dumps({"version": VERSION, **state}).encode())
    return descriptor


def read_state(descriptor: int) -> dict[str, Any]:
    """ConfigError for a state of another form: the release that wrote it is too far away."""
    size = os.fstat(descriptor).st_size
    state = json.loads(os.pread(descriptor, size, 0))
    if not isinstance(state, dict) or state.get("version") != VERSION:
        raise ConfigError(EXEC_VARIABLE, "the running release hands over in another form; restart instead of upgrading")
    return state


def describe(heirs: list[Heir]) -> list[dict[str, Any]]:
    """Workers for a state that travels by exec: descriptors keep their numbers."""
    return [
        {
            "index": heir.index,
            "resources": heir.resources.describe(lambda descriptor: descriptor),
            "pid": 0 if heir.process is None else heir.process.pid,
            "channel": None if heir.process is None else heir.process.channel.fileno(),
            "orphanage": None if heir.orphanage is None else heir.orphanage.fileno(),
        }
        for heir in heirs
    ]


def descriptors(heir: Heir) -> list[int]:
    """What must stay open over the exec."""
    found = list(heir.resources.descriptors)
    if heir.process is not None:
        found.append(heir.process.channel.fileno())
    if heir.orphanage is not None:
        found.append(heir.orphanage.fileno())
    return found


def inherited(environ: MutableMapping[str, str]) -> Inheritance | None:
    """What came through an exec; None when there was none."""
    text = environ.pop(EXEC_VARIABLE, None)
    if text is None:
        return None
    descriptor = int(text)
    state = read_state(descriptor)
    os.close(descriptor)
    heirs = [_heir_by_exec(each) for each in state["workers"]]
    return Inheritance(heirs, state, "upgrade", state["is_sorted"])


def _heir_by_exec(each: Mapping[str, Any]) -> Heir:
    def take(descriptor: int) -> int:
        os.set_inheritable(descriptor, False)
        return descriptor

    process = None
    if each["pid"]:
        process = WorkerProcess(each["index"], each["pid"], Channel.of_descriptor(take(each["channel"])))
    orphanage = None if each["orphanage"] is None else socket.socket(fileno=take(each["orphanage"]))
    return Heir(each["index"], WorkerResources.restore(each["resources"], take), process, orphanage)


# --- adoption --------------------------------------------------------------------


def adopted(run_dir: RunDir) -> Inheritance:
    """The workers that a dead supervisor has left in this run directory."""
    found = [introduced for introduced in map(_adopt, run_dir.orphans()) if introduced is not None]
    if not found:
        return NOTHING
    heirs = sorted((heir for heir, _ in found), key=lambda heir: heir.index)
    is_whole = [heir.index for heir in heirs] == list(range(len(heirs)))
    return Inheritance(heirs, {}, "adoption", is_whole and all(is_sorted for _, is_sorted in found))


def _adopt(end: socket.socket) -> tuple[Heir, bool] | None:
    """The worker, and whether it knows its place. One that does not answer is stuck: it is ended."""
    # the kernel remembers who called listen() last, and that is the worker
    pid, _, _ = _CREDENTIALS.unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    process = WorkerProcess(-1, pid, Channel(end))
    try:
        introduced = Introduction.receive(process.channel)
    except PeerError as error:
        LOG.error("an orphaned worker cannot be adopted, and is ended", extra=facts(pid=pid, problem=str(error)))
        process.kill()
        return None
    process.index = introduced.index
    LOG.info("orphaned worker adopted", extra=facts(worker=introduced.index, pid=pid))
    return Heir(introduced.index, introduced.resources, process, introduced.orphanage), introduced.is_sorted


# --- the service manager's store ---------------------------------------------------


def stored_names(heir: Heir) -> dict[str, int]:
    """A name for each descriptor of a worker in the store."""
    resources = heir.resources
    names = {f"{heir.index}.listen.{at}": each.opened.socket.fileno() for at, each in enumerate(resources.listeners)}
    names[f"{heir.index}.trunk"] = resources.trunk.socket.fileno()
    names[f"{heir.index}.flows"] = resources.flow_page.descriptor
    names[f"{heir.index}.counters"] = resources.counter_page.descriptor
    return names


def stored_state(heirs: list[Heir]) -> dict[str, Any]:
    """The state beside them: each worker described by the names of its descriptors."""
    workers = []
    for heir in heirs:
        names = {descriptor: name for name, descriptor in stored_names(heir).items()}
        described = heir.resources.describe(lambda descriptor: descriptor)
        workers.append({"index": heir.index, "resources": _named(described, names)})
    return {"workers": workers}


def _named(described: dict[str, Any], names: Mapping[int, str]) -> dict[str, Any]:
    listeners = [{**each, "fd": names[each["fd"]]} for each in described["listeners"]]
    places = {key: names[described[key]] for key in ("trunk", "flow_page", "counter_page")}
    return {**described, "listeners": listeners, **places}


def stored(environ: MutableMapping[str, str]) -> Inheritance:
    """What the service manager kept: sockets and pages of workers that are no more."""
    kept = kept_descriptors(environ)
    if STORED_STATE not in kept:
        return NOTHING
    state = read_state(kept.pop(STORED_STATE))
    heirs = []
    for each in state["workers"]:
        numbered = {**each["resources"]}
        heirs.append(
            Heir(each["index"], WorkerResources.restore(numbered, lambda name: kept.pop(str(name))), None, None)
        )
    for descriptor in kept.values():
        os.close(descriptor)
    return Inheritance(heirs, {}, "store")
