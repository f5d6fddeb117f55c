"""A worker's flow page, read in place: flows, transceivers, and how the calls sound.

Lives here: the layout as ext/flow/table.h and ext/trunk/peer.h have it, numpy views over it, and one flow as an
operator may see it. Must not live here: looking at all flows again and again (survey), which flows somebody asks for
(listing).

The worker writes while we read: a number may be old, two numbers may not belong together, and an index may point
anywhere. So nothing here follows one without a look at its bounds.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from ipaddress import IPv6Address
from mmap import mmap
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastrelay._ext.relay_core import flow_page_layout
from fastrelay.wire.address import format_endpoint, redact

Records: TypeAlias = NDArray[np.void]
Slots: TypeAlias = NDArray[np.intp]

MAGIC: Final = 0x6672_6C61_7966_6C77
LAYOUT_VERSION: Final = 4
FLOWS_MAX: Final = (1 << 24) - 2
PEERS: Final = 1024
UNCONFIRMED, CONFIRMED = 1, 2
"""States of a slot; 0 is free."""
MEDIA_SEEN: Final = 1
"""Bit of a quality's state."""
JITTER_STEPS_PER_MS: Final = 8

HEADER = np.dtype(
    [
        ("magic", "=u8"),
        ("layout", "=u4"),
        ("capacity", "=u4"),
        ("bytes", "=u8"),
        ("epoch_us", "=u8"),
        ("hash_key", "=u8", (4,)),
        ("used", "=u4"),
    ]
)
"""The start of struct fr_flow_page: what follows is the worker's own affair."""
ADDRESS = np.dtype([("high", "=u8"), ("low", "=u8"), ("scope", "=u4"), ("port", ">u2"), ("zero", "=u2")])
FLOW = np.dtype(
    [
        ("client", ADDRESS),
        ("session_id", "=u8"),
        ("token_tag", "=u4"),
        ("last_seen_ms", "=u4"),
        ("peer", "=u2"),
        ("via", "u1"),
        ("state", "u1"),
        ("next", "=u4"),
        ("previous", "=u4"),
        ("packets_up", "=u4"),
        ("packets_down", "=u4"),
        ("bytes_up", "=u4"),
    ]
)
PEER = np.dtype(
    [
        ("address", ADDRESS),
        ("epoch_us", "=u8"),
        ("highest", "=u8"),
        ("received", "=u8"),
        ("first", "=u8"),
        ("sequence_sent", "=u8"),
        ("heard_ms", "=u8"),
        ("used_ms", "=u8"),
        ("hello_sent_at_us", "=u8"),
        ("hello_heard_us", "=u8"),
        ("hello_due_ms", "=u8"),
        ("rtt_us", "=u4"),
        ("hello_flags", "=u4"),
        ("flows", "=u4"),
        ("unreachable", "=u4"),
        ("is_used", "=u8"),
        ("window", "=u8", (16,)),
    ]
)
PEER_PAGE = np.dtype([("capacity", "=u4"), ("used", "=u4"), ("index", "=u2", (2 * PEERS,)), ("peers", PEER, (PEERS,))])
QUALITY = np.dtype(
    [
        ("transit", "=u4"),
        ("ssrc_tag", "=u2"),
        ("rtp_at", "=u2"),
        ("sequence", "=u2"),
        ("others_up", "=u2"),
        ("lost", "=u2"),
        ("jitter", "=u2"),
        ("setup_ms", "=u2"),
        ("reordered", "u1"),
        ("state", "u1"),
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class FlowView:
    """The page at this moment: slots that have ever been used, live. Let go of it before the page is closed."""

    flows: Records
    qualities: Records
    peers: Records


class FlowPage:
    """One worker's flow page. Close it before the memory under it is closed."""

    def __init__(self, memory: mmap | bytearray | bytes) -> None:
        self._memory: mmap | bytearray | bytes | None = memory
        self._whole: FlowView | None = None
        self._header: Records | None = (
            np.frombuffer(memory, HEADER, count=1) if len(memory) >= HEADER.itemsize else None
        )

    def close(self) -> None:
        """Let go of the memory. The page is then nobody's."""
        self._memory = self._whole = self._header = None

    @property
    def capacity(self) -> int:
        """Slots of the table; 0 for a page that is not ours."""
        view = self._views()
        return 0 if view is None else len(view.flows)

    def view(self) -> FlowView | None:
        """None while the page is not ours: not built yet, or by a release that builds it in another way."""
        whole = self._views()
        if whole is None or self._header is None:
            return None
        used = min(int(self._header["used"][0]), len(whole.flows))
        return FlowView(whole.flows[:used], whole.qualities[:used], whole.peers)

    def _views(self) -> FlowView | None:
        header, memory = self._header, self._memory
        if header is None or memory is None:
            return None
        capacity = int(header["capacity"][0])
        if header["magic"][0] != MAGIC or header["layout"][0] != LAYOUT_VERSION or not 1 <= capacity <= FLOWS_MAX:
            return None
        if self._whole is None or len(self._whole.flows) != capacity:
            self._whole = _map(memory, capacity)
        return self._whole


def _map(memory: mmap | bytearray | bytes, capacity: int) -> FlowView | None:
    at = flow_page_layout(capacity)
    if at["end"] > len(memory):
        return None
    peers = np.frombuffer(memory, PEER_PAGE, count=1, offset=at["peers"])["peers"][0]
    flows = np.frombuffer(memory, FLOW, count=capacity, offset=at["flows"])
    qualities = np.frombuffer(memory, QUALITY, count=capacity, offset=at["qualities"])
    for view in (peers, flows, qualities):
        view.flags.writeable = False
    return FlowView(flows, qualities, peers)


# --- values


def age_s(now_ms: int, then_ms: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Seconds since, by a clock of 32 bits. What the worker wrote a moment after we read the clock is no age at all."""
    return np.maximum((np.uint32(now_ms & 0xFFFF_FFFF) - then_ms).astype(np.int32), 0) / 1000.0


def rtp_up(flows: Records, qualities: Records) -> NDArray[np.int64]:
    """RTP packets of the clients: all but the others, whose count wraps after days of a call."""
    return np.asarray(np.maximum(flows["packets_up"].astype(np.int64) - qualities["others_up"], 0), np.int64)


def loss_percent(flows: Records, qualities: Records) -> NDArray[np.float64]:
    """Of the RTP packets that clients sent, as far as their sequence numbers tell; 0 before there are any."""
    lost = qualities["lost"].astype(np.float64)
    return 100.0 * lost / np.maximum(rtp_up(flows, qualities) + lost, 1.0)


def session_number(text: str) -> int:
    """A session id of 16 hexadecimal digits, as it stands in a flow's record."""
    return int.from_bytes(bytes.fromhex(text), sys.byteorder)


def endpoint_of(address: Any) -> tuple[str, int]:
    """An ADDRESS record as (ip, port), IPv4 as such."""
    packed = IPv6Address(address["high"].tobytes() + address["low"].tobytes())
    return str(packed.ipv4_mapped or packed), int(address["port"])


def describe(
    view: FlowView, slots: Slots, *, worker: int, now_ms: int, one_way: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Flows as JSON values, clients shown as their networks. `one_way` has a place for each of `slots`."""
    flows, qualities = view.flows[slots], view.qualities[slots]  # copies: what follows agrees with itself
    ages, losses = age_s(now_ms, flows["last_seen_ms"]), loss_percent(flows, qualities)
    has_media = qualities["state"] & MEDIA_SEEN != 0
    names: dict[int, str] = {}
    rows = []
    for at in np.flatnonzero(flows["state"] != 0):
        flow, quality, heard = flows[at], qualities[at], bool(has_media[at])
        peer = int(flow["peer"])
        if peer not in names:
            names[peer] = format_endpoint(*endpoint_of(view.peers[peer]["address"])) if peer < PEERS else ""
        rows.append(
            {
                "worker": worker,
                "slot": int(slots[at]),
                "client": redact(endpoint_of(flow["client"])[0]),
                "session": flow["session_id"].tobytes().hex(),
                "transceiver": names[peer],
                "state": "confirmed" if flow["state"] == CONFIRMED else "unconfirmed",
                "age_of_last_packet_s": round(float(ages[at]), 3),
                "packets_up": int(flow["packets_up"]),
                "packets_down": int(flow["packets_down"]),
                "bytes_up": int(flow["bytes_up"]),
                "loss_percent": round(float(losses[at]), 2) if heard else None,
                "jitter_ms": int(quality["jitter"]) / JITTER_STEPS_PER_MS if heard else None,
                "reordered": int(quality["reordered"]),
                "setup_ms": (int(quality["setup_ms"]) or None) if heard else None,  # 0: not known
                "is_one_way": bool(one_way[at]),
            }
        )
    return rows
