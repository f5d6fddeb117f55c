"""Looks over all flows of a worker now and then: how many are calls, which are one-way, which sound worst.

Lives here: the scan, in pieces so that nobody waits for it, and how often it may run for what it costs. Must not live
here: the page (flows), a single flow as an operator sees it (flows.describe), packet rates (rates).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastrelay.observe.flows import (
    CONFIRMED,
    JITTER_STEPS_PER_MS,
    MEDIA_SEEN,
    UNCONFIRMED,
    FlowView,
    Records,
    Slots,
    age_s,
    loss_percent,
    rtp_up,
)

PIECE_SLOTS: Final = 32_768
"""Looked at in one go: about a millisecond."""
EVERY_S: Final = 1.0
CPU_SHARE_MAX: Final = 0.02
"""What the scans of all workers may take of a CPU. Where a scan costs more, it is done less often."""
JUDGED_AFTER_S: Final = 0.9
"""Two looks nearer to each other than this say nothing about one-way audio."""
CALL_HEARD_WITHIN_S: Final = 10.0
"""A live client is heard more often even when muted: its ICE checks come every 2.5 to 6 s."""
WORST_RTP_MIN: Final = 50
"""RTP packets, a second of audio, before a call is compared with others."""
JITTER_MS_PER_LOSS_PERCENT: Final = 10.0
"""So much jitter counts as much as one percent lost, in the order of the worst calls."""
ONE_WAY_BADNESS: Final = 100.0


@dataclass(frozen=True, slots=True)
class Census:
    """A worker's flows at the last look."""

    confirmed: int = 0
    unconfirmed: int = 0
    calls: int = 0
    """Confirmed, and heard within CALL_HEARD_WITHIN_S: what a client left behind when it moved is none."""
    one_way: int = 0
    last_packet_age_s: float | None = None
    """Of the confirmed flow heard last; None without any."""

    def plus(self, other: Census) -> Census:
        ages = [age for age in (self.last_packet_age_s, other.last_packet_age_s) if age is not None]
        return Census(
            self.confirmed + other.confirmed,
            self.unconfirmed + other.unconfirmed,
            self.calls + other.calls,
            self.one_way + other.one_way,
            min(ages, default=None),
        )


