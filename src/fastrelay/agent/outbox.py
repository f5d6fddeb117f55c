"""What an agent writes to data channels, on its way to the media loop.

Lives here: the bound that makes a flooding agent wait, and the pace that keeps its flood from taking the loop's time.
Must not live here: data channels (transceiver.data_channel).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from fastrelay.agent.bell import Bell, Post

MESSAGES_MAX: Final = 64
"""Written and not yet handed over. An agent that writes more waits."""
BATCH: Final = 8
"""Handed over in one go: at 60 µs each the loop is held up for half a millisecond."""
BATCH_EVERY_S: Final = 0.01
"""Between two goes: a call writes 800 messages a second at most, ten times what the transcript of fast speech needs."""


class Outbox:
    """One call's messages to the client. `put` belongs to the agent, everything else to the media loop."""

    def __init__(
        self,
        media_loop: asyncio.AbstractEventLoop,
        to_media: Post,
        to_agent: Post,
        hand_over: Callable[[str, str | bytes], None],
    ) -> None:
        self._media_loop = media_loop
        self._to_media = to_media
        self._hand_over = hand_over
        self._messages: deque[tuple[str, str | bytes]] = deque()
        self._room = Bell(to_agent)
        self._is_scheduled = False
        self._is_closed = False

    async def put(self, channel: str, content: str | bytes) -> None:
        """Write a message; wait while too many are on their way."""
        while not self._has_room():
            await self._room.wait_unless(self._has_room)
        self._messages.append((channel, content))
        if not self._is_scheduled:
            self._is_scheduled = True
            self._to_media(self._schedule)

    def close(self) -> None:
        """The call is over: what has not been handed over is dropped, and nobody waits."""
        self._is_closed = True
        self._messages.clear()
        self._room.ring()

    def _has_room(self) -> bool:
        return len(self._messages) < MESSAGES_MAX or self._is_closed

    def _schedule(self) -> None:
        self._media_loop.call_soon(self._hand_over_some)

    def _hand_over_some(self) -> None:
        handed_over = 0
        while self._messages and handed_over < BATCH and not self._is_closed:
            self._hand_over(*self._messages.popleft())
            handed_over += 1
        self._room.ring()
        if handed_over == 0:
            self._is_scheduled = False
        if handed_over or (
            self._messages and not self._is_closed
        ):  # or written before we said that nothing is scheduled
            self._is_scheduled = True
            self._media_loop.call_later(BATCH_EVERY_S, self._hand_over_some)
