"""The flow tables of a relay's other workers, as one worker looks into them for a client it does not know.

Lives here: which of their flows counts, and how often may be looked. Must not live here: what the own table makes of a
flow that was found (twin.py). The compiled loop reads the others' pages (ext/flow/sibling.h, where it is written down
what holds when several workers have a client's flow); here their tables stand for those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from fastrelay.relay.dataplane.limits import Limits
from fastrelay.relay.dataplane.twin_addresses import Endpoint
from fastrelay.relay.dataplane.twin_budgets import Budget
from fastrelay.relay.dataplane.twin_flows import Flow, FlowTable
from fastrelay.wire.trunk import Client

FRESH_MS: Final = 10_000
"""After so much silence another worker's flow counts no more: its client went elsewhere, or has hung up there."""


class Sibling(NamedTuple):
    """Another worker's table, and whether it has hashed its tokens under the same key: else they cannot be compared."""

    table: FlowTable
    is_comparable: bool


class Found(NamedTuple):
    """What is taken over of another worker's flow."""

    transceiver: Endpoint
    session_id: bytes
    token: bytes | None
    is_confirmed: bool
    last_seen_ms: int


class Siblings:
    """The other workers. Without any, nothing is looked for and no budget is spent."""

    def __init__(self, limits: Limits) -> None:
        self._budget = Budget(limits.sibling_lookups_per_s, limits.sibling_lookups_burst)
        self._workers: Sequence[Sibling] = ()

    def replace(self, workers: Sequence[Sibling]) -> None:
        self._workers = workers

    def may_look(self, now_ms: int) -> bool:
        return self._budget.take(now_ms)

    def __len__(self) -> int:
        return len(self._workers)

    def find(self, client: Client, now_ms: int) -> Found | None:
        """The client's flow that was heard on last; of equals the first."""
        best: Found | None = None
        for sibling in self._workers:
            flow = sibling.table.find(client)
            if flow is None or not _counts(flow, now_ms):
                continue
            if best is None or flow.last_seen_ms > best.last_seen_ms:
                best = _found(flow, sibling.is_comparable)
        return best

    def have_session(self, session_id: bytes) -> bool:
        return any(sibling.table.session_flows(session_id) for sibling in self._workers)


def _counts(flow: Flow, now_ms: int) -> bool:
    """Heard on lately, and either answered by its transceiver or made at its word."""
    return now_ms - flow.last_seen_ms < FRESH_MS and (flow.is_confirmed or flow.token is None)


def _found(flow: Flow, is_comparable: bool) -> Found:
    """With a token that cannot be compared it is worth as much as one made again from the trunk."""
    return Found(
        flow.peer.address,
        flow.session_id,
        flow.token if is_comparable else None,
        flow.is_confirmed and is_comparable,
        flow.last_seen_ms,
    )
