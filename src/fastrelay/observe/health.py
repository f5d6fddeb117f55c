"""Whether a relay lives and whether it is ready, and if not, why.

Lives here: the two questions that service managers and load balancers ask. Must not live here: HTTP (admin).
"""

from __future__ import annotations

from fastrelay.observe.observed import ALIVE_WITHIN_S, WORKING, Observed
from fastrelay.observe.status import ServiceState, WorkerState, WorkerStatus


def is_turning(observed: Observed, status: WorkerStatus, now_s: float) -> bool:
    """Whether a worker that has work turns its loop."""
    worker = observed.workers.get(status.index)
    age_s = None if worker is None else worker.alive_age_s(now_s)
    return status.state in WORKING and age_s is not None and age_s <= ALIVE_WITHIN_S


def dead_because(observed: Observed, now_s: float) -> list[str]:
    """Why the relay should be started anew; nothing while it lives. A worker that died is its supervisor's to replace:
    only one that hangs and is not replaced, or having none at all, is a reason."""
    status = observed.status
    if status is None:
        return ["the supervisor has not spoken yet"]
    reasons = []
    for each in status.workers:
        if each.state in WORKING and not is_turning(observed, each, now_s):
            worker = observed.workers.get(each.index)
            age_s = None if worker is None else worker.alive_age_s(now_s)
            since = "has not turned its loop yet" if age_s is None else f"last turned its loop {age_s:.1f} s ago"
            reasons.append(f"worker {each.index} (pid {each.pid}) {since}")
    if status.workers and all(each.state == WorkerState.WAITING for each in status.workers):
        reasons.append("every worker died too often and waits to be started again")
    return reasons


def unready_because(observed: Observed, now_s: float) -> list[str]:
    """Why no new clients should be sent here; nothing while they are welcome."""
    status = observed.status
    if status is None:
        return ["the supervisor has not spoken yet"]
    reasons = []
    if status.state != ServiceState.SERVING:
        reasons.append(f"the relay is {status.state.value}")
    if not any(each.state == WorkerState.SERVING and is_turning(observed, each, now_s) for each in status.workers):
        reasons.append("no worker serves")
    if not any(key.is_minting for key in status.keys):
        reasons.append("no key mints")
    return reasons
