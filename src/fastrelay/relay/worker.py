"""One relay worker: a process that runs the loop, and between two slices does as it is told.

Lives here: what happens in the child after the fork, and the orders it takes. Must not live here: forking, signals of
the operator, opening anything (process, crew, resources).

A worker is forked beside its predecessor and waits. When the predecessor has gone, it attaches to the same sockets and
the same page, and says `serving`: at no time do two of them work on one table.

    order       with                        answer
    settings    keys, allowed, limits       taken
    drain       is_draining                 taken
    sibling     worker, a flow page         taken
    forget      worker                      taken
    count       -                           taken, flows: those on each listener
    stop        -                           none: it finishes its slice and ends

When its supervisor has died, a worker goes on, and waits on its socket in the run directory for the next one.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from mmap import mmap
from typing import Any

from fastrelay._ext.relay_loop import RelayLoop
from fastrelay.io.channel import Channel, Message
from fastrelay.observe.logs import facts
from fastrelay.relay.dataplane.limits import Limits
from fastrelay.relay.introduction import Introduction
from fastrelay.relay.resources import Page, WorkerResources
from fastrelay.relay.settings import RelaySettings
from fastrelay.routing.keys import KeyRing

LOG = logging.getLogger(__name__)

SLICE_MS = 100
"""How long the loop runs before it looks for an order: an order waits this long at most."""
SERVING, TAKEN = "serving", "taken"
ORPHANAGE_BACKLOG = 4


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What one worker is given. The resources stay the supervisor's."""

    index: int
    cpu: int
    resources: WorkerResources
    settings: RelaySettings
    ring: KeyRing
    hash_key: bytes
    siblings: Mapping[int, mmap] = field(default_factory=dict)
    is_draining: bool = False
    orphanage: socket.socket | None = None
    """Where it waits for adoption; None: it ends with its supervisor."""
    predecessor: int | None = None
    """A pidfd of the process to wait for."""
    is_sorted: bool = True
    """Whether the places of the workers' sockets in their groups are known to be those of the workers."""


def become_worker(plan: WorkerPlan, control: Channel) -> None:
    """Run as the worker in a forked child. Never returns, and unwinds nothing of the parent's."""
    status = 1
    try:
        _take_no_signals()
        _close_all_but(plan, control)
        os.sched_setaffinity(0, {plan.cpu})
        worker = _Worker(plan, control)
        status = worker.run()
        worker.close()
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(status)


