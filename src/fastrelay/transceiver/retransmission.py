"""Lost packets again (RFC 4585 §6.2.1): what we sent, kept for a while, and what we ask the peer for.

Lives here: two bounded memories, of sent packets and of requests made, for calls that have negotiated NACK. A packet
is kept as it was sealed: who has it already drops it as a replay. Must not live here: RTCP's format, encryption.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

SENT_MAX = 64
"""Packets kept of each call: 1.3 s of speech, about 10 KB. What is older than that comes too late anyway."""
ANSWERS_MAX = 32
"""Packets sent again for one request, so that a request cannot make a burst of us."""
RTT_MAX_S = 0.1
"""Above this a packet asked for comes after its time: a receiver's buffer is rarely deeper."""
ASKED_TIMES = 2
"""Requests for one packet."""
PATIENCE_S = 0.01
"""A packet is not asked for again sooner than a round trip and this, in which it might still arrive by itself."""


class SentPackets:
    """The latest packets of one stream, by sequence number."""

    def __init__(self) -> None:
        self.resent = 0
        self.missed = 0
        """Packets asked for that are not kept any more."""
        self._packets: OrderedDict[int, bytes] = OrderedDict()

    def keep(self, sequence: int, sealed: bytes) -> None:
        """Remember a sealed packet; the oldest makes room."""
        self._packets[sequence] = sealed
        if len(self._packets) > SENT_MAX:
            self._packets.popitem(last=False)

    def find(self, sequences: Iterable[int]) -> list[bytes]:
        """Return those that are still here, to be sent once more."""
        found: list[bytes] = []
        for sequence in sequences:
            sealed = self._packets.get(sequence)
            if sealed is None:
                self.missed += 1
            elif len(found) < ANSWERS_MAX:
                found.append(sealed)
        self.resent += len(found)
        return found


class LossRequests:
    """Which of the missing packets to ask for now."""

    def __init__(self) -> None:
        self.asked = 0
        # sequence number → how often it was asked for, when last
        self._asked: dict[int, tuple[int, float]] = {}

    def due(self, missing: Sequence[int], rtt_s: float | None, now_s: float) -> list[int]:
        """Choose of the `missing`, which are all that are: others are forgotten, so the memory is bounded by them."""
        if rtt_s is None or rtt_s > RTT_MAX_S:
            return []
        before, self._asked, due = self._asked, {}, []
        for sequence in missing:
            times, last_s = before.get(sequence, (0, 0.0))
            if times == 0 or (times < ASKED_TIMES and now_s - last_s >= rtt_s + PATIENCE_S):
                times, last_s = times + 1, now_s
                due.append(sequence)
            self._asked[sequence] = times, last_s
        self.asked += len(due)
        return due
