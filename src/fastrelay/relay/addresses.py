"""The addresses for clients, while they change under running calls.

Lives here: opening new ones beside every worker, letting old ones take no new flows, and closing those that nobody
uses any more. Must not live here: when workers take notice (reload, crew).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from fastrelay.config.addresses import Endpoint
from fastrelay.relay.member import Member
from fastrelay.relay.resources import Listener, WorkerResources, open_beside, refuse_too_many_locals
from fastrelay.relay.settings import RelaySettings


def open_new(workers: Sequence[WorkerResources], settings: RelaySettings, undo: ExitStack) -> bool:
    """Listen on the addresses that are new, beside the others. Whether there are any; `undo` takes them back."""
    is_any_new = False
    for endpoint in settings.listen:
        # every worker in turn: the order of the sockets in their group is that of the workers
        for worker in workers:
            if all(listener.endpoint != endpoint for listener in worker.listeners):
                listener = open_beside(settings, endpoint, workers)
                worker.listeners.append(listener)
                undo.callback(_withdraw, worker, listener)
                is_any_new = True
    refuse_too_many_locals(workers[0].listeners)
    return is_any_new


def _withdraw(worker: WorkerResources, listener: Listener) -> None:
    worker.listeners.remove(listener)
    listener.opened.socket.close()


def mark_leaving(workers: Sequence[WorkerResources], wanted: Sequence[Endpoint]) -> bool:
    """Addresses that are no longer wanted are to take no new flows. Whether any of them changed."""
    changed = False
    for listener in (listener for worker in workers for listener in worker.listeners):
        is_leaving = listener.endpoint not in wanted
        changed |= is_leaving != listener.is_leaving
        listener.is_leaving = is_leaving
    return changed


def left_behind(members: Sequence[Member]) -> list[Endpoint]:
    """Addresses that are leaving and on which no worker has a flow any more. A worker that does not say has some."""
    used: set[Endpoint] = set()
    leaving: set[Endpoint] = set()
    for member in members:
        listeners = member.resources.listeners
        flows = member.process.flows_by_listener() if member.process is not None else None
        for at, listener in enumerate(listeners):
            if listener.is_leaving:
                leaving.add(listener.endpoint)
                if flows is None or len(flows) != len(listeners) or flows[at]:
                    used.add(listener.endpoint)
    return sorted(leaving - used)


def close_listeners(workers: Sequence[WorkerResources], endpoints: Sequence[Endpoint]) -> None:
    """The workers have them open until they are replaced."""
    for worker in workers:
        for listener in [each for each in worker.listeners if each.endpoint in endpoints]:
            _withdraw(worker, listener)
