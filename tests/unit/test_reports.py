"""RTCP of a session: two ends report to each other, and learn round trip, loss and jitter as the other sees them."""

from dataclasses import dataclass

import pytest

from fastrelay.transceiver.keying import SrtpKeys, SrtpProfile
from fastrelay.transceiver.reports import REPORT_EVERY_S, REPORT_SPREAD, REPORTS_KNOWN, Bye, Nack, Reports
from fastrelay.transceiver.srtp import SrtpInbound, SrtpOutbound, open_rtp, seal_rtp
from fastrelay.wire import rtcp

GCM = SrtpProfile.AEAD_AES_128_GCM
OURS, THEIRS = 0x0A0A0A0A, 0x0B0B0B0B
UNIX_S = 1_800_000_000.5
KEYS = (bytes(range(28)), bytes(range(28, 56)))


@dataclass
class End:
    """One end of a call: its streams and their reports."""

    inbound: SrtpInbound
    outbound: SrtpOutbound
    reports: Reports

    @classmethod
    def of(cls, ssrc: int, local: bytes, remote: bytes) -> "End":
        keys = SrtpKeys(GCM, local, remote)
        inbound = SrtpInbound(keys, payload_types=frozenset({111}))
        outbound = SrtpOutbound(keys, ssrc=ssrc, payload_type=111, first_sequence=65_530)
        return cls(inbound, outbound, Reports(ssrc, f"end-{ssrc}", inbound, outbound))

    def seal(self, at: int) -> bytes:
        return seal_rtp([(self.outbound, b"speech", at * 960, False)])[0]


@pytest.fixture
def ours() -> End:
    return End.of(OURS, *KEYS)


@pytest.fixture
def theirs() -> End:
    return End.of(THEIRS, *reversed(KEYS))


def talk(sender: End, receiver: End, count: int, lost: tuple[int, ...] = (), late_us: int = 0) -> None:
    """Send 20 ms packets; every second one comes late."""
    for at in range(count):
        sealed = sender.seal(at)
        if at not in lost:
            open_rtp([(receiver.inbound, sealed)], at * 20_000 + at % 2 * late_us)


def only(compound: bytes) -> rtcp.SenderReport | rtcp.ReceiverReport:
    report, name = rtcp.parse_compound(compound)
    assert isinstance(name, rtcp.SourceDescription)
    assert isinstance(report, rtcp.SenderReport | rtcp.ReceiverReport)
    return report


def test_who_has_sent_reports_as_sender_and_who_has_not_as_receiver(ours: End, theirs: End) -> None:
    talk(ours, theirs, 3)
    report = only(ours.reports.build(10.0, UNIX_S))
    ntp_time = (1_800_000_000 + 2_208_988_800) << 32 | 1 << 31
    assert report == rtcp.SenderReport(OURS, ntp_time, 2 * 960, 3, 18, ())
    assert only(ours.reports.build(11.0, UNIX_S)) == rtcp.ReceiverReport(OURS, ())
    talk(ours, theirs, 1)
    assert isinstance(only(ours.reports.build(12.0, UNIX_S)), rtcp.SenderReport)


def test_every_report_carries_the_name(ours: End) -> None:
    for compound in (ours.reports.build(10.0, UNIX_S), ours.reports.bye("done")):
        assert rtcp.SourceDescription(OURS, f"end-{OURS}") in rtcp.parse_compound(compound)


def test_a_block_tells_what_came_of_the_stream(ours: End, theirs: End) -> None:
    talk(theirs, ours, 16, lost=(3, 4, 5, 6))
    (block,) = only(ours.reports.build(10.0, UNIX_S)).blocks
    assert (block.ssrc, block.lost, block.fraction_lost, block.highest) == (THEIRS, 4, 64, 65_530 + 15)
    assert (block.last_report, block.delay) == (0, 0)


def test_the_fraction_is_of_the_packets_since_the_last_report(ours: End, theirs: End) -> None:
    talk(theirs, ours, 10, lost=(1, 2, 3))
    ours.reports.build(10.0, UNIX_S)
    talk(theirs, ours, 10)
    (block,) = only(ours.reports.build(11.0, UNIX_S)).blocks
    assert (block.lost, block.fraction_lost) == (3, 0)


def test_round_trip_loss_and_jitter_are_learned_from_the_peers_report(ours: End, theirs: End) -> None:
    talk(ours, theirs, 100, lost=tuple(range(50, 75)), late_us=1000)
    assert (ours.reports.rtt_s, ours.reports.remote_lost_fraction, ours.reports.remote_jitter_s) == (None, None, None)
    theirs.reports.handle(ours.reports.build(10.0, UNIX_S), 500.0)  # clocks do not agree
    assert ours.reports.handle(theirs.reports.build(500.25, UNIX_S - 77), 10.33) == []
    assert ours.reports.rtt_s == pytest.approx(0.08, abs=1e-4)
    assert ours.reports.remote_lost_fraction == 0.25
    assert ours.reports.remote_lost == 25
    assert ours.reports.remote_jitter_s == pytest.approx(0.001, rel=0.2)


