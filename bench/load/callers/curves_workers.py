"""How much more two workers carry than one, and so on to one on each processor: all their queues drained at once.

Lives here: the real relay with so many workers, filling each one's queue, the figures. Must not live here: the relay's
command and its supervisor (bench.restart.relay), other drains (curves_drained).

Each worker's queue is filled from its own processor, as a network card with a receive queue for each does, and the
relay steers by that. Whoever fills is done before a worker begins. With a worker on each processor nobody can watch
the clock without taking one away: what counts is the CPU time of the worker that needed most.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Final

from bench.load import build, cpu
from bench.load.checks import write_checks
from bench.load.drain import DRAIN_PACKETS
from bench.load.failure import BenchFailure
from bench.load.process import Program
from bench.load.relay_child import LIFTED
from bench.load.sockets import socket_state
from bench.load.traffic import CANDIDATE, TRANSCEIVER_PORT, Sink, Traffic
from bench.report.measured import Measured, series
from bench.report.model import Account, Better, Curve, Figure, Line
from bench.restart.relay import PAGE, Setup, SupervisedRelay, open_as, wait_until
from bench.scenario import Step
from fastrelay.observe.counters import CounterPage

KEY: Final = "curve-workers"
CLIENTS: Final = 1024
"""Of each worker."""
LISTEN_PORT: Final = 21300
TRUNK_PORT: Final = 22000
FIRST_CLIENT_PORT: Final = 24000


@dataclass(frozen=True)
class Emptied:
    """All queues, each of which had so many packets."""

    packets: int
    cpu_ns: tuple[int, ...]
    """Of each worker."""
    handled: tuple[int, ...]

    @property
    def packets_per_s(self) -> float:
        """All of them, until the slowest was done."""
        return self.packets * len(self.cpu_ns) * 1e9 / max(self.cpu_ns)


class Team:
    """A relay whose worker i runs on processor i of `cpus`, and a generator beside each. It is left paused."""

    def __init__(
        self, relay: SupervisedRelay, port: int, pages: Sequence[CounterPage], generators: Sequence[Program]
    ) -> None:
        self._relay, self._port, self._pages, self._generators = relay, port, pages, generators
        self._workers = relay.workers()

    def admit(self) -> None:
        """Every client of every generator sends its check."""
        for generator in self._generators:
            generator.ask(f"checks {CLIENTS}")
        wait_until(lambda: self._counts("UP_ADMITTED") == [CLIENTS] * len(self._pages), "all clients are let in")

    def pause(self) -> None:
        """The supervisor first: it would replace a worker that stands still."""
        cpu.pause(self._relay.pid)
        for worker in self._workers:
            cpu.pause(worker)

    def resume(self) -> None:
        """As it was, for its end."""
        for pid in (*self._workers, self._relay.pid):
            cpu.resume(pid)

    def empty(self, packets: int) -> Emptied:
        """Fills all queues and lets all workers run until they are empty."""
        before, dropped = self._counts("UP_SRTP"), socket_state(self._port).drops
        for generator in self._generators:
            generator.ask(f"fill {packets}")
        if socket_state(self._port).drops != dropped:
            raise BenchFailure(f"{packets} packets do not fit the receive buffer of a worker")
        started = [cpu.cpu_ns(worker) for worker in self._workers]
        for worker in self._workers:
            cpu.resume(worker)
        wanted = sum(before) + packets * len(self._workers)
        wait_until(lambda: sum(self._counts("UP_SRTP")) >= wanted, "the queues are empty")
        for worker in self._workers:
            cpu.pause(worker)
        spent = tuple(cpu.cpu_ns(worker) - early for worker, early in zip(self._workers, started, strict=True))
        return Emptied(packets, spent, tuple(b - a for a, b in zip(before, self._counts("UP_SRTP"), strict=True)))

    def _counts(self, verdict: str) -> list[int]:
        return [page.packets(verdict) for page in self._pages]


@contextmanager
def team(cpus: Sequence[int]) -> Iterator[Team]:
    """One worker on each of these."""
    count, port = len(cpus), LISTEN_PORT + len(cpus)
    # worker i takes the trunk's port plus i, generator i a port of its own: below are those of all smaller teams
    offset = sum(range(count))
    within = (
        *("env", f"FASTRELAY_WORKERS__COUNT={','.join(f'{each}-{each}' for each in cpus)}"),
        "FASTRELAY_WORKERS__STEERING=cpu",
        *("taskset", "--cpu-list", ",".join(map(str, cpus))),
    )
    # nobody answers these calls, and all of them come at once
    setup = Setup(port=port, trunk_port=TRUNK_PORT + offset, limits=LIFTED, within=within)
    with ExitStack() as stack:
        relay = stack.enter_context(SupervisedRelay(build.OUT / f"workers-{count}", setup))
        wait_until(lambda: len(relay.workers()) == count, f"there are {count} workers")
        pages = [stack.enter_context(counters(relay, index)) for index in range(count)]
        generators = []
        for index, on_cpu in enumerate(cpus):
            traffic = Traffic(CLIENTS, client_port=FIRST_CLIENT_PORT + offset + index)
            command = [str(build.program("generator_up")), *traffic.options(), "--checks", str(write_checks(traffic))]
            generators.append(Program(command, on_cpu, cpu.NICE_GENERATOR))
            stack.callback(generators[-1].stop)
            generators[-1].ask(f"to {CANDIDATE}:{port}")
        made = Team(relay, port, pages, generators)
        made.admit()
        made.pause()
        stack.callback(made.resume)
        yield made


@contextmanager
def counters(relay: SupervisedRelay, worker: int) -> Iterator[CounterPage]:
    """A worker's counter page, live, by the descriptor that the supervisor holds."""
    entry = next(open_as(relay.pid, f"{PAGE}{worker} "), None)
    if entry is None:
        raise BenchFailure(f"worker {worker} has no counter page: {relay.said()}")
    with entry.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory, closing(CounterPage(memory)) as page:
        yield page


