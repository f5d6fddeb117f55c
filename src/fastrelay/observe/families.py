"""What a metric is: a name, a type, labels, a meaning, and how its samples come out of a scrape.

Lives here: the kinds of metrics and what one scrape is made of. Must not live here: the metrics themselves (metrics).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from fastrelay.observe.buckets import coarse, total
from fastrelay.observe.counters import Counts, Reading
from fastrelay.observe.observed import Observed
from fastrelay.observe.status import ServiceStatus
from fastrelay.observe.transceivers import Transceiver

Labels: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scrape:
    """Everything one scrape is made of, read once, before anything is written."""

    observed: Observed
    status: ServiceStatus
    now_s: float
    """By the monotonic clock."""
    unix_s: float
    readings: Mapping[int, Reading]
    """By worker, those of workers that are gone too."""
    transceivers: tuple[Transceiver, ...]
    """The busiest."""
    transceivers_left_out: int


@dataclass(frozen=True, slots=True)
class Counter:
    """Only ever rises, but for a start of the observer. Its name ends in _total."""

    name: str
    labels: Labels
    text: str
    samples: Callable[[Scrape], Iterable[tuple[Labels, float]]]
    kind: str = "counter"

    def build(self, scrape: Scrape) -> Metric:
        family = CounterMetricFamily(self.name.removesuffix("_total"), self.text, labels=self.labels)
        for labels, value in self.samples(scrape):
            family.add_metric(labels, value)
        return family


@dataclass(frozen=True, slots=True)
class Gauge:
    """As it is now."""

    name: str
    labels: Labels
    text: str
    samples: Callable[[Scrape], Iterable[tuple[Labels, float]]]
    kind: str = "gauge"

    def build(self, scrape: Scrape) -> Metric:
        family = GaugeMetricFamily(self.name, self.text, labels=self.labels)
        for labels, value in self.samples(scrape):
            family.add_metric(labels, value)
        return family


@dataclass(frozen=True, slots=True)
class Summary:
    """A count and a sum: the rate of one divided by the rate of the other is an average."""

    name: str
    labels: Labels
    text: str
    samples: Callable[[Scrape], Iterable[tuple[Labels, int, int]]]
    """Labels, count, sum."""
    kind: str = "summary"

    def build(self, scrape: Scrape) -> Metric:
        family = SummaryMetricFamily(self.name, self.text, labels=self.labels)
        for labels, count, sum_ in self.samples(scrape):
            family.add_metric(labels, count, sum_)
        return family


@dataclass(frozen=True, slots=True)
class Histogram:
    """Over all workers. `parts` are labels, and where the fine histogram stands in a reading."""

    name: str
    labels: Labels
    text: str
    parts: tuple[tuple[Labels, Callable[[Reading], Counts]], ...]
    round_bounds: tuple[float, ...]
    """In the fine histogram's unit."""
    unit: float
    """What 1 of the fine histogram is in the metric's."""
    kind: str = "histogram"

    def build(self, scrape: Scrape) -> Metric:
        family = HistogramMetricFamily(self.name, self.text, labels=self.labels)
        for labels, fine in self.parts:
            whole = total([fine(reading) for reading in scrape.readings.values()])
            family.add_metric(labels, *coarse(whole, self.round_bounds, self.unit))
        return family


Family: TypeAlias = Counter | Gauge | Summary | Histogram
