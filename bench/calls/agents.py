"""Agents for measuring: one that works on sound, and some that misbehave.

Lives here: what a transceiver is asked to run in a benchmark. Must not live here: agents that are shipped.
"""

from __future__ import annotations

import asyncio
import time

from fastrelay.agent import Call

PCM_RATE = 48_000
BLOCKED_S = 30.0


async def pcm_echo(call: Call) -> None:
    """Decode what comes, and encode it again: what an agent costs that works on sound."""
    async for samples in call.pcm(PCM_RATE):
        await call.play_pcm(samples, PCM_RATE)


async def moody(call: Call) -> None:
    """An echo on a thread of its own, unless the caller asks for trouble: `behave` = blocks, burns, raises, floods."""
    behave = call.metadata.get("behave", "")
    if behave == "blocks":
        _block()
    elif behave == "burns":
        until_s = time.monotonic() + BLOCKED_S
        while time.monotonic() < until_s and not call.is_over:
            pass
    elif behave == "raises":
        raise RuntimeError("an agent of the benchmark, as asked")
    elif behave == "floods":
        await _flood(call)
    async for frame in call.audio():
        await call.play(frame)


def _block() -> None:
    time.sleep(BLOCKED_S)


async def _flood(call: Call) -> None:
    frame = await anext(call.audio())
    until_s = time.monotonic() + BLOCKED_S
    while time.monotonic() < until_s:
        await call.play(frame)
        call.flush()
        await asyncio.sleep(0)