def counts_up_to(processors: int) -> tuple[int, ...]:
    """One worker, then twice as many each time, and at last one on each processor."""
    powers = [1 << exponent for exponent in range(processors.bit_length()) if 1 << exponent < processors]
    return (*powers, processors)


def measure_workers(rounds: int, step: Step, processors: Sequence[int], packets: int = DRAIN_PACKETS) -> Measured:
    """Relays of ever more workers in turns: one drain of each is a round."""
    counts = counts_up_to(len(processors))
    emptied: dict[int, list[Emptied]] = {count: [] for count in counts}
    with ExitStack() as stack:
        sink = Sink(TRANSCEIVER_PORT)
        stack.callback(sink.stop)
        sink.drop()
        teams = {count: stack.enter_context(team(processors[:count])) for count in counts}
        for each in teams.values():
            each.empty(packets)
        for _ in range(rounds):
            for count, each in teams.items():
                emptied[count].append(each.empty(packets))
            step()
    return measured_of(emptied)


def measured_of(rounds: dict[int, list[Emptied]]) -> Measured:
    """What so many workers carry beside one, and the curve beside one worker times their number."""
    one = [each.packets_per_s for each in rounds[1]]
    xs = tuple(float(count) for count in rounds)
    lines = (
        Line("measured", xs, tuple(tuple(each.packets_per_s for each in rounds[count]) for count in rounds)),
        Line("as many times one worker", xs, tuple(tuple(count * each for each in one) for count in rounds)),
    )
    figures = [figure_of(count, emptied, one) for count, emptied in rounds.items()]
    curve = Curve(KEY, "packets carried by number of workers", "workers", "packets/s", lines)
    return Measured(figures, curves=[curve])


def figure_of(count: int, emptied: list[Emptied], one: list[float]) -> Figure:
    """Packets a second of this relay; beside one worker where it has more."""
    names = f"{count} workers" if count > 1 else "1 worker"
    return Figure(
        key=f"{KEY}/{count}",
        what=f"packets carried by {names}",
        unit="packets/s",
        better=Better.HIGHER,
        value=series(names, (each.packets_per_s for each in emptied)),
        floor=series("1 worker", one) if count > 1 else None,
        is_paired=count > 1,
        accounts=tuple(
            Account(
                f"packets queued for worker {index}",
                sum(each.packets for each in emptied),
                {"handled": sum(each.handled[index] for each in emptied)},
            )
            for index in range(count)
        ),
        note="all queues drained at once; by the CPU time of the worker that needed most",
    )
