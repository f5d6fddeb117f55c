"""Two ends of a data channel joined in memory, in virtual time, over a path that may lose, repeat and reorder packets.

Lives here: the joint and the loop that does not wait. Must not live here: what is expected of the ends.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from fastrelay.transceiver.data_channel import DataChannels


class _NoWaiting(selectors.DefaultSelector):
    """A selector that lets the clock jump to when something is due."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing is due: the test would wait for ever"
            self.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while it has nothing to do."""

    def __init__(self) -> None:
        self._no_waiting = _NoWaiting()
        super().__init__(self._no_waiting)
        self.complaints: list[str] = []
        self.set_exception_handler(lambda _, context: self.complaints.append(str(context)))

    def time(self) -> float:
        return self._no_waiting.now_s

    def timers(self) -> list[asyncio.TimerHandle]:
        scheduled: list[asyncio.TimerHandle] = vars(self)["_scheduled"]  # asyncio offers no other view
        return [timer for timer in scheduled if not timer.cancelled()]


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a test in virtual time; whatever the loop would have logged fails it."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work)
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        assert not loop.complaints, loop.complaints


@dataclass
class Heard:
    """A listener that writes down what it is told."""

    opened: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    messages: list[tuple[str, str | bytes]] = field(default_factory=list)
    is_closed: bool = False

    def channel_opened(self, label: str) -> None:
        self.opened.append(label)

    def channel_closed(self, label: str) -> None:
        self.ended.append(label)

    def message(self, label: str, content: str | bytes) -> None:
        self.messages.append((label, content))

    def closed(self) -> None:
        self.is_closed = True

    @property
    def contents(self) -> list[str | bytes]:
        return [content for _, content in self.messages]


@dataclass(frozen=True)
class Trouble:
    """What befalls packets on their way: shares of those lost, sent twice, and overtaken; and by number."""

    lost: float = 0.0
    repeated: float = 0.0
    delayed: float = 0.0
    lose_number: int | None = None
    repeat_number: int | None = None
    seed: int = 1


DELAY_S = 0.010


class Pair:
    """Two ends, `client` and `server` of DTLS, and what they have sent each other."""

    def __init__(self, trouble: Trouble = Trouble(), *, max_message_bytes: int = 0) -> None:
        self.client_heard, self.server_heard = Heard(), Heard()
        self.sent: list[tuple[str, bytes]] = []
        self._trouble = trouble
        self._dice = random.Random(trouble.seed)
        self.client = DataChannels(
            is_client=True,
            remote_port=5000,
            max_message_bytes=max_message_bytes,
            send=lambda packet: self._carry("client", packet, self.server.handle),
            listener=self.client_heard,
        )
        self.server = DataChannels(
            is_client=False,
            remote_port=5000,
            max_message_bytes=max_message_bytes,
            send=lambda packet: self._carry("server", packet, self.client.handle),
            listener=self.server_heard,
        )

    def _carry(self, sender: str, packet: bytes, take: Callable[[bytes], None]) -> None:
        number = len(self.sent)
        self.sent.append((sender, packet))
        trouble, loop = self._trouble, asyncio.get_running_loop()
        if number == trouble.lose_number or self._dice.random() < trouble.lost:
            return
        delay_s = DELAY_S * (3 if self._dice.random() < trouble.delayed else 1)
        delay_s += number * 1e-9  # timers due at the same moment come in any order
        loop.call_later(delay_s, take, packet)
        if number == trouble.repeat_number or self._dice.random() < trouble.repeated:
            loop.call_later(delay_s + DELAY_S / 2, take, packet)

    async def until(self, holds: Callable[[], bool], *, within_s: float = 60.0) -> None:
        """Let time pass until something holds; it must within this many virtual seconds."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + within_s
        while not holds():
            assert loop.time() < deadline_s, "it never came to hold"
            await asyncio.sleep(DELAY_S / 2)

    async def settle(self) -> None:
        """Let what is on its way arrive, and be answered."""
        await asyncio.sleep(1.0)

    async def open(self, label: str = "events", **options: Any) -> None:
        """Have the client open a channel, and wait until both ends know of it."""
        assert self.client.open(label, **options)
        await self.until(lambda: label in self.client_heard.opened and label in self.server_heard.opened)

    async def close(self) -> None:
        """Close both ends, and see that nothing of them is left."""
        await self.client.close()
        await self.server.close()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        await asyncio.sleep(1.0)  # packets on their way are the joint's timers
        assert not loop.timers(), loop.timers()
        assert asyncio.all_tasks() == {asyncio.current_task()}
