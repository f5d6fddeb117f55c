"""The counter page of a relay worker, read in place.

Lives here: its layout as ext/counters.h has it, numpy views over it, percentiles of its histograms, and its journal.
Must not live here: how numbers are shown (live, summary). Only the worker writes: the views are read-only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from ipaddress import IPv4Address, IPv6Address
from mmap import mmap
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastrelay._ext.relay_core import EVENT_NAMES, VERDICT_NAMES

Counts: TypeAlias = NDArray[np.uint64]

MAGIC = 0x6672_636F_756E_7472
LAYOUT_VERSION = 2
ROOM = 64
"""Places for verdicts, and for events."""
HISTOGRAM_BUCKETS = 320
JOURNAL_ENTRIES = 2048
JOURNAL_KINDS = (
    "created",
    "confirmed",
    "repointed",
    "recreated",
    "adopted",
    "closed",
    "expired_unconfirmed",
    "expired_idle",
    "evicted",
)
"""What befalls a flow, in the order of ext/flow/journal.h."""

ADDRESS = np.dtype([("ip", "u1", (16,)), ("scope", "=u4"), ("port", ">u2"), ("zero", "=u2")])
"""struct fr_address: IPv4 is held v4-mapped."""
JOURNAL_ENTRY = np.dtype(
    [
        ("unix_ms", "=u8"),
        ("session_id", "u1", (8,)),
        ("client", ADDRESS),
        ("transceiver", ADDRESS),
        ("kind", "=u4"),
        ("reserved", "=u4"),
    ]
)

LAYOUT = np.dtype(
    [
        ("magic", "=u8"),
        ("layout", "=u8"),
        ("alive_ms", "=u8"),
        ("flows", "=u8"),
        ("unconfirmed", "=u8"),
        ("offload", "=u8"),
        ("reserved", "=u8", (2,)),
        ("verdict_packets", "=u8", (ROOM,)),
        ("verdict_bytes", "=u8", (ROOM,)),
        ("events", "=u8", (ROOM,)),
        ("hop_up_ns", "=u8", (HISTOGRAM_BUCKETS,)),
        ("hop_down_ns", "=u8", (HISTOGRAM_BUCKETS,)),
        ("call_loss", "=u8", (HISTOGRAM_BUCKETS,)),
        ("call_jitter_us", "=u8", (HISTOGRAM_BUCKETS,)),
        ("call_setup_us", "=u8", (HISTOGRAM_BUCKETS,)),
        ("call_media_us", "=u8", (HISTOGRAM_BUCKETS,)),
        ("journal_next", "=u8"),
        ("journal_reserved", "=u8"),
        ("journal", JOURNAL_ENTRY, (JOURNAL_ENTRIES,)),
    ]
)

_INDEX = {name: at for names in (VERDICT_NAMES, EVENT_NAMES) for at, name in enumerate(names)}
_FORWARDED_UP = tuple(at for at, name in enumerate(VERDICT_NAMES) if name.startswith("UP_"))
_FORWARDED_DOWN = tuple(VERDICT_NAMES.index(f"DOWN_{end}") for end in ("FORWARDED", "CONFIRMED", "RECREATED"))
_WELCOME = {*_FORWARDED_UP, *_FORWARDED_DOWN, *map(VERDICT_NAMES.index, ("TRUNK_BUNDLE", "TRUNK_HELLO", "DOWN_CLOSED"))}
_DROPS = tuple(at for at in range(len(VERDICT_NAMES)) if at not in _WELCOME)


class CounterPage:
    """One worker's counters, live. Close it before the memory under it is closed."""

    def __init__(self, memory: mmap | bytearray | bytes) -> None:
        if len(memory) < LAYOUT.itemsize:
            raise ValueError(f"a counter page has {LAYOUT.itemsize} bytes, not {len(memory)}")
        page = np.frombuffer(memory, LAYOUT, count=1)
        page.flags.writeable = False
        self._page = page
        self.verdict_packets: Counts = page["verdict_packets"][0]
        self.verdict_bytes: Counts = page["verdict_bytes"][0]
        self.events: Counts = page["events"][0]
        self.hop_up_ns: Counts = page["hop_up_ns"][0]
        self.hop_down_ns: Counts = page["hop_down_ns"][0]
        self.journal: NDArray[np.void] = page["journal"][0]

    def close(self) -> None:
        """Let go of the memory. The page cannot be read afterwards."""
        del self._page, self.verdict_packets, self.verdict_bytes, self.events
        del self.hop_up_ns, self.hop_down_ns, self.journal

    @property
    def is_ours(self) -> bool:
        """Whether a worker of this release writes here; before its start a page is all zero."""
        return bool(self._page["magic"][0] == MAGIC and self._page["layout"][0] == LAYOUT_VERSION)

    @property
    def alive_ms(self) -> int:
        """When the worker last turned its loop, on the monotonic clock: its heartbeat."""
        return int(self._page["alive_ms"][0])

    @property
    def flows(self) -> int:
        """Flows in the table at the end of the last slice, unconfirmed ones included."""
        return int(self._page["flows"][0])

    @property
    def unconfirmed(self) -> int:
        return int(self._page["unconfirmed"][0])

    @property
    def is_offloading(self) -> bool:
        """Whether UDP_SEGMENT is in use."""
        return bool(self._page["offload"][0])

    @property
    def journal_next(self) -> int:
        """How many entries the journal has ever had."""
        return int(self._page["journal_next"][0])

    def packets(self, verdict: str) -> int:
        """How many datagrams or frames have ended in this verdict."""
        return int(self.verdict_packets[_INDEX[verdict]])

    def event(self, name: str) -> int:
        return int(self.events[_INDEX[name]])

    def read(self) -> Reading:
        """Copy what counts upwards, to compare with a later reading."""
        return Reading(*(self._page[field.name][0].copy() for field in fields(Reading)))


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One event of one flow."""

    unix_ms: int
    kind: str
    """One of JOURNAL_KINDS."""
    session_id: bytes
    """Eight bytes; all zero for a flow made again from the trunk."""
    client: tuple[str, int]
    transceiver: tuple[str, int]


def journal(page: CounterPage) -> list[JournalEntry]:
    """What befell the last flows, the newest last.

    The worker writes on meanwhile. Only entries are kept that it cannot have begun to replace before the end of the
    copy: the one that comes after the newest may be half written.
    """
    before = page.journal_next
    entries = page.journal.copy()
    oldest = max(0, page.journal_next - JOURNAL_ENTRIES + 1)
    return [_journal_entry(entries[number % JOURNAL_ENTRIES]) for number in range(oldest, before)]


def _journal_entry(entry: np.void) -> JournalEntry:
    return JournalEntry(
        int(entry["unix_ms"]),
        JOURNAL_KINDS[entry["kind"]],
        entry["session_id"].tobytes(),
        endpoint(entry["client"]),
        endpoint(entry["transceiver"]),
    )


def endpoint(address: np.void) -> tuple[str, int]:
    """A struct fr_address as (ip, port); the scope of a link-local address stands behind it after a %."""
    ip = IPv6Address(address["ip"].tobytes())
    shown: IPv4Address | IPv6Address = ip.ipv4_mapped or ip
    scope = int(address["scope"])
    return f"{shown}%{scope}" if scope else str(shown), int(address["port"])


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Counters as they were at one moment, or what they gained between two. Not all read at one instant."""

    verdict_packets: Counts
    verdict_bytes: Counts
    events: Counts
    hop_up_ns: Counts
    hop_down_ns: Counts
    call_loss: Counts
    """Loss of each ended call, in 1/10,000 of what its client sent."""
    call_jitter_us: Counts
    call_setup_us: Counts
    """First check to first media, of each call that came to media."""
    call_media_us: Counts
    """First DTLS to first media."""

    def since(self, earlier: Reading) -> Reading:
        return Reading(*(getattr(self, field.name) - getattr(earlier, field.name) for field in fields(self)))

    def plus(self, other: Reading) -> Reading:
        return Reading(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    @property
    def packets_up(self) -> int:
        """Client datagrams forwarded."""
        return int(self.verdict_packets[list(_FORWARDED_UP)].sum())

    @property
    def packets_down(self) -> int:
        """Frames sent to clients."""
        return int(self.verdict_packets[list(_FORWARDED_DOWN)].sum())

    @property
    def bytes_up(self) -> int:
        return int(self.verdict_bytes[list(_FORWARDED_UP)].sum())

    @property
    def bytes_down(self) -> int:
        return int(self.verdict_bytes[list(_FORWARDED_DOWN)].sum())

    @property
    def frames_per_bundle(self) -> float | None:
        """How full bundles to transceivers were; None when none was sent."""
        bundles = self.event("bundles_sent")
        return self.packets_up / bundles if bundles else None

    @property
    def kernel_drops(self) -> int:
        """Datagrams the kernel dropped because a receive buffer was full."""
        return self.event("kernel_drops_up") + self.event("kernel_drops_down")

    def event(self, name: str) -> int:
        return int(self.events[_INDEX[name]])

    def drops(self) -> Mapping[str, int]:
        """Refusals by verdict, those that happened, in the order of ext/verdict.h."""
        return {VERDICT_NAMES[at]: int(self.verdict_packets[at]) for at in _DROPS if self.verdict_packets[at]}

    def occurred(self) -> Mapping[str, int]:
        """Events by name, those that happened, in the order of ext/counters.h."""
        return {name: int(self.events[at]) for at, name in enumerate(EVENT_NAMES) if self.events[at]}


def total(readings: list[Reading]) -> Reading:
    """The sum over workers, of which there is at least one."""
    whole = readings[0]
    for reading in readings[1:]:
        whole = whole.plus(reading)
    return whole


def bucket_edge(bucket: int) -> float:
    """The largest value that falls into a histogram's bucket; the last one holds everything beyond, so its edge is inf.

    Eight buckets an octave, as fr_histogram_bucket cuts them: values below eight have a bucket each.
    """
    if not 0 <= bucket < HISTOGRAM_BUCKETS:
        raise ValueError(f"bucket {bucket} is not within 0-{HISTOGRAM_BUCKETS - 1}")
    if bucket < 8:
        return float(bucket)
    if bucket == HISTOGRAM_BUCKETS - 1:
        return float("inf")
    octave, eighth = bucket // 8 + 2, bucket % 8
    return float(((9 + eighth) << (octave - 3)) - 1)


def percentile(histogram: Counts, percent: float) -> float | None:
    """The value that `percent` of the samples do not exceed, rounded up to its bucket's edge; None without samples."""
    if not 0 < percent <= 100:
        raise ValueError(f"{percent} is not a percentage above 0")
    cumulative = np.cumsum(histogram)
    samples = int(cumulative[-1])
    if not samples:
        return None
    # the rank is counted from 1 and rounded up; the tolerance is for percentages that are no binary fractions
    rank = max(1, int(np.ceil(samples * percent / 100 - 1e-9)))
    return bucket_edge(int(np.searchsorted(cumulative, rank)))
