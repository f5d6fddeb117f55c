"""A relay's numbers for Prometheus, made anew at each scrape from what the observer knows.

Lives here: names, labels and meanings (docs/metrics.md explains them, and a test compares), and where each number comes
from. Must not live here: kinds of metrics (families), reading pages (observed, counters, flows), HTTP (admin).
Labels are few and bounded: a worker's index, the name of a verdict or event, a transceiver's address for the busiest.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from fastrelay._ext.relay_core import EVENT_NAMES, VERDICT_NAMES
from fastrelay.observe import processes
from fastrelay.observe.buckets import one_two_five
from fastrelay.observe.families import Counter, Family, Gauge, Histogram, Labels, Scrape, Summary
from fastrelay.observe.health import is_turning, unready_because
from fastrelay.observe.observed import Observed
from fastrelay.observe.rates import datagrams_down, datagrams_up
from fastrelay.observe.status import ServiceState, ServiceStatus

TRANSCEIVERS_MAX: Final = 200
"""With series of their own; the others are only counted."""
_HOP_NS: Final = one_two_five(1e3, 1e9)
_LOSS_PERMYRIAD: Final = (0.0, 10.0, 20.0, 50.0, 100.0, 200.0, 300.0, 500.0, 1000.0, 2000.0, 5000.0)
_JITTER_US: Final = (1e3, 2e3, 5e3, 1e4, 1.5e4, 2e4, 3e4, 5e4, 1e5, 2e5, 5e5)
_DELAY_US: Final = (1e4, 2e4, 5e4, 1e5, 2e5, 3e5, 5e5, 7.5e5, 1e6, 1.5e6, 2e6, 3e6, 5e6, 1e7, 3e7, 6e7)
_TOKEN_REFUSALS: Final = tuple(
    (name.removeprefix("TOKEN_").lower(), at) for at, name in enumerate(VERDICT_NAMES) if name.startswith("TOKEN_")
)
_LIMITED_TO: Final = f"the {TRANSCEIVERS_MAX} busiest transceivers"


class RelayCollector(Collector):
    """To be registered with a prometheus_client registry. `observed` stays the caller's."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    def collect(self) -> Iterator[Metric]:
        scrape = scrape_of(self._observed)
        for family in FAMILIES:
            yield family.build(scrape)


def scrape_of(observed: Observed) -> Scrape:
    """Read everything."""
    now_s = time.monotonic()
    observed.take_cpu_times()
    readings = {worker.index: total for worker in observed.in_order() if (total := worker.read()) is not None}
    transceivers = observed.transceivers.all(now_s)
    return Scrape(
        observed,
        observed.status or ServiceStatus(),
        now_s,
        time.time(),
        readings,
        tuple(transceivers[:TRANSCEIVERS_MAX]),
        max(len(transceivers) - TRANSCEIVERS_MAX, 0),
    )


Samples = Iterator[tuple[Labels, float]]

# --- traffic


def _packets(scrape: Scrape) -> Samples:
    for worker, reading in scrape.readings.items():
        yield (str(worker), "up"), reading.packets_up
        yield (str(worker), "down"), reading.packets_down


def _bytes(scrape: Scrape) -> Samples:
    for worker, reading in scrape.readings.items():
        yield (str(worker), "up"), reading.bytes_up
        yield (str(worker), "down"), reading.bytes_down


def _verdicts(scrape: Scrape) -> Samples:
    for worker, reading in scrape.readings.items():
        for name, count in zip(VERDICT_NAMES, reading.verdict_packets.tolist(), strict=False):
            yield (str(worker), name), count


def _events(scrape: Scrape) -> Samples:
    for worker, reading in scrape.readings.items():
        for name, count in zip(EVENT_NAMES, reading.events.tolist(), strict=False):
            yield (str(worker), name), count


def _batches(scrape: Scrape) -> Iterator[tuple[Labels, int, int]]:
    for worker, reading in scrape.readings.items():
        yield (str(worker), "up"), reading.event("receives_up"), datagrams_up(reading)
        yield (str(worker), "down"), reading.event("receives_down"), datagrams_down(reading)


def _bundles(scrape: Scrape) -> Iterator[tuple[Labels, int, int]]:
    for worker, reading in scrape.readings.items():
        yield (str(worker),), reading.event("bundles_sent"), reading.packets_up


def _kernel_drops(scrape: Scrape) -> Samples:
    for worker, reading in scrape.readings.items():
        yield (str(worker), "up"), reading.event("kernel_drops_up")
        yield (str(worker), "down"), reading.event("kernel_drops_down")


def _token_refusals(scrape: Scrape) -> Samples:
    for reason, at in _TOKEN_REFUSALS:
        yield (reason,), sum(int(reading.verdict_packets[at]) for reading in scrape.readings.values())


# --- flows


def _flows(scrape: Scrape) -> Samples:
    for worker in scrape.observed.in_order():
        if (counters := worker.counters) is not None:
            unconfirmed = counters.unconfirmed
            yield (str(worker.index), "confirmed"), max(counters.flows - unconfirmed, 0)
            yield (str(worker.index), "unconfirmed"), unconfirmed


