"""A worker's first moments: its charge is read, its CPU taken, its trunk port opened, its agent imported.

Lives here: all that can fail before there is a loop, and saying so. Must not live here: what comes after (process).
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import resource
import socket
import traceback
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from fastrelay.agent.loading import LoadedAgent, load_agent
from fastrelay.errors import ConfigError, FastrelayError, PeerError
from fastrelay.io.channel import Channel
from fastrelay.observe.logs import configure, facts
from fastrelay.routing.keys import KeyRing
from fastrelay.transceiver.trunk_port import OpenTrunkPort, open_trunk_port
from fastrelay.transceiver.worker.orders import Charge, Order, Word, in_words
from fastrelay.transceiver.worker.plan import TRUNK_PORTS, WorkerPlan
from fastrelay.transceiver.worker.process import Worker

LOG = logging.getLogger(__name__)

FIRST_ORDER_S: Final = 10.0
SOCKETS: Final = 2
"""HTTP, and the neighbours'."""
UNUSABLE: Final = 2


@dataclass(frozen=True, slots=True)
class Beginning:
    """What the first order has brought."""

    charge: Charge
    sockets: list[socket.socket]

    @classmethod
    def receive(cls, channel: Channel) -> Beginning:
        """PeerError when no usable order comes."""
        try:
            message = channel.receive(timeout_s=FIRST_ORDER_S)
        except TimeoutError:
            raise PeerError(f"no order within {FIRST_ORDER_S:g} s") from None
        if message is None:
            raise PeerError("the supervisor has gone")
        sockets = [socket.socket(fileno=message.descriptors.pop(0)) for _ in range(len(message.descriptors))]
        try:
            if message.body.get("kind") != Order.PLAN or len(sockets) != SOCKETS:
                raise PeerError("the first order is not a plan with its sockets")
            return cls(Charge.parse(message.body), sockets)
        except (PeerError, ConfigError):
            for each in sockets:
                each.close()
            raise


def work(channel: Channel) -> int:
    """Be a worker to the end; the process's exit code."""
    try:
        beginning = Beginning.receive(channel)
    except (PeerError, ConfigError) as error:
        channel.send({"kind": Word.FAILED, **in_words(error)})
        return UNUSABLE
    plan = beginning.charge.plan
    configure(plan.log_form)
    _take_descriptors()
    try:
        _pin(plan.cpu)
        with open_port(plan, beginning.charge.ring) as port:
            with _AgentsOwnFaults(plan.agent):
                agent = load_agent(plan.agent)
            # what has been imported stays for ever, and need not be looked at again at each collection
            gc.freeze()
            asyncio.run(_serve(beginning, agent, port, channel))
    except ConfigError as error:
        channel.send({"kind": Word.FAILED, **in_words(error)})
        return UNUSABLE
    finally:
        for each in beginning.sockets:
            each.close()
    return 0


class _AgentsOwnFaults:
    """Around its import: whatever a module raises is in the log with its trace, and for the operator one sentence."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, Exception) or isinstance(error, FastrelayError):
            return
        lines = "".join(traceback.format_exception(error))
        LOG.error("the agent cannot be imported", extra=facts(agent=self._name, trace=lines))
        raise ConfigError("agent", f"{self._name} cannot be imported: {type(error).__name__}: {error}") from error


async def _serve(beginning: Beginning, agent: LoadedAgent, port: OpenTrunkPort, channel: Channel) -> None:
    await Worker(beginning.charge, agent, port, channel, beginning.sockets).run()


def _take_descriptors() -> None:
    """As many as this user may have: an agent on a thread takes three for each call."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _pin(cpu: int | None) -> None:
    if cpu is None:
        return
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError as error:
        LOG.warning("worker runs on any CPU", extra=facts(cpu=cpu, problem=str(error.strerror)))


def open_port(plan: WorkerPlan, ring: KeyRing) -> OpenTrunkPort:
    """Its trunk port; what the host has not granted it is told."""
    port = _first_free_port(plan, ring)
    for warning in port.warnings:
        LOG.warning("the host did not grant an option", extra=facts(problem=warning))
    return port


def _first_free_port(plan: WorkerPlan, ring: KeyRing) -> OpenTrunkPort:
    """Of its range: predecessors and neighbours have theirs."""
    ip, first = plan.trunk
    ports = range(first, first + TRUNK_PORTS) if first else range(1)
    for port in ports:
        try:
            return open_trunk_port((ip, port), ring, plan.allowed)
        except ConfigError as error:
            is_taken = isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE
            if not is_taken or len(ports) == 1:
                raise
    raise ConfigError("--trunk", f"all ports of {ip} from {first} to {first + TRUNK_PORTS - 1} are taken")
