"""The addresses for clients, while they change under running calls.

Lives here: opening new ones beside every worker, letting old ones take no new flows, and closing those that nobody
uses any more. Must not live here: when workers take notice (reload, crew).
"""

from __future__ import annotations

from collections.abc import Sequence

from fastrelay.errors import ConfigError
from fastrelay.relay.resources import Listener, WorkerResources, open_beside, refuse_too_many_locals
from fastrelay.relay.settings import Endpoint, RelaySettings


def listen_on(workers: Sequence[WorkerResources], settings: RelaySettings) -> bool:
    """Open what is new, and let what is no longer wanted take no new flows. Whether anything changed.

    ConfigError, with nothing changed, when an address cannot be opened.
    """
    known = {each.endpoint for each in workers[0].listeners}
    added: list[tuple[WorkerResources, Listener]] = []
    try:
        for endpoint in settings.listen:
            if endpoint not in known:
                # every worker in turn: the order of the sockets in their group is that of the workers
                for worker in workers:
                    listener = open_beside(settings, endpoint, workers)
                    worker.listeners.append(listener)
                    added.append((worker, listener))
        refuse_too_many_locals(workers[0].listeners)
    except ConfigError:
        for worker, listener in added:
            worker.listeners.remove(listener)
            listener.opened.socket.close()
        raise
    return _mark_leaving(workers, settings.listen) or bool(added)


def _mark_leaving(workers: Sequence[WorkerResources], wanted: Sequence[Endpoint]) -> bool:
    changed = False
    for listener in (listener for worker in workers for listener in worker.listeners):
        is_leaving = listener.endpoint not in wanted
        changed |= is_leaving != listener.is_leaving
        listener.is_leaving = is_leaving
    return changed
