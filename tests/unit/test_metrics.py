"""What Prometheus is told: that it parses, is true and never falls, and that docs/metrics.md explains it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from fastrelay._ext.relay_core import EVENT_NAMES, VERDICT_NAMES
from fastrelay.observe.buckets import coarse, nearest_buckets, one_two_five
from fastrelay.observe.counters import HISTOGRAM_BUCKETS, bucket_edge
from fastrelay.observe.families import Counter, Summary
from fastrelay.observe.metrics import FAMILIES, TRANSCEIVERS_MAX, RelayCollector
from fastrelay.observe.observed import Observed
from fastrelay.observe.status import KeyStatus, ServiceState, WorkerState, WorkerStatus
from tests.dataplane.packets import ALICE, UNIX_S
from tests.unit.observed_relay import PretendWorker, serving

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(fastrelay_\w+)` \| (\w+) \| (.*?) \| (.+?) \| (.+?) \|$", re.MULTILINE)


class Relay:
    """Workers, and what an observer says of them."""

    def __init__(self) -> None:
        self.workers: list[PretendWorker] = []
        self.observed = Observed()
        self.observed.status = serving()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(RelayCollector(self.observed))

    def add(self, index: int = 0, *, flows: int = 256) -> PretendWorker:
        worker = PretendWorker(flows)
        worker.start()
        self.workers.append(worker)
        self.observed.worker(index).replace_pages(worker.pages())
        return worker

    def close(self) -> None:
        self.observed.close()
        for worker in self.workers:
            worker.close()

    def scrape(self) -> dict[tuple[str, ...], float]:
        """Sample name and label values in order of the labels' names -> value."""
        text = generate_latest(self._registry).decode()
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
def relay() -> Iterator[Relay]:
    relay = Relay()
    yield relay
    relay.close()


# --- the page that explains them


def test_page_explains_every_metric() -> None:
    explained = [(name, kind, labels) for name, kind, labels, _, _ in ROW.findall(PAGE.read_text())]
    listed = [
        (family.name, family.kind, ", ".join(f"`{label}`" for label in family.labels) or "–") for family in FAMILIES
    ]
    assert explained == listed, "docs/metrics.md lists the metrics of observe/metrics.py, in their order"


def test_page_quotes_the_meanings() -> None:
    assert [meaning for _, _, _, meaning, _ in ROW.findall(PAGE.read_text())] == [family.text for family in FAMILIES]


def test_names_follow_the_conventions() -> None:
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    for family in FAMILIES:
        assert family.name.endswith("_total") == isinstance(family, Counter)
        assert re.search(r"_(ms|us|ns|percent|milliseconds)(_|$)", family.name) is None


# --- numbers


def test_relay_that_nobody_spoke_for_has_metrics_too(relay: Relay) -> None:
    relay.observed.status = None
    scrape = relay.scrape()
    assert scrape[("fastrelay_ready",)] == 0
    assert ("fastrelay_worker_up", "0") not in scrape


def test_worker_is_counted_as_its_page_says(relay: Relay) -> None:
    worker = relay.add(flows=1000)
    worker.call(ALICE)
    worker.count("UP_SRTP", 100)
    worker.count("TOKEN_EXPIRED", 3)
    worker.count("kernel_drops_up", 7)
    worker.count("receives_up", 13)
    worker.count("bundles_sent", 10)
    worker.write("flows", 5)
    worker.write("unconfirmed", 2)
    worker.write("offload", 1)
    expected = {
        ("fastrelay_packets_total", "up", "0"): 101,  # and the check that made the flow
        ("fastrelay_packets_total", "down", "0"): 1,
        ("fastrelay_verdicts_total", "UP_SRTP", "0"): 100,
        ("fastrelay_verdicts_total", "EMPTY", "0"): 0,
        ("fastrelay_events_total", "flows_created", "0"): 1,
        ("fastrelay_new_flows_total", "0"): 1,
        ("fastrelay_token_refusals_total", "expired"): 3,
        ("fastrelay_token_refusals_total", "forged"): 0,
        ("fastrelay_kernel_drops_total", "up", "0"): 7,
        ("fastrelay_batch_datagrams_count", "up", "0"): 13,
        ("fastrelay_batch_datagrams_sum", "up", "0"): 104,
        ("fastrelay_bundle_frames_count", "0"): 10,
        ("fastrelay_bundle_frames_sum", "0"): 101,
        ("fastrelay_flows", "confirmed", "0"): 3,
        ("fastrelay_flows", "unconfirmed", "0"): 2,
        ("fastrelay_flow_table_capacity", "0"): 1000,
        ("fastrelay_flow_table_load_ratio", "0"): 0.005,
        ("fastrelay_offload_active", "0"): 1,
        ("fastrelay_worker_up", "0"): 1,
        ("fastrelay_ready",): 1,
        ("fastrelay_draining",): 0,
        ("fastrelay_build_info", "1.2.3"): 1,
    }
    scrape = relay.scrape()
    assert {name: scrape[name] for name in expected} == expected
    assert scrape[("fastrelay_worker_heartbeat_age_seconds", "0")] < 2
    assert scrape[("fastrelay_worker_busy_seconds_total", "0")] > 0  # this process stands for the worker