def _take_no_signals() -> None:
    """A terminal and a service manager signal the whole group; the supervisor alone decides what that means."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _close_all_but(plan: WorkerPlan, control: Channel) -> None:
    """Whatever else the supervisor has open would stay open with us: a retired sibling's socket would go on taking
    packets that nobody reads, and the lock of the run directory would outlive the supervisor."""
    ours = {0, 1, 2, control.fileno(), *plan.resources.descriptors}
    if plan.orphanage is not None:
        ours.add(plan.orphanage.fileno())
    if plan.predecessor is not None:
        ours.add(plan.predecessor)
    beyond = max(ours) + 1
    for descriptor in range(3, beyond):
        if descriptor not in ours:
            os.closerange(descriptor, descriptor + 1)
    os.closerange(beyond, os.sysconf("SC_OPEN_MAX"))


class _Worker:
    """The child's own state between two slices."""

    def __init__(self, plan: WorkerPlan, control: Channel) -> None:
        self._plan = plan
        self._control: Channel | None = control
        self._siblings: dict[int, mmap] = dict(plan.siblings)
        if plan.orphanage is not None:
            # again, and by us: whoever connects asks the kernel for the id of the process that listens
            plan.orphanage.listen(ORPHANAGE_BACKLOG)
            plan.orphanage.setblocking(False)
        if plan.predecessor is not None:
            # by ourselves, and not by an order: the supervisor may die meanwhile
            _wait_for_end(plan.predecessor)
        self._loop = build_loop(plan, self._siblings)
        self._was_offloading = self._loop.is_offloading

    def run(self) -> int:
        if self._control is not None:
            self._control.send({"said": SERVING})
        while True:
            self._loop.run(SLICE_MS)
            self._note_offload()
            if self._control is None:
                self._look_for_a_supervisor()
                continue
            try:
                message = self._control.receive()
            except TimeoutError:
                continue
            if message is None:
                if self._plan.orphanage is None:
                    return 0
                self._become_orphan()
            elif message.body.get("order") == "stop":
                return 0
            else:
                self._obey(message, self._control)

    def close(self) -> None:
        if self._control is not None:
            self._control.close()

    def _note_offload(self) -> None:
        if self._was_offloading and not self._loop.is_offloading:
            LOG.warning(
                "UDP_SEGMENT failed and is switched off until the next start", extra=facts(worker=self._plan.index)
            )
        self._was_offloading = self._loop.is_offloading

    # --- orders

    def _obey(self, message: Message, control: Channel) -> None:
        order = message.body.get("order")
        said: dict[str, object] = {"said": TAKEN}
        if order == "settings":
            take_settings(self._loop, message.body)
        elif order == "drain":
            self._loop.set_draining(message.body["is_draining"])
        elif order == "sibling":
            self._meet(message)
        elif order == "count":
            said["flows"] = self._loop.listener_flows()
        elif order == "forget":
            self._siblings.pop(message.body["worker"], None)
            self._loop.set_siblings(list(self._siblings.values()))
        else:
            LOG.error("an order that this release does not know", extra=facts(order=str(order)))
        message.close()
        control.send(said)

    def _meet(self, message: Message) -> None:
        page = Page(message.descriptors.pop())
        os.close(page.descriptor)
        self._siblings[message.body["worker"]] = page.memory
        self._loop.set_siblings(list(self._siblings.values()))

    # --- without a supervisor

    def _become_orphan(self) -> None:
        assert self._control is not None
        self._control.close()
        self._control = None
        LOG.error(
            "the supervisor is gone; calls go on, and its successor is awaited", extra=facts(worker=self._plan.index)
        )

    def _look_for_a_supervisor(self) -> None:
        assert self._plan.orphanage is not None
        try:
            end, _ = self._plan.orphanage.accept()
        except BlockingIOError:
            return
        control = Channel(end)
        if self._introduce_itself(self._plan.orphanage, control):
            self._control = control
        else:
            control.close()

    def _introduce_itself(self, orphanage: socket.socket, control: Channel) -> bool:
        plan = self._plan
        return Introduction(plan.index, plan.resources, orphanage, plan.is_sorted).send(control)


def _wait_for_end(pidfd: int) -> None:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll()
    os.close(pidfd)


def take_settings(loop: RelayLoop, order: Mapping[str, Any]) -> None:
    """What a running loop can take: the key ring, the networks of transceivers, the limits."""
    loop.set_keys(KeyRing.parse(order["keys"].encode()).entries())
    loop.set_allowed([ip_network(text) for text in order["allowed"]])
    loop.set_limits(Limits(**order["limits"]))


def build_loop(plan: WorkerPlan, siblings: Mapping[int, mmap]) -> RelayLoop:
    """Attach to sockets and pages. Whoever did so before must have ended."""
    resources, settings = plan.resources, plan.settings
    loop = RelayLoop(
        plan.ring.entries(),
        settings.allowed,
        settings.cluster,
        resources.locals,
        settings.limits,
        time.time_ns() // 1000,
        listeners=[
            (
                listener.opened.socket.fileno(),
                listener.opened.socket.family,
                listener.opened.ip,
                listener.opened.port,
                listener.opened.is_wildcard,
                not listener.is_leaving,
            )
            for listener in resources.listeners
        ],
        trunk=(resources.trunk.socket.fileno(), resources.trunk.socket.family),
        is_offloading=settings.is_offloading,
        is_spinning=settings.is_spinning,
        flow_page=resources.flow_page.memory,
        counter_page=resources.counter_page.memory,
        hash_key=plan.hash_key,
        siblings=list(siblings.values()),
    )
    loop.set_draining(plan.is_draining)
    return loop
