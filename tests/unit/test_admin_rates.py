"""Samples: rates of a worker, its CPU time over several processes, and transceivers over several workers."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

from fastrelay.observe import processes
from fastrelay.observe.counters import CounterPage
from fastrelay.observe.flows import PEER, PEERS, Records
from fastrelay.observe.observed import Observed
from fastrelay.observe.rates import BusyMeter, RateMeter, Rates
from fastrelay.observe.status import WorkerState, WorkerStatus
from fastrelay.observe.transceivers import FORGET_AFTER_S, Transceiver, TransceiverBook
from tests.unit.observed_relay import PretendWorker, serving

# --- rates


@pytest.fixture
def worker() -> Iterator[PretendWorker]:
    worker = PretendWorker()
    worker.start()
    yield worker
    worker.close()


def take(meter: RateMeter, worker: PretendWorker, now_s: float, busy_s: float = 0.0) -> Rates:
    page = CounterPage(worker.counter_memory)
    meter.take(now_s, page.read(), busy_s, knows_busy=True)
    page.close()
    return meter.rates


def test_first_sample_has_no_rates(worker: PretendWorker) -> None:
    worker.count("UP_SRTP", 1000)
    assert take(RateMeter(), worker, 1.0) == Rates()


def test_rates_are_those_between_two_samples(worker: PretendWorker) -> None:
    meter = RateMeter()
    worker.count("UP_SRTP", 1000)
    take(meter, worker, 1.0, 5.0)
    worker.count("UP_SRTP", 1200)
    worker.count("DOWN_FORWARDED", 100)
    worker.count("EMPTY", 40)
    worker.count("receives_up", 120)
    worker.count("bundles_sent", 50)
    assert take(meter, worker, 3.0, 5.5) == Rates(
        up_pps=100.0, down_pps=50.0, drops_pps=20.0, busy_ratio=0.25, batch_fill=2.0, bundle_fill=4.0
    )
    assert meter.drops_per_s == {"EMPTY": 20.0}
    meter.stop()
    assert meter.rates == Rates()


def test_latency_is_that_of_the_last_ten_samples(worker: PretendWorker) -> None:
    meter = RateMeter()
    assert meter.hop_us("up", 50) is None
    take(meter, worker, 0.0)
    worker.write("hop_up_ns", 5, at=80)
    for second in range(1, 11):
        take(meter, worker, float(second))
        assert meter.hop_us("up", 50) == pytest.approx(4.6, rel=0.15)
        assert meter.hop_us("down", 50) is None
    take(meter, worker, 11.0)
    assert meter.hop_us("up", 50) is None


def test_busy_time_adds_up_over_processes() -> None:
    meter = BusyMeter()
    totals = []
    for pid, cpu_s in [(10, 1.0), (10, 3.0), (11, 0.5), (11, None), (11, 0.5), (12, 2.0)]:
        meter.take(pid, cpu_s)
        totals.append(meter.total_s)
    assert totals == [1.0, 3.0, 3.5, 3.5, 3.5, 5.5]


def test_own_process_has_cpu_time_and_memory() -> None:
    cpu_s, resident = processes.cpu_seconds(os.getpid()), processes.resident_bytes(os.getpid())
    assert cpu_s is not None
    assert cpu_s > 0
    assert resident is not None
    assert resident > 10_000_000


def test_coarse_cpu_time_stands_in_where_the_kernel_keeps_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"schedstat": "", "stat": "4711 (a (strange) name) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1 0 99"}
    monkeypatch.setattr(processes, "_read", lambda pid, name: texts[name])
    assert processes.cpu_seconds(4711) == pytest.approx(300 / os.sysconf("SC_CLK_TCK"))


@pytest.mark.parametrize("pid", [2**22 + 1, 0])
def test_process_that_is_not_there_has_no_numbers(pid: int) -> None:
    assert processes.cpu_seconds(pid) is None
    assert processes.resident_bytes(pid) is None


def test_worker_whose_process_is_unknown_has_no_busy_ratio(worker: PretendWorker) -> None:
    observed = Observed()
    observed.status = serving(WorkerStatus(0, pid=0, state=WorkerState.STARTING))
    observed.worker(0).replace_pages(worker.pages())
    for now_s in (1.0, 2.0):
        observed.sample(now_s)
    assert observed.worker(0).meter.rates.busy_ratio is None
    observed.close()


# --- transceivers


def peers(**values: int) -> Records:
    """A table with one transceiver, 10.0.0.1:4000."""
    table: Records = np.zeros(PEERS, PEER)
    table[3]["is_used"] = 1
    table[3]["address"]["low"] = np.frombuffer(bytes(2) + b"\xff\xff\x0a\x00\x00\x01", np.uint64)[0]
    table[3]["address"]["port"] = 4000
    for name, value in values.items():
        table[3][name] = value
    return table


def only(book: TransceiverBook, now_s: float) -> Transceiver:
    (found,) = book.all(now_s)
    return found


def test_transceiver_is_summed_up_over_workers() -> None:
    book = TransceiverBook()
    book.take(0, peers(flows=3, received=90, first=1, highest=100, rtt_us=400, heard_ms=9_500, unreachable=1), 10.0)
    book.take(1, peers(flows=1, received=50, first=1, highest=50, rtt_us=900, heard_ms=7_000), 10.0)
    assert only(book, 10.0) == Transceiver(
        address="10.0.0.1:4000",
        flows=4,
        rtt_s=0.0009,
        lost=10,
        received=140,
        unreachable=1,
        silent_s=3.0,
        workers=2,
    )


def test_worker_without_flows_does_not_make_a_transceiver_silent() -> None:
    book = TransceiverBook()
    book.take(0, peers(flows=3, heard_ms=9_900), 10.0)
    book.take(1, peers(flows=0, heard_ms=1_000), 10.0)
    assert only(book, 10.0).silent_s == pytest.approx(0.1)


def test_transceiver_nobody_needs_is_as_silent_as_the_worker_that_heard_it_last() -> None:
    book = TransceiverBook()
    book.take(0, peers(heard_ms=4_000), 10.0)
    book.take(1, peers(heard_ms=6_000), 10.0)
    assert only(book, 10.0).silent_s == pytest.approx(4.0)


def test_transceiver_never_heard_is_silent_since_it_is_known() -> None:
    book = TransceiverBook()
    for now_s in (10.0, 11.0, 12.0):
        book.take(0, peers(flows=1), now_s)
    assert only(book, 13.0).silent_s == pytest.approx(3.0)


def test_late_datagrams_do_not_make_a_counter_fall() -> None:
    book = TransceiverBook()
    book.take(0, peers(epoch_us=1, received=90, first=1, highest=100), 1.0)
    book.take(0, peers(epoch_us=1, received=99, first=1, highest=101), 2.0)
    assert (only(book, 2.0).lost, only(book, 2.0).received) == (10, 99)


def test_sender_that_starts_again_is_counted_on() -> None:
    book = TransceiverBook()
    book.take(0, peers(epoch_us=1, received=90, first=1, highest=100), 1.0)
    book.take(0, peers(epoch_us=2, received=5, first=1, highest=6), 2.0)
    assert (only(book, 2.0).lost, only(book, 2.0).received) == (11, 95)


def test_transceiver_that_left_and_came_back_is_counted_on() -> None:
    book = TransceiverBook()
    book.take(0, peers(epoch_us=1, received=90, first=1, highest=90), 1.0)
    book.take(0, None, 2.0)
    assert (only(book, 2.0).workers, only(book, 2.0).received, only(book, 2.0).silent_s) == (0, 90, None)
    book.take(0, peers(epoch_us=1, received=3, first=91, highest=93), 3.0)
    assert only(book, 3.0).received == 93


def test_transceiver_that_stays_away_is_forgotten() -> None:
    book = TransceiverBook()
    book.take(0, peers(), 1.0)
    book.take(0, None, 2.0)
    book.forget_departed(FORGET_AFTER_S)
    assert len(book.all(2.0)) == 1
    book.forget_departed(2.0 + FORGET_AFTER_S)
    assert book.all(2.0) == []
