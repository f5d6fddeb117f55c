"""The counter page as Python reads it is the one that C writes."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from ipaddress import ip_network
from pathlib import Path

import numpy as np
import pytest

from fastrelay._ext.relay_core import EVENT_NAMES, VERDICT_NAMES, RelayCore, counter_page_bytes
from fastrelay.observe import counters
from fastrelay.observe.counters import LAYOUT, CounterPage, JournalEntry, Reading, bucket_edge, percentile, total
from fastrelay.relay.dataplane.limits import Limits
from fastrelay.relay.dataplane.verdict import Verdict

EXT = Path(__file__).parents[2] / "ext"
HEADER = (EXT / "counters.h").read_text()
JOURNAL_HEADER = (EXT / "flow" / "journal.h").read_text()
MACROS = {
    name: int(value.rstrip("u"), 0)
    for name, value in re.findall(r"^#define FR_(\w+) (\w+)\b", HEADER + JOURNAL_HEADER, re.MULTILINE)
}
SIZES = {"uint64_t": 8, "uint32_t": 4, "struct fr_address": 24, "struct fr_journal_entry": 72}
STRANGER = ("192.0.2.1", 50_000, 0)


def members(header: str, name: str) -> dict[str, int]:
    """Where a header puts each member of a structure without gaps, and its end."""
    body = re.findall(rf"struct {name} \{{(.*?)\n\}};", header, re.DOTALL)[0]
    offsets, at = {}, 0
    for kind, member, count in re.findall(r"^ +(uint\d+_t|struct \w+) (\w+)(?:\[(\w+)\])?;", body, re.MULTILINE):
        if kind == "struct fr_journal":
            continue
        offsets[member] = at
        at += SIZES[kind] * (int(count) if count.isdigit() else MACROS[count.removeprefix("FR_")] if count else 1)
    return {**offsets, "end": at}


def offsets_of(layout: np.dtype[np.void]) -> dict[str, int]:
    assert layout.fields is not None
    return {name: layout.fields[name][1] for name in layout.fields} | {"end": layout.itemsize}


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
    before = members(HEADER, "fr_counters")
    journal_at = before.pop("end")
    ring = {name: journal_at + at for name, at in members(JOURNAL_HEADER, "fr_journal").items()}
    assert offsets_of(LAYOUT) == before | {
        "journal_next": ring["next"],
        "journal_reserved": ring["reserved"],
        "journal": ring["entries"],
        "end": ring["end"],
    }
    assert LAYOUT.itemsize == counter_page_bytes()


def test_journal_entry_is_that_of_the_header() -> None:
    assert offsets_of(counters.JOURNAL_ENTRY) == members(JOURNAL_HEADER, "fr_journal_entry")
    assert tuple(re.findall(r'^ +K\((\w+), "', JOURNAL_HEADER, re.MULTILINE)) == counters.JOURNAL_KINDS


@pytest.mark.parametrize(
    ("ours", "macro"),
    [
        (counters.MAGIC, "COUNTERS_MAGIC"),
        (counters.LAYOUT_VERSION, "COUNTERS_LAYOUT"),
        (counters.ROOM, "COUNTER_ROOM"),
        (counters.HISTOGRAM_BUCKETS, "HISTOGRAM_BUCKETS"),
        (counters.JOURNAL_ENTRIES, "JOURNAL_ENTRIES"),
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


def test_reading_holds_every_histogram_and_adds_each(page: CounterPage, memory: mmap.mmap) -> None:
    names = [field.name for field in fields(Reading)]
    assert {name for name in names if name.startswith("call_")} == {
        "call_loss",
        "call_jitter_us",
        "call_setup_us",
        "call_media_us",
    }
    before = page.read()
    whole = np.frombuffer(memory, LAYOUT, count=1)
    for at, name in enumerate(names, start=1):
        whole[name][0][7] += np.uint64(at)
    gain = page.read().since(before)
    assert [int(getattr(gain, name)[7]) for name in names] == list(range(1, len(names) + 1))
    assert [int(getattr(gain.plus(gain), name)[7]) for name in names] == [2 * at for at in range(1, len(names) + 1)]
    del whole


# --- the journal


def entry_bytes(number: int, kind: int = 0) -> bytes:
    v4 = bytes(10) + b"\xff\xff" + bytes([192, 0, 2, number % 256])
    v6 = bytes.fromhex("fe80") + bytes(13) + b"\x07"
    client = v4 + bytes(4) + (50_000).to_bytes(2, "big") + bytes(2)
    transceiver = v6 + (3).to_bytes(4, "little") + (4000).to_bytes(2, "big") + bytes(2)
    head = (1_700_000_000_000 + number).to_bytes(8, "little") + number.to_bytes(8, "big")
    return head + client + transceiver + kind.to_bytes(4, "little") + bytes(4)


def page_with(written: int) -> bytearray:
    """A page after so many entries."""
    memory = bytearray(LAYOUT.itemsize)
    assert LAYOUT.fields is not None
    start = LAYOUT.fields["journal"][1]
    for number in range(max(0, written - counters.JOURNAL_ENTRIES), written):
        at = start + number % counters.JOURNAL_ENTRIES * counters.JOURNAL_ENTRY.itemsize
        memory[at : at + counters.JOURNAL_ENTRY.itemsize] = entry_bytes(number, number % len(counters.JOURNAL_KINDS))
    next_at = LAYOUT.fields["journal_next"][1]
    memory[next_at : next_at + 8] = written.to_bytes(8, "little")
    return memory


def test_journal_entry_is_read_whole() -> None:
    assert counters.journal(CounterPage(page_with(6)))[5] == JournalEntry(
        1_700_000_000_005,
        "closed",
        bytes([0, 0, 0, 0, 0, 0, 0, 5]),
        ("192.0.2.5", 50_000),
        ("fe80::7%3", 4000),
    )


@pytest.mark.parametrize(
    ("written", "first"),
    [
        pytest.param(0, 0, id="empty"),
        pytest.param(3, 0, id="few"),
        pytest.param(2047, 0, id="one place left"),
        pytest.param(2048, 1, id="full: the next entry may be replacing the oldest"),
        pytest.param(5000, 2953, id="gone round"),
    ],
)
def test_journal_is_in_order_and_newest_last(written: int, first: int) -> None:
    entries = counters.journal(CounterPage(page_with(written)))
    assert [entry.unix_ms - 1_700_000_000_000 for entry in entries] == list(range(first, written))


class OvertakenPage(CounterPage):
    """A page whose worker writes so many entries while it is copied."""

    written = 0

    @property
    def journal_next(self) -> int:
        self.written, now = self.written + 100, super().journal_next + self.written
        return now


def test_journal_leaves_out_what_the_worker_has_reached_meanwhile() -> None:
    entries = counters.journal(OvertakenPage(page_with(5000)))
    assert entries[0].unix_ms - 1_700_000_000_000 == 5000 + 100 - 2048 + 1
    assert entries[-1].unix_ms - 1_700_000_000_000 == 4999


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
