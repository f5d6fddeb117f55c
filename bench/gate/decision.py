"""Is a ratio above its limit? Asked again and again while measurements come in, until the answer is clear.

Lives here: the rule, on numbers alone. Must not live here: how a ratio is measured (ratios).

A session is one start of relay and floor: its ratios share what that start was dealt (memory pages, neighbours), so an
alarm wants several sessions. That nothing is wrong needs one session, when it says so clearly.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, chain
from math import comb

# the chance that the interval of one look misses the true median
ERROR = 0.01
# sessions that have to agree before there is an alarm
SESSIONS_TO_ALARM = 3
# sessions after which the median decides, because no interval will
SESSIONS_MAX = 6


@dataclass(frozen=True)
class Decision:
    """What the ratios of all sessions so far say about the limit."""

    limit: float
    middle: float
    low: float
    high: float
    sessions: int

    @property
    def is_clear(self) -> bool:
        """Whether the whole interval lies on one side of the limit, seen often enough for that side."""
        return self.high < self.limit or (self.low > self.limit and self.sessions >= SESSIONS_TO_ALARM)

    @property
    def is_final(self) -> bool:
        """Whether no further session is wanted."""
        return self.is_clear or self.sessions >= SESSIONS_MAX

    @property
    def is_above(self) -> bool:
        """The verdict once it is final: clear, or else by the median."""
        return self.middle > self.limit


def decide(sessions: Sequence[Sequence[float]], limit: float) -> Decision:
    """Looks at every ratio of every session so far."""
    ratios = sorted(chain.from_iterable(sessions))
    outside = outside_interval(len(ratios))
    return Decision(limit, statistics.median(ratios), ratios[outside], ratios[-1 - outside], len(sessions))


@cache
def outside_interval(count: int) -> int:
    """How many samples at either end lie outside the interval of the median: Bernoulli's law alone, so no outlier and
    no shape of the distribution matters."""
    tails = accumulate(comb(count, below) / 2**count for below in range(count))
    outside = sum(1 for tail in tails if tail <= ERROR / 2)
    if not outside:
        raise ValueError(f"{count} samples say nothing about their median with an error of {ERROR}")
    # `outside` samples may be below the true median with too small a chance: the next one bounds the interval
    return outside - 1
