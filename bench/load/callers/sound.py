"""Taking a stretch of media again when the generator, and not who stands before it, was late.

Lives here: the rule. Must not live here: what a stretch is for.

Whether a stretch is sound is said by the generator's own schedule alone. What became of its packets is not looked at,
so that nothing is chosen by its result.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final, Protocol

from bench.load.callers.result import Result
from bench.load.callers.shape import Talk

PAUSES_S: Final = (0.0, 0.0, 0.1, 0.3, 1.0, 3.0)
"""Before each further try. A stretch of a tenth of a second is late at p99 when its generator was held up for a
millisecond. Most such moments are single ones; what holds it up for some seconds is waited for."""
PATIENCE_S: Final = 15.0
"""For all stretches together: a rate that is a little too much for the generator makes it late in each of them."""


class Talker(Protocol):
    """A crowd, or what stands for one."""

    def talk(self, talk: Talk) -> Result:
        """A stretch of media."""


@dataclass
class Sound:
    """Stretches, and how many were taken again."""

    repeated: int = field(default=0, init=False)
    patience_s: float = field(default=PATIENCE_S, init=False)

    def talk(self, crowd: Talker, talk: Talk) -> Result:
        """The first stretch in which the generator kept its schedule; the last one where it never did."""
        done = crowd.talk(talk)
        for pause_s in PAUSES_S:
            if not done.lateness():
                break
            before = done
            self._wait(pause_s)
            self.repeated += 1
            done = crowd.talk(talk)
            # a rate that could not be offered twice is no better the next time
            if before.is_behind and done.is_behind:
                break
        return done

    def _wait(self, seconds: float) -> None:
        if seconds <= self.patience_s:
            self.patience_s -= seconds
            time.sleep(seconds)

    def note(self) -> str:
        """For a figure; empty when all were sound at once."""
        return f"{self.repeated} stretches taken again, the generator was held up" if self.repeated else ""
