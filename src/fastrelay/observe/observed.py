"""Everything an observer knows of one relay: what its supervisor says, and what its workers' pages hold.

Lives here: which pages belong to which worker, taking a sample of all of them, and the state that samples leave behind.
Must not live here: where messages come from and what is asked (admin), numbers as text (metrics, admin.document).
Times are seconds of the monotonic clock, which is also that of the pages.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from fastrelay.observe import processes
from fastrelay.observe.counters import CounterPage, Reading
from fastrelay.observe.flows import FlowPage, FlowView
from fastrelay.observe.rates import BusyMeter, RateMeter, Tally
from fastrelay.observe.status import ServiceStatus, WorkerState, WorkerStatus
from fastrelay.observe.survey import Census, Pace, Survey
from fastrelay.observe.transceivers import TransceiverBook

ALIVE_WITHIN_S: Final = 2.0
"""A worker turns its loop every 50 ms even when idle, and a hanging one is replaced sooner than this."""
WORKING: Final = frozenset({WorkerState.SERVING, WorkerState.RETIRING})
"""States in which a worker must turn its loop."""


class Pages:
    """A worker's pages, mapped for reading alone."""

    def __init__(self, flow_descriptor: int, counter_descriptor: int) -> None:
        """OSError or ValueError when one is no page. The descriptors stay the caller's."""
        status = os.fstat(counter_descriptor)
        self.counter_identity = (status.st_dev, status.st_ino)
        self._flow_memory = mmap.mmap(flow_descriptor, 0, prot=mmap.PROT_READ)
        self._counter_memory = mmap.mmap(counter_descriptor, 0, prot=mmap.PROT_READ)
        self.flows = FlowPage(self._flow_memory)
        self.counters = CounterPage(self._counter_memory)

    def close(self) -> None:
        """Let go of them. What a scan still holds is unmapped when it ends."""
        self.flows.close()
        self.counters.close()


@dataclass(slots=True, eq=False)
class ObservedWorker:
    """One worker of the relay, over all its lives."""

    index: int
    pages: Pages | None = None
    tally: Tally = field(default_factory=Tally)
    busy: BusyMeter = field(default_factory=BusyMeter)
    meter: RateMeter = field(default_factory=RateMeter)
    survey: Survey = field(default_factory=Survey)
    ended: tuple[int, int] | None = None
    """The counter page it had before."""

    @property
    def counters(self) -> CounterPage | None:
        """None until a worker of this release writes there."""
        return self.pages.counters if self.pages is not None and self.pages.counters.is_ours else None

    @property
    def view(self) -> FlowView | None:
        return None if self.pages is None else self.pages.flows.view()

    @property
    def capacity(self) -> int:
        """Flows its table holds; 0 while there is none."""
        return 0 if self.pages is None else self.pages.flows.capacity

    def read(self) -> Reading | None:
        """The counters of all its lives, as they are now; None when none was ever read."""
        counters = self.counters
        return self.tally.total if counters is None else self.tally.take(counters.read())

    def alive_age_s(self, now_s: float) -> float | None:
        """How long ago it turned its loop; None before it has."""
        counters = self.counters
        alive_ms = 0 if counters is None else counters.alive_ms
        return max(now_s - alive_ms / 1000.0, 0.0) if alive_ms else None

    def replace_pages(self, pages: Pages | None) -> None:
        """Take others, or none. The same page again, from a supervisor that took over, goes on counting."""
        self.read()  # once more: what was counted since the last sample is kept
        former, self.pages = self.pages, pages
        if former is not None:
            self.tally.end_page()
            self.survey.forget()
            self.ended = former.counter_identity
            former.close()
        if pages is None:
            self.meter.stop()
        elif pages.counter_identity == self.ended:
            self.tally.resume_page()


class Observed:
    """A relay as it is seen from outside."""

    def __init__(self) -> None:
        self.status: ServiceStatus | None = None
        """None until the supervisor has spoken."""
        self.workers: dict[int, ObservedWorker] = {}
        self.transceivers = TransceiverBook()
        self._pace = Pace()

    def worker(self, index: int) -> ObservedWorker:
        if index not in self.workers:
            self.workers[index] = ObservedWorker(index)
        return self.workers[index]

    def in_order(self) -> list[ObservedWorker]:
        return [self.workers[index] for index in sorted(self.workers)]

    def status_of(self, index: int) -> WorkerStatus | None:
        """What the supervisor says of a worker; None when it says nothing."""
        known = () if self.status is None else self.status.workers
        return next((each for each in known if each.index == index), None)

    def close(self) -> None:
        for worker in self.workers.values():
            worker.replace_pages(None)

    # --- samples

    def sample(self, now_s: float | None = None) -> None:
        """Read all counters, once a second or so."""
        now_s = time.monotonic() if now_s is None else now_s
        self.take_cpu_times()
        for worker in self.in_order():
            self._sample(worker, now_s)
        self.transceivers.forget_departed(now_s)

    def take_pages(self, index: int, pages: Pages | None) -> None:
        """A worker's pages are there, are others, or are gone. What they say is known at once, not a second later."""
        worker = self.worker(index)
        worker.replace_pages(pages)
        self._sample(worker, time.monotonic())

    def _sample(self, worker: ObservedWorker, now_s: float) -> None:
        total, counters, view = worker.read(), worker.counters, worker.view
        if total is not None and counters is not None:
            status = self.status_of(worker.index)
            knows_busy = status is not None and status.pid > 0
            worker.meter.take(now_s, total, worker.busy.total_s, knows_busy=knows_busy)
        self.transceivers.take(worker.index, None if view is None else view.peers, now_s)

    def take_cpu_times(self) -> None:
        for status in () if self.status is None else self.status.workers:
            if status.pid > 0:
                self.worker(status.index).busy.take(status.pid, processes.cpu_seconds(status.pid))

    def survey(self, now_s: float | None = None) -> Iterator[None]:
        """Look at all flows in pieces, unless it is too early for what that costs."""
        started_s = time.monotonic() if now_s is None else now_s
        if not self._pace.is_due(started_s):
            return
        self._pace.begin(started_s)
        for worker in self.in_order():
            pages, view = worker.pages, worker.view
            if pages is not None and view is not None:
                now_ms = int((time.monotonic() if now_s is None else now_s) * 1000)
                yield from self._pace.spend(worker.survey.look(view, pages.flows.capacity, now_ms))
        self._pace.end(started_s)

    def census(self) -> Census:
        """The flows of all workers at the last look."""
        whole = Census()
        for worker in self.workers.values():
            whole = whole.plus(worker.survey.census)
        return whole
