"""Counters as short plain lines: what a relay has done, at its end or in a log.

Must not live here: what a terminal shows while it runs (live), the counters themselves (counters).
"""

from __future__ import annotations

from collections.abc import Mapping

from fastrelay.observe.counters import Counts, Reading, percentile

_FLOW_EVENTS = (
    "created",
    "confirmed",
    "repointed",
    "recreated",
    "closed",
    "expired_unconfirmed",
    "expired_idle",
    "evicted",
)
_TROUBLE_EVENTS = (
    "refused_up",
    "refused_down",
    "no_buffer_up",
    "no_buffer_down",
    "kernel_drops_up",
    "kernel_drops_down",
    "trunk_errors",
    "receive_errors",
    "trunk_cut",
    "offload_failures",
    "locals_full",
)


def summary(reading: Reading, seconds: float, workers: int) -> list[str]:
    """A few lines; what never happened is left out."""
    fill = reading.frames_per_bundle
    bundles = "" if fill is None else f", {reading.event('bundles_sent'):,} bundles of {fill:.1f}"
    lines = [
        f"served  {seconds:.1f} s with {workers} worker{'s' if workers > 1 else ''}",
        f"up      {reading.packets_up:,} packets, {reading.bytes_up:,} bytes{bundles}, hop {hop(reading.hop_up_ns)}",
        f"down    {reading.packets_down:,} packets, {reading.bytes_down:,} bytes, hop {hop(reading.hop_down_ns)}",
    ]
    occurred = reading.occurred()
    for title, counts in (
        ("flows", {name: occurred.get(f"flows_{name}", 0) for name in _FLOW_EVENTS}),
        ("drops", reading.drops()),
        ("trouble", {name: occurred.get(name, 0) for name in _TROUBLE_EVENTS}),
    ):
        if listed := _listed(counts):
            lines.append(f"{title:7} {listed}")
    return lines


def hop(histogram: Counts) -> str:
    """Median and 99th percentile from kernel to kernel."""
    return f"p50 {microseconds(percentile(histogram, 50))} p99 {microseconds(percentile(histogram, 99))}"


def microseconds(nanoseconds: float | None) -> str:
    """Three digits at most; a dash where nothing was sampled."""
    if nanoseconds is None:
        return "-"
    value = nanoseconds / 1000
    return f"{value:.1f} us" if value < 100 else f"{value:,.0f} us"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)
