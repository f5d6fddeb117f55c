"""Transceivers as all workers of a relay see them together.

Lives here: adding up over workers, and totals that never fall although a peer's slot is given to another or its sender
starts again. Must not live here: the slots themselves (flows).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from fastrelay.observe.flows import ADDRESS, Records, endpoint_of
from fastrelay.wire.address import format_endpoint

FORGET_AFTER_S: Final = 600.0
"""A transceiver that no worker has known for so long loses its totals: addresses may come and go for years."""


@dataclass(slots=True)
class Count:
    """A number that a worker counts up, and begins again now and then."""

    kept: int = 0
    highest: int = 0

    def take(self, now: int, *, has_restarted: bool) -> None:
        if has_restarted:
            self.kept, self.highest = self.kept + self.highest, 0
        self.highest = max(self.highest, now)  # late datagrams make a loss undone; a counter stays

    @property
    def total(self) -> int:
        return self.kept + self.highest


@dataclass(slots=True)
class _Seen:
    """A transceiver at one worker."""

    received: Count = field(default_factory=Count)
    lost: Count = field(default_factory=Count)
    unreachable: Count = field(default_factory=Count)
    flows: int = 0
    rtt_us: int = 0
    heard_ms: int = 0
    since_s: float = 0.0
    seen_s: float = 0.0
    is_there: bool = False


@dataclass(frozen=True, slots=True)
class Transceiver:
    """One transceiver; `workers` is how many speak to it now."""

    address: str
    flows: int
    rtt_s: float | None
    lost: int
    received: int
    unreachable: int
    silent_s: float | None
    workers: int

    def build(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "address": self.address,
            "flows": self.flows,
            "rtt_ms": None if self.rtt_s is None else round(self.rtt_s * 1000.0, 3),
            "lost": self.lost,
            "received": self.received,
            "unreachable": self.unreachable,
            "silent_s": None if self.silent_s is None else round(self.silent_s, 3),
            "workers": self.workers,
        }


class TransceiverBook:
    """What is remembered of transceivers from one sample to the next."""

    def __init__(self) -> None:
        self._seen: dict[bytes, dict[int, _Seen]] = {}

    def take(self, worker: int, peers: Records | None, now_s: float) -> None:
        """The peers of one worker as they are now; None when its page is not there."""
        there = set()
        if peers is not None:
            used = peers[np.flatnonzero(peers["is_used"])]  # a copy
            for peer, lost in zip(used, _lost(used), strict=True):
                there.add(self._note(worker, peer, int(lost), now_s))
        for key, workers in self._seen.items():
            if key not in there and worker in workers:
                workers[worker].is_there = False

    def _note(self, worker: int, peer: Any, lost: int, now_s: float) -> bytes:
        key: bytes = peer["address"].tobytes()
        workers = self._seen.setdefault(key, {})
        seen = workers.setdefault(worker, _Seen())
        # its epoch may be read a moment apart from its numbers; that they begin again cannot be missed
        received = int(peer["received"])
        has_restarted = received < seen.received.highest
        seen.received.take(received, has_restarted=has_restarted)
        seen.lost.take(lost, has_restarted=has_restarted)
        unreachable = int(peer["unreachable"])
        seen.unreachable.take(unreachable, has_restarted=unreachable < seen.unreachable.highest)
        seen.flows, seen.rtt_us = int(peer["flows"]), int(peer["rtt_us"])
        if not seen.is_there:
            seen.since_s = now_s
        seen.heard_ms, seen.seen_s, seen.is_there = int(peer["heard_ms"]), now_s, True
        return key

    def forget_departed(self, now_s: float) -> None:
        for key, workers in list(self._seen.items()):
            if all(not seen.is_there and now_s - seen.seen_s > FORGET_AFTER_S for seen in workers.values()):
                del self._seen[key]

    def all(self, now_s: float) -> list[Transceiver]:
        """The busiest first. Times are of the monotonic clock, which is the workers' too."""
        found = [_sum_up(key, list(workers.values()), now_s) for key, workers in self._seen.items()]
        return sorted(found, key=lambda each: (-each.flows, -each.received, each.address))


def _lost(peers: Records) -> Any:
    """As fr_peer_lost: what should have come since the first, less what came."""
    highest, first = peers["highest"].astype(np.int64), peers["first"].astype(np.int64)
    return np.maximum(np.where(highest != 0, highest - first + 1, 0) - peers["received"].astype(np.int64), 0)


def _sum_up(key: bytes, every: list[_Seen], now_s: float) -> Transceiver:
    present = [seen for seen in every if seen.is_there]
    round_trips = [seen.rtt_us for seen in present if seen.rtt_us]
    return Transceiver(
        address=format_endpoint(*endpoint_of(np.frombuffer(key, ADDRESS)[0])),
        flows=sum(seen.flows for seen in present),
        rtt_s=max(round_trips) / 1e6 if round_trips else None,
        lost=sum(seen.lost.total for seen in every),
        received=sum(seen.received.total for seen in every),
        unreachable=sum(seen.unreachable.total for seen in every),
        silent_s=_silent_s(present, now_s),
        workers=len(present),
    )


def _silent_s(present: list[_Seen], now_s: float) -> float | None:
    """The longest among the workers that need it, those with flows; without any, the shortest of all. One that was
    never heard has been silent since we know of it."""
    needing = [seen for seen in present if seen.flows]
    ages = [max(now_s - (seen.heard_ms / 1000.0 or seen.since_s), 0.0) for seen in needing or present]
    if not ages:
        return None
    return max(ages) if needing else min(ages)
