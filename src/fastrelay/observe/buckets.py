"""The fine histograms of the counter page as coarse ones with round bounds.

Lives here: which of the 320 buckets make a coarse one. Must not live here: the fine buckets (counters), names
(metrics). A bound is always the edge of a fine bucket, the nearest to a round number:
so the counts at each bound are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastrelay.observe.counters import HISTOGRAM_BUCKETS, Counts, bucket_edge

_EDGES: Final[NDArray[np.float64]] = np.array([bucket_edge(bucket) for bucket in range(HISTOGRAM_BUCKETS)])
_LAST_FINITE: Final = HISTOGRAM_BUCKETS - 2


def _middles() -> NDArray[np.float64]:
    """What a sample in a bucket stands for in a sum: the middle, wrong by 1/16 at most; of the last its lower end."""
    lower = np.concatenate(([0.0], _EDGES[:-1] + 1.0))
    upper = _EDGES.copy()
    upper[-1] = lower[-1]
    return (lower + upper) / 2.0


_MIDDLES: Final = _middles()


@cache
def nearest_buckets(round_bounds: tuple[float, ...]) -> tuple[int, ...]:
    """For each bound, in the histogram's own unit, the fine bucket whose edge is nearest to it."""
    return tuple(int(np.argmin(np.abs(_EDGES[: _LAST_FINITE + 1] - bound))) for bound in round_bounds)


def coarse(histogram: Counts, round_bounds: tuple[float, ...], unit: float) -> tuple[list[tuple[str, float]], float]:
    """Cumulative (le, count) pairs up to +Inf, and the sum; `unit` is what 1 of the histogram is in the base unit."""
    cumulative = np.cumsum(histogram)
    chosen = nearest_buckets(round_bounds)
    pairs = [(f"{_EDGES[bucket] * unit:.12g}", float(cumulative[bucket])) for bucket in chosen]
    pairs.append(("+Inf", float(cumulative[-1])))
    return pairs, float((histogram * _MIDDLES).sum() * unit)


def one_two_five(first: float, last: float) -> tuple[float, ...]:
    """1, 2, 5, 10, 20 … from a power of ten to another."""
    bounds: list[float] = []
    decade = first
    while decade < last:
        bounds += [decade, 2 * decade, 5 * decade]
        decade *= 10
    return (*bounds, last)


def total(histograms: Sequence[Counts]) -> Counts:
    """The sum over workers; all zero without any."""
    if not histograms:
        return np.zeros(HISTOGRAM_BUCKETS, np.uint64)
    return np.asarray(np.sum(histograms, axis=0, dtype=np.uint64), np.uint64)
