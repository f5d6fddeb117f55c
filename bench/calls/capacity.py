"""How many calls one core carries: the search for the largest number that is still on time.

Lives here: the search and its bar. Must not live here: what on time means (punctuality).

The number is moved up step by step until a window misses the bar twice, or down until one holds; then the last step is
halved a few times. A number that the callers cannot play in time counts as too many: what was found is what was shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bench.calls.ensemble import CallersLate, Ensemble, Window

ON_TIME_MIN = 0.999
SETTLE_S = 0.5
OPEN_PER_S = 120


@dataclass(frozen=True)
class Thoroughness:
    """How closely is searched."""

    window_s: float
    step: float
    """Of the calls so far: that many more, or fewer, are tried next."""
    halvings: int
    """Of the last step."""

    def more(self, calls: int) -> int:
        """The next number up."""
        return max(calls + 1, round(calls * (1 + self.step)))

    def fewer(self, calls: int) -> int:
        """The next number down."""
        return min(calls - 1, round(calls / (1 + self.step)))


@dataclass
class Capacity:
    """What a search found."""

    calls: int = 0
    """The largest number that was on time."""
    window: Window | None = None
    """The window that showed it."""
    is_bounded_by_callers: bool = False
    """They could not play more calls in time: the server might carry more."""
    tried: list[tuple[int, float, float]] = field(default_factory=list)
    """Calls, share on time, the server's processor, in the order they were tried."""


def is_on_time(window: Window) -> bool:
    """The bar: frames, and no call lost."""
    return window.punctuality.share >= ON_TIME_MIN and window.lost_calls == 0


class Search:
    """One search. The number of calls is moved up and down, and watched."""

    def __init__(self, ensemble: Ensemble, thoroughness: Thoroughness, step: Callable[[], None] = lambda: None) -> None:
        self.found = Capacity()
        self._ensemble = ensemble
        self._thoroughness = thoroughness
        self._step = step
        self._open = 0

    def run(self, first: int, limit: int) -> Capacity:
        """Begin with `first`, which may be too many; never try more than `limit`."""
        calls = min(first, limit)
        if self._holds(calls):
            while calls < limit:
                calls = min(self._thoroughness.more(calls), limit)
                if not self._holds(calls):
                    break
        else:
            while calls > 1 and not self._holds(self._thoroughness.fewer(calls)):
                calls = self._thoroughness.fewer(calls)
        self._narrow(calls)
        return self.found

    def _narrow(self, too_many: int) -> None:
        for _ in range(self._thoroughness.halvings):
            between = (self.found.calls + too_many) // 2
            if between <= self.found.calls:
                return
            if not self._holds(between):
                too_many = between

    def _holds(self, calls: int) -> bool:
        """Whether this many are on time, in the first window or, since a machine hiccups, in a second one."""
        self._set(calls)
        for _ in range(2):
            try:
                window = self._ensemble.watch_soundly(self._thoroughness.window_s)
            except CallersLate:
                if not self.found.calls:
                    raise
                self.found.is_bounded_by_callers = True
                break
            self.found.tried.append((calls, window.punctuality.share, window.busy))
            if is_on_time(window):
                if calls > self.found.calls:
                    self.found.calls, self.found.window = calls, window
                self._step()
                return True
        self._step()
        return False

    def _set(self, calls: int) -> None:
        if calls > self._open:
            self._ensemble.open_all(calls - self._open, OPEN_PER_S)
        elif calls < self._open:
            self._ensemble.close(self._open - calls)
        self._open = calls
        self._ensemble.watch(SETTLE_S)
