"""The generator's histograms, read: callers/histogram.h is their layout.

Lives here: from counts to percentiles. Precision: a value is known to 1/128 of itself (0.8 %), and reported as the
largest that its bucket may hold, so never too small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

PART_BITS: Final = 7
PARTS: Final = 1 << PART_BITS
VALUE_BITS: Final = 40
BUCKETS: Final = (VALUE_BITS - PART_BITS + 1) * PARTS
US: Final = 1000.0
WHOLE: Final = 100.0


def bucket_top_ns(index: int) -> int:
    """The largest value of a bucket."""
    if index < PARTS:
        return index
    shift = (index >> PART_BITS) - 1
    return ((index - (shift << PART_BITS) + 1) << shift) - 1


@dataclass(frozen=True)
class Histogram:
    """Nanoseconds, counted."""

    counts: Sequence[int]

    def __add__(self, other: Histogram) -> Histogram:
        return Histogram([mine + its for mine, its in zip(self.counts, other.counts, strict=True)])

    @property
    def total(self) -> int:
        """How many values there are."""
        return sum(self.counts)

    def percentile_us(self, percent: float) -> float:
        """Microseconds that this share of the values does not exceed; 0 without values."""
        total = self.total
        if not total:
            return 0.0
        wanted = max(1.0, percent / WHOLE * total)
        return next(
            bucket_top_ns(index) / US for index, passed in enumerate(accumulate(self.counts)) if passed >= wanted
        )
