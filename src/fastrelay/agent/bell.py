"""How the media loop wakes an agent that waits, whichever thread the agent is on.

Lives here: waiting, without a lock, and without waking who does not wait. Must not live here: what is waited for.

Who puts something into a queue looks whether the bell is wanted; who waits says so first, and looks into the queue
again afterwards. Each of these steps is one operation under the GIL, so at least one of the two sees the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

Post: TypeAlias = Callable[[Callable[[], None]], None]
"""Has something done on the agent's loop, soon; or on the media loop."""


class Bell:
    """Rung on any thread, waited for on the agent's."""

    __slots__ = ("_post", "_waiters", "is_wanted")

    def __init__(self, post: Post) -> None:
        self.is_wanted = False
        """Somebody waits: ask this before ringing, where it happens for each frame."""
        self._post = post
        self._waiters: list[asyncio.Future[None]] = []

    def ring(self) -> None:
        """Wake all who wait; they look again for themselves whether it was for them."""
        if self.is_wanted:
            self.is_wanted = False
            self._post(self._wake)

    async def wait_unless(self, is_settled: Callable[[], bool]) -> None:
        """Wait for the bell, but not if what is waited for has come before."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self.is_wanted = True
        if is_settled():  # it came before the bell was wanted, so nobody rings
            self._wake()
        await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
