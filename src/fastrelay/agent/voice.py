"""An agent's PCM on its way to the client.

Lives here: cutting what the agent delivers into frames, encoding them, and what becomes of a piece that fills none.
Must not live here: libopus (media.opus), the queue (mouth).
"""

from __future__ import annotations

import asyncio
from typing import Final

import numpy as np

from fastrelay.agent.mouth import Mouth, Stretch
from fastrelay.media.opus import FRAMES_PER_S, OpusEncoder, Samples
from fastrelay.media.pace import CLOCK_RATE

FRAME_SAMPLES: Final = CLOCK_RATE // FRAMES_PER_S
FRAMES_AT_ONCE: Final = 8
"""Encoded before other tasks of the agent's loop get their turn: a millisecond."""
LAST_WORDS_S: Final = 0.02
"""How long after the queue has run dry a piece that fills no frame is sent after all, with silence behind it."""


class Voice:
    """One call's encoder, made at the first sample. It belongs to the agent's loop."""

    def __init__(self, mouth: Mouth) -> None:
        self._mouth = mouth
        self._encoder: OpusEncoder | None = None
        self._rate = 0
        self._rest: Samples = np.empty(0, np.int16)
        self._rest_of: Stretch | None = None
        """The stretch that the rest follows: after a flush it is not to be heard."""
        self._timer: asyncio.TimerHandle | None = None

    async def say(self, samples: Samples, rate: int) -> None:
        """Queue samples, waiting for room; return early when they are flushed or the call ends."""
        encoder = self._encoder_for(rate)
        stretch = self._mouth.stretch
        samples = np.concatenate((self._take_rest(), samples))
        size = encoder.frame_samples
        full = samples.size - samples.size % size
        for number, start in enumerate(range(0, full, size), start=1):
            if self._mouth.is_full:
                await self._mouth.wait_for_room()
            elif number % FRAMES_AT_ONCE == 0:
                await asyncio.sleep(0)
            if self._mouth.stretch is not stretch:
                return
            self._mouth.add((encoder.encode(samples[start : start + size]), FRAME_SAMPLES))
        if full < samples.size:
            self._rest, self._rest_of = samples[full:], stretch
            if self._timer is None:
                self._watch_rest()

    def finish(self) -> None:
        """Send what fills no frame, with silence behind it."""
        rest = self._take_rest()
        if rest.size and self._encoder is not None:
            missing = self._encoder.frame_samples - rest.size
            self._mouth.add((self._encoder.encode(np.pad(rest, (0, missing))), FRAME_SAMPLES))

    def close(self) -> None:
        """Forget what has not been said."""
        if self._timer is not None:
            self._timer.cancel()
        self._rest_of = None

    def _encoder_for(self, rate: int) -> OpusEncoder:
        if self._encoder is None or self._rate != rate:
            encoder = OpusEncoder(rate)
            self.finish()
            self._encoder, self._rate = encoder, rate
        return self._encoder

    def _take_rest(self) -> Samples:
        is_current = self._rest_of is self._mouth.stretch
        rest, self._rest_of = self._rest, None
        return rest if is_current else rest[:0]

    def _watch_rest(self) -> None:
        wait_s = self._mouth.queued_samples / CLOCK_RATE + LAST_WORDS_S
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._look_after_rest)

    def _look_after_rest(self) -> None:
        self._timer = None
        if self._rest_of is None:
            return
        if self._mouth.queued_samples:
            self._watch_rest()
        else:
            self.finish()
