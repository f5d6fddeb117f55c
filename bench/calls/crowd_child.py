"""The callers' process: one order a line on standard input, one answer a line; calls go on in between.

Lives here: the orders. Must not live here: what callers do (crowd).

    {"order": "open", "count": 10, "over_s": 1.0, "group": "main", "session": {}, "speaks": true, "watches": "others"}
    {"order": "watch", "seconds": 5.0, "group": "main"}
    {"order": "close", "group": "main", "count": 10}
"""

from __future__ import annotations

import gc
import json
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from bench.calls.caller import Caller, Stage
from bench.calls.crowd import EDGE_NS, Crowd
from bench.calls.voice import voice
from bench.load.relay_child import end_with_parent

SETTLED = (Stage.UP, Stage.FAILED)


class Orders:
    """What the parent may ask for."""

    orders = frozenset({"open", "watch", "close"})
    immediate: frozenset[str] = frozenset()
    """Those that come while something happens which must not be missed."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        name = order.pop("order")
        if name not in self.immediate:
            gc.collect()  # here, and not while somebody is watched; what was held up meanwhile is nobody's lateness
            self.crowd.pass_time(EDGE_NS / 1e9)
        if name not in self.orders:
            return {"error": f"no such order: {name}"}
        answer: dict[str, Any] = getattr(self, name)(**order)
        return answer

    def open(
        self,
        count: int,
        over_s: float = 0.0,
        group: str = "main",
        session: dict[str, Any] | None = None,
        speaks: bool = True,
        watches: str = "",
        patience_s: float = 20.0,
    ) -> dict[str, Any]:
        """Open calls, evenly over a time; those of the group `watches` are judged meanwhile."""
        crowd = self.crowd
        watched = self.of_group(watches)
        slots, late = crowd.slots, crowd.late_slots
        crowd.watch(watched, True)
        crowd.pass_time(EDGE_NS / 1e9 if watched else 0)
        from_ns = time.time_ns()
        callers = self._arrive(count, over_s, group, session or {})
        until_s = time.monotonic() + patience_s
        while time.monotonic() < until_s and not all(caller.stage in SETTLED for caller in callers):
            crowd.turn()
        until_ns = time.time_ns()
        crowd.pass_time(EDGE_NS / 1e9 if watched else 0)
        up = [caller for caller in callers if caller.stage is Stage.UP]
        lost = [caller for caller in callers if caller.stage is not Stage.UP]
        for caller in up if speaks else []:
            crowd.speak(caller)
        answer: dict[str, Any] = {
            "up": len(up),
            "problems": sorted({caller.problem or caller.stage.name.lower() for caller in lost})[:5],
            "setup_ms": [round((caller.up_s - caller.asked_s) * 1000, 2) for caller in up],
            "connect_ms": [round((caller.up_s - caller.answered_s) * 1000, 2) for caller in up],
        }
        answer["late_slots"] = (crowd.late_slots - late) / max(crowd.slots - slots, 1)
        if watched:
            answer["watched"] = crowd.judge(watched, from_ns, until_ns).build()
            crowd.watch(watched, False)
        crowd.hang_up(lost)
        return answer

    def _arrive(self, count: int, over_s: float, group: str, session: dict[str, Any]) -> list[Caller]:
        start_s = time.monotonic()
        callers: list[Caller] = []
        while len(callers) < count:
            if time.monotonic() >= start_s + over_s * len(callers) / count:
                callers.append(self.crowd.invite(group, session))
            self.crowd.turn()
        return callers

    def watch(self, seconds: float, group: str = "main") -> dict[str, Any]:
        crowd = self.crowd
        callers = self.of_group(group)
        slots, late = crowd.slots, crowd.late_slots
        crowd.watch(callers, True)
        crowd.pass_time(EDGE_NS / 1e9)
        from_ns = time.time_ns()
        crowd.pass_time(seconds)
        until_ns = time.time_ns()
        crowd.pass_time(EDGE_NS / 1e9)
        answer = crowd.judge(callers, from_ns, until_ns).build()
        crowd.watch(callers, False)
        lost = sum(caller.stage is not Stage.UP for caller in callers)
        return answer | {"late_slots": (crowd.late_slots - late) / max(crowd.slots - slots, 1), "lost_calls": lost}

    def close(self, group: str = "main", count: int | None = None) -> dict[str, Any]:
        leaving = self.of_group(group)[:count]
        self.crowd.hang_up(leaving)
        return {"closed": len(leaving), "left": len(self.crowd.callers)}

    def of_group(self, group: str) -> list[Caller]:
        return [caller for caller in self.crowd.callers.values() if caller.group == group]


def main(make_orders: Callable[[Crowd], Orders] = Orders) -> None:
    """Serve until standard input ends."""
    end_with_parent()
    # a socket for each call
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.disable()

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit

    signal.signal(signal.SIGTERM, stop)
    crowd = Crowd(sys.argv[1], voice())
    orders = make_orders(crowd)
    say({"ready": True})
    try:
        while True:
            if select.select([sys.stdin], [], [], 0)[0]:
                line = sys.stdin.readline()
                if not line:
                    return
                say(orders.obey(json.loads(line)))
            crowd.turn()
    finally:
        crowd.close()


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
