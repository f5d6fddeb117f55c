"""What befell flows, out of the journals of all workers.

Lives here: choosing entries and their form for operators, clients shown as networks. Must not live here: the journal's
layout (counters), how the question is written (admin.query).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrelay.observe.counters import JOURNAL_ENTRIES, JOURNAL_KINDS, CounterPage, endpoint
from fastrelay.observe.flows import Records, Slots
from fastrelay.observe.observed import Observed
from fastrelay.wire.address import format_endpoint, redact


def events(observed: Observed, *, limit: int, session: str | None) -> list[dict[str, Any]]:
    """The latest of all workers, the latest first."""
    rows: list[dict[str, Any]] = []
    for worker in observed.in_order():
        if (counters := worker.counters) is not None:
            rows += [_shown(entry, worker.index) for entry in _latest(counters, limit, session)]
    rows.sort(key=lambda row: -int(row["unix_ms"]))
    return rows[:limit]


def _latest(counters: CounterPage, limit: int, session: str | None) -> Records:
    """Of one worker, the latest first."""
    # order matters: the worker writes on, so what it may have begun to replace since is left out afterwards
    before = counters.journal_next
    entries = counters.journal.copy()
    oldest = max(counters.journal_next - JOURNAL_ENTRIES + 1, 0)
    places: Slots = np.arange(before - 1, oldest - 1, -1) % JOURNAL_ENTRIES
    chosen = entries[places]
    chosen = chosen[chosen["kind"] < len(JOURNAL_KINDS)]  # one that an older or newer release wrote has no name here
    if session is not None:
        wanted = np.frombuffer(bytes.fromhex(session), np.uint8)
        chosen = chosen[(chosen["session_id"] == wanted).all(axis=1)]
    return chosen[:limit]


def _shown(entry: np.void, worker: int) -> dict[str, Any]:
    ip, _ = endpoint(entry["client"])
    return {
        "unix_ms": int(entry["unix_ms"]),
        "kind": JOURNAL_KINDS[entry["kind"]],
        "session": entry["session_id"].tobytes().hex(),
        "client": redact(ip.partition("%")[0]),
        "transceiver": format_endpoint(*endpoint(entry["transceiver"])),
        "worker": worker,
    }
