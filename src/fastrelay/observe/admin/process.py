"""The observer's process: messages from its supervisor in, HTTP out, a sample each second.

Lives here: the protocol with the supervisor, and when things happen. Must not live here: what is shown (routes).

The supervisor sends {"kind": "status", "status": …}, {"kind": "pages", "worker": i} with two descriptors, flow page
and counter page, and {"kind": "gone", "worker": i}. It gets {"kind": "ready"} once. The end of the channel is the end
of the process.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from fastrelay.errors import PeerError
from fastrelay.io.channel import Channel, Message
from fastrelay.observe.admin.routes import Routes, in_turns
from fastrelay.observe.admin.server import Doors
from fastrelay.observe.logs import facts
from fastrelay.observe.observed import Observed, Pages
from fastrelay.observe.status import ServiceStatus

LOG = logging.getLogger(__name__)

SAMPLE_EVERY_S: Final = 1.0
MESSAGES_AT_ONCE: Final = 16
WORKERS_MAX: Final = 256


class Inbox:
    """Takes the supervisor's messages in. One that makes no sense is logged and forgotten: the next may."""

    def __init__(self, channel: Channel, observed: Observed) -> None:
        self._channel = channel
        self._observed = observed
        self._kinds: Mapping[str, Callable[[Message], None]] = {
            "status": self._status,
            "pages": self._pages,
            "gone": self._gone,
        }

    def take(self) -> bool:
        """Everything that has arrived. False when the supervisor is gone."""
        for message in self._channel.waiting(MESSAGES_AT_ONCE, _ignore):
            if message is None:
                return False
            try:
                self._take(message)
            finally:
                message.close()
        return True  # the rest at the next turn of the loop

    def _take(self, message: Message) -> None:
        kind = message.body.get("kind")
        handle = self._kinds.get(kind) if isinstance(kind, str) else None
        try:
            if handle is None:
                raise PeerError(f"unknown kind {kind!r}")
            handle(message)
        except (PeerError, OSError, ValueError, TypeError, AttributeError) as error:
            # of another release, maybe: a wrong type deep inside shows as any of these
            LOG.warning("a message of the supervisor is ignored", extra=facts(kind=str(kind), problem=str(error)))

    def _status(self, message: Message) -> None:
        values = message.body.get("status")
        if not isinstance(values, dict):
            raise PeerError("a status that is no JSON object")
        self._observed.status = ServiceStatus.parse(values)

    def _pages(self, message: Message) -> None:
        index = _worker_of(message.body)
        if len(message.descriptors) != 2:
            raise PeerError(f"pages of worker {index} with {len(message.descriptors)} descriptors")
        self._observed.take_pages(index, Pages(*message.descriptors))

    def _gone(self, message: Message) -> None:
        self._observed.take_pages(_worker_of(message.body), None)


def _ignore(nonsense: PeerError) -> None:
    LOG.warning("a message of the supervisor is ignored", extra=facts(problem=nonsense.problem))


def _worker_of(body: Mapping[str, Any]) -> int:
    index = body.get("worker")
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < WORKERS_MAX:
        raise PeerError(f"{index!r} is no worker's index")
    return index


async def observe(channel: Channel, sockets: Sequence[socket.socket]) -> None:
    """Serve until the supervisor is gone."""
    observed = Observed()
    inbox, doors = Inbox(channel, observed), Doors(Routes(observed))
    is_over = asyncio.Event()

    def take_messages() -> None:
        if not inbox.take():
            loop.remove_reader(channel.fileno())
            is_over.set()

    loop = asyncio.get_running_loop()
    await doors.open(sockets)
    if not channel.send({"kind": "ready"}):
        is_over.set()
    loop.add_reader(channel.fileno(), take_messages)
    try:
        # a fault in sampling ends the process, which is then started again: old numbers must not pass for new ones
        async with asyncio.TaskGroup() as group:
            sampling = group.create_task(_sample_forever(observed))
            await is_over.wait()
            sampling.cancel()
    finally:
        await doors.close()
        observed.close()


async def _sample_forever(observed: Observed) -> None:
    loop = asyncio.get_running_loop()
    due_s = loop.time()
    while True:
        observed.sample()
        await in_turns(observed.survey())
        due_s = max(due_s + SAMPLE_EVERY_S, loop.time())
        await asyncio.sleep(due_s - loop.time())
