"""Received packets in the order in which they were sent.

Lives here: a few packets held while one before them is missing. It has no timer: what is held goes on with a later
packet, and is given up after HELD_MAX packets or HELD_S. Must not live here: concealing what is lost (opus), queues.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

HELD_MAX: Final = 4
"""Packets held for one that is missing: 80 ms at the usual 20. On most paths one sent again after a NACK arrives within
that, and waiting longer would be heard as delay."""
HELD_S: Final = 0.1
"""A packet held for longer than this, because few follow, goes on without the missing one."""
RESTART_GAP: Final = 3_000
"""A minute of packets: a sender whose numbers have leapt further than this has begun anew."""


class AudioPacket(Protocol):
    """What is used of a received RTP packet."""

    @property
    def payload(self) -> bytes:
        """An Opus frame, or what claims to be one."""

    @property
    def extended_sequence(self) -> int:
        """The sequence number, its roll-overs counted."""

    @property
    def timestamp(self) -> int:
        """RTP time of the frame's first sample, 48,000 a second, modulo 2³²."""

    @property
    def ssrc(self) -> int:
        """The sender's stream: another one starts from other numbers."""


class Reorder:
    """One stream's order. `deliver` gets every packet once, in order; gaps show in its `extended_sequence`."""

    __slots__ = ("_deliver", "_held", "_held_since_s", "_next", "_ssrc", "late", "lost", "reordered")

    def __init__(self, deliver: Callable[[AudioPacket], None]) -> None:
        self.late = 0
        """Packets that came after they had been given up, or twice."""
        self.lost = 0
        """Packets given up."""
        self.reordered = 0
        """Packets that were held, and delivered in their place."""
        self._deliver = deliver
        self._held: dict[int, AudioPacket] = {}
        self._held_since_s = 0.0
        self._next = -1
        self._ssrc = -1

    def put(self, packet: AudioPacket, now_s: float) -> None:
        """Take a packet; deliver it, and what it has set free, now or later."""
        sequence = packet.extended_sequence
        if sequence == self._next and not self._held and packet.ssrc == self._ssrc:
            self._next = sequence + 1
            self._deliver(packet)
            return
        if packet.ssrc != self._ssrc or abs(sequence - self._next) > RESTART_GAP:
            self._restart(packet)
        elif sequence < self._next or sequence in self._held:
            self.late += 1
        else:
            self._hold(packet, now_s)

    def _restart(self, packet: AudioPacket) -> None:
        self.give_up()
        self._ssrc = packet.ssrc
        self._next = packet.extended_sequence + 1
        self._deliver(packet)

    def _hold(self, packet: AudioPacket, now_s: float) -> None:
        if not self._held:
            self._held_since_s = now_s
        self._held[packet.extended_sequence] = packet
        self._release()
        while len(self._held) > HELD_MAX or (self._held and now_s - self._held_since_s > HELD_S):
            self._skip_missing()

    def _release(self) -> None:
        """Deliver what follows without a gap."""
        while (packet := self._held.pop(self._next, None)) is not None:
            self._next += 1
            self.reordered += 1
            self._deliver(packet)

    def _skip_missing(self) -> None:
        first = min(self._held)
        self.lost += first - self._next
        self._next = first
        self._release()

    def give_up(self) -> None:
        """Deliver all that is held, without what is missing."""
        while self._held:
            self._skip_missing()
