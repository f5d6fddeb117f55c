"""A B A B: the candidates in turn, so that whatever else the machine does falls on all of them alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.load.candidates import Candidate
from bench.load.drain import sample

# fewer pairs than this say nothing about spread
ROUNDS_MIN = 5


@dataclass(frozen=True)
class Turns:
    """Nanoseconds per packet of each candidate, round by round."""

    samples: dict[str, list[float]]
    queued: dict[str, int] = field(default_factory=dict)
    """Packets that each was given."""
    ended: dict[str, dict[str, int]] = field(default_factory=dict)
    """What became of them, by each one's own counters."""


def take_turns(
    candidates: Sequence[Candidate], rounds: int, drains: int, packets: int, step: Callable[[], None]
) -> Turns:
    """Samples every started candidate once a round; calls step after each sample."""
    samples: dict[str, list[float]] = {candidate.name: [] for candidate in candidates}
    before = {candidate.name: (candidate.handled(), candidate.lost()) for candidate in candidates}
    rounds = max(rounds, ROUNDS_MIN)
    for candidate in candidates:
        sample(candidate, 1, packets)  # caches, page faults, and whatever a first batch allocates
    for _ in range(rounds):
        for candidate in candidates:
            samples[candidate.name].append(sample(candidate, drains, packets))
            step()
    queued = {candidate.name: (1 + rounds * drains) * packets for candidate in candidates}
    return Turns(
        samples, queued, {candidate.name: _ended(candidate, *before[candidate.name]) for candidate in candidates}
    )


def _ended(candidate: Candidate, handled_before: int, lost_before: int) -> dict[str, int]:
    return {"handled": candidate.handled() - handled_before, "lost": candidate.lost() - lost_before}