def test_every_verdict_and_event_has_its_series(relay: Relay) -> None:
    relay.add()
    scrape = relay.scrape()
    assert {name[1] for name in scrape if name[0] == "fastrelay_verdicts_total"} == set(VERDICT_NAMES)
    assert {name[1] for name in scrape if name[0] == "fastrelay_events_total"} == set(EVENT_NAMES)
    reasons = {name.removeprefix("TOKEN_").lower() for name in VERDICT_NAMES if name.startswith("TOKEN_")}
    assert {name[1] for name in scrape if name[0] == "fastrelay_token_refusals_total"} == reasons


def test_supervisors_word_is_passed_on(relay: Relay) -> None:
    relay.observed.status = serving(
        WorkerStatus(0, pid=os.getpid(), state=WorkerState.SERVING, restarts=2, hangs=1),
        WorkerStatus(1, state=WorkerState.WAITING, restarts=9),
        state=ServiceState.DRAINING,
        pid=os.getpid(),
        reloads=4,
        reloads_refused=1,
        upgrades=3,
        upgrades_refused=2,
        adoptions=5,
        keys=(KeyStatus(1, UNIX_S, None, is_minting=True), KeyStatus(2, UNIX_S, 4_000_000_000)),
    )
    scrape = relay.scrape()
    expected = {
        ("fastrelay_worker_up", "0"): 0,
        ("fastrelay_worker_up", "1"): 0,
        ("fastrelay_worker_restarts_total", "0"): 2,
        ("fastrelay_worker_restarts_total", "1"): 9,
        ("fastrelay_worker_hangs_total", "0"): 1,
        ("fastrelay_draining",): 1,
        ("fastrelay_reloads_total", "done"): 4,
        ("fastrelay_reloads_total", "refused"): 1,
        ("fastrelay_upgrades_total", "done"): 3,
        ("fastrelay_upgrades_total", "refused"): 2,
        ("fastrelay_adoptions_total",): 5,
    }
    assert {name: scrape[name] for name in expected} == expected
    assert ("fastrelay_key_expires_seconds", "1") not in scrape
    assert scrape[("fastrelay_key_expires_seconds", "2")] > 0
    assert scrape[("fastrelay_key_age_seconds", "1")] > 0
    processes = {name[1] for name in scrape if name[0] == "fastrelay_process_resident_memory_bytes"}
    assert processes == {"supervisor", "observer", "worker-0"}


# --- what never falls


