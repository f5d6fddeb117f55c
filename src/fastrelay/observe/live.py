"""A live view of relay workers: tables on a terminal, a plain line a refresh anywhere else.

Lives here: what is shown and in which unit. Must not live here: the counters (counters), when to refresh (the caller).
Rates and latencies are those since the last refresh; drops are counted since the worker's start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fastrelay.observe.counters import CounterPage, Counts, Reading, percentile, total
from fastrelay.observe.summary import hop, microseconds

STALLED_AFTER_MS = 1000
"""A worker turns its loop every 50 ms even when idle."""
_COLUMNS = ("flows", "up/s", "down/s", "drops/s", "bundle", "up p50", "p99", "down p50", "p99", "kernel drops")


class LiveView:
    """Enter it, refresh it as often as you like, leave it. It starts no thread."""

    def __init__(
        self,
        pages: Sequence[CounterPage],
        *,
        title: str = "fastrelay relay",
        notes: Callable[[], Sequence[str]] = tuple,
        console: Console | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pages = pages
        self._title = title
        self._notes = notes  # lines of whoever runs beside the relay
        self._console = console or Console()
        self._clock_s = clock_s
        self._started_s = self._read_s = clock_s()
        self._readings = [page.read() for page in pages]
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="ellipsis")
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def refresh(self) -> None:
        """Show what has happened since the last refresh. The terminal's size is asked for each time."""
        now_s = self._clock_s()
        readings = [page.read() for page in self._pages]
        seconds = max(now_s - self._read_s, 1e-3)
        gains = [reading.since(before) for reading, before in zip(readings, self._readings, strict=True)]
        self._readings, self._read_s = readings, now_s
        if self._live is None:
            for line in (self._line(total(gains), seconds), *self._notes()):
                self._console.print(line, highlight=False, markup=False, soft_wrap=True)
        else:
            self._live.update(self._screen(gains, seconds), refresh=True)

    def _line(self, gain: Reading, seconds: float) -> str:
        dropped = sum(gain.drops().values())
        fill = gain.frames_per_bundle
        return (
            f"flows {sum(page.flows for page in self._pages)}"
            f"  up {gain.packets_up / seconds:.0f}/s  down {gain.packets_down / seconds:.0f}/s"
            f"  dropped {dropped / seconds:.0f}/s  kernel drops {gain.kernel_drops}"
            f"  bundle {'-' if fill is None else f'{fill:.1f}'}"
            f"  hop up {hop(gain.hop_up_ns)}  down {hop(gain.hop_down_ns)}"
        )

    def _screen(self, gains: Sequence[Reading], seconds: float) -> RenderableType:
        running_s = int(self._read_s - self._started_s)
        title = Text(f"{self._title} · {running_s // 3600}:{running_s // 60 % 60:02}:{running_s % 60:02}", style="bold")
        parts: list[RenderableType] = [title, self._workers(gains, seconds)]
        drops = self._drops(total(list(gains)), seconds)
        parts.append(drops if drops.row_count else Text("nothing dropped", style="dim"))
        return Group(*parts, *map(Text, self._notes()))

    def _workers(self, gains: Sequence[Reading], seconds: float) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("worker")
        for name in _COLUMNS:
            table.add_column(name, justify="right")
        table.add_column("offload")
        for index, (page, gain, reading) in enumerate(zip(self._pages, gains, self._readings, strict=True)):
            fill = gain.frames_per_bundle
            table.add_row(
                f"{index}{'' if _is_turning(page) else ' stalled'}",
                f"{page.flows:,}",
                f"{gain.packets_up / seconds:,.0f}",
                f"{gain.packets_down / seconds:,.0f}",
                f"{sum(gain.drops().values()) / seconds:,.0f}",
                "-" if fill is None else f"{fill:.1f}",
                *_percentiles(gain.hop_up_ns),
                *_percentiles(gain.hop_down_ns),
                f"{reading.kernel_drops:,}",
                "on" if page.is_offloading else "failed" if reading.event("offload_failures") else "off",
            )
        return table

    def _drops(self, gain: Reading, seconds: float) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("dropped because")
        table.add_column("per s", justify="right")
        table.add_column("in all", justify="right")
        recent = gain.drops()
        for name, count in sorted(total(self._readings).drops().items(), key=lambda drop: -drop[1]):
            table.add_row(name, f"{recent.get(name, 0) / seconds:,.0f}", f"{count:,}")
        return table


def _percentiles(histogram: Counts) -> tuple[str, str]:
    return microseconds(percentile(histogram, 50)), microseconds(percentile(histogram, 99))


def _is_turning(page: CounterPage) -> bool:
    return not page.is_ours or time.monotonic_ns() // 1_000_000 - page.alive_ms < STALLED_AFTER_MS