def test_a_round_trip_is_never_negative(ours: End, theirs: End) -> None:
    talk(ours, theirs, 2)
    theirs.reports.handle(ours.reports.build(10.0, UNIX_S), 0.0)
    ours.reports.handle(theirs.reports.build(3.0, UNIX_S), 12.9)
    assert ours.reports.rtt_s == 0.0


def test_an_answer_to_a_report_that_we_did_not_send_or_have_forgotten_tells_no_round_trip(
    ours: End, theirs: End
) -> None:
    talk(ours, theirs, 2)
    theirs.reports.handle(ours.reports.build(10.0, UNIX_S), 0.0)
    answer = theirs.reports.build(0.1, UNIX_S)
    for at in range(REPORTS_KNOWN):
        talk(ours, theirs, 1)
        ours.reports.build(11.0 + at, UNIX_S + 1 + at)
    ours.reports.handle(answer, 40.0)
    block = rtcp.ReportBlock(OURS, 0, 0, 0, 0, 0xABCD_EF01, 0)
    ours.reports.handle(rtcp.build_receiver_report(rtcp.ReceiverReport(THEIRS, (block,))), 40.0)
    assert ours.reports.rtt_s is None


def test_blocks_of_other_streams_tell_nothing(ours: End) -> None:
    block = rtcp.ReportBlock(1, 255, 9, 9, 9, 0, 0)
    ours.reports.handle(rtcp.build_receiver_report(rtcp.ReceiverReport(THEIRS, (block,))), 1.0)
    assert ours.reports.remote_lost_fraction is None


def test_a_stream_with_a_new_ssrc_is_reported_from_its_beginning(ours: End, theirs: End) -> None:
    talk(theirs, ours, 50, lost=(1, 2))
    ours.reports.build(10.0, UNIX_S)
    talk(End.of(77, *reversed(KEYS)), ours, 4, lost=(1,))
    (block,) = only(ours.reports.build(11.0, UNIX_S)).blocks
    assert (block.ssrc, block.lost, block.fraction_lost) == (77, 1, 64)


def test_reports_are_due_at_once_and_then_about_every_second(ours: End, theirs: End) -> None:
    assert ours.reports.next_report_s <= 0
    intervals = set()
    for end in (ours, theirs):
        end.reports.build(100.0, UNIX_S)
        intervals.add(end.reports.next_report_s - 100.0)
    assert all(abs(interval_s - REPORT_EVERY_S) <= REPORT_SPREAD / 2 for interval_s in intervals)
    assert len(intervals) == 2, "sessions shall not report together"


def test_the_peers_goodbye_is_news_and_another_streams_is_not(ours: End, theirs: End) -> None:
    talk(theirs, ours, 1)
    assert ours.reports.handle(theirs.reports.bye("done"), 1.0) == [Bye("done")]
    assert ours.reports.handle(rtcp.build_goodbye(rtcp.Goodbye((1, 2), "other")), 1.0) == []


def test_the_peers_request_for_our_packets_is_news(ours: End) -> None:
    assert ours.reports.handle(rtcp.build_nack(rtcp.Nack(THEIRS, OURS, (4, 9))), 1.0) == [Nack((4, 9))]
    assert ours.reports.handle(rtcp.build_nack(rtcp.Nack(THEIRS, 1, (4, 9))), 1.0) == []


def test_missing_packets_are_asked_for_once_the_round_trip_is_known(ours: End, theirs: End) -> None:
    talk(theirs, ours, 10, lost=(5, 6))
    assert ours.reports.build_nack(9.0) is None
    talk(ours, theirs, 2)
    theirs.reports.handle(ours.reports.build(10.0, UNIX_S), 0.0)
    ours.reports.handle(theirs.reports.build(0.0, UNIX_S), 10.03)
    request = ours.reports.build_nack(10.04)
    assert request is not None
    assert theirs.reports.handle(request, 10.05) == [Nack((65_535, 0))]
    assert ours.reports.build_nack(10.05) is None


def test_what_is_malformed_is_counted_and_tells_nothing(ours: End, theirs: End) -> None:
    talk(theirs, ours, 2)
    compound = theirs.reports.bye("done")
    for length in range(len(compound)):
        assert Bye("done") not in ours.reports.handle(compound[:length], 1.0)
    assert ours.reports.malformed > 20
