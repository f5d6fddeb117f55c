"""Small counting things of a worker: how fast offers may come, and how long set-ups took.

Lives here: a budget and a histogram, both of plain numbers. Must not live here: what is counted (desk), Prometheus.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class OfferBudget:
    """So many a second, and so many at once. Time is an argument."""

    def __init__(self, per_s: float, burst: int, now_s: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = float(burst)
        self._at_s = now_s

    def take(self, now_s: float) -> float:
        """0.0 when one more is allowed; otherwise the seconds until the next one is."""
        self._left = min(self._left + (now_s - self._at_s) * self._per_s, self._burst)
        self._at_s = now_s
        if self._left >= 1:
            self._left -= 1
            return 0.0
        return (1 - self._left) / self._per_s


class Histogram:
    """Counts up to each bound, the last one without; and the sum, as Prometheus wants it."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def build(self) -> dict[str, object]:
        """Bounds, the count within each, and the sum."""
        return {"bounds": list(self._bounds), "counts": list(self._counts), "sum": self._sum}
