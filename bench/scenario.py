"""What every measurement is to those who run it: words for the progress, a number of steps, and a function.

Lives here: the three lengths of a run, and how often it sits. Must not live here: any measurement, the order of the
report (catalogue).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    # a run knows its length, so the report imports this module
    from bench.report.measured import Measured

Step = Callable[[], None]
"""Called when another step of the measurement is done."""


class Length(StrEnum):
    """How much is measured. Figures of different lengths are taken the same way; only their spread differs."""

    SHORT = "short"
    """Shows that the harness works; no result."""
    STANDARD = "standard"
    """`make bench`: all chapters in about ten minutes."""
    FULL = "full"
    """`make bench-full`: every peer, every curve, the sittings of the published report."""


SITTINGS: Final = {Length.SHORT: 1, Length.STANDARD: 1, Length.FULL: 4}
"""How often a run goes through all scenarios that sit again."""


@dataclass(frozen=True)
class Scenario:
    """One measurement, from which one figure or several come."""

    what: str
    steps: Callable[[Length], int]
    measure: Callable[[Length, Step], Measured]
    is_only_full: bool = False
    """Left out of `make bench` unless it is asked for by name."""
    sits_again: bool = False
    """Measured once in each sitting of a run, in new processes each time; its effort is that of one sitting. Others
    are measured once, whole."""
