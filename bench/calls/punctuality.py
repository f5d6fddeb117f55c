"""What arrival times say: which frames were on time, and how evenly they came.

Lives here: the definitions, for every candidate the same. Must not live here: where the times come from.

A call's schedule is a frame every 20 ms in the order of its sequence numbers, laid through the median of its arrivals
in the watched window. A frame is on time when it arrives within 20 ms of its place, early or late; one that has a place
in the window and does not arrive is not. Jitter is how far the time between two neighbours in sequence is from 20 ms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.load.failure import BenchFailure

FRAME_NS = 20_000_000
ON_TIME_NS = 20_000_000

Arrivals: TypeAlias = Sequence[tuple[int, int]]
"""Sequence number and nanoseconds, in the order of arrival."""


@dataclass(frozen=True, slots=True)
class Punctuality:
    """Of one or many calls in one window."""

    calls: int
    expected: int
    arrived: int
    on_time: int
    worst_call: float
    """The share of the call that had the fewest."""
    jitter_ms: dict[str, float]

    @property
    def share(self) -> float:
        """On time, of all that were expected."""
        return self.on_time / self.expected if self.expected else 0.0

    def jitter(self, which: str) -> float:
        """In milliseconds, by its name. BenchFailure where no two frames in a row have arrived."""
        if not self.jitter_ms:
            raise BenchFailure(f"{self.arrived:,} of {self.expected:,} frames arrived, no two in a row: no jitter")
        return self.jitter_ms[which]

    def build(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: getattr(self, name) for name in self.__slots__} | {"share": self.share}

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        return cls(**{name: values[name] for name in cls.__slots__})


def judge(calls: Sequence[Arrivals], from_ns: int, until_ns: int) -> Punctuality:
    """All these calls together, over one window. Arrivals outside it show where the schedule lies as well."""
    expected = arrived = on_time = 0
    worst = 1.0
    gaps = []
    for arrivals in calls:
        one = _judge_one(arrivals, from_ns, until_ns)
        expected += one[0]
        arrived += one[1]
        on_time += one[2]
        worst = min(worst, one[2] / one[0] if one[0] else 0.0)
        gaps.append(_unevenness(arrivals))
    return Punctuality(len(calls), expected, arrived, on_time, worst, _percentiles(gaps))


def _judge_one(arrivals: Arrivals, from_ns: int, until_ns: int) -> tuple[int, int, int]:
    """Frames expected, arrived and on time."""
    if not arrivals:
        return (until_ns - from_ns) // FRAME_NS, 0, 0
    sequences, times = _columns(arrivals)
    offsets = times - sequences * FRAME_NS
    # a median is a float, and cannot hold nanoseconds since 1970
    anchor = int(offsets[0]) + int(np.median(offsets - offsets[0]))
    # the places whose time lies in the window
    first = -((anchor - from_ns) // FRAME_NS)
    last = -((anchor - until_ns) // FRAME_NS) - 1
    inside = (sequences >= first) & (sequences <= last)
    punctual = inside & (np.abs(offsets - anchor) <= ON_TIME_NS)
    return last - first + 1, len(np.unique(sequences[inside])), len(np.unique(sequences[punctual]))


def _unevenness(arrivals: Arrivals) -> NDArray[np.int64]:
    """Of every two neighbours: how far from 20 ms their distance was."""
    if not arrivals:
        return np.empty(0, np.int64)
    sequences, times = _columns(arrivals)
    order = np.argsort(sequences, kind="stable")
    steps, gaps = np.diff(sequences[order]), np.diff(times[order])
    uneven: NDArray[np.int64] = np.abs(gaps[steps == 1] - FRAME_NS)
    return uneven


def _columns(arrivals: Arrivals) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    table = np.array(arrivals, dtype=np.int64)
    return table[:, 0], table[:, 1]


def _percentiles(gaps: list[NDArray[np.int64]]) -> dict[str, float]:
    together = np.concatenate(gaps) / 1e6 if gaps else np.empty(0)
    if not len(together):
        return {}
    p50, p99, p999 = np.percentile(together, [50, 99, 99.9])
    return {
        "p50": round(float(p50), 3),
        "p99": round(float(p99), 3),
        "p99.9": round(float(p999), 3),
        "max": round(float(together.max()), 3),
    }
