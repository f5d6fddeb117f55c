"""The pace of outgoing audio: each stream's next frame leaves when its former one has been heard.

Lives here: the schedule of all streams of a process, and their RTP timestamps (RFC 3550 §5.1, RFC 7587 §4.1).
Must not live here: queues (a stream brings its own), packets, clocks: `now_s` is an argument, monotonic.

    pacer.wake(stream, now_s)      the stream has something to say; calling it again does no harm
    pacer.take_due(now_s)          frames to be sent now, of all streams together
    pacer.next_due_s               when to ask again
    pacer.forget(stream)           the stream has ended

Time is divided into slots, so that frames of many calls share a batch. A stream that finds nothing to say drops out of
the schedule until it is woken. Its timestamps go on with real time meanwhile; frames that are only a little late follow
their predecessors without a gap, because a listener's jitter buffer makes up for that better than for a hole.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from math import ceil
from typing import Final, Protocol, TypeAlias

CLOCK_RATE: Final = 48_000
"""Samples a second of Opus' RTP clock, whatever the audio was sampled at (RFC 7587 §4.1)."""
SLOT_SAMPLES: Final = 96
"""2 ms: 600 calls share batches of 60 frames, and a frame waits 1 ms on average. It divides every Opus frame of 10 ms
or more, so a stream stays with those it shares a slot with."""
SLOTS_PER_S: Final = CLOCK_RATE // SLOT_SAMPLES
ROUNDING: Final = 1e-4
"""Of a slot: seconds in floating point must find the slot that they were computed from."""
GAP_SAMPLES: Final = 960
"""20 ms: what comes later than this after its predecessor has begun something new. What is less late was delayed."""
DRIFT_SHARE: Final = 64
"""Of a frame's lateness, what its stream's schedule moves: a clock 100 ppm slow is followed 0.13 ms behind, while a
hiccup of 16 ms moves the frames after it by 0.25 ms instead of by itself."""
CATCH_UP_SLOTS: Final = 30
"""60 ms: when the loop was held up for longer, streams go on from now instead of sending all that is late at once."""
WHEEL_SLOTS: Final = 128
"""More than the longest frame, 120 ms, which is 60 slots, and all that may be caught up with."""

Frame: TypeAlias = "tuple[bytes, int]"
"""An Opus frame and how many samples of CLOCK_RATE it lasts: 120 (2.5 ms) to 5,760 (120 ms)."""


class PacedStream(Protocol):
    """What can be paced."""

    def next_frame(self, now_s: float) -> Frame | None:
        """Return what is to be sent now. After None the stream is not asked again until it is woken."""


DueFrame: TypeAlias = "tuple[PacedStream, bytes, int, bool]"
"""Stream, payload, RTP timestamp, and whether a marker tells that audio begins again (RFC 3551 §4.1)."""


class _Line:
    """A stream's place in the schedule."""

    __slots__ = ("due", "is_marked", "is_scheduled", "next_frame", "stream", "timestamp")

    def __init__(self, stream: PacedStream) -> None:
        self.stream = stream
        self.next_frame: Callable[[float], Frame | None] = stream.next_frame
        self.due = 0
        """Sample of the pacer's clock at which the next frame is to be sent."""
        self.timestamp = secrets.randbits(32)  # RFC 3550 §5.1: the first is random
        self.is_marked = True
        self.is_scheduled = False


