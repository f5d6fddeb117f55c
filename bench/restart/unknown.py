"""Flows that nobody knows any more: a relay that forgot them, another product's, another host. All at the same time,
because each is silent for seconds.

Lives here: what is measured together, and the turns. Must not live here: relays, hosts and calls (before).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace

from bench.load.callers.shape import Shape
from bench.peers.peer import NotRun, Peer
from bench.peers.recipes import GoRelay
from bench.report.measured import Measured
from bench.restart.before import (
    CLIENTS,
    FOLDER,
    NEVER_FROM_THE_TRUNK,
    TRANSCEIVER,
    hosts,
    prepare_addresses,
    restarted_peer,
    supervised,
)
from bench.restart.cases import ALONE, HOST, PEER, QUIET, RELAY_CHECK, Case, Effort
from bench.restart.figures import curve_of, figures_of
from bench.restart.network import own_network
from bench.restart.relay import Setup
from bench.restart.trial import (
    LATE_MAX_TOGETHER_US,
    ROUND_TRIES,
    Callers,
    Happening,
    Round,
    Trial,
    nothing,
    sound_round,
    stretch,
)
from bench.scenario import Step

ANYCAST, ANYCAST_ALONE = "198.51.100.1", "198.51.100.2"
THREADS = 8
"""A stretch and what happens in it, for each of at most four parts. They live to the end: what they start ends with its
thread."""


@dataclass(frozen=True)
class Part:
    """One of those that are measured at the same time."""

    case: Case
    callers: Callers
    happening: Happening
    refused: Callable[[], int]
    begin_again: Happening = nothing


def measure_unknown(effort: Effort, step: Step, peer: Peer | None = None) -> Measured:
    """Flows that nobody knows any more: what brings a call back, and when."""
    peer = peer or GoRelay(is_batched=False, is_shared=False)
    not_run, versions = {}, {}
    try:
        versions[peer.name] = peer.prepare()
    except NotRun as problem:
        not_run[peer.name] = str(problem)
    with own_network(), ThreadPoolExecutor(THREADS) as threads, ExitStack() as stack:
        prepare_addresses()
        parts = [stack.enter_context(part) for part in parts_of(effort, None if not_run else peer)]

        def each_once() -> Round:
            floors = at_once(parts, threads, is_quiet=True)
            trials = at_once(parts, threads, is_quiet=False)
            for part in parts:
                part.begin_again()
            return Round(trials, floors)

        rounds: list[Round] = []
        for _ in range(effort.rounds):
            rounds.append(sound_round(each_once))
            step()
    figures = [figure for part in parts for figure in figures_of("restart-unknown", part.case, rounds)]
    shown = {part.case.key: [each.trials[part.case.key] for each in rounds] for part in parts if part.case.ends}
    curve = curve_of("restart-unknown", "Silence by call, nobody knows its flow any more", shown)
    return Measured(figures, curves=[curve], versions=versions, not_run=not_run)


def at_once(parts: list[Part], threads: ThreadPoolExecutor, *, is_quiet: bool) -> dict[str, Trial]:
    """One stretch of each part, all together: their gaps are a hundred times what they take from each other."""
    running = [
        threads.submit(
            stretch,
            part.callers,
            threads,
            QUIET.duration_ms if is_quiet else part.case.duration_ms,
            nothing if is_quiet else part.happening,
            part.refused,
            LATE_MAX_TOGETHER_US,
        )
        for part in parts
    ]
    return {part.case.key: trial.result() for part, trial in zip(parts, running, strict=True)}


@dataclass
class Ports:
    """Each crowd has its own."""

    next: int = 21400

    def shape(self, effort: Effort, name: str, *, is_on_hosts: bool = False) -> Shape:
        """A crowd's, with addresses for every try of every round where it begins anew in each."""
        ends = self.next, self.next + 1
        self.next += 2
        calls, heard = effort.calls_beside, FOLDER / f"{name}.heard"
        if not is_on_hosts:
            return Shape(calls, client_port=ends[0], transceiver_port=ends[1], heard=heard)
        return Shape(
            calls,
            flows=calls * (effort.rounds * ROUND_TRIES + 1),
            client_port=ends[0],
            transceiver_port=ends[1],
            first_client=CLIENTS,
            first_transceiver=TRANSCEIVER,
            heard=heard,
        )


def parts_of(effort: Effort, peer: Peer | None) -> Iterator[AbstractContextManager[Part]]:
    """Everything that can be measured here."""
    ports = Ports()
    yield forgetful(ports.shape(effort, "forgetful"))
    if peer is not None:
        yield other_product(peer, ports.shape(effort, "peer"))
    yield on_hosts(HOST, ports.shape(effort, "hosts", is_on_hosts=True), ANYCAST, (1, 2))
    yield on_hosts(ALONE, ports.shape(effort, "alone", is_on_hosts=True), ANYCAST_ALONE, (3,))


@contextmanager
def forgetful(shape: Shape) -> Iterator[Part]:
    """A relay whose lost flows do not come back from the trunk."""
    with supervised("forgetful", shape, Setup(limits=NEVER_FROM_THE_TRUNK)) as standing:

        def kill_start() -> None:
            standing.relay.kill()
            standing.relay.start()

        yield Part(RELAY_CHECK, standing.callers, kill_start, standing.relay.refused)


@contextmanager
def other_product(peer: Peer, shape: Shape) -> Iterator[Part]:
    """A peer counts nothing: what it loses is gone."""
    case = replace(PEER, key=PEER.key.format(name=peer.name), what=PEER.what.format(name=peer.name))
    with restarted_peer(peer, shape) as standing:
        yield Part(case, standing.callers, standing.kill_start, lambda: 0)


@contextmanager
def on_hosts(case: Case, shape: Shape, anycast: str, numbers: tuple[int, ...]) -> Iterator[Part]:
    """Hosts of which the first is lost."""
    with hosts(case.key, shape, anycast, numbers) as standing:
        yield Part(case, standing.callers, standing.lose_first, standing.refused, standing.begin_again)
