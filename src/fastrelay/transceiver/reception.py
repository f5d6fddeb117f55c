"""What has been received of one RTP stream: RFC 3550's statistics, for receiver reports and the call's own figures.

Lives here: counting, loss, jitter, which of the latest packets are missing; the readable twin of what ext/srtp.pyx
keeps beside each SRTP context. Must not live here: keys, report blocks, clocks.
"""

from __future__ import annotations

from fastrelay.wire.rtp import CLOCK_RATE, extend_sequence

DROPOUT_MAX = 3000
"""RFC 3550 A.1: a larger jump ahead is a sender that began anew, not loss."""
HISTORY = 64
"""Packets, back from the highest, of which it is known whether they came: 1.3 s of speech."""


class Reception:
    """One stream's statistics. A new SSRC begins them again. All attributes are to be read only."""

    def __init__(self) -> None:
        self.begin(0)

    def begin(self, ssrc: int) -> None:
        """Forget the stream before."""
        self.ssrc = ssrc
        self.packets = 0
        self.octets = 0
        self.first = 0
        self.highest = 0
        self._history = 0
        self._transit = 0
        self._jitter_by_16 = 0

    def count(self, sequence: int, timestamp: int, octets: int, now_us: int) -> int:
        """Take an authenticated packet of this stream in, which libsrtp has not seen before. Returns its extended
        sequence number."""
        transit = (now_us * (CLOCK_RATE // 1000) // 1000 - timestamp) & 0xFFFF_FFFF
        extended = extend_sequence(sequence, self.highest)
        if self.packets == 0:
            self.first = self.highest = extended = sequence
            self._history = 1
        else:
            self._place(extended)
            # RFC 3550 A.8, in sixteenths: what the spacing of arrivals differs from that of timestamps
            change = (transit - self._transit) & 0xFFFF_FFFF
            self._jitter_by_16 += min(change, (1 << 32) - change) - ((self._jitter_by_16 + 8) >> 4)
        self._transit = transit
        self.packets += 1
        self.octets += octets
        return extended

    def _place(self, extended: int) -> None:
        ahead = extended - self.highest
        if ahead > 0:
            if ahead > DROPOUT_MAX:
                self.first += ahead - 1  # expects none of the gap
            self._history = (self._history << ahead | 1) & ((1 << HISTORY) - 1) if ahead < HISTORY else 1
            self.highest = extended
        elif -ahead < HISTORY:
            self._history |= 1 << -ahead
        self.first = min(self.first, extended)

    @property
    def cycles(self) -> int:
        """How often the sequence number has rolled over."""
        return self.highest >> 16

    @property
    def expected(self) -> int:
        """Packets that would be here, had none been lost."""
        return self.highest - self.first + 1 if self.packets else 0

    @property
    def lost(self) -> int:
        """Packets that did not come, or not yet."""
        return max(self.expected - self.packets, 0)

    @property
    def jitter(self) -> int:
        """Interarrival jitter (RFC 3550 §6.4.1) in timestamp units."""
        return min(self._jitter_by_16 >> 4, 0xFFFF_FFFF)

    def missing(self) -> list[int]:
        """The 16-bit sequence numbers, oldest first, of the latest HISTORY packets that are not here."""
        reach = min(HISTORY - 1, self.highest - self.first)
        return [(self.highest - back) & 0xFFFF for back in range(reach, 0, -1) if not self._history >> back & 1]