def _capacity(scrape: Scrape) -> Samples:
    for worker in scrape.observed.in_order():
        if worker.capacity:
            yield (str(worker.index),), worker.capacity


def _load(scrape: Scrape) -> Samples:
    for worker in scrape.observed.in_order():
        if worker.capacity and (counters := worker.counters) is not None:
            yield (str(worker.index),), counters.flows / worker.capacity


def _new_flows(scrape: Scrape) -> Samples:
    for worker, reading in scrape.readings.items():
        yield (str(worker),), reading.event("flows_created")


def _one_way_started(scrape: Scrape) -> Samples:
    for worker in scrape.observed.in_order():
        yield (str(worker.index),), worker.survey.one_way_started


def _last_packet_age(scrape: Scrape) -> Samples:
    if (age_s := scrape.observed.census().last_packet_age_s) is not None:
        yield (), age_s


# --- workers and processes


def _busy(scrape: Scrape) -> Samples:
    for worker in scrape.observed.in_order():
        yield (str(worker.index),), worker.busy.total_s


def _heartbeat_age(scrape: Scrape) -> Samples:
    for worker in scrape.observed.in_order():
        if (age_s := worker.alive_age_s(scrape.now_s)) is not None:
            yield (str(worker.index),), age_s


def _up(scrape: Scrape) -> Samples:
    for status in scrape.status.workers:
        yield (str(status.index),), is_turning(scrape.observed, status, scrape.now_s)


def _offload(scrape: Scrape) -> Samples:
    for worker in scrape.observed.in_order():
        if (counters := worker.counters) is not None:
            yield (str(worker.index),), counters.is_offloading


def _resident(scrape: Scrape) -> Samples:
    pids = {"supervisor": scrape.status.pid, "observer": os.getpid()}
    pids |= {f"worker-{status.index}": status.pid for status in scrape.status.workers}
    for process, pid in pids.items():
        if pid > 0 and (resident := processes.resident_bytes(pid)) is not None:
            yield (process,), resident


# --- keys


def _key_age(scrape: Scrape) -> Samples:
    for key in scrape.status.keys:
        yield (str(key.id),), scrape.unix_s - key.mint_from_s


def _key_expires(scrape: Scrape) -> Samples:
    for key in scrape.status.keys:
        if key.open_until_s is not None:
            yield (str(key.id),), key.open_until_s - scrape.unix_s


