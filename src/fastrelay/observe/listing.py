"""Which flows somebody asks for, found in the tables of all workers.

Lives here: conditions over many slots at once, paging by slot, the worst calls. Must not live here: how the question is
written (admin.query), how one flow is shown (flows.describe).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrelay.observe.flows import (
    CONFIRMED,
    UNCONFIRMED,
    FlowView,
    Slots,
    describe,
    endpoint_of,
    session_number,
)
from fastrelay.observe.observed import Observed, ObservedWorker
from fastrelay.observe.survey import PIECE_SLOTS
from fastrelay.wire.address import format_endpoint


@dataclass(frozen=True, slots=True)
class Condition:
    """What a flow must be; None: anything."""

    session: str | None = None
    transceiver: str | None = None
    state: int | None = None
    """UNCONFIRMED or CONFIRMED."""
    is_one_way: bool = False

    @property
    def is_none(self) -> bool:
        return self == Condition()

    def matches(self, view: FlowView, worker: ObservedWorker, piece: slice) -> NDArray[np.bool_]:
        """A place for each slot of the piece."""
        flows = view.flows[piece]
        found = flows["state"] != 0 if self.state is None else flows["state"] == self.state
        if self.session is not None:
            found &= flows["session_id"] == np.uint64(session_number(self.session))
        if self.transceiver is not None:
            found &= np.isin(flows["peer"], _peers_of(view, self.transceiver))
        if self.is_one_way:
            found &= worker.survey.one_way(np.arange(piece.start, piece.start + len(flows)))
        return np.asarray(found, np.bool_)


def _peers_of(view: FlowView, transceiver: str) -> Slots:
    """The peer slots with this address: one, or none."""
    used = np.flatnonzero(view.peers["is_used"])
    names = [format_endpoint(*endpoint_of(view.peers[slot]["address"])) for slot in used]
    return used[[name == transceiver for name in names]] if names else used


class Listing:
    """One page of flows, in order of worker and slot. Iterate it to the end; it leaves `rows` and `next` behind."""

    def __init__(
        self, observed: Observed, condition: Condition, *, limit: int, after: tuple[int, int] | None, worker: int | None
    ) -> None:
        self._observed = observed
        self._condition = condition
        self._limit = limit
        self._after = (-1, -1) if after is None else after
        self._worker = worker
        self.rows: list[dict[str, Any]] = []
        self.next: tuple[int, int] | None = None
        """Where the following page begins; None when there is none."""

    def run(self, now_ms: int) -> Iterator[None]:
        """Look at a piece each time."""
        for worker in self._observed.in_order():
            view = worker.view
            if view is None or worker.index < self._after[0] or self._worker not in {None, worker.index}:
                continue
            first = self._after[1] + 1 if worker.index == self._after[0] else 0
            for start in range(first, len(view.flows), PIECE_SLOTS):
                piece = slice(start, min(start + PIECE_SLOTS, len(view.flows)))
                if self._take(worker, view, piece, now_ms):
                    return
                yield

    def _take(self, worker: ObservedWorker, view: FlowView, piece: slice, now_ms: int) -> bool:
        """Whether the page is full."""
        slots = np.flatnonzero(self._condition.matches(view, worker, piece)) + piece.start
        room = self._limit - len(self.rows)
        chosen = slots[:room]
        self.rows += describe(view, chosen, worker=worker.index, now_ms=now_ms, one_way=worker.survey.one_way(chosen))
        if len(slots) < room:
            return False
        # full: there may be nothing behind it, which the next page then shows by being empty
        self.next = (worker.index, int(chosen[-1]))
        return True


def worst(
    observed: Observed, condition: Condition, *, limit: int, worker: int | None, now_ms: int
) -> list[dict[str, Any]]:
    """The calls that sounded worst at the last look, the worst first."""
    found: list[tuple[float, dict[str, Any]]] = []
    for each in observed.in_order():
        view = each.view
        if view is None or worker not in {None, each.index}:
            continue
        among = None if condition.is_none else condition.matches(view, each, slice(0, len(view.flows)))
        slots, badness = each.survey.worst(limit, among)
        is_there = slots < len(view.flows)
        slots, badness = slots[is_there], badness[is_there]
        bad = dict(zip(slots.tolist(), badness.tolist(), strict=True))
        rows = describe(view, slots, worker=each.index, now_ms=now_ms, one_way=each.survey.one_way(slots))
        found += [(bad[row["slot"]], row) for row in rows]
    found.sort(key=lambda pair: -pair[0])
    return [row for _, row in found[:limit]]


STATES = {"confirmed": CONFIRMED, "unconfirmed": UNCONFIRMED}
