"""The echo: the client hears itself, Opus passed through as it came, and reads what it has written.

Lives here: that, and keeping the delay short. Must not live here: anything that would cost time for each frame.
"""

from __future__ import annotations

import asyncio
from typing import Final

from fastrelay.agent.call import Call
from fastrelay.agent.loading import inline

CHANNEL: Final = "events"
"""The data channel whose messages go back."""

WINDOW_FRAMES: Final = 50
"""A second: how long frames must have waited before the delay counts as standing, and one of them is left out."""
STANDING_S: Final = 0.03
"""More than one frame waiting: less is the jitter that the queue is there for."""
LATE_S: Final = 0.2
"""What waits for longer than this came in a burst after a break: it is dropped at once."""


@inline
async def echo(call: Call) -> None:
    """Send everything back."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_echo_messages(call))
        await _echo_audio(call)


async def _echo_messages(call: Call) -> None:
    async for content in call.messages(CHANNEL):
        await call.send(CHANNEL, content)


async def _echo_audio(call: Call) -> None:
    """Late frames leave no delay behind: what waits for a whole second is cut down."""
    shortest_s = LATE_S
    frames = 0
    async for frame in call.audio():
        queued_s = call.queued_s
        if queued_s > LATE_S:
            call.flush()
        if queued_s < shortest_s:
            shortest_s = queued_s
        frames += 1
        if frames == WINDOW_FRAMES:
            is_standing = shortest_s > STANDING_S
            shortest_s, frames = LATE_S, 0
            if is_standing:
                continue
        await call.play(frame)