class Survey:
    """What is remembered of a worker's flows from one look to the next: some twenty bytes of each."""

    def __init__(self) -> None:
        self.census = Census()
        self.one_way_started = 0
        """How often a call has become one-way."""
        self._looked_s: float | None = None
        self._pages_seen = 0
        self._resize(0)

    def _resize(self, capacity: int) -> None:
        self._capacity = capacity
        self._pages_seen += 1
        self._who: NDArray[np.uint64] = np.zeros(capacity, np.uint64)
        self._up: NDArray[np.uint32] = np.zeros(capacity, np.uint32)
        self._down: NDArray[np.uint32] = np.zeros(capacity, np.uint32)
        self._others: NDArray[np.uint16] = np.zeros(capacity, np.uint16)
        self._is_one_way: NDArray[np.bool_] = np.zeros(capacity, np.bool_)
        self._badness: NDArray[np.float32] = np.full(capacity, -1.0, np.float32)
        """Below 0: no call to be compared."""

    def forget(self) -> None:
        """The page is gone or another one; what was counted stays counted."""
        self.census, self._looked_s = Census(), None
        self._resize(0)

    def one_way(self, slots: Slots) -> NDArray[np.bool_]:
        """Which of these were one-way at the last look."""
        known = slots < self._capacity
        found: NDArray[np.bool_] = np.zeros(len(slots), np.bool_)
        found[known] = self._is_one_way[slots[known]]
        return found

    def worst(self, limit: int, among: NDArray[np.bool_] | None = None) -> tuple[Slots, NDArray[np.float32]]:
        """The slots of the worst calls and how bad they are, the worst first. `among` has a place for each slot."""
        badness = self._badness
        candidates = badness >= 0
        if among is not None:
            candidates[: len(among)] &= among[: len(candidates)]
            candidates[len(among) :] = False
        slots = np.flatnonzero(candidates)
        if len(slots) > limit:
            slots = slots[np.argpartition(-badness[slots], limit - 1)[:limit]]
        slots = slots[np.argsort(-badness[slots], kind="stable")]
        return slots, badness[slots]

    def look(self, view: FlowView, capacity: int, now_ms: int) -> Iterator[None]:
        """Go over all slots in pieces, with time for others in between. The census comes at the end."""
        if capacity != self._capacity:
            self.forget()
            self._resize(capacity)
        now_s = now_ms / 1000.0
        is_judging = self._looked_s is not None and now_s - self._looked_s >= JUDGED_AFTER_S
        if self._looked_s is not None and not is_judging:
            return
        census, page = Census(), self._pages_seen
        for start in range(0, len(view.flows), PIECE_SLOTS):
            piece = slice(start, min(start + PIECE_SLOTS, len(view.flows)))
            census = census.plus(self._look_at(view.flows[piece], view.qualities[piece], piece, now_ms, is_judging))
            yield
            if self._pages_seen != page:  # replaced meanwhile: what is left to look at is not ours any more
                return
        self.census, self._looked_s = census, now_s

    def _look_at(self, flows: Records, qualities: Records, piece: slice, now_ms: int, is_judging: bool) -> Census:
        state = flows["state"].copy()  # once: what is counted below agrees with itself
        is_confirmed = state == CONFIRMED
        one_way = self._judge(flows, qualities, piece) & is_confirmed & is_judging
        self.one_way_started += int(np.count_nonzero(one_way & ~self._is_one_way[piece]))
        self._is_one_way[piece] = one_way
        ages = age_s(now_ms, flows["last_seen_ms"])
        is_call = is_confirmed & (ages <= CALL_HEARD_WITHIN_S)
        self._badness[piece] = _badness(flows, qualities, is_call, one_way)
        confirmed = int(np.count_nonzero(is_confirmed))
        return Census(
            confirmed,
            int(np.count_nonzero(state == UNCONFIRMED)),
            int(np.count_nonzero(is_call)),
            int(np.count_nonzero(one_way)),
            float(ages[is_confirmed].min()) if confirmed else None,
        )

    def _judge(self, flows: Records, qualities: Records, piece: slice) -> NDArray[np.bool_]:
        """Where audio has come up since the last look and nothing at all went down. All differences may wrap."""
        client = flows["client"]
        who = client["low"] ^ client["high"] ^ client["port"].astype(np.uint64) << np.uint64(48)
        # order matters: read after the packets, the others are never too few, and a lone check is no audio
        up, down = flows["packets_up"].copy(), flows["packets_down"].copy()
        others = qualities["others_up"].copy()
        gained_others = (others - self._others[piece]).astype(np.int64)
        audio_up = (up - self._up[piece]).astype(np.int64) - gained_others > 0
        found = (who == self._who[piece]) & audio_up & (down == self._down[piece]) & (up >= self._up[piece])
        self._who[piece], self._up[piece], self._down[piece], self._others[piece] = who, up, down, others
        return np.asarray(found, np.bool_)


def _badness(
    flows: Records, qualities: Records, is_call: NDArray[np.bool_], one_way: NDArray[np.bool_]
) -> NDArray[np.float32]:
    has_media = (qualities["state"] & MEDIA_SEEN != 0) & (rtp_up(flows, qualities) >= WORST_RTP_MIN)
    jitter_ms = qualities["jitter"] / JITTER_STEPS_PER_MS
    badness = loss_percent(flows, qualities) + jitter_ms / JITTER_MS_PER_LOSS_PERCENT + ONE_WAY_BADNESS * one_way
    return np.where(is_call & (has_media | one_way), badness, -1.0).astype(np.float32)


class Pace:
    """How often to look: each second, or as seldom as the cost of it asks for."""

    def __init__(self) -> None:
        self._cost_s = 0.0
        self._due_s = 0.0

    def is_due(self, now_s: float) -> bool:
        return now_s >= self._due_s

    def begin(self, now_s: float) -> None:
        self._cost_s = 0.0
        self._due_s = now_s + EVERY_S

    def spend(self, work: Iterator[None]) -> Iterator[None]:
        """Do the work piece by piece, counting its CPU time and not what happens in between."""
        while True:
            started_s = time.thread_time()
            is_done = next(work, self) is self
            self._cost_s += time.thread_time() - started_s
            if is_done:
                return
            yield

    def end(self, now_s: float) -> None:
        """Put off the next look where this one was dear."""
        self._due_s = max(self._due_s, now_s + self._cost_s / CPU_SHARE_MAX)
