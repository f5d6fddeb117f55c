"""The highest rate at which next to nothing is lost, found by itself in bounded time.

Lives here: the search. Must not live here: how a rate is tried (whoever calls).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LOSS_MAX: Final = 1e-4
"""Saturation is the highest rate with less loss than this."""
WAIT_MAX_US: Final = 20_000.0
"""Half of the packets may wait this long, a frame of voice. A socket's buffer holds seconds of packets: without this, a
short trial at any rate would lose nothing."""
CLOSE_ENOUGH: Final = 1.05
"""The search ends when the lowest rate that fails is within this factor of the highest that holds."""
TRIALS_MAX: Final = 16


@dataclass(frozen=True)
class Trial:
    """One rate, tried."""

    rate: float
    loss: float
    wait_us: float
    """The median from when a packet was due until it had arrived."""
    is_late: bool
    """The generator did not keep its schedule: the rate was not offered, and its loss says nothing."""

    @property
    def holds(self) -> bool:
        """Whether the rate was offered and carried."""
        return not self.is_late and self.loss < LOSS_MAX and self.wait_us < WAIT_MAX_US


@dataclass(frozen=True)
class Saturation:
    """Where the search ended."""

    rate: float
    """Packets a second; 0 when not even the lowest rate held."""
    is_generator_bound: bool
    """What failed above it was the generator or the search's limit: the candidate carries at least this."""
    trials: tuple[Trial, ...]


def find_saturation(attempt: Callable[[float], Trial], low: float, high: float) -> Saturation:
    """Doubles from `low` to `high` until a rate fails, then bisects. A rate that fails is tried once more: other work
    on the machine makes packets late or lost, but none arrive by chance."""
    trials: list[Trial] = []

    def holds(rate: float) -> bool:
        trials.append(attempt(rate))
        if not trials[-1].holds:
            trials.append(attempt(rate))
        return trials[-1].holds

    best, worst, rate = 0.0, None, low
    while len(trials) < TRIALS_MAX:
        if holds(rate):
            best = rate
        else:
            worst = rate
        if worst is None and best >= high:
            break
        if worst is not None and (best == 0.0 or worst / best <= CLOSE_ENOUGH):
            break
        rate = min(rate * 2, high) if worst is None else (best * worst) ** 0.5
    failures = [trial for trial in trials if trial.rate == worst and not trial.holds]
    is_bound = worst is None or all(trial.is_late for trial in failures)
    return Saturation(best, is_bound, tuple(trials))
