"""A comparison whose counts do not add up says so: the relay is named as failed, has no figure, and works no longer."""

from __future__ import annotations

from typing import cast

import pytest

from bench.load.traffic import Sink
from bench.peers.ring import Compared, Ring


class FakeCandidate:
    """A candidate that needs so many nanoseconds a packet, and from some drain on loses one."""

    def __init__(self, name: str, packet_ns: int, fails_at: int | None = None) -> None:
        self.name = name
        self.is_stopped = False
        self._packet_ns, self._fails_at = packet_ns, fails_at
        self._queued = self._handled = self._lost = self._cpu_ns = self._drains = 0

    def start(self) -> None: ...

    def stop(self) -> None:
        self.is_stopped = True

    def pause(self) -> None: ...

    def fill(self, packets: int) -> int:
        self._queued = packets
        return packets

    def resume(self) -> None:
        self._handled += self._queued
        self._cpu_ns += self._packet_ns * self._queued
        self._lost += self._drains == self._fails_at
        self._drains += 1

    def handled(self) -> int:
        return self._handled

    def is_idle(self) -> bool:
        return True

    def lost(self) -> int:
        return self._lost

    def cpu_ns(self) -> int:
        return self._cpu_ns


class FakeSink:
    """A receiver at which some packets more arrive than were sent, or some find no room."""

    def __init__(self, candidate: FakeCandidate, more: int = 0, dropped: int = 0) -> None:
        self._candidate, self._more, self._dropped = candidate, more, dropped
        self.is_counting = False

    def count(self) -> None:
        self.is_counting = True

    def drop(self) -> None:
        self.is_counting = False

    def counted(self) -> int:
        handled = self._candidate.handled()
        return handled + self._more if handled else 0

    def lost(self) -> int:
        return self._dropped if self._candidate.handled() else 0


def test_a_sample_is_the_processor_time_of_a_packet() -> None:
    ring = Ring(Compared())
    ring.candidates = [FakeCandidate("quick", 250), FakeCandidate("slow", 1000)]
    ring.measure(rounds=5, drains=2, packets=100, step=lambda: None)
    turns = ring.compared.turns()
    assert turns.samples == {"quick": [250.0] * 5, "slow": [1000.0] * 5}
    assert turns.queued == {"quick": 1000, "slow": 1000}
    assert turns.ended["slow"] == {"arrived": 1000, "lost": 0}
    assert not ring.compared.failed


@pytest.mark.parametrize(
    ("more", "dropped", "said"),
    [(0, 0, ""), (1, 0, "of 100 packets 101 arrived and 0 were dropped"), (0, 2, "100 arrived and 2 were dropped")],
    ids=["each arrived once", "one came twice", "no room at the receiver"],
)
def test_what_was_handled_has_to_arrive_once_before_anything_is_timed(more: int, dropped: int, said: str) -> None:
    ring, candidate = Ring(Compared()), FakeCandidate("doubtful", 250)
    sink = FakeSink(candidate, more, dropped)
    ring.join(candidate, cast(Sink, sink))
    ring.verify(packets=100)
    assert not sink.is_counting
    assert (candidate in ring.candidates, candidate.is_stopped) == (not said, bool(said))
    assert said in ring.compared.failed.get("doubtful", "")


@pytest.mark.parametrize("fails_at", [0, 3], ids=["at once", "in a later round"])
def test_who_loses_a_packet_is_out_and_the_others_go_on(fails_at: int) -> None:
    ring = Ring(Compared())
    honest, lossy = FakeCandidate("honest", 250), FakeCandidate("lossy", 100, fails_at)
    ring.candidates = [lossy, honest]
    ring.measure(rounds=5, drains=1, packets=100, step=lambda: None)
    for kept in (ring.compared.samples, ring.compared.queued, ring.compared.ended):
        assert list(kept) == ["honest"]
    assert len(ring.compared.samples["honest"]) == 5
    assert "1 lost" in ring.compared.failed["lossy"]
    assert lossy.is_stopped
    assert not honest.is_stopped
