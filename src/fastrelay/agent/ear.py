"""What an agent has not yet listened to: queues from the media loop to the agent.

Lives here: their bounds, and what gives way. The media loop never waits for an agent, so the oldest goes.
Must not live here: the order of packets (media.reorder), decoding (media.opus).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from fastrelay.agent.bell import Bell, Post

T = TypeVar("T")

AUDIO_PACKETS: Final = 100
"""2 s of audio at the usual 20 ms. An agent that listens this late hears the past; one that never does costs 20 KB."""
EVENTS: Final = 64
MESSAGES: Final = 64
"""As the client may send them before the agent looks: an OpenAI client sends six to begin with."""
MESSAGE_BYTES: Final = 1 << 20
"""Of all messages that wait on one channel: four of the largest."""


class Ear(Generic[T]):
    """A bounded queue: put on the media loop, taken by the agent. After `close` it ends when it is empty."""

    __slots__ = ("_bell", "_bytes", "_bytes_max", "_is_closed", "_items", "_items_max", "_size_of", "dropped")

    def __init__(
        self, post: Post, items_max: int, *, bytes_max: int = 0, size_of: Callable[[T], int] | None = None
    ) -> None:
        self.dropped = 0
        """How many have given way."""
        self._items: deque[T] = deque(maxlen=items_max)
        self._items_max = items_max
        self._bell = Bell(post)
        self._is_closed = False
        self._size_of = size_of
        self._bytes_max = bytes_max

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Add one; the oldest gives way."""
        items = self._items
        if len(items) >= self._items_max:
            self.dropped += 1
        items.append(item)
        if self._size_of is not None:
            self._make_room(self._size_of)
        if self._bell.is_wanted:
            self._bell.ring()

    def _make_room(self, size_of: Callable[[T], int]) -> None:
        items = list(self._items)
        waiting = sum(map(size_of, items))
        for item in items:
            if waiting <= self._bytes_max:
                return
            waiting -= size_of(item)
            self.dropped += 1
            if self._items:  # the agent may have been faster
                self._items.popleft()

    def close(self) -> None:
        """Nothing comes any more: who waits is told once the rest has been taken."""
        self._is_closed = True
        self._bell.ring()

    def __aiter__(self) -> Ear[T]:
        return self

    async def __anext__(self) -> T:
        items = self._items
        while not items:
            if self._is_closed:
                raise StopAsyncIteration
            await self._bell.wait_unless(self._is_settled)
        return items.popleft()

    def _is_settled(self) -> bool:
        return bool(self._items) or self._is_closed
