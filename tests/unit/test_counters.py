"""The counter page as Python reads it is the one that C writes."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_network
from pathlib import Path

import numpy as np
import pytest

from fastrelay._ext.relay_core import EVENT_NAMES, VERDICT_NAMES, RelayCore, counter_page_bytes
from fastrelay.observe import counters
from fastrelay.observe.counters import LAYOUT, CounterPage, bucket_edge, percentile, total
from fastrelay.relay.dataplane.limits import Limits
from fastrelay.relay.dataplane.verdict import Verdict

HEADER = (Path(__file__).parents[2] / "ext" / "counters.h").read_text()
MACROS = {
    name: int(value.rstrip("u"), 0) for name, value in re.findall(r"^#define FR_(\w+) (\w+)\b", HEADER, re.MULTILINE)
}
STRANGER = ("192.0.2.1", 50_000, 0)


def header_offsets() -> dict[str, int]:
    """Where the header puts each member: 64-bit words without gaps."""
    struct = re.findall(r"struct fr_counters \{(.*?)\n\};", HEADER, re.DOTALL)[0]
    offsets, at = {}, 0
    for name, count in re.findall(r"^ +uint64_t (\w+)(?:\[(\w+)\])?;", struct, re.MULTILINE):
        offsets[name] = at
        at += 8 * (int(count) if count.isdigit() else MACROS[count.removeprefix("FR_")] if count else 1)
    offsets["end"] = at
    return offsets


@pytest.fixture
def memory() -> Iterator[mmap.mmap]:
    with mmap.mmap(-1, counter_page_bytes()) as memory:
        yield memory


@pytest.fixture
def page(memory: mmap.mmap) -> Iterator[CounterPage]:
    with closing(CounterPage(memory)) as page:
        yield page


@pytest.fixture
def core(memory: mmap.mmap) -> RelayCore:
    locals_ = [("198.51.100.1", 3478)]
    return RelayCore(
        [(0, bytes(32), 0, None)], [ip_network("10.0.0.0/8")], 0, locals_, Limits(flows=64), 1, counter_page=memory
    )


def test_offsets_are_those_of_the_header() -> None:
    fields = LAYOUT.fields
    assert fields is not None
    assert {name: fields[name][1] for name in fields} | {"end": LAYOUT.itemsize} == header_offsets()
    assert LAYOUT.itemsize == counter_page_bytes()


@pytest.mark.parametrize(
    ("ours", "macro"),
    [
        (counters.MAGIC, "COUNTERS_MAGIC"),
        (counters.LAYOUT_VERSION, "COUNTERS_LAYOUT"),
        (counters.ROOM, "COUNTER_ROOM"),
        (counters.HISTOGRAM_BUCKETS, "HISTOGRAM_BUCKETS"),
    ],
)
def test_constant_is_that_of_the_header(ours: int, macro: str) -> None:
    assert ours == MACROS[macro]


def test_names_have_their_places() -> None:
    assert list(VERDICT_NAMES) == [verdict.name for verdict in Verdict]
    assert len(VERDICT_NAMES) <= counters.ROOM
    assert re.findall(r'^ +E\((\w+), "', HEADER, re.MULTILINE) == list(EVENT_NAMES)
    assert len(EVENT_NAMES) <= counters.ROOM


def test_fresh_page_belongs_to_nobody(page: CounterPage) -> None:
    assert not page.is_ours


def test_views_show_what_a_worker_counts_without_copies(page: CounterPage, core: RelayCore) -> None:
    packets_view, bytes_view = page.verdict_packets, page.verdict_bytes
    assert page.is_ours
    for round_ in range(1, 4):
        core.handle_up([(b"GET /", STRANGER, 0), (b"", STRANGER, 0)], 1000, 1_700_000_000)
        assert packets_view[Verdict.NOT_WEBRTC] == page.packets("NOT_WEBRTC") == round_
        assert bytes_view[Verdict.NOT_WEBRTC] == 5 * round_
        assert page.packets("EMPTY") == round_
    assert {name: page.packets(name) for name in VERDICT_NAMES} == core.counters()[0]
    assert {name: page.event(name) for name in EVENT_NAMES} == core.counters()[2]


def test_page_cannot_be_written_through_its_views(page: CounterPage) -> None:
    with pytest.raises(ValueError, match="read-only"):
        page.verdict_packets[0] = 1


def test_closed_page_lets_go_of_its_memory() -> None:
    memory = mmap.mmap(-1, counter_page_bytes())
    page = CounterPage(memory)
    with pytest.raises(BufferError):
        memory.close()
    page.close()
    memory.close()


def test_short_page_is_refused() -> None:
    with pytest.raises(ValueError, match=f"has {LAYOUT.itemsize} bytes, not {LAYOUT.itemsize - 1}"):
        CounterPage(bytearray(LAYOUT.itemsize - 1))


def test_reading_stays_and_compares(page: CounterPage, core: RelayCore) -> None:
    before = page.read()
    core.handle_up([(b"GET /", STRANGER, 0)], 1000, 1_700_000_000)
    between = page.read()
    core.handle_up([(b"", STRANGER, 0)] * 3, 1000, 1_700_000_000)
    assert before.drops() == {}
    assert page.read().since(between).drops() == {"EMPTY": 3}
    assert total([between, page.read()]).drops() == {"EMPTY": 3, "NOT_WEBRTC": 2}


def test_every_verdict_is_forwarding_a_drop_or_the_trunks_own() -> None:
    memory = bytearray(LAYOUT.itemsize)
    whole = np.frombuffer(memory, LAYOUT, count=1)
    whole["verdict_packets"][0] = 1
    reading = CounterPage(memory).read()
    welcome = {"TRUNK_BUNDLE", "TRUNK_HELLO", "DOWN_CLOSED"}
    assert reading.packets_up + reading.packets_down + len(reading.drops()) + len(welcome) == len(VERDICT_NAMES)
    assert welcome.isdisjoint(reading.drops())
    assert reading.frames_per_bundle is None


# --- the histogram


def header_bucket(value: int) -> int:
    """fr_histogram_bucket, as it reads."""
    if value < 8:
        return value
    octave = value.bit_length() - 1
    return min(8 * (octave - 2) + (value >> (octave - 3) & 7), counters.HISTOGRAM_BUCKETS - 1)


def test_bucket_edges_are_the_last_values_of_their_buckets() -> None:
    for bucket in range(counters.HISTOGRAM_BUCKETS - 1):
        edge = int(bucket_edge(bucket))
        assert (header_bucket(edge), header_bucket(edge + 1)) == (bucket, bucket + 1)
    assert bucket_edge(counters.HISTOGRAM_BUCKETS - 1) == float("inf")


@pytest.mark.parametrize("bucket", [-1, counters.HISTOGRAM_BUCKETS])
def test_bucket_outside_is_refused(bucket: int) -> None:
    with pytest.raises(ValueError, match="is not within"):
        bucket_edge(bucket)


@pytest.mark.parametrize(
    ("samples", "percent", "expected"),
    [
        pytest.param([], 50, None, id="none"),
        pytest.param([3], 50, 3, id="one, exact below eight"),
        pytest.param([1000], 99, 1023, id="one, rounded up"),
        pytest.param([1, 2, 3, 4], 50, 2, id="median of four"),
        pytest.param([1, 2, 3, 4], 51, 3, id="just above the median"),
        pytest.param([1] * 99 + [7], 99, 1, id="p99 of a hundred"),
        pytest.param([1] * 98 + [7, 7], 99, 7, id="p99 with two slow"),
        pytest.param([1, 7], 100, 7, id="greatest"),
        pytest.param([2**60], 50, float("inf"), id="beyond the last bucket"),
    ],
)
def test_percentile_never_flatters(samples: list[int], percent: float, expected: float | None) -> None:
    histogram = np.zeros(counters.HISTOGRAM_BUCKETS, np.uint64)
    for sample in samples:
        histogram[header_bucket(sample)] += np.uint64(1)
    assert percentile(histogram, percent) == expected


@pytest.mark.parametrize("percent", [0, -1, 100.5])
def test_impossible_percentage_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="is not a percentage"):
        percentile(np.zeros(counters.HISTOGRAM_BUCKETS, np.uint64), percent)
