"""A transceiver's numbers for Prometheus, made anew at each scrape from what its workers have said last.

Lives here: names, labels and meanings (docs/transceiver.md explains them, and a test compares). Must not live here:
counting (worker), adding up over processes (sums), HTTP (routes). Labels are few and bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from fastrelay.observe.status import ServiceState, ServiceStatus
from fastrelay.transceiver.supervisor.crew import Crew
from fastrelay.transceiver.supervisor.sums import Sums

Samples: TypeAlias = Iterable[tuple[tuple[str, ...], float]]

EXCHANGE: Final = {
    "up": ("audio", "rtcp", "dtls", "checks", "unknown_session", "unknown_client", "malformed", "audio_refused"),
    "down": ("sent", "audio_sent"),
}
STATES: Final = ("waiting", "handshaking", "established", "ended")


@dataclass(frozen=True, slots=True)
class Scrape:
    """Everything one scrape is made of."""

    crew: Crew
    status: ServiceStatus
    sums: dict[int, Sums]
    """By worker, over all processes it has had."""


@dataclass(frozen=True, slots=True)
class Family:
    """A metric: what it is called, what it means, and where its samples come from."""

    name: str
    kind: Literal["counter", "gauge"]
    labels: tuple[str, ...]
    text: str
    samples: Callable[[Scrape], Samples]

    def build(self, scrape: Scrape) -> Metric:
        if self.kind == "counter":
            counter = CounterMetricFamily(self.name.removesuffix("_total"), self.text, labels=self.labels)
            for labels, value in self.samples(scrape):
                counter.add_metric(labels, value)
            return counter
        gauge = GaugeMetricFamily(self.name, self.text, labels=self.labels)
        for labels, value in self.samples(scrape):
            gauge.add_metric(labels, value)
        return gauge


class TransceiverCollector(Collector):
    """To be registered with a prometheus_client registry."""

    def __init__(self, crew: Callable[[], Crew], status: Callable[[], ServiceStatus]) -> None:
        self._crew = crew
        self._status = status

    def collect(self) -> Iterator[Metric]:
        crew = self._crew()
        scrape = Scrape(crew, self._status(), {member.index: member.sums for member in crew.members})
        for family in FAMILIES:
            yield family.build(scrape)
        yield _setup(scrape)


def _setup(scrape: Scrape) -> Metric:
    family = HistogramMetricFamily(SETUP_NAME, SETUP_TEXT)
    times = [each.setup for each in scrape.sums.values() if each.setup.counts]
    bounds = times[0].bounds if times else ()
    alike = [each for each in times if each.bounds == bounds]
    counts = [sum(column) for column in zip(*(each.counts for each in alike), strict=True)] or [0]
    labels = [*(str(bound / 1000) for bound in bounds), "+Inf"]
    family.add_metric(
        [], list(zip(labels, accumulate(counts), strict=True)), sum(each.total_ms for each in alike) / 1000
    )
    return family


def _table(name: str) -> Callable[[Scrape], Samples]:
    """One of the tables of counts, its keys as a label."""

    def samples(scrape: Scrape) -> Samples:
        for worker, sums in scrape.sums.items():
            for key, value in sorted(sums.tables[name].items()):
                yield (str(worker), key), value

    return samples


def _datagrams(scrape: Scrape) -> Samples:
    for worker, sums in scrape.sums.items():
        for direction, kinds in EXCHANGE.items():
            for kind in kinds:
                yield (str(worker), direction, kind), sums.tables["exchange"][kind]


def _calls(scrape: Scrape) -> Samples:
    for member in scrape.crew.members:
        found: dict[str, int] = {}
        for process in member.processes:
            for state, count in process.status.get("states", {}).items():
                found[state] = found.get(state, 0) + count
        for state in sorted({*found, "established"}):
            yield (str(member.index), state), found.get(state, 0)


def _of_sums(value: Callable[[Sums], float]) -> Callable[[Scrape], Samples]:
    def samples(scrape: Scrape) -> Samples:
        for worker, sums in scrape.sums.items():
            yield (str(worker),), value(sums)

    return samples


def _of_status(name: str) -> Callable[[Scrape], Samples]:
    """A number that the present process of each worker has said of itself."""

    def samples(scrape: Scrape) -> Samples:
        for member in scrape.crew.members:
            value = None if member.process is None else member.process.status.get(name)
            if isinstance(value, (int, float)):
                yield (str(member.index),), value

    return samples


def _relays(name: str, scale: float = 1.0) -> Callable[[Scrape], Samples]:
    def samples(scrape: Scrape) -> Samples:
        for member in scrape.crew.members:
            for relay in [] if member.process is None else member.process.status.get("relays", []):
                ip, port = relay["address"]
                yield (str(member.index), f"{ip}:{port}"), relay[name] * scale

    return samples


def _info(scrape: Scrape) -> Samples:
    for member in scrape.crew.members:
        process = member.process
        if process is not None:
            status = process.status
            yield (
                (str(member.index), process.release, str(status.get("agent", "")), str(status.get("srtp", ""))),
                1,
            )


def _reloads(scrape: Scrape) -> Samples:
    yield ("done",), scrape.status.reloads
    yield ("refused",), scrape.status.reloads_refused


def _replacements(scrape: Scrape) -> Samples:
    yield ("done",), scrape.status.upgrades
    yield ("refused",), scrape.status.upgrades_refused


def _one(value: Callable[[Scrape], float]) -> Callable[[Scrape], Samples]:
    return lambda scrape: [((), value(scrape))]


def _members(value: Callable[[Scrape, int], float]) -> Callable[[Scrape], Samples]:
    return lambda scrape: [((str(index),), value(scrape, index)) for index in range(len(scrape.crew.members))]


SETUP_NAME: Final = "fastrelay_transceiver_setup_seconds"
SETUP_TEXT: Final = "From offer to established, of calls that have ended"

FAMILIES: Final = (
    Family("fastrelay_transceiver_info", "gauge", ("worker", "release", "agent", "srtp"), "1 for each worker", _info),
    Family(
        "fastrelay_transceiver_ready",
        "gauge",
        (),
        "Whether it takes calls",
        _one(lambda scrape: scrape.status.state is ServiceState.SERVING),
    ),
    Family("fastrelay_transceiver_calls", "gauge", ("worker", "state"), "Calls in progress, by state", _calls),
    Family(
        "fastrelay_transceiver_calls_leaving",
        "gauge",
        (),
        "Of those, calls of processes that drain beside their successors",
        _one(lambda scrape: scrape.crew.leaving_calls),
    ),
    Family(
        "fastrelay_transceiver_calls_opened_total",
        "counter",
        ("worker",),
        "Offers answered",
        _of_sums(lambda sums: sums.opened),
    ),
    Family(
        "fastrelay_transceiver_calls_ended_total",
        "counter",
        ("worker", "reason"),
        "Calls ended, and why",
        _table("ended"),
    ),
    Family(
        "fastrelay_transceiver_offers_refused_total",
        "counter",
        ("worker", "reason"),
        "Offers refused, and why",
        _table("refused"),
    ),
    Family(
        "fastrelay_transceiver_datagrams_total",
        "counter",
        ("worker", "direction", "kind"),
        "What came from clients, each in one kind, and what was sent to them",
        _datagrams,
    ),
    Family(
        "fastrelay_transceiver_agents_total", "counter", ("worker", "event"), "What became of agents", _table("agents")
    ),
    Family(
        "fastrelay_transceiver_http_answers_total",
        "counter",
        ("worker", "status"),
        "Answers to HTTP requests, by status",
        _table("answers"),
    ),
    Family(
        "fastrelay_transceiver_http_connections",
        "gauge",
        ("worker",),
        "HTTP connections that are open",
        _of_status("connections"),
    ),
    Family(
        "fastrelay_transceiver_http_turned_away_total",
        "counter",
        ("worker",),
        "HTTP connections closed unused to make room",
        _of_sums(lambda sums: sums.turned_away),
    ),
    Family(
        "fastrelay_transceiver_cpu_seconds_total", "counter", ("worker",), "CPU time", _of_sums(lambda sums: sums.cpu_s)
    ),
    Family("fastrelay_transceiver_memory_bytes", "gauge", ("worker",), "Resident memory", _of_status("rss_bytes")),
    Family(
        "fastrelay_transceiver_loop_lag_seconds",
        "gauge",
        ("worker",),
        "How late the media loop came to its last heartbeat",
        _of_status("lag_s"),
    ),
    Family(
        "fastrelay_transceiver_trunk_received_total",
        "counter",
        ("worker", "relay"),
        "Trunk datagrams from each relay worker",
        _relays("received"),
    ),
    Family(
        "fastrelay_transceiver_trunk_lost_total",
        "counter",
        ("worker", "relay"),
        "Trunk datagrams that did not arrive",
        _relays("lost"),
    ),
    Family(
        "fastrelay_transceiver_trunk_rtt_seconds",
        "gauge",
        ("worker", "relay"),
        "Round trip to it",
        _relays("rtt_us", 1e-6),
    ),
    Family(
        "fastrelay_transceiver_worker_restarts_total",
        "counter",
        ("worker",),
        "Processes that died and were replaced",
        _members(lambda scrape, index: scrape.crew.members[index].restarts),
    ),
    Family(
        "fastrelay_transceiver_worker_hangs_total",
        "counter",
        ("worker",),
        "Of those, ones that had fallen silent",
        _members(lambda scrape, index: scrape.crew.members[index].hangs),
    ),
    Family("fastrelay_transceiver_reloads_total", "counter", ("outcome",), "Reloads", _reloads),
    Family("fastrelay_transceiver_replacements_total", "counter", ("outcome",), "Rolling replacements", _replacements),
)
