"""PCM both ways between a call and its agent, on a thread and on the media loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from fastrelay.agent import Call, LoadedAgent, Message
from fastrelay.media.opus import OpusDecoder, OpusEncoder
from tests.unit.agent_stage import FRAME, Stage, packet, payloads

Agent = Callable[[Call], Awaitable[None]]


@pytest.fixture(params=["inline", "thread"])
def load(request: pytest.FixtureRequest) -> Callable[[Agent], LoadedAgent]:
    """Make an agent of a function, for either place to run."""
    return lambda function: LoadedAgent("agent", function, is_inline=request.param == "inline")


def test_pcm_is_heard_at_the_rate_that_is_asked_for(load: Callable[[Agent], LoadedAgent]) -> None:
    encoder = OpusEncoder(48_000)
    sine = (8_000 * np.sin(np.arange(48_000) / 20)).astype(np.int16).reshape(50, -1)

    async def agent(call: Call) -> None:
        with pytest.raises(ValueError, match="44100"):
            call.pcm(44_100)
        heard = call.pcm(16_000)
        pieces = [await anext(heard) for _ in range(50)]
        assert {(piece.dtype, piece.shape) for piece in pieces} == {(np.dtype(np.int16), (320,))}
        assert np.abs(np.concatenate(pieces)).max() > 6_000

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            stage.hear(*(packet(number, encoder.encode(frame)) for number, frame in enumerate(sine)))
            await stage.until(lambda: stage.endings)
            assert stage.endings == [None]

    asyncio.run(scene())


def test_pcm_of_any_length_becomes_frames_and_the_last_is_filled_up(load: Callable[[Agent], LoadedAgent]) -> None:
    sine = (8_000 * np.sin(np.arange(24_000) / 10)).astype(np.int16)

    async def agent(call: Call) -> None:
        for start in range(0, 2_500, 100):  # 5 frames of 480, and 100 samples
            await call.play_pcm(sine[start : start + 100])
        await call.send("at", f"queued {call.queued_s:.2f}")
        await call.played()

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            await stage.told("queued 0.10")
            frames: list[bytes] = []
            while not stage.endings:
                frames += payloads(stage.take())
                await asyncio.sleep(0.001)
            decoder = OpusDecoder(24_000)
            sound = np.concatenate([decoder.decode(frame) for frame in frames])
            assert sound.size == 6 * 480
            assert np.abs(sound[:2_500]).max() > 6_000

    asyncio.run(scene())


def test_last_piece_is_heard_although_nothing_follows(load: Callable[[Agent], LoadedAgent]) -> None:
    async def agent(call: Call) -> None:
        await call.play_pcm(bytes(2 * 700), 24_000)
        await anext(call.audio())

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            frames = 0
            while frames < 2:
                frames += len(stage.take())
                await asyncio.sleep(0.001)

    asyncio.run(scene())


def test_flush_in_the_middle_of_a_long_sentence_ends_it(load: Callable[[Agent], LoadedAgent]) -> None:
    async def agent(call: Call) -> None:
        speaking = asyncio.create_task(call.play_pcm(bytes(2 * 24_000 * 30 + 200), 24_000))  # and a rest
        await anext(call.messages("interrupt"))
        call.flush()
        await speaking
        assert call.queued_s == 0
        await call.play_pcm(bytes(2 * 480), 24_000)
        await call.send("at", f"queued {call.queued_s:.2f}")
        await anext(call.messages("interrupt"))

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            await stage.until(lambda: stage.wakes)
            stage.take(20)
            stage.seat.tell(Message("interrupt", "stop"))
            await stage.told("queued 0.02")

    asyncio.run(scene())


def test_opus_and_pcm_may_take_turns(load: Callable[[Agent], LoadedAgent]) -> None:
    async def agent(call: Call) -> None:
        await call.play_pcm(bytes(2 * 500), 24_000)  # a frame, and 20 samples that the next frame must not overtake
        await call.play(FRAME)
        await call.play_pcm(bytes(2 * 800), 8_000)  # another rate: another encoder
        await call.send("at", f"queued {call.queued_s:.2f}")
        await call.played()

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            await stage.told("queued 0.16")
            frames = payloads(stage.take())
            assert frames.index(FRAME) == 2
            assert len(frames) == 8

    asyncio.run(scene())
