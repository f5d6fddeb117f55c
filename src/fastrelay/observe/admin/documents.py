"""The JSON documents of the admin HTTP.

Lives here: which members they have. Must not live here: HTTP (routes), where numbers come from (observe).
"""

from __future__ import annotations

import time
from typing import Any, Final

from fastrelay.observe.listing import Condition, worst
from fastrelay.observe.observed import Observed, ObservedWorker
from fastrelay.observe.rates import total_of
from fastrelay.observe.status import ServiceStatus, WorkerState, WorkerStatus

WORST_CALLS: Final = 10
TRANSCEIVERS_MAX: Final = 200


def status_document(observed: Observed) -> dict[str, Any]:
    """/status: the relay at one moment. Rates are those of the last second."""
    now_s = time.monotonic()
    status = observed.status or ServiceStatus()
    workers = [_worker(observed.worker(each.index), each, now_s) for each in status.workers]
    transceivers = observed.transceivers.all(now_s)[:TRANSCEIVERS_MAX]
    return {
        "relay": status.build(),
        "now_s": round(time.time(), 3),
        "workers": workers,
        "transceivers": [each.build() for each in transceivers],
        "totals": _totals(observed, workers),
        "drops": _drops(observed),
        "worst_calls": worst(observed, Condition(), limit=WORST_CALLS, worker=None, now_ms=int(now_s * 1000)),
    }


def _worker(worker: ObservedWorker, status: WorkerStatus, now_s: float) -> dict[str, Any]:
    rates, counters, total = worker.meter.rates, worker.counters, worker.read()
    age_s = worker.alive_age_s(now_s)
    return {
        "index": status.index,
        "pid": status.pid,
        "state": status.state.value,
        "cpu": status.cpu,
        "flows": 0 if counters is None else counters.flows,
        "unconfirmed": 0 if counters is None else counters.unconfirmed,
        "capacity": worker.capacity,
        "busy_ratio": _rounded(rates.busy_ratio, 4),
        "up_pps": _rounded(rates.up_pps, 1),
        "down_pps": _rounded(rates.down_pps, 1),
        "drops_pps": _rounded(rates.drops_pps, 1),
        "kernel_drops": 0 if total is None else total.kernel_drops,
        "offload": _offload(worker),
        "batch_fill": _rounded(rates.batch_fill, 2),
        "bundle_fill": _rounded(rates.bundle_fill, 2),
        "hop_up_p50_us": worker.meter.hop_us("up", 50),
        "hop_up_p99_us": worker.meter.hop_us("up", 99),
        "hop_down_p50_us": worker.meter.hop_us("down", 50),
        "hop_down_p99_us": worker.meter.hop_us("down", 99),
        "alive_age_s": _rounded(age_s, 3),
    }


def _offload(worker: ObservedWorker) -> str:
    counters = worker.counters
    if counters is None:
        return "unknown"
    if counters.is_offloading:
        return "on"
    return "failed" if counters.event("offload_failures") else "off"


def _totals(observed: Observed, workers: list[dict[str, Any]]) -> dict[str, Any]:
    census = observed.census()
    return {
        "flows": sum(each["flows"] for each in workers),
        "calls": census.calls,
        "up_pps": round(sum(each["up_pps"] for each in workers), 1),
        "down_pps": round(sum(each["down_pps"] for each in workers), 1),
        "drops_pps": round(sum(each["drops_pps"] for each in workers), 1),
        "one_way": census.one_way,
        "last_packet_age_s": _rounded(census.last_packet_age_s, 3),
    }


def _drops(observed: Observed) -> list[dict[str, Any]]:
    """Every reason that ever occurred, the most frequent first."""
    whole = total_of([total for worker in observed.in_order() if (total := worker.read()) is not None])
    totals = {} if whole is None else whole.drops()
    rows = [
        {
            "verdict": name,
            "per_s": round(sum(each.meter.drops_per_s.get(name, 0.0) for each in observed.in_order()), 1),
            "total": count,
        }
        for name, count in totals.items()
    ]
    return sorted(rows, key=lambda row: (-row["per_s"], -row["total"]))


def config_document(observed: Observed) -> dict[str, Any]:
    """/debug/config: what is in force, and where each of it was set."""
    return {"config": dict((observed.status or ServiceStatus()).config)}


def version_document(observed: Observed) -> dict[str, Any]:
    """/version: of the relay, and of each worker, which may differ while an upgrade goes on."""
    status = observed.status or ServiceStatus()
    serving = [each for each in status.workers if each.state != WorkerState.WAITING]
    return {
        "release": status.release,
        "workers": {str(each.index): each.release for each in serving},
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
