"""How far two sets of samples lie apart, without believing that they are normal: Hodges and Lehmann's shift with the
exact interval of Mann and Whitney's test.

Lives here: the arithmetic. Must not live here: which samples are compared and what that means (compare).

The shift is the median of all differences between one sample of each set, so an outlier moves it little. Its interval
follows from counting alone and needs no seed: nothing here is random.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import comb, erf, sqrt

EXACT_MAX = 60
"""Samples of both sets together; above, the normal approximation is as good."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How much larger the second set is: the middle of all differences, between two bounds."""

    middle: float
    low: float
    high: float


def shift_of(first: Sequence[float], second: Sequence[float], error: float) -> Shift | None:
    """The bounds miss the true shift with at most this probability; None where so few samples cannot promise that."""
    differences = sorted(b - a for a in first for b in second)
    trimmed = _trimmed(len(first), len(second), error)
    if trimmed is None:
        return None
    return Shift(statistics.median(differences), differences[trimmed], differences[-1 - trimmed])


@cache
def _trimmed(first: int, second: int, error: float) -> int | None:
    """How many of the differences lie outside the interval at each end."""
    if first + second > EXACT_MAX:
        return _trimmed_approximately(first, second, error)
    total, below = comb(first + second, first), 0
    for count, ways in enumerate(_ways(first, second)):
        below += ways
        if below / total > error / 2:
            return count - 1 if count else None
    return None


def _trimmed_approximately(first: int, second: int, error: float) -> int | None:
    middle, deviation = first * second / 2, sqrt(first * second * (first + second + 1) / 12)
    count = 0
    while (1 + erf((count + 0.5 - middle) / deviation / sqrt(2))) / 2 <= error / 2:
        count += 1
    return count - 1 if count else None


@cache
def _ways(first: int, second: int) -> tuple[int, ...]:
    """In how many orders of all samples exactly u pairs have the second below the first, for each u."""
    if not first or not second:
        return (1,)
    ways = [0] * (first * second + 1)
    # the largest of all is one of the first set, above all of the second; or it is one of the second
    for below, count in enumerate(_ways(first - 1, second)):
        ways[below + second] += count
    for below, count in enumerate(_ways(first, second - 1)):
        ways[below] += count
    return tuple(ways)
