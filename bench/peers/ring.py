"""A comparison while it is made: who still takes part, and what became of everyone.

Lives here: verification, the turns, dropping out. Must not live here: who takes part (compare.py).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from bench.load.candidates import Candidate
from bench.load.drain import drain
from bench.load.failure import BenchFailure
from bench.load.pairs import ROUNDS_MIN, Turns
from bench.load.traffic import Sink, wait_for_count
from bench.peers.peer import NotRun
from bench.scenario import Step


@dataclass
class Compared:
    """What became of each relay: figures, or the reason why there are none."""

    samples: dict[str, list[float]] = field(default_factory=dict)
    """Nanoseconds per packet, round by round."""
    versions: dict[str, str] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    queued: dict[str, int] = field(default_factory=dict)
    """Packets that each was given while it was timed."""
    ended: dict[str, dict[str, int]] = field(default_factory=dict)
    """What became of them: by a relay's own counters, or, of those that have none to read, at the receiver."""

    def attempt(self, name: str, what: Callable[[], object]) -> bool:
        """Whether it went well; what this machine lacks and what went wrong are told apart."""
        try:
            what()
        except NotRun as missing:
            self.not_run[name] = str(missing)
            return False
        except BenchFailure as failure:
            self.failed[name] = str(failure)
            return False
        return True

    def turns(self) -> Turns:
        """Figures and accounts of all who were measured to the end."""
        return Turns(self.samples, self.queued, self.ended)

    def forget(self, name: str) -> None:
        """No figure of one who failed."""
        for kept in (self.samples, self.queued, self.ended):
            kept.pop(name, None)


@dataclass
class Ring:
    """Those who take part, ready to be drained; who fails is named and takes no further part."""

    compared: Compared
    sinks: dict[str, Sink] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)

    def join(self, candidate: Candidate, sink: Sink) -> None:
        """One more, which is started and paused, and the receiver of what it sends."""
        self.candidates.append(candidate)
        self.sinks[candidate.name] = sink

    def attempt(self, candidate: Candidate, what: Callable[[], object]) -> bool:
        """Whether it went well."""
        return self.compared.attempt(candidate.name, what)

    def verify(self, packets: int) -> None:
        """One drain of each into a receiver that counts: what a candidate handled must have arrived, once."""
        for candidate in list(self.candidates):
            if not self.attempt(candidate, partial(self._verify, candidate, packets)):
                self.drop(candidate)

    def measure(self, rounds: int, drains: int, packets: int, step: Step) -> None:
        """Round by round, each in its turn; a figure of one who failed in any round is not kept."""
        before = {candidate.name: (candidate.handled(), candidate.lost()) for candidate in self.candidates}
        for _ in range(max(rounds, ROUNDS_MIN)):
            for candidate in list(self.candidates):
                if not self.attempt(candidate, partial(self._sample, candidate, drains, packets)):
                    self.drop(candidate)
                step()
        for candidate in self.candidates:
            handled, lost = before[candidate.name]
            ended = {"arrived": candidate.handled() - handled, "lost": candidate.lost() - lost}
            self.compared.ended[candidate.name] = ended

    def drop(self, candidate: Candidate) -> None:
        """Takes one out, with its figures; it must not go on working beside the others."""
        candidate.stop()
        self.candidates.remove(candidate)
        self.compared.forget(candidate.name)

    def _sample(self, candidate: Candidate, drains: int, packets: int) -> None:
        done = [drain(candidate, packets) for _ in range(drains)]
        queued = sum(one.packets for one in done)
        self.compared.queued[candidate.name] = self.compared.queued.get(candidate.name, 0) + queued
        self.compared.samples.setdefault(candidate.name, []).append(sum(one.cpu_ns for one in done) / queued)

    def _verify(self, candidate: Candidate, packets: int) -> None:
        sink = self.sinks[candidate.name]
        sink.count()
        before, dropped = sink.counted(), sink.lost()
        sent = drain(candidate, packets).packets
        arrived = wait_for_count(sink, before + sent) - before
        dropped = sink.lost() - dropped
        sink.drop()
        if arrived != sent or dropped:
            raise BenchFailure(f"{candidate.name}: of {sent} packets {arrived} arrived and {dropped} were dropped")
