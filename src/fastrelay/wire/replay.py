"""The replay window of one trunk sender, and what it shows of loss (docs/trunk.md, "Replay window and loss").

Lives here: which epoch and sequence are taken, and the counts a HELLO reports.
Must not live here: the MAC (only an authentic datagram may reach this window), addresses, the clock.
"""

from __future__ import annotations

from dataclasses import dataclass

WINDOW = 1024
EPOCH_FORGOTTEN_AFTER_MS = 60_000


@dataclass(slots=True)
class ReplayWindow:
    """What a receiver remembers of one sender. A new one takes any epoch."""

    epoch_us: int = 0
    highest: int = 0
    received: int = 0
    """Datagrams accepted in this epoch."""
    first: int = 0
    """The sequence accepted first in this epoch: what came before was not ours to hear."""
    _seen: int = 0
    """Bit n stands for sequence highest - n."""
    _accepted_at_ms: int | None = None

    @property
    def lost(self) -> int:
        """What should have come since the first, less what came (RFC 3550 appendix A.3).

        Late numbers from below the first are accepted too, so there may be more of the latter.
        """
        expected = self.highest - self.first + 1 if self.highest else 0
        return max(0, expected - self.received)

    def accept(self, epoch_us: int, sequence: int, now_ms: int, forget_ms: int = EPOCH_FORGOTTEN_AFTER_MS) -> bool:
        """Whether this datagram is new; if it is, the window moves to hold it. A refused one changes nothing."""
        if sequence == 0:
            return False
        if self._accepted_at_ms is None or epoch_us > self.epoch_us:
            self._start(epoch_us)
        elif epoch_us < self.epoch_us:
            # a clock that was set back must not lock a sender out for good
            if now_ms - self._accepted_at_ms < forget_ms:
                return False
            self._start(epoch_us)
        if not self._take(sequence):
            return False
        self.received += 1
        self._accepted_at_ms = now_ms
        return True

    def _start(self, epoch_us: int) -> None:
        self.epoch_us = epoch_us
        self.highest = self.received = self.first = self._seen = 0

    def _take(self, sequence: int) -> bool:
        if sequence > self.highest:
            by = min(sequence - self.highest, WINDOW)
            self._seen = (self._seen << by | 1) & ((1 << WINDOW) - 1)
            self.first = self.first or sequence
            self.highest = sequence
            return True
        bit = self.highest - sequence
        if bit >= WINDOW or self._seen >> bit & 1:
            return False
        self._seen |= 1 << bit
        return True
