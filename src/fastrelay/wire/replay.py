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
    lost: int = 0
    """Sequences of this epoch that left the window unseen."""
    _seen: int = 0
    """Bit n stands for sequence highest - n."""
    _accepted_at_ms: int | None = None

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
        self.highest = self.received = self.lost = 0
        self._seen = 1  # sequence 0 is never sent: it counts as seen, so it is neither taken nor lost

    def _take(self, sequence: int) -> bool:
        if sequence > self.highest:
            self._slide(sequence - self.highest)
            self.highest = sequence
            self._seen |= 1
            return True
        bit = self.highest - sequence
        if bit >= WINDOW or self._seen >> bit & 1:
            return False
        self._seen |= 1 << bit
        return True

    def _slide(self, by: int) -> None:
        """Everything that leaves unseen is lost: what falls off the old window, and what a jump skips whole."""
        held = min(self.highest + 1, WINDOW)
        stays = max(held - max(held + by - WINDOW, 0), 0)
        leaving = held - stays
        self.lost += leaving - (self._seen >> stays).bit_count()
        self.lost += max(by - WINDOW, 0)
        self._seen = (self._seen << by) & ((1 << WINDOW) - 1) if by < WINDOW else 0
