"""What an agent has said and the client has not yet heard: the queue from the agent to the pacer.

Lives here: its bound, flushing it at once, and the news that it is empty. Nothing here takes a lock: the agent's thread
alone adds, the media loop alone takes, and flushing puts another stretch in the place of the present one.
Must not live here: pace (media.pace), encoding (media.opus).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from fastrelay.agent.bell import Bell, Post
from fastrelay.media.pace import CLOCK_RATE, Frame

QUEUED_SAMPLES_MAX: Final = 10 * CLOCK_RATE
"""10 s: text to speech delivers a sentence or two at several times real time and may then let go of its connection. An
agent that never stops holds 100 KB. What waits can be flushed, so a long queue delays nothing."""
FRAMES_MAX: Final = 1_000
"""The same in frames: of 10 ms. Shorter ones, which are rare, wait earlier."""
RESUME_SAMPLES: Final = QUEUED_SAMPLES_MAX - CLOCK_RATE // 2
"""Who waits for room is woken when half a second of it has come free, not for each frame."""


class Stretch:
    """Frames from one flush to the next. Each counter has one writer."""

    __slots__ = ("added", "frames", "taken")

    def __init__(self) -> None:
        self.frames: deque[Frame] = deque()
        self.added = 0
        """Samples added, by the agent."""
        self.taken = 0
        """Samples taken, by the media loop."""


class Mouth:
    """One call's outgoing audio."""

    def __init__(self, to_agent: Post, wake_pacer: Callable[[], None]) -> None:
        self.frames_spoken = 0
        self.frames_flushed = 0
        self.stretch = Stretch()
        """The present one. A writer that has waited compares it: what was said before a flush is not to be heard."""
        self._wake_pacer = wake_pacer
        self._is_resting = True
        """The pacer has found nothing, and looks again only when it is woken."""
        self._is_closed = False
        self._room = Bell(to_agent)
        self._silence = Bell(to_agent)

    @property
    def queued_samples(self) -> int:
        """Audio that waits, in samples of 48 kHz."""
        stretch = self.stretch
        return stretch.added - stretch.taken

    # The agent's side

    def add(self, frame: Frame) -> None:
        """Say one more frame, after what is queued."""
        stretch = self.stretch
        stretch.frames.append(frame)
        stretch.added += frame[1]
        if self._is_resting:
            self._is_resting = False
            self._wake_pacer()

    @property
    def is_full(self) -> bool:
        """Whether who adds more must wait."""
        stretch = self.stretch
        return stretch.added - stretch.taken >= QUEUED_SAMPLES_MAX or len(stretch.frames) >= FRAMES_MAX

    async def wait_for_room(self) -> None:
        """Wait while it is full."""
        while self.is_full and not self._is_closed:
            await self._room.wait_unless(self._has_room)

    async def wait_for_silence(self) -> None:
        """Wait until the last frame has been sent and its time is over."""
        while not self._is_silent():
            await self._silence.wait_unless(self._is_silent)

    def flush(self) -> None:
        """Say nothing of what is queued. On any thread."""
        before, self.stretch = self.stretch, Stretch()
        self.frames_flushed += len(before.frames)
        self._room.ring()

    def close(self) -> None:
        """The call is over: nothing is taken any more, and nobody waits."""
        self._is_closed = True
        self.flush()
        self._silence.ring()

    def _has_room(self) -> bool:
        return not self.is_full or self._is_closed

    def _is_silent(self) -> bool:
        return self._is_closed or (self._is_resting and not self.stretch.frames)

    # The media loop's side

    def take(self, now_s: float) -> Frame | None:
        """Return the next frame to send."""
        stretch = self.stretch
        if stretch.frames:
            frame = stretch.frames.popleft()
            stretch.taken += frame[1]
            self.frames_spoken += 1
            if self._room.is_wanted and self._is_roomy(stretch):
                self._room.ring()
            return frame
        self._is_resting = True
        if self.stretch.frames:  # added before we rested, so nobody wakes us
            self._is_resting = False
            return self.take(now_s)
        self._silence.ring()
        return None

    @staticmethod
    def _is_roomy(stretch: Stretch) -> bool:
        return stretch.added - stretch.taken <= RESUME_SAMPLES and len(stretch.frames) <= FRAMES_MAX // 2
