"""The memory of a relay's processes over time, and whether it grows.

Lives here: samples of what is a process's own, and the line through them. Must not live here: how much is too much
(test_numbers). Pages are shared and have a size of their own, so they do not count here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True, slots=True)
class Trend:
    """The straight line with the least squares, and how sure it is."""

    per_s: float
    error_per_s: float
    """Standard error of the slope: noise alone gives up to two of them."""
    first: float
    seconds: float

    @property
    def growth(self) -> float:
        """Bytes gained over the time watched, as far as they are no noise."""
        return max(self.per_s - 2 * self.error_per_s, 0.0) * self.seconds

    def __str__(self) -> str:
        kib = 1024
        return (
            f"{self.first / kib:,.0f} KiB, slope {self.per_s / kib * 60:+.2f} ± {self.error_per_s / kib * 60:.2f} "
            f"KiB/min over {self.seconds:.0f} s"
        )


@dataclass(slots=True)
class Watched:
    """Samples of some processes by name."""

    pids: Mapping[str, int]
    times_s: list[float] = field(default_factory=list)
    bytes: dict[str, list[int]] = field(default_factory=dict)

    def sample(self) -> None:
        self.times_s.append(time.monotonic())
        for name, pid in self.pids.items():
            self.bytes.setdefault(name, []).append(own_bytes(pid))

    def trends(self) -> dict[str, Trend]:
        """Without the first third, in which buffers and caches find their size."""
        skipped = len(self.times_s) // 3
        times_s = np.array(self.times_s[skipped:])
        return {name: trend(times_s - times_s[0], np.array(values[skipped:])) for name, values in self.bytes.items()}


def own_bytes(pid: int) -> int:
    """Resident memory that is neither a file nor a shared page."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} has ended")


def trend(times_s: np.ndarray, values: np.ndarray) -> Trend:
    (slope, level), residuals, *_ = np.polyfit(times_s, values, 1, full=True)
    spread = float(np.sum((times_s - times_s.mean()) ** 2))
    squares = float(residuals[0]) if len(residuals) else 0.0
    error = (squares / (len(times_s) - 2) / spread) ** 0.5
    return Trend(float(slope), error, float(level), float(times_s[-1] - times_s[0]))
