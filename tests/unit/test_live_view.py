"""The live view and the summary: what they say, on a terminal and off it."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from fastrelay._ext.relay_core import EVENT_NAMES, VERDICT_NAMES
from fastrelay.observe.counters import LAYOUT, LAYOUT_VERSION, MAGIC, CounterPage
from fastrelay.observe.live import LiveView
from fastrelay.observe.summary import microseconds, summary


@dataclass
class Worker:
    """A page, and a hand to write it with."""

    memory: bytearray = field(default_factory=lambda: bytearray(LAYOUT.itemsize))

    def __post_init__(self) -> None:
        self.words = np.frombuffer(self.memory, LAYOUT, count=1)
        self.page = CounterPage(self.memory)

    def count(self, name: str, packets: int, size: int = 0) -> None:
        if name in EVENT_NAMES:
            self.words["events"][0, EVENT_NAMES.index(name)] += packets
            return
        self.words["verdict_packets"][0, VERDICT_NAMES.index(name)] += packets
        self.words["verdict_bytes"][0, VERDICT_NAMES.index(name)] += packets * size

    def set(self, name: str, value: int) -> None:
        self.words[name] = value


class Screen:
    """A terminal of a certain width, or a file, and a clock that is set by hand."""

    def __init__(self, workers: list[Worker], *, is_terminal: bool, width: int = 120) -> None:
        self.text = io.StringIO()
        console = Console(file=self.text, force_terminal=is_terminal, width=width, height=40, color_system=None)
        self.clock = SimpleNamespace(now_s=100.0)
        self.view = LiveView(
            [worker.page for worker in workers], console=console, clock_s=lambda: float(self.clock.now_s)
        )

    def after(self, seconds: float) -> str:
        """What a refresh prints."""
        self.clock.now_s += seconds
        self.text.seek(0)
        self.text.truncate()
        self.view.refresh()
        return self.text.getvalue()


@pytest.fixture
def worker() -> Worker:
    worker = Worker()
    for name, value in {"magic": MAGIC, "layout": LAYOUT_VERSION, "offload": 1, "flows": 7}.items():
        worker.set(name, value)
    return worker


def test_line_tells_rates_since_the_last_one(worker: Worker) -> None:
    worker.count("UP_SRTP", 1_000_000)  # before the view: not its affair
    screen = Screen([worker], is_terminal=False)
    worker.count("UP_SRTP", 300)
    worker.count("UP_STUN", 20)
    worker.count("bundles_sent", 40)
    worker.count("DOWN_FORWARDED", 100)
    worker.count("NOT_WEBRTC", 10)
    worker.count("kernel_drops_up", 3)
    worker.words["hop_up_ns"][0, 80] = 1
    line = screen.after(2.0)
    assert line == (
        "flows 7  up 160/s  down 50/s  dropped 5/s  kernel drops 3  bundle 8.0  "
        "hop up p50 4.6 us p99 4.6 us  down p50 - p99 -\n"
    )
    assert screen.after(1.0).startswith(
        "flows 7  up 0/s  down 0/s  dropped 0/s  kernel drops 0  bundle -  hop up p50 -"
    )


def test_lines_are_never_wrapped_or_coloured(worker: Worker) -> None:
    assert Screen([worker], is_terminal=False, width=20).after(1.0).count("\n") == 1


def test_table_has_a_row_for_each_worker_and_each_drop(worker: Worker) -> None:
    idle = Worker()
    screen = Screen([worker, idle], is_terminal=True)
    with screen.view:
        worker.count("UP_DTLS", 500)
        worker.count("TOKEN_EXPIRED", 4)
        idle.count("TRUNK_BAD_MAC", 40)
        shown = screen.after(1.0)
    rows = {line.split()[0]: line.split() for line in shown.splitlines() if line.split()}
    assert rows["0"][-1] == "on"
    assert "500" in rows["0"]
    assert rows["1"][-1] == "off"
    assert rows["TOKEN_EXPIRED"] == ["TOKEN_EXPIRED", "4", "4"]
    assert shown.index("TRUNK_BAD_MAC") < shown.index("TOKEN_EXPIRED"), "the greatest first"


def test_table_says_when_offload_failed_and_when_a_worker_stalls(worker: Worker) -> None:
    worker.set("offload", 0)
    worker.count("offload_failures", 1)
    worker.set("alive_ms", 1)
    screen = Screen([worker], is_terminal=True)
    with screen.view:
        shown = screen.after(1.0)
    assert "failed" in shown
    assert "0 stalled" in shown
    assert "nothing dropped" in shown


@pytest.mark.parametrize("width", [40, 80, 200])
def test_table_fits_the_terminal(worker: Worker, width: int) -> None:
    screen = Screen([worker], is_terminal=True, width=width)
    with screen.view:
        shown = screen.after(1.0)
    visible = [line for line in shown.replace("\x1b", "\n").splitlines() if not line.startswith("[")]
    assert max(map(len, visible)) <= width


def test_summary_leaves_out_what_never_happened(worker: Worker) -> None:
    assert summary(worker.page.read(), 1.25, 1) == [
        "served  1.2 s with 1 worker",
        "up      0 packets, 0 bytes, hop p50 - p99 -",
        "down    0 packets, 0 bytes, hop p50 - p99 -",
    ]


def test_summary_tells_the_rest(worker: Worker) -> None:
    worker.count("UP_SRTP", 3000, 160)
    worker.count("bundles_sent", 375)
    worker.count("flows_created", 2)
    worker.count("EMPTY", 1)
    worker.count("refused_down", 4)
    worker.count("turns", 9)
    lines = summary(worker.page.read(), 10, 2)
    assert lines[0] == "served  10.0 s with 2 workers"
    assert lines[1].startswith("up      3,000 packets, 480,000 bytes, 375 bundles of 8.0")
    assert lines[3:] == ["flows   created 2", "drops   EMPTY 1", "trouble refused_down 4"]


@pytest.mark.parametrize(
    ("nanoseconds", "expected"),
    [(None, "-"), (0, "0.0 us"), (999, "1.0 us"), (99_900, "99.9 us"), (100_000, "100 us"), (2_500_000, "2,500 us")],
)
def test_latency_is_short_to_read(nanoseconds: float | None, expected: str) -> None:
    assert microseconds(nanoseconds) == expected