FAMILIES: Final[tuple[Family, ...]] = (
    Counter("fastrelay_packets_total", ("worker", "direction"), "Client packets forwarded", _packets),
    Counter("fastrelay_bytes_total", ("worker", "direction"), "Bytes of client packets forwarded", _bytes),
    Counter("fastrelay_verdicts_total", ("worker", "verdict"), "How datagrams and frames ended", _verdicts),
    Counter("fastrelay_events_total", ("worker", "event"), "What happened beside verdicts", _events),
    Summary("fastrelay_batch_datagrams", ("worker", "direction"), "Datagrams that a receive call brought", _batches),
    Summary("fastrelay_bundle_frames", ("worker",), "Frames in a datagram to a transceiver", _bundles),
    Counter(
        "fastrelay_kernel_drops_total",
        ("worker", "direction"),
        "Datagrams the kernel dropped because a receive buffer was full",
        _kernel_drops,
    ),
    Gauge("fastrelay_offload_active", ("worker",), "1 while UDP_SEGMENT is in use", _offload),
    Histogram(
        "fastrelay_hop_seconds",
        ("direction",),
        "From the kernel's receive to handed to the kernel again, sampled",
        ((("up",), lambda reading: reading.hop_up_ns), (("down",), lambda reading: reading.hop_down_ns)),
        _HOP_NS,
        1e-9,
    ),
    Gauge("fastrelay_flows", ("worker", "state"), "Flows in the table", _flows),
    Gauge("fastrelay_flow_table_capacity", ("worker",), "Flows the table holds at most", _capacity),
    Gauge("fastrelay_flow_table_load_ratio", ("worker",), "Flows divided by the table's capacity", _load),
    Counter("fastrelay_new_flows_total", ("worker",), "Flows made by a first check", _new_flows),
    Gauge(
        "fastrelay_calls",
        (),
        "Confirmed flows heard within the last 10 s",
        lambda scrape: [((), scrape.observed.census().calls)],
    ),
    Gauge(
        "fastrelay_flows_one_way",
        (),
        "Confirmed flows with audio up and nothing down for 1 s",
        lambda scrape: [((), scrape.observed.census().one_way)],
    ),
    Counter("fastrelay_one_way_started_total", ("worker",), "Times a call has become one-way", _one_way_started),
    Gauge("fastrelay_last_packet_age_seconds", (), "Since the last packet of any confirmed client", _last_packet_age),
    Counter("fastrelay_token_refusals_total", ("reason",), "Route tokens refused", _token_refusals),
    Histogram(
        "fastrelay_call_loss_ratio",
        (),
        "Share of a call's RTP packets lost before the relay, once a call",
        (((), lambda reading: reading.call_loss),),
        _LOSS_PERMYRIAD,
        1e-4,
    ),
    Histogram(
        "fastrelay_call_jitter_seconds",
        (),
        "A call's interarrival jitter at the relay, once a call",
        (((), lambda reading: reading.call_jitter_us),),
        _JITTER_US,
        1e-6,
    ),
    Histogram(
        "fastrelay_call_setup_seconds",
        (),
        "From a client's first check to its first media, once a call",
        (((), lambda reading: reading.call_setup_us),),
        _DELAY_US,
        1e-6,
    ),
    Histogram(
        "fastrelay_call_media_seconds",
        (),
        "From a client's first DTLS to its first media, once a call",
        (((), lambda reading: reading.call_media_us),),
        _DELAY_US,
        1e-6,
    ),
    Gauge(
        "fastrelay_trunk_flows",
        ("transceiver",),
        f"Flows pointed at a transceiver, for {_LIMITED_TO}",
        lambda scrape: [((each.address,), each.flows) for each in scrape.transceivers],
    ),
    Counter(
        "fastrelay_trunk_received_total",
        ("transceiver",),
        f"Trunk datagrams received, for {_LIMITED_TO}",
        lambda scrape: [((each.address,), each.received) for each in scrape.transceivers],
    ),
    Counter(
        "fastrelay_trunk_lost_total",
        ("transceiver",),
        f"Trunk datagrams that should have come and did not, for {_LIMITED_TO}",
        lambda scrape: [((each.address,), each.lost) for each in scrape.transceivers],
    ),
    Counter(
        "fastrelay_trunk_unreachable_total",
        ("transceiver",),
        f"ICMP errors reported for a transceiver, for {_LIMITED_TO}",
        lambda scrape: [((each.address,), each.unreachable) for each in scrape.transceivers],
    ),
    Gauge(
        "fastrelay_trunk_rtt_seconds",
        ("transceiver",),
        f"Round trip of HELLOs, the longest of all workers, for {_LIMITED_TO}",
        lambda scrape: [((each.address,), each.rtt_s) for each in scrape.transceivers if each.rtt_s is not None],
    ),
    Gauge(
        "fastrelay_trunk_silent_seconds",
        ("transceiver",),
        f"Since a transceiver was heard by the worker that has waited longest, for {_LIMITED_TO}",
        lambda scrape: [((each.address,), each.silent_s) for each in scrape.transceivers if each.silent_s is not None],
    ),
    Gauge(
        "fastrelay_trunk_unlisted",
        (),
        f"Transceivers known beside {_LIMITED_TO}",
        lambda scrape: [((), scrape.transceivers_left_out)],
    ),
    Gauge("fastrelay_worker_up", ("worker",), "1 while the worker turns its loop", _up),
    Counter("fastrelay_worker_busy_seconds_total", ("worker",), "CPU time of the worker", _busy),
    Gauge("fastrelay_worker_heartbeat_age_seconds", ("worker",), "Since the worker last turned", _heartbeat_age),
    Counter(
        "fastrelay_worker_restarts_total",
        ("worker",),
        "Workers replaced because they died or hung",
        lambda scrape: [((str(each.index),), each.restarts) for each in scrape.status.workers],
    ),
    Counter(
        "fastrelay_worker_hangs_total",
        ("worker",),
        "Workers replaced because they hung",
        lambda scrape: [((str(each.index),), each.hangs) for each in scrape.status.workers],
    ),
    Gauge("fastrelay_process_resident_memory_bytes", ("process",), "Memory in use, shared pages included", _resident),
    Gauge(
        "fastrelay_ready",
        (),
        "1 while /readyz says yes",
        lambda scrape: [((), not unready_because(scrape.observed, scrape.now_s))],
    ),
    Gauge(
        "fastrelay_draining",
        (),
        "1 while the relay takes no new sessions",
        lambda scrape: [((), scrape.status.state == ServiceState.DRAINING)],
    ),
    Counter(
        "fastrelay_reloads_total",
        ("result",),
        "Reloads of the configuration",
        lambda scrape: [(("done",), scrape.status.reloads), (("refused",), scrape.status.reloads_refused)],
    ),
    Counter(
        "fastrelay_upgrades_total",
        ("result",),
        "Upgrades to another release",
        lambda scrape: [(("done",), scrape.status.upgrades), (("refused",), scrape.status.upgrades_refused)],
    ),
    Counter(
        "fastrelay_adoptions_total",
        (),
        "Workers taken over from a supervisor that had died",
        lambda scrape: [((), scrape.status.adoptions)],
    ),
    Gauge("fastrelay_key_age_seconds", ("key",), "Since servers may mint with the key; below 0: not yet", _key_age),
    Gauge("fastrelay_key_expires_seconds", ("key",), "Until the key opens no token, where that is set", _key_expires),
    Gauge(
        "fastrelay_start_time_seconds",
        (),
        "When the relay started, Unix time",
        lambda scrape: [((), scrape.status.started_at_s)],
    ),
    Gauge(
        "fastrelay_build_info",
        ("version",),
        "1, with the release that runs",
        lambda scrape: [((scrape.status.release,), 1)],
    ),
)
