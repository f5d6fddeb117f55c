"""One relay worker: a process that runs the loop until its supervisor is gone.

Lives here: what happens in the child after the fork, and what the two say to each other. Must not live here: forking,
signals of the operator, opening anything (supervisor, resources).

They talk over a socket pair that keeps message borders. The worker says READY, takes a key ring (the JSON of a ring
file) and says RELOADED. End of file is the order to stop: it also comes when the supervisor dies.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
import traceback
from dataclasses import dataclass

from fastrelay._ext.relay_loop import RelayLoop
from fastrelay.observe.logs import facts
from fastrelay.relay.resources import WorkerResources
from fastrelay.relay.settings import RelaySettings
from fastrelay.routing.keys import KeyRing

LOG = logging.getLogger(__name__)

SLICE_MS = 100
"""How long the loop runs before it looks for an order: an order waits this long at most."""
READY, RELOADED = b"ready", b"reloaded"
ORDER_BYTES_MAX = 65536


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What one worker is given. The resources stay the supervisor's."""

    index: int
    cpu: int
    resources: WorkerResources
    settings: RelaySettings
    ring: KeyRing
    is_offloading: bool


def become_worker(plan: WorkerPlan, control: socket.socket) -> None:
    """Run as the worker in a forked child. Never returns, and unwinds nothing of the parent's."""
    status = 1
    try:
        _take_no_signals()
        status = _serve(plan, control)
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(status)


def _take_no_signals() -> None:
    """A terminal and a service manager signal the whole group; the supervisor alone decides what that means."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _serve(plan: WorkerPlan, control: socket.socket) -> int:
    os.sched_setaffinity(0, {plan.cpu})
    loop = build_loop(plan)
    control.setblocking(False)
    was_offloading = loop.is_offloading
    try:
        control.send(READY)
        while True:
            loop.run(SLICE_MS)
            if was_offloading and not loop.is_offloading:
                was_offloading = False
                LOG.warning(
                    "UDP_SEGMENT failed and is switched off until the next start", extra=facts(worker=plan.index)
                )
            try:
                order = control.recv(ORDER_BYTES_MAX)
            except BlockingIOError:
                continue
            if not order:
                return 0
            loop.set_keys(KeyRing.parse(order).entries())
            control.send(RELOADED)
    except (BrokenPipeError, ConnectionResetError):
        return 0  # the supervisor went between two calls


def build_loop(plan: WorkerPlan) -> RelayLoop:
    resources, settings = plan.resources, plan.settings
    return RelayLoop(
        plan.ring.entries(),
        settings.allowed,
        settings.cluster,
        resources.locals,
        settings.limits,
        time.time_ns() // 1000,
        listeners=[
            (opened.socket.fileno(), opened.socket.family, opened.ip, opened.port, opened.is_wildcard)
            for opened in resources.listeners
        ],
        trunk=(resources.trunk.socket.fileno(), resources.trunk.socket.family),
        is_offloading=plan.is_offloading,
        is_spinning=settings.is_spinning,
        flow_page=resources.flow_page,
        counter_page=resources.counter_page,
    )
