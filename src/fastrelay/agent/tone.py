"""The tone: 440 Hz for as long as the call lasts, to hear whether anything comes through.

Lives here: a second of it, encoded when this module is loaded, so that a call costs next to nothing.
"""

from __future__ import annotations

from itertools import cycle
from typing import Final

import numpy as np

from fastrelay.agent.call import Call
from fastrelay.agent.loading import inline
from fastrelay.media.opus import FRAMES_PER_S, OPUS_RATE, OpusEncoder

PITCH_HZ: Final = 440
LEVEL: Final = 8_000
"""A quarter of full scale: clearly heard, and nobody takes the headphones off."""


def _a_second() -> list[bytes]:
    """Return frames that can follow themselves: the second second, when the encoder has settled."""
    encoder = OpusEncoder(OPUS_RATE)
    time_s = np.arange(2 * OPUS_RATE) / OPUS_RATE
    samples = (LEVEL * np.sin(2 * np.pi * PITCH_HZ * time_s)).astype(np.int16)
    return [encoder.encode(frame) for frame in samples.reshape(2 * FRAMES_PER_S, -1)][FRAMES_PER_S:]


TONE: Final = _a_second()


@inline
async def tone(call: Call) -> None:
    """Play it, over and over."""
    for frame in cycle(TONE):
        await call.play(frame)
