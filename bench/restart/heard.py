"""What each call of a crowd has heard in one stretch: its longest silence, what came and what did not.

Lives here: the generator's page, read (callers/hearing.h is its layout), and the gap of each call. Must not live here:
processes, figures.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.load.callers.shape import FRAME_US
from bench.load.failure import BenchFailure
from bench.report.model import percentile

HEAD: Final = struct.Struct("=Q")
CALL: Final = struct.Struct("=2Q2Q2I2I")
NS_PER_MS: Final = 1e6
FRAME_MS: Final = FRAME_US / 1000
AGAIN_MS: Final = 10 * FRAME_MS
"""Who was last heard longer ago than this when media ended has not been heard again."""


@dataclass(frozen=True)
class Heard:
    """One call, up and down. Milliseconds."""

    silences_ms: tuple[float, float]
    """The longest between two packets, or from the last one to the end."""
    quiet_ms: tuple[float, float]
    """From the last packet to the end."""
    sent: tuple[int, int]
    came: tuple[int, int]

    @property
    def gap_ms(self) -> float:
        """What the side that heard less has missed: its longest silence without the frame that always lies between."""
        return max(0.0, max(self.silences_ms) - FRAME_MS)

    @property
    def is_heard_again(self) -> bool:
        """Whether both sides still heard each other at the end."""
        return all(self.came) and max(self.quiet_ms) < AGAIN_MS

    @property
    def lost(self) -> int:
        """Packets that never came, both ways."""
        return sum(self.sent) - sum(self.came)


@dataclass(frozen=True)
class Hearing:
    """All calls of one stretch."""

    calls: tuple[Heard, ...]

    def gap_ms(self, percent: float) -> float:
        """The gap that this share of the calls does not exceed."""
        return percentile(tuple(call.gap_ms for call in self.calls), percent)

    @property
    def heard_again_percent(self) -> float:
        """The share of the calls that go on."""
        return 100 * sum(call.is_heard_again for call in self.calls) / len(self.calls)

    @property
    def sent(self) -> int:
        """Packets, both ways."""
        return sum(sum(call.sent) for call in self.calls)

    @property
    def lost(self) -> int:
        """Packets that never came."""
        return sum(call.lost for call in self.calls)


def parse_hearing(page: bytes, talking: int) -> Hearing:
    """The calls that talked: the first so many of the page."""
    if len(page) < HEAD.size + CALL.size * talking:
        raise BenchFailure(f"the generator's page of {len(page):,} bytes does not hold {talking:,} calls")
    (ended_ns,) = HEAD.unpack_from(page)
    calls = CALL.iter_unpack(page[HEAD.size : HEAD.size + CALL.size * talking])
    return Hearing(tuple(_heard(fields, ended_ns) for fields in calls))


def read_hearing(path: Path, talking: int) -> Hearing:
    """From the file that the generator maps, after a stretch."""
    return parse_hearing(path.read_bytes(), talking)


def _heard(fields: Iterable[int], ended_ns: int) -> Heard:
    last_up, last_down, longest_up, longest_down, sent_up, sent_down, came_up, came_down = fields
    quiet_up, quiet_down = (max(0, ended_ns - last) / NS_PER_MS for last in (last_up, last_down))
    return Heard(
        silences_ms=(longest_up / NS_PER_MS, longest_down / NS_PER_MS),
        quiet_ms=(quiet_up, quiet_down),
        sent=(sent_up, sent_down),
        came=(came_up, came_down),
    )
