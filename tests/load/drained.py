"""How long a relay's workers take to empty their queues: the drain test of bench/load, for several workers.

Lives here: filling the listening sockets of a paused relay, letting it go, and what the kernel says each worker took.
Must not live here: how fast is fast enough (test_scaling).

Each worker's queue is filled from its own processor, as a network card with a receive queue for each does; the relay
steers by that. Filled from elsewhere, the kernel would let the sender's processor free the packets: time that nobody
counts as long as that processor is idle, and that slows the worker on it as soon as there is one.

Nobody watches the clock from outside: with a worker on each processor a watcher would have to take one of them away.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.load import build, cpu
from bench.load.process import Program
from bench.load.sockets import socket_state
from bench.load.traffic import Sink
from fastrelay.observe.counters import CounterPage
from fastrelay.routing import KeyRing
from tests.live.ends import eventually
from tests.live.process import RelayProcess
from tests.load.calls import Calls
from tests.load.load import CALLS, traffic


@dataclass(frozen=True, slots=True)
class Drained:
    """One emptying of all queues, each of which had so many packets."""

    packets: int
    cpu_ns: tuple[int, ...]
    """What each worker needed of its processor, which is what the clock would show on a machine without other work."""

    @property
    def packets_per_s(self) -> float:
        """All of them, until the slowest was done."""
        return self.packets * len(self.cpu_ns) * 1e9 / max(self.cpu_ns)


class Drain:
    """A relay whose queues can be filled: worker i runs on processor i of `cpus`, and generator i beside it."""

    def __init__(self, relay: RelayProcess, pages: Sequence[CounterPage], generators: Sequence[Program]) -> None:
        self._relay, self._pages, self._generators = relay, pages, generators

    def once(self, packets: int) -> Drained:
        workers = self._relay.workers
        assert len(workers) == len(self._pages)
        # the supervisor first: it would replace a worker that stands still
        os.kill(self._relay.process.pid, signal.SIGSTOP)
        try:
            for worker in workers:
                cpu.pause(worker)
            before = self._handled()
            self._fill(packets)
            started = [cpu.cpu_ns(worker) for worker in workers]
            for worker in workers:
                cpu.resume(worker)
            eventually(lambda: sum(self._handled()) >= sum(before) + packets * len(workers), "the queues are empty")
            ended = [cpu.cpu_ns(worker) for worker in workers]
        finally:
            for worker in workers:
                cpu.resume(worker)
            os.kill(self._relay.process.pid, signal.SIGCONT)
        handled = [late - early for early, late in zip(before, self._handled(), strict=True)]
        assert handled == [packets] * len(workers), "each worker has what its own processor received"
        return Drained(packets, tuple(late - early for early, late in zip(started, ended, strict=True)))

    def _fill(self, packets: int) -> None:
        port = self._relay.clients[0][1]
        refused = socket_state(port).drops
        for generator in self._generators:
            generator.ask(f"fill {packets}")
        assert socket_state(port).drops == refused, "the receive buffers hold what is queued"

    def _handled(self) -> list[int]:
        return [page.packets("UP_SRTP") for page in self._pages]


@contextmanager
def drainable(relay: RelayProcess, ring: KeyRing, cpus: Sequence[int]) -> Iterator[Drain]:
    """A relay that steers by processor, with one worker on each of these and calls of its own for each."""
    with ExitStack() as stack:
        generators = []
        for number, on_cpu in enumerate(cpus):
            with on(on_cpu), Calls(ring, relay.clients[0], CALLS, first=f"127.{20 + number}.0.0") as made:
                pass
            sink = Sink(made.transceiver[1])
            stack.callback(sink.stop)
            sink.drop()
            command = [str(build.program("generator_up")), *traffic(made)]
            generators.append(Program(command, on_cpu, cpu.NICE_GENERATOR))
            stack.callback(generators[-1].stop)
            generators[-1].ask(f"to {relay.clients[0][0]}:{relay.clients[0][1]}")
        pages = [stack.enter_context(relay.counters(index)) for index in range(len(cpus))]
        yield Drain(relay, pages, generators)


@contextmanager
def on(on_cpu: int) -> Iterator[None]:
    """What this process sends over loopback is received by the processor that it runs on."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {on_cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
