"""The benchmark harness judges others, so it is held itself: what it computes, and when it calls a run void."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.load import cpu
from bench.load.drain import drain
from bench.load.failure import BenchFailure
from bench.load.pairs import Turns
from bench.load.relay_page import BUCKETS, HOP_UP, READ, bucket_top_ns, event_names
from bench.load.traffic import percentile
from bench.report.measured import beside_floor
from bench.report.model import Verdict
from fastrelay._ext.relay_core import EVENT_NAMES, counter_page_bytes
from fastrelay.observe.counters import LAYOUT


class FakeCandidate:
    """A candidate whose kernel and process lose as many packets as a test says."""

    name = "fake"

    def __init__(self, lost_in_fill: int = 0, never_handled: int = 0, lost_in_drain: int = 0) -> None:
        self._lost_in_fill = lost_in_fill
        self._never_handled = never_handled
        self._lost_in_drain = lost_in_drain
        self._queued = self._handled = self._lost = self._cpu_ns = 0

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def pause(self) -> None: ...

    def fill(self, packets: int) -> int:
        self._queued = packets
        self._lost += self._lost_in_fill
        return packets

    def resume(self) -> None:
        self._handled += self._queued - self._never_handled
        self._lost += self._lost_in_drain
        self._cpu_ns += 300 * self._queued

    def handled(self) -> int:
        return self._handled

    def is_idle(self) -> bool:
        return True

    def lost(self) -> int:
        return self._lost

    def cpu_ns(self) -> int:
        return self._cpu_ns


def test_drain_divides_cpu_time_by_packets() -> None:
    drained = drain(FakeCandidate(), 1000)
    assert (drained.packets, drained.ns_per_packet()) == (1000, 300)


@pytest.mark.parametrize(
    ("candidate", "complaint"),
    [
        pytest.param(FakeCandidate(lost_in_fill=1), "did not fit", id="buffer too small"),
        pytest.param(FakeCandidate(lost_in_drain=1), "1 lost", id="refused while draining"),
        pytest.param(FakeCandidate(never_handled=-1), "1001 were handled", id="more than was sent"),
        pytest.param(FakeCandidate(never_handled=1), "1 packets not handled", id="never handled"),
    ],
)
def test_run_whose_counts_do_not_add_up_is_void(
    candidate: FakeCandidate, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.load.drain.DRAIN_TIMEOUT_S", 0.0)
    with pytest.raises(BenchFailure, match=complaint):
        drain(candidate, 1000)


def test_ratio_is_the_median_of_the_pairs_and_not_of_the_medians() -> None:
    turns = Turns({"relay": [100, 300, 90], "floor": [200, 400, 300]})
    ratio = beside_floor("up", "up", turns, "relay", ("floor", "plain floor"), 1.0).ratio()
    assert ratio is not None
    assert (ratio.middle, ratio.low, ratio.high) == (0.5, 0.3, 0.75)


@pytest.mark.parametrize(
    ("relay", "verdict"),
    [(41.9, Verdict.HOLDS), (42.0, Verdict.HOLDS), (42.1, Verdict.MISSED)],
    ids=["below the bar", "at the bar", "above the bar"],
)
def test_bar_is_the_largest_ratio_that_holds(relay: float, verdict: Verdict) -> None:
    turns = Turns({"relay": [relay], "floor": [100.0]})
    figure = beside_floor("up", "up", turns, "relay", ("floor", "plain floor"), 0.42)
    assert figure.verdict is verdict


@pytest.mark.parametrize(
    ("share", "bucket"), [(0.0, 0), (0.5, 1), (0.51, 3), (1.0, 3)], ids=["none", "half", "over half", "all"]
)
def test_percentile_is_the_bucket_that_reaches_the_share(share: float, bucket: int) -> None:
    assert percentile([0, 5, 0, 5, 0], share) == bucket


def test_page_is_read_as_the_relay_lays_it_out() -> None:
    assert READ.size <= counter_page_bytes()
    assert LAYOUT.fields is not None
    assert LAYOUT.fields["hop_up_ns"][1] == 8 * HOP_UP
    assert event_names() == list(EVENT_NAMES)


def histogram_bucket(value: int) -> int:
    """fr_histogram_bucket of ext/counters.h."""
    if value < 8:
        return value
    octave = value.bit_length() - 1
    return min(8 * (octave - 2) + (value >> (octave - 3) & 7), BUCKETS - 1)


@pytest.mark.parametrize("bucket", [0, 7, 8, 15, 16, 100, 200, BUCKETS - 2])
def test_top_of_a_histogram_bucket_is_its_largest_value(bucket: int) -> None:
    top = bucket_top_ns(bucket)
    assert (histogram_bucket(top), histogram_bucket(top + 1)) == (bucket, bucket + 1)


def test_stolen_time_is_that_of_one_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  9 9 9 9 9 9 9 99 9 9\ncpu1 1 2 3 4 5 6 7 8 9 10\ncpu10 1 2 3 4 5 6 7 80 9 10\nintr 5\n")
    monkeypatch.setattr(cpu, "STAT", stat)
    monkeypatch.setattr("os.sysconf", lambda _: 100)
    assert cpu.stolen_ns(1) == 80_000_000
