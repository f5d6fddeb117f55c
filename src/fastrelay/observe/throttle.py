"""How many log lines alike are enough: the first ones are written, the rest counted and told once.

Lives here: windows and counts, bounded, with the time as an argument. Must not live here: writing lines (logs).
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, NamedTuple

WINDOW_S: Final = 10
LINES_MAX: Final = 10
"""Lines of one message within a window: enough to see a pattern, too few to fill a disk."""
ERRORS_MAX: Final = 50
"""The same for errors: each may name another worker or file."""
MESSAGES_MAX: Final = 256
"""Messages remembered: more than there are in fastrelay."""


class Suppressed(NamedTuple):
    """Lines of one message that were held back in a window that is over."""

    message: str
    level: int
    lines: int


@dataclass(slots=True)
class _Window:
    level: int
    started_s: float
    lines: int = 0

    @property
    def held_back(self) -> int:
        return max(0, self.lines - (ERRORS_MAX if self.level >= logging.ERROR else LINES_MAX))


class Throttle:
    """A window for each message, from its first line on. The first line of a window is always admitted."""

    def __init__(self) -> None:
        self._windows: OrderedDict[tuple[str, int], _Window] = OrderedDict()  # oldest first
        self._owed: list[Suppressed] = []

    def admit(self, message: str, level: int, now_s: float) -> bool:
        """Whether a line of this message may be written now; counted either way."""
        self._end_windows(now_s)
        window = self._windows.get((message, level))
        if window is None:
            if len(self._windows) >= MESSAGES_MAX:
                self._end_oldest()
            window = self._windows[message, level] = _Window(level, now_s)
        window.lines += 1
        return not window.held_back

    def owed(self, now_s: float) -> list[Suppressed]:
        """What was held back in windows that are over, each told once."""
        self._end_windows(now_s)
        owed, self._owed = self._owed, []
        return owed

    def settle(self) -> list[Suppressed]:
        """Ends every window now and returns what is owed."""
        while self._windows:
            self._end_oldest()
        owed, self._owed = self._owed, []
        return owed

    def _end_windows(self, now_s: float) -> None:
        while self._windows and now_s - next(iter(self._windows.values())).started_s >= WINDOW_S:
            self._end_oldest()

    def _end_oldest(self) -> None:
        (message, level), window = self._windows.popitem(last=False)
        if window.held_back:
            self._owed.append(Suppressed(message, level, window.held_back))
