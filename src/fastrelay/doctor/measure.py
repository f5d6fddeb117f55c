"""The three-second measurement: floor, up and down in turn, by draining, on loopback.

Lives here: opening what is needed, the order of drains, the time limits, and refusing figures that do not add up. It
leaves no process, socket, file or setting behind. Must not live here: the formula (capacity).
"""

from __future__ import annotations

import mmap
import os
import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Final

from fastrelay._ext.relay_core import counter_page_bytes
from fastrelay.doctor.capacity import Capacity, Sample
from fastrelay.doctor.drain import Subject, drain
from fastrelay.doctor.subject import COUNT
from fastrelay.doctor.traffic import Traffic, room
from fastrelay.errors import WorkerError
from fastrelay.io.sockets import open_listener, open_trunk
from fastrelay.observe.counters import CounterPage

MEASURE_S: Final = 3.0
WHOLE_S: Final = 4.5
"""With starting two processes: where that takes long, less time is left to measure."""
START_S: Final = 4.0
"""A machine on which it takes longer is too busy."""
WARMING: Final = 2
"""With fewer samples than that, on a machine that is very busy, the first one has to count as well."""
SAMPLE_PACKETS: Final = 4096
"""In one figure of a sample: several drains, where the receive buffer is small."""
SAMPLE_S: Final = 0.3
"""A sample's figure has no more time than this: filling small buffers takes long."""
ADDRESS: Final = "127.0.0.1"


class Measurement:
    """The processes and sockets of one measurement."""

    def __init__(self, *, is_offloading: bool) -> None:
        started_s = time.monotonic()
        secret = secrets.token_bytes(32)
        cpu = max(os.sched_getaffinity(0))
        with ExitStack() as stack:
            self._listener = stack.enter_context(open_listener(ADDRESS, 0).socket)
            self._trunk = stack.enter_context(open_trunk(ADDRESS, 0, is_offloading=is_offloading).socket)
            self._floor_listener = stack.enter_context(open_listener(ADDRESS, 0, samples_latency=False).socket)
            self._traffic = stack.enter_context(Traffic(secret, is_offloading=is_offloading))
            counters, counter_page = _page(stack, counter_page_bytes())
            count, self._floor_count = _page(stack, mmap.PAGESIZE)
            self._counters = stack.enter_context(closing(CounterPage(counter_page)))
            setup = {
                "subject": "relay",
                "cpu": cpu,
                "listener": self._listener.fileno(),
                "trunk": self._trunk.fileno(),
                "counters": counters,
                "address": self._listener.getsockname(),
                "secret": secret.hex(),
                "is_offloading": is_offloading,
                "client_port": self._traffic.client_port,
                "transceivers": self._traffic.transceivers,
            }
            self._relay = stack.enter_context(Subject(setup, (self._listener.fileno(), self._trunk.fileno(), counters)))
            setup = {"subject": "floor", "cpu": cpu, "listener": self._floor_listener.fileno(), "counters": count}
            self._floor = stack.enter_context(Subject(setup, (self._floor_listener.fileno(), count)))
            for subject in (self._relay, self._floor):
                subject.wait_until_ready(started_s + START_S)
            self._undo = stack.pop_all()

    def close(self) -> None:
        """Ends the processes, closes everything."""
        self._undo.close()

    def sample(self) -> Sample:
        """One figure of each kind. WorkerError when packets were not forwarded: they would make the figures wrong."""
        traffic = self._traffic
        floor = _several(self._floor, lambda: traffic.fill_up(self._floor_listener), self._received)
        up = _several(self._relay, lambda: traffic.fill_up(self._listener), self._forwarded_up)
        down = _several(self._relay, lambda: traffic.fill_down(self._trunk), self._forwarded_down)
        self._see_that_it_adds_up()
        return Sample(floor[1] / floor[0], up[1] / up[0], down[1] / down[0], floor[0] + up[0] + down[0])

    def _received(self) -> int:
        (received,) = COUNT.unpack_from(self._floor_count)
        return int(received) + room(self._floor_listener).drops

    def _forwarded_up(self) -> int:
        return self._counters.read().packets_up + self._lost()

    def _forwarded_down(self) -> int:
        return self._counters.read().packets_down + self._lost()

    def _lost(self) -> int:
        """Counted as handled, so that nobody waits for them."""
        return sum(self._counters.read().drops().values()) + room(self._listener).drops + room(self._trunk).drops

    def _see_that_it_adds_up(self) -> None:
        refused = self._counters.read().drops()
        if refused:
            raise WorkerError(f"the relay refused packets of the measurement: {', '.join(refused)}")
        if dropped := self._lost() + room(self._floor_listener).drops:
            raise WorkerError(f"the kernel dropped {dropped} packets of the measurement")


def measure(cores: float, *, is_offloading: bool, progress: Callable[[float], None]) -> Capacity:
    """Measure for MEASURE_S. `progress` is told the share that is done.

    WorkerError when the figures would be wrong, OSError when the machine refuses what any relay needs.
    """
    began_s = time.monotonic()
    with closing(Measurement(is_offloading=is_offloading)) as measurement:
        started_s = time.monotonic()
        limit_s = min(MEASURE_S, WHOLE_S - (started_s - began_s))
        samples: list[Sample] = []
        elapsed_s = longest_s = 0.0
        # the next sample has to fit as well
        while elapsed_s + longest_s < limit_s:
            progress(elapsed_s / limit_s)
            samples.append(measurement.sample())
            elapsed_s, before_s = time.monotonic() - started_s, elapsed_s
            longest_s = max(longest_s, elapsed_s - before_s)
    progress(1.0)
    # the first one warms caches and branch predictors, as the first second of service does
    if len(samples) > WARMING:
        samples = samples[1:]
    return Capacity(tuple(samples), cores, is_offloading, elapsed_s)


def _several(subject: Subject, fill: Callable[[], int], handled: Callable[[], int]) -> tuple[int, int]:
    packets, cpu_ns, deadline_s = 0, 0, time.monotonic() + SAMPLE_S
    while packets < SAMPLE_PACKETS and time.monotonic() < deadline_s:
        drained = drain(subject, fill, handled)
        packets, cpu_ns = packets + drained[0], cpu_ns + drained[1]
    return packets, cpu_ns


def _page(stack: ExitStack, size: int) -> tuple[int, mmap.mmap]:
    """Shared memory by its descriptor."""
    descriptor = os.memfd_create("fastrelay-doctor", os.MFD_CLOEXEC)
    stack.callback(os.close, descriptor)
    os.ftruncate(descriptor, size)
    return descriptor, stack.enter_context(mmap.mmap(descriptor, size))
