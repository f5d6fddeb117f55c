"""Agents for measuring: one that works on sound, and some that misbehave.

Lives here: what a transceiver is asked to run in a benchmark. Must not live here: agents that are shipped.
"""

from __future__ import annotations

import itertools
import time

from bench.calls.voice import voice
from fastrelay.agent import Call, CallEnded

PCM_RATE = 48_000
BLOCKED_S = 30.0


async def pcm_echo(call: Call) -> None:
    """Decode what comes, and encode it again: what an agent costs that works on sound."""
    async for samples in call.pcm(PCM_RATE):
        await call.play_pcm(samples, PCM_RATE)


async def moody(call: Call) -> None:
    """An echo on a thread of its own, unless the caller asks it to `behave` otherwise."""
    behave = call.metadata.get("behave", "")
    if behave == "talks":
        await _talk(call)
    elif behave == "blocks":
        _block()
    elif behave == "burns":
        until_s = time.monotonic() + BLOCKED_S
        while time.monotonic() < until_s and not call.is_over:
            pass
    async for frame in call.audio():
        await call.play(frame)


def _block() -> None:
    time.sleep(BLOCKED_S)


async def _talk(call: Call) -> None:
    """As an agent does that has a sentence ready: more is queued than has been said."""
    try:
        for frame in itertools.cycle(voice()):
            await call.play(frame)
    except CallEnded:
        return