class Pacer:
    """The schedule of one process."""

    def __init__(self) -> None:
        self.frames_late = 0
        """Frames that were put off because the loop was held up for longer than CATCH_UP_SLOTS."""
        self._lines: dict[PacedStream, _Line] = {}
        self._wheel: list[list[_Line]] = [[] for _ in range(WHEEL_SLOTS)]
        self._cursor = 0
        """The first slot that has not been taken. Nothing is scheduled before it, nor WHEEL_SLOTS or more after it."""
        self._scheduled = 0

    @property
    def next_due_s(self) -> float | None:
        """When the next frames are due; None while no stream has anything to say."""
        if not self._scheduled:
            return None
        slot = self._cursor
        while not self._wheel[slot % WHEEL_SLOTS]:
            slot += 1
        return slot / SLOTS_PER_S

    def wake(self, stream: PacedStream, now_s: float) -> None:
        """Schedule a stream that has something to say: at the next slot, or when its last frame has ended."""
        line = self._lines.get(stream)
        if line is None:
            line = self._lines[stream] = _Line(stream)
            is_first = True
        elif line.is_scheduled:
            return
        else:
            is_first = False
        now_slot = ceil(now_s * SLOTS_PER_S - ROUNDING)
        if not self._scheduled:
            self._cursor = max(self._cursor, now_slot)  # nobody was waiting: time has passed without us
        start_slot = max(now_slot, self._cursor)
        gap = start_slot * SLOT_SAMPLES - line.due
        if is_first or gap >= GAP_SAMPLES:
            line.due += gap
            if not is_first:
                line.timestamp = (line.timestamp + gap) & 0xFFFF_FFFF
                line.is_marked = True
        elif gap > 0:
            # one late frame must not make all that follow late; a sender whose clock is slower must not run away
            line.due += gap // DRIFT_SHARE
        line.is_scheduled = True
        self._scheduled += 1
        self._wheel[max(line.due // SLOT_SAMPLES, start_slot) % WHEEL_SLOTS].append(line)

    def forget(self, stream: PacedStream) -> None:
        """Ask a stream no more. One that is woken later is a new one."""
        line = self._lines.pop(stream, None)
        if line is not None:
            line.next_frame = _nothing  # it leaves the wheel at its slot

    def take_due(self, now_s: float) -> list[DueFrame]:
        """Return the frames that are due, each stream's in order."""
        due: list[DueFrame] = []
        now_slot = int(now_s * SLOTS_PER_S + ROUNDING)
        if now_slot < self._cursor:
            return due
        if not self._scheduled:
            self._cursor = now_slot + 1
            return due
        if now_slot - self._cursor > CATCH_UP_SLOTS:
            self._put_off(now_slot)
        for slot in range(self._cursor, now_slot + 1):
            place = slot % WHEEL_SLOTS
            lines = self._wheel[place]
            if lines:
                self._wheel[place] = []
                self._cursor = slot + 1  # first: who is woken while we ask belongs after this slot
                self._take(lines, slot, now_s, due)
        self._cursor = now_slot + 1
        return due

    def _take(self, lines: list[_Line], slot: int, now_s: float, due: list[DueFrame]) -> None:
        wheel = self._wheel
        for line in lines:
            frame = line.next_frame(now_s)
            if frame is None:
                line.is_scheduled = False
                self._scheduled -= 1
                continue
            payload, samples = frame
            timestamp = line.timestamp
            due.append((line.stream, payload, timestamp, line.is_marked))
            line.is_marked = False
            line.timestamp = (timestamp + samples) & 0xFFFF_FFFF
            line.due += samples
            wheel[max(line.due // SLOT_SAMPLES, slot + 1) % WHEEL_SLOTS].append(line)

    def _put_off(self, now_slot: int) -> None:
        """Move what can no longer be caught up with to the present slot."""
        first_kept = now_slot - CATCH_UP_SLOTS
        late: list[_Line] = []
        for slot in range(self._cursor, min(first_kept, self._cursor + WHEEL_SLOTS)):
            place = slot % WHEEL_SLOTS
            late += self._wheel[place]
            self._wheel[place] = []
        for line in late:
            line.due = now_slot * SLOT_SAMPLES
        self._cursor = first_kept
        self._wheel[now_slot % WHEEL_SLOTS] += late
        self.frames_late += len(late)


def _nothing(now_s: float) -> None:
    """Stand for a stream that has been forgotten."""
