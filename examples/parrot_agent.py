"""A parrot that can be interrupted: it repeats each sentence, and is silent as soon as the caller speaks again.

fastrelay up --agent examples.parrot_agent:parrot
"""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import numpy.typing as npt

from fastrelay.agent import Call

RATE = 16_000
LOUD = 500  # of 32,767: louder than a quiet room
PAUSE_PIECES = 25  # half a second ends a sentence
LONGEST_PIECES = 500  # ten seconds end it too

Samples = npt.NDArray[np.int16]


async def parrot(call: Call) -> None:
    """Listen and repeat until the call is over."""
    repeating: asyncio.Task[None] | None = None
    async for sentence in sentences(call):
        repeating = asyncio.create_task(call.play_pcm(sentence, RATE))
        await call.send("events", f"You said {sentence.size / RATE:.1f} seconds.")
    if repeating is not None:
        repeating.cancel()


async def sentences(call: Call) -> AsyncIterator[Samples]:
    """Cut what is heard at pauses. Who begins to speak interrupts what is being said."""
    said: list[Samples] = []
    quiet = PAUSE_PIECES
    async for piece in call.pcm(RATE):
        if np.abs(piece).max() > LOUD:
            if quiet >= PAUSE_PIECES:
                call.flush()
            quiet = 0
        else:
            quiet += 1
        if quiet < PAUSE_PIECES:
            said.append(piece)
        if said and (quiet >= PAUSE_PIECES or len(said) >= LONGEST_PIECES):
            yield np.concatenate(said)
            said.clear()
