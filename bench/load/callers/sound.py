"""Taking a stretch of media again when the generator, and not who stands before it, was late.

Lives here: the rule. Must not live here: what a stretch is for.

Whether a stretch is sound is said by the generator's own schedule alone. What became of its packets is not looked at,
so that nothing is chosen by its result.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from bench.load.callers.result import Result
from bench.load.callers.shape import Talk

TRIES: Final = 5
"""A stretch of a tenth of a second is late at p99 when its generator was held up for a millisecond."""


class Talker(Protocol):
    """A crowd, or what stands for one."""

    def talk(self, talk: Talk) -> Result:
        """A stretch of media."""


@dataclass
class Sound:
    """Stretches, and how many were taken again."""

    repeated: int = field(default=0, init=False)

    def talk(self, crowd: Talker, talk: Talk) -> Result:
        """The first stretch in which the generator kept its schedule; the last one where it never did."""
        done = crowd.talk(talk)
        for _ in range(TRIES - 1):
            # a rate that cannot be offered is no better the next time
            if not done.lateness() or done.is_behind:
                break
            self.repeated += 1
            done = crowd.talk(talk)
        return done

    def note(self) -> str:
        """For a figure; empty when all were sound at once."""
        return f"{self.repeated} stretches taken again, the generator was held up" if self.repeated else ""
