"""RTCP of one session, sans-IO (RFC 3550 §6.3, A.3): what we report, and what the peer's reports tell.

Lives here: when a report is due, its making, round trip, loss and jitter as the peer sees them, asking for lost
packets. Must not live here: the packets' format (fastrelay.wire.rtcp), encryption, clocks, the store of what was sent
(retransmission.py).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from fastrelay.errors import WireError
from fastrelay.transceiver.retransmission import LossRequests
from fastrelay.transceiver.srtp import SrtpInbound, SrtpOutbound
from fastrelay.wire import rtcp
from fastrelay.wire.rtp import CLOCK_RATE

REPORT_EVERY_S = 1.0
"""Far below RFC 3550's five seconds, because a call's figures shall be of this second: 100 bytes each."""
REPORT_SPREAD = 0.2
"""Intervals of different sessions differ by up to this part, so that they do not fall together (RFC 3550 §6.3.1)."""
REPORTS_KNOWN = 16
"""Sender reports of ours whose time is kept; an answer to an older one tells no round trip."""
NTP_EPOCH_S = 2_208_988_800
"""From 1900 to 1970."""


@dataclass(frozen=True, slots=True)
class Bye:
    """The peer ends its stream."""

    reason: str


@dataclass(frozen=True, slots=True)
class Nack:
    """The peer asks for packets of ours again."""

    sequences: tuple[int, ...]


RtcpNews = Bye | Nack


class Reports:
    """One session's RTCP. `ssrc` is ours, and that of `outbound`."""

    def __init__(
        self, ssrc: int, cname: str, inbound: SrtpInbound, outbound: SrtpOutbound, *, clock_rate: int = CLOCK_RATE
    ) -> None:
        self.next_report_s = 0.0
        """When build() is due next; the first is due at once."""
        self.rtt_s: float | None = None
        self.remote_lost_fraction: float | None = None
        self.remote_lost = 0
        self.remote_jitter_s: float | None = None
        self.malformed = 0
        """Compound packets dropped."""
        self._ssrc = ssrc
        self._inbound = inbound
        self._outbound = outbound
        self._clock_rate = clock_rate
        self._name = rtcp.build_source_description(rtcp.SourceDescription(ssrc, cname))
        self._interval_s = REPORT_EVERY_S * (1 - REPORT_SPREAD / 2 + REPORT_SPREAD * ssrc / (1 << 32))
        self._requests = LossRequests()
        # what our last report covered
        self._sent_packets = 0
        self._reported: tuple[int, int, int] = (0, 0, 0)  # SSRC, expected, received
        # the peer's latest sender report: its SSRC, the middle of its NTP time, when it came
        self._heard: tuple[int, int, float] | None = None
        # ours: the middle of the NTP time → when it left
        self._left_s: OrderedDict[int, float] = OrderedDict()

    def handle(self, compound: bytes, now_s: float) -> list[RtcpNews]:
        """Take in what open_rtcp() gave. What is malformed is counted and dropped."""
        try:
            packets = rtcp.parse_compound(compound)
        except WireError:
            self.malformed += 1
            return []
        news: list[RtcpNews] = []
        for packet in packets:
            match packet:
                case rtcp.SenderReport():
                    self._heard = packet.ssrc, packet.ntp_time >> 16 & 0xFFFF_FFFF, now_s
                    self._handle_blocks(packet.blocks, now_s)
                case rtcp.ReceiverReport():
                    self._handle_blocks(packet.blocks, now_s)
                case rtcp.Goodbye() if self._inbound.reception.ssrc in packet.ssrcs:
                    news.append(Bye(packet.reason))
                case rtcp.Nack(media_ssrc=self._ssrc) if packet.sequences:
                    news.append(Nack(packet.sequences))
        return news

    def build(self, now_s: float, unix_s: float) -> bytes:
        """Report: as sender if packets have left since the last report, else as receiver (RFC 3550 §6.4)."""
        self.next_report_s = now_s + self._interval_s
        return self._build_report(now_s, unix_s) + self._name

    def build_nack(self, now_s: float) -> bytes | None:
        """Ask for packets that are missing, where an answer can still come in time; only if that was negotiated."""
        sequences = self._requests.due(self._inbound.reception.missing(), self.rtt_s, now_s)
        if not sequences:
            return None
        request = rtcp.Nack(self._ssrc, self._inbound.reception.ssrc, tuple(sequences))
        # RFC 4585 §3.1: a compound packet still, whose report may be empty
        report = rtcp.build_receiver_report(rtcp.ReceiverReport(self._ssrc))
        return report + self._name + rtcp.build_nack(request)

    def bye(self, reason: str = "") -> bytes:
        """End our stream."""
        report = rtcp.build_receiver_report(rtcp.ReceiverReport(self._ssrc))
        return report + self._name + rtcp.build_goodbye(rtcp.Goodbye((self._ssrc,), reason))

    def _build_report(self, now_s: float, unix_s: float) -> bytes:
        blocks = self._build_blocks(now_s)
        outbound = self._outbound
        if outbound.packets == self._sent_packets:
            return rtcp.build_receiver_report(rtcp.ReceiverReport(self._ssrc, blocks))
        self._sent_packets = outbound.packets
        ntp_time = int((unix_s + NTP_EPOCH_S) * (1 << 32))
        self._left_s[ntp_time >> 16 & 0xFFFF_FFFF] = now_s
        if len(self._left_s) > REPORTS_KNOWN:
            self._left_s.popitem(last=False)
        # the timestamp of the latest frame, which left at most one frame ago
        report = rtcp.SenderReport(
            self._ssrc, ntp_time, outbound.last_timestamp, outbound.packets, outbound.octets, blocks
        )
        return rtcp.build_sender_report(report)

    def _build_blocks(self, now_s: float) -> tuple[rtcp.ReportBlock, ...]:
        reception = self._inbound.reception
        if not reception.packets:
            return ()
        expected, received = reception.expected, reception.packets
        if self._reported[0] != reception.ssrc:
            self._reported = reception.ssrc, 0, 0
        # RFC 3550 A.3; a stream that jumped may have received more than it expected
        expected_since, received_since = expected - self._reported[1], received - self._reported[2]
        self._reported = reception.ssrc, expected, received
        lost_since = max(expected_since - received_since, 0)
        last_report, delay = 0, 0
        if self._heard is not None and self._heard[0] == reception.ssrc:
            last_report, delay = self._heard[1], int((now_s - self._heard[2]) * 65536)
        return (
            rtcp.ReportBlock(
                reception.ssrc,
                min(lost_since * 256 // expected_since, 255) if lost_since else 0,
                reception.lost,
                reception.highest,
                reception.jitter,
                last_report,
                delay,
            ),
        )

    def _handle_blocks(self, blocks: tuple[rtcp.ReportBlock, ...], now_s: float) -> None:
        for block in blocks:
            if block.ssrc != self._ssrc:
                continue
            self.remote_lost_fraction = block.fraction_lost / 256
            self.remote_lost = block.lost
            self.remote_jitter_s = block.jitter / self._clock_rate
            left_s = self._left_s.get(block.last_report)
            if left_s is not None:
                # RFC 3550 §6.4.1; the peer's delay may be rounded up
                self.rtt_s = max(now_s - left_s - block.delay / 65536, 0.0)
