"""A worker's counters over time: totals that never fall, and what happened each second.

Lives here: adding up over all pages and processes a worker has had, and rates from one sample to the next. Must not
live here: the page (counters), when a sample is taken (observed).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastrelay._ext.relay_core import VERDICT_NAMES
from fastrelay.observe.counters import HISTOGRAM_BUCKETS, Counts, Reading, percentile, total

HOP_WINDOW_SAMPLES: Final = 10
"""Latencies are those of the last ten seconds: one second of a quiet relay samples too few packets."""
_CLIENT_VERDICTS: Final = tuple(at for at, name in enumerate(VERDICT_NAMES) if not name.startswith(("TRUNK_", "DOWN_")))


def total_of(readings: Sequence[Reading]) -> Reading | None:
    """The sum over workers; None without any."""
    return total(list(readings)) if readings else None


def zero(like: Reading) -> Reading:
    return Reading(**{each.name: np.zeros_like(getattr(like, each.name)) for each in fields(Reading)})


def datagrams_up(reading: Reading) -> int:
    """Client datagrams received: each ends in one of their verdicts."""
    return int(reading.verdict_packets[list(_CLIENT_VERDICTS)].sum())


def datagrams_down(reading: Reading) -> int:
    """Trunk datagrams received."""
    trunk = [at for at, name in enumerate(VERDICT_NAMES) if name.startswith("TRUNK_")]
    return int(reading.verdict_packets[trunk].sum())


class Tally:
    """One worker's counters since the relay started, as far as they were read. A page made anew begins again at zero;
    what it had counted before is kept."""

    def __init__(self) -> None:
        self._kept: Reading | None = None
        self._last: Reading | None = None
        self._ended: Reading | None = None

    @property
    def total(self) -> Reading | None:
        """None before anything was read."""
        if self._kept is None or self._last is None:
            return self._kept
        return self._kept.plus(self._last)

    def take(self, reading: Reading) -> Reading:
        """The total with this reading in place of the last one."""
        if self._kept is None:
            self._kept = zero(reading)
        if self._last is not None:
            self._kept = self._kept.plus(_fallen(self._last, reading))
        self._last = reading
        return self._kept.plus(reading)

    def end_page(self) -> None:
        """The page is gone: the next reading is of another one."""
        self._kept, self._last, self._ended = self.total, None, self._last

    def resume_page(self) -> None:
        """It was not: the page that ended last is there again, and goes on where it was."""
        if self._kept is not None and self._ended is not None:
            self._kept, self._last, self._ended = self._kept.since(self._ended), self._ended, None


def _fallen(before: Reading, now: Reading) -> Reading:
    """Each counter that went backwards, as it was."""
    lost: dict[str, Counts] = {}
    for each in fields(Reading):
        was, is_ = getattr(before, each.name), getattr(now, each.name)
        lost[each.name] = np.where(is_ < was, was, np.zeros_like(was))
    return Reading(**lost)


class BusyMeter:
    """CPU seconds of a worker's processes, one after the other."""

    def __init__(self) -> None:
        self._pid = 0
        self._last_s = 0.0
        self.total_s = 0.0

    def take(self, pid: int, cpu_s: float | None) -> None:
        """None: the process cannot be read, which adds nothing."""
        if cpu_s is None:
            return
        known_s = self._last_s if pid == self._pid else 0.0
        self.total_s += max(cpu_s - known_s, 0.0)
        self._pid, self._last_s = pid, cpu_s


@dataclass(frozen=True, slots=True)
class Rates:
    """A worker's last second."""

    up_pps: float = 0.0
    down_pps: float = 0.0
    drops_pps: float = 0.0
    busy_ratio: float | None = None
    batch_fill: float | None = None
    """Client datagrams a receive call brought."""
    bundle_fill: float | None = None
    """Frames in a datagram to a transceiver."""


class RateMeter:
    """Compares samples that are about a second apart."""

    def __init__(self) -> None:
        self._before: tuple[float, Reading, float] | None = None
        # all of it from the start, so that a process that has just begun does not look as if it were growing
        self._hops: NDArray[np.uint64] = np.zeros((HOP_WINDOW_SAMPLES, 2, HISTOGRAM_BUCKETS), np.uint64)
        self._samples = 0
        self.rates = Rates()
        self.drops_per_s: dict[str, float] = {}

    def take(self, now_s: float, total: Reading, busy_s: float, *, knows_busy: bool) -> None:
        """The worker's totals now."""
        before, self._before = self._before, (now_s, total, busy_s)
        if before is None:
            return
        seconds = max(now_s - before[0], 1e-3)
        gain = total.since(before[1])
        drops = gain.drops()
        receives = gain.event("receives_up")
        self._hops[self._samples % HOP_WINDOW_SAMPLES] = gain.hop_up_ns, gain.hop_down_ns
        self._samples += 1
        self.drops_per_s = {name: count / seconds for name, count in drops.items()}
        self.rates = Rates(
            up_pps=gain.packets_up / seconds,
            down_pps=gain.packets_down / seconds,
            drops_pps=sum(drops.values()) / seconds,
            busy_ratio=min((busy_s - before[2]) / seconds, 1.0) if knows_busy else None,
            batch_fill=datagrams_up(gain) / receives if receives else None,
            bundle_fill=gain.frames_per_bundle,
        )

    def stop(self) -> None:
        """The worker is gone: nothing happens any more."""
        self._before, self.rates, self.drops_per_s = None, Rates(), {}
        self._hops[:] = 0

    def hop_us(self, direction: str, percent: float) -> float | None:
        """A percentile of the hop's latency; None where nothing was sampled."""
        window = self._hops[:, 0 if direction == "up" else 1]
        found_ns = percentile(np.sum(window, axis=0, dtype=np.uint64), percent)
        return None if found_ns is None or found_ns == float("inf") else round(found_ns / 1000.0, 3)