def totals(scrape: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    return {name: value for name, value in scrape.items() if name[0].endswith(("_total", "_count", "_sum", "_bucket"))}


def test_counters_survive_their_page(relay: Relay) -> None:
    relay.add().count("UP_SRTP", 100)
    assert relay.scrape()[("fastrelay_packets_total", "up", "0")] == 100
    relay.add().count("UP_SRTP", 5)
    assert relay.scrape()[("fastrelay_packets_total", "up", "0")] == 105
    relay.workers[-1].count("UP_SRTP", 9)
    relay.observed.worker(0).replace_pages(None)
    assert relay.scrape()[("fastrelay_packets_total", "up", "0")] == 109
    relay.add().count("UP_SRTP", 1)
    assert relay.scrape()[("fastrelay_packets_total", "up", "0")] == 110


@pytest.mark.parametrize("is_gone_between", [False, True], ids=["replaced", "gone and back"])
def test_same_page_again_is_not_counted_twice(relay: Relay, is_gone_between: bool) -> None:
    worker = relay.add()
    worker.count("UP_SRTP", 100)
    relay.scrape()
    if is_gone_between:
        relay.observed.worker(0).replace_pages(None)
        assert relay.scrape()[("fastrelay_packets_total", "up", "0")] == 100
    relay.observed.worker(0).replace_pages(worker.pages())
    worker.count("UP_SRTP", 101)
    assert relay.scrape()[("fastrelay_packets_total", "up", "0")] == 101


def test_page_that_begins_again_at_zero_loses_nothing(relay: Relay) -> None:
    worker = relay.add()
    worker.count("UP_SRTP", 100)
    worker.count("EMPTY", 3)
    worker.write("hop_up_ns", 50, at=80)
    before = totals(relay.scrape())
    worker.counter_memory[:] = bytes(len(worker.counter_memory))
    after = totals(relay.scrape())
    assert all(after[name] >= value for name, value in before.items())
    worker.start()
    worker.count("UP_SRTP", 7)
    assert relay.scrape()[("fastrelay_packets_total", "up", "0")] == 107


def test_every_total_only_rises(relay: Relay) -> None:
    random = np.random.default_rng(3)
    before: dict[tuple[str, ...], float] = {}
    for step in range(12):
        worker = relay.add(step % 3)
        worker.write("verdict_packets", int(random.integers(1, 1000)), at=int(random.integers(10)))
        worker.write("hop_up_ns", int(random.integers(1, 1000)), at=int(random.integers(HISTOGRAM_BUCKETS)))
        if step % 4 == 3:
            relay.observed.worker(1).replace_pages(None)
        now = totals(relay.scrape())
        assert all(now[name] >= value for name, value in before.items() if "busy" not in name[0])
        before = now


# --- transceivers


def test_transceivers_beyond_the_busiest_are_only_counted(relay: Relay) -> None:
    worker = relay.add(flows=4096)
    for number in range(TRANSCEIVERS_MAX + 5):
        for port in range(1 + (number < 3)):
            worker.core.insert_flow(
                (f"192.0.2.{number % 250}", 1000 + 2 * number + port), (f"10.0.0.{number + 1}", 4000)
            )
    relay.observed.sample()
    scrape = relay.scrape()
    listed = [name[1] for name in scrape if name[0] == "fastrelay_trunk_flows"]
    assert len(listed) == TRANSCEIVERS_MAX
    assert {f"10.0.0.{number}:4000" for number in (1, 2, 3)} <= set(listed)
    assert scrape[("fastrelay_trunk_unlisted",)] == 5


# --- histograms


def test_hop_histogram_is_exact_at_its_bounds(relay: Relay) -> None:
    worker = relay.add()
    fine = np.random.default_rng(1).integers(0, 1000, HISTOGRAM_BUCKETS)
    for bucket, count in enumerate(fine.tolist()):
        worker.write("hop_down_ns", count, at=bucket)
    scrape = relay.scrape()
    bounds = {name[2]: value for name, value in scrape.items() if name[:2] == ("fastrelay_hop_seconds_bucket", "down")}
    assert len(bounds) == 20
    for bound, value in bounds.items():
        edge_ns = float(bound) * 1e9
        within = sum(count for bucket, count in enumerate(fine.tolist()) if bucket_edge(bucket) <= edge_ns + 1e-3)
        assert value == within, bound
    assert bounds["+Inf"] == scrape[("fastrelay_hop_seconds_count", "down")] == fine.sum()


def test_sum_is_right_within_a_bucket() -> None:
    fine = np.zeros(HISTOGRAM_BUCKETS, np.uint64)
    bucket = next(at for at in range(HISTOGRAM_BUCKETS) if bucket_edge(at) >= 50_000)
    fine[bucket] = 10
    _, sum_ = coarse(fine, one_two_five(1e3, 1e9), 1e-9)
    assert sum_ == pytest.approx(10 * 50e-6, rel=1 / 8)


def test_bounds_are_near_round_numbers() -> None:
    for bound, bucket in zip(one_two_five(1e3, 1e9), nearest_buckets(one_two_five(1e3, 1e9)), strict=True):
        assert bucket_edge(bucket) == pytest.approx(bound, rel=1 / 15)
    assert len(set(nearest_buckets(one_two_five(1e3, 1e9)))) == 19


@pytest.mark.parametrize("family", [each for each in FAMILIES if each.kind == "histogram"], ids=lambda each: each.name)
def test_every_histogram_has_bounds_that_rise(relay: Relay, family: Summary) -> None:
    relay.add()
    bounds: dict[tuple[str, ...], list[float]] = {}
    for name in relay.scrape():
        if name[0] == f"{family.name}_bucket":
            bounds.setdefault(name[1:-1], []).append(float(name[-1]))
    assert bounds
    assert all(sorted(set(each)) == each and each[-1] == float("inf") for each in bounds.values())


@pytest.mark.parametrize(
    ("field", "name", "value", "within"),
    [
        pytest.param("call_loss", "fastrelay_call_loss_ratio", 250, (0.02, 0.032), id="2.5 % lost"),
        pytest.param("call_jitter_us", "fastrelay_call_jitter_seconds", 12_000, (0.01, 0.016), id="12 ms"),
        pytest.param("call_setup_us", "fastrelay_call_setup_seconds", 400_000, (0.29, 0.51), id="0.4 s"),
        pytest.param("call_media_us", "fastrelay_call_media_seconds", 80_000, (0.05, 0.11), id="80 ms"),
    ],
)
def test_call_lands_between_its_bounds(
    relay: Relay, field: str, name: str, value: int, within: tuple[float, float]
) -> None:
    worker = relay.add()
    bucket = next(at for at in range(HISTOGRAM_BUCKETS) if bucket_edge(at) >= value)
    worker.write(field, 1, at=bucket)
    scrape = relay.scrape()
    first = min(float(sample[1]) for sample, count in scrape.items() if sample[0] == f"{name}_bucket" and count == 1)
    assert within[0] < first < within[1]
    assert scrape[(f"{name}_sum",)] == pytest.approx(value * {"call_loss": 1e-4}.get(field, 1e-6), rel=1 / 8)
