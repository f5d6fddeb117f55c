"""A comparison whose counts do not add up says so: the relay is named as failed, has no figure, and works no longer."""

from __future__ import annotations

import pytest

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


def test_the_ratio_is_of_packets_in_the_same_time() -> None:
    ring = Ring(Compared())
    ring.candidates = [FakeCandidate("quick", 250), FakeCandidate("slow", 1000)]
    ring.measure(rounds=5, drains=2, packets=100, step=lambda: None)
    turns = ring.compared.turns()
    assert turns.ratio("slow", "quick").median == 4
    assert turns.queued == {"quick": 1000, "slow": 1000}
    assert turns.ended["slow"] == {"arrived": 1000, "lost": 0}
    assert not ring.compared.failed


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
