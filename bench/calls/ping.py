"""Sound that is recognised when it comes back: silence with a short noise in it, now and then.

Lives here: making it, and from what was said and heard to round trips. Must not live here: sending and receiving
(crowd).

A server that encodes again changes every byte, sequence number and time stamp, but not which frames are large: Opus
spends few bytes on silence. So every server is asked in the same way.
"""

from __future__ import annotations

from collections import deque
from functools import cache
from statistics import median

import numpy as np

from bench.calls.voice import FRAME_SAMPLES, FRAMES, encode

EVERY_FRAMES = 25
"""Half a second: a noise that takes longer to come back counts as lost."""
LOUD = 2
"""A frame is noise when it is so many times as large as the usual one of those before (the tests look at codecs)."""
BEFORE = 12
"""So many frames before: more than a noise lasts in any stream, and fewer than lie between two."""


@cache
def pings() -> list[bytes]:
    """FRAMES payloads: noise in every EVERY_FRAMES-th, silence in between."""
    samples = np.zeros(FRAMES * FRAME_SAMPLES, np.int16)
    noise = np.random.default_rng(5).integers(-20_000, 20_000, FRAME_SAMPLES, np.int16)
    for frame in range(0, FRAMES, EVERY_FRAMES):
        samples[frame * FRAME_SAMPLES : (frame + 1) * FRAME_SAMPLES] = noise
    return encode(samples)


@cache
def silence() -> list[bytes]:
    """As many without any."""
    return encode(np.zeros(FRAMES * FRAME_SAMPLES, np.int16))


class Ear:
    """Where noises begin in a stream, by the sizes of its frames."""

    def __init__(self) -> None:
        self._before: deque[int] = deque(maxlen=BEFORE)
        self._was_loud = False

    def begins(self, size: int) -> bool:
        """Whether a noise begins with the next frame. Nothing is said of the first few."""
        is_loud = len(self._before) == BEFORE and size >= LOUD * median(self._before)
        begins, self._was_loud = is_loud and not self._was_loud, is_loud
        self._before.append(size)
        return begins


class Pings:
    """One caller's noises."""

    def __init__(self) -> None:
        self.round_trips_ms: list[float] = []
        self.said = 0
        self.lost = 0
        """Those after which another was said before they were heard."""
        self._mouth, self._ear = Ear(), Ear()
        self._said_ns = 0

    @property
    def waiting(self) -> int:
        """Said and not heard yet."""
        return self.said - self.lost - len(self.round_trips_ms)

    def say(self, size: int, now_ns: int) -> None:
        """A frame is sent."""
        if self._mouth.begins(size):
            self.lost += self.waiting
            self.said += 1
            self._said_ns = now_ns

    def hear(self, size: int, at_ns: int) -> None:
        """A frame has come."""
        if self._ear.begins(size) and self.waiting:
            self.round_trips_ms.append((at_ns - self._said_ns) / 1e6)
