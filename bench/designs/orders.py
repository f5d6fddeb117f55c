"""The callers' process of this comparison: beside the orders of all calls, those for set-up, round trips and deaths.

Lives here: the orders. Must not live here: what callers do (bench.calls.crowd), what is made of the answers (party).

    {"order": "call", "count": 5}
    {"order": "talk", "is_on": true, "settle_s": 0.3}
    {"order": "ports"}
    {"order": "ping", "seconds": 2.0}
    {"order": "listen"}
    {"order": "go_on", "seconds": 1.5}
    {"order": "call_again"}
"""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

from bench.calls.caller import Caller, Stage
from bench.calls.crowd import Crowd
from bench.calls.crowd_child import Orders, main
from bench.calls.description import Theirs
from bench.calls.ping import Pings, pings, silence
from bench.calls.punctuality import FRAME_NS
from bench.calls.voice import voice

MAIN = "main"
PATIENCE_S = 20.0
RETRY_S = 0.02
"""After an offer that nobody took: a client that is eager, but lets others work."""
OFFER_AGAIN_S = 3.0
"""After an offer from which no call has come."""
BETWEEN_CALLS_S = 0.02
ECHO_S = 0.5
"""So long the last noises have to come back."""
ALIVE_NS = 200_000_000
"""A call that has heard nothing for so long has not gone on."""


class DesignOrders(Orders):
    """What the parent may ask for."""

    orders = Orders.orders | {"call", "talk", "ports", "ping", "listen", "go_on", "call_again"}
    immediate = frozenset({"talk", "listen", "go_on", "call_again"})

    def call(self, count: int) -> dict[str, Any]:
        """Calls one at a time, each until it has heard itself. Its phases, in milliseconds."""
        crowd = self.crowd
        phases: list[list[float]] = []
        problems = []
        for _ in range(count):
            caller = crowd.invite("setup", {})
            crowd.speak(caller)
            until_s = time.monotonic() + PATIENCE_S
            while not caller.heard_s and caller.stage is not Stage.FAILED and time.monotonic() < until_s:
                crowd.turn()
            if caller.heard_s:
                phases.append(phases_ms(caller))
            else:
                problems.append(caller.problem or caller.stage.name.lower())
            crowd.hang_up([caller])
            crowd.pass_time(BETWEEN_CALLS_S)
        return {"phases_ms": phases, "problems": problems}

    def talk(self, is_on: bool, settle_s: float = 0.0) -> dict[str, Any]:
        """All begin to speak, or fall silent."""
        callers = self.of_group(MAIN)
        self.crowd.hush(callers)
        for caller in callers if is_on else []:
            self.crowd.speak(caller)
        self.crowd.pass_time(settle_s)
        return {"talking": len(callers) if is_on else 0}

    def ports(self) -> dict[str, Any]:
        """Where clients have been told to send."""
        return {"ports": sorted({Theirs.of_answer(caller.answer).address[1] for caller in self.of_group(MAIN)})}

    def ping(self, seconds: float) -> dict[str, Any]:
        """All say noises in silence. How long each takes to come back."""
        crowd, callers = self.crowd, self.of_group(MAIN)
        crowd.watch(callers, True)
        for caller in callers:
            caller.pings = Pings()
        crowd.say(pings())
        crowd.pass_time(seconds)
        crowd.say(silence())
        crowd.pass_time(ECHO_S)
        crowd.say(voice())
        done = [caller.pings for caller in callers if caller.pings is not None]
        for caller in callers:
            caller.pings = None
        crowd.watch(callers, False)
        return {
            "said": sum(each.said for each in done),
            "lost": sum(each.lost + each.waiting for each in done),
            "round_trips_ms": [round(trip, 3) for each in done for trip in each.round_trips_ms],
        }

    def listen(self) -> dict[str, Any]:
        """From now on arrivals are noted."""
        callers = self.of_group(MAIN)
        self.crowd.watch(callers, True)
        return {"listening": len(callers)}

    def go_on(self, seconds: float) -> dict[str, Any]:
        """Nobody does anything about what has happened. The longest silence of each call that has gone on."""
        self.crowd.pass_time(seconds)
        now_ns, callers = time.time_ns(), self.of_group(MAIN)
        times = [[at_ns for _, at_ns in caller.arrivals or []] for caller in callers]
        self.crowd.watch(callers, False)
        alive = [each for each in times if each and now_ns - max(each) < ALIVE_NS]
        return {"calls": len(callers), "gaps_ms": [longest_gap_ms(each) for each in alive]}

    def call_again(self) -> dict[str, Any]:
        """The server has just died: everyone offers anew until they hear themselves. How long each heard nothing."""
        crowd, callers = self.crowd, self.of_group(MAIN)
        crowd.hush(callers)
        again = [self._invite() for _ in callers]
        until_s = time.monotonic() + PATIENCE_S
        while not all(caller.arrivals for caller in again) and time.monotonic() < until_s:
            crowd.turn()
            for place, caller in enumerate(again):
                if is_hopeless(caller, time.monotonic()):
                    crowd.hang_up([caller])
                    again[place] = self._invite()
        gaps_ms = [
            silence_ms(before.arrivals[-1][1], after.arrivals[0][1])
            for before, after in zip(callers, again, strict=True)
            if before.arrivals and after.arrivals
        ]
        crowd.watch(again, False)
        crowd.hang_up(callers)
        return {"calls": len(callers), "gaps_ms": gaps_ms}

    def _invite(self) -> Caller:
        caller = self.crowd.invite(MAIN, {})
        self.crowd.watch([caller], True)
        self.crowd.speak(caller)
        return caller


def phases_ms(caller: Caller) -> list[float]:
    """HTTP, ICE, DTLS, audio. Between DTLS and audio a caller waits for the place of its next frame: its own doing."""
    times = (
        (caller.asked_s, caller.answered_s),
        (caller.answered_s, caller.checked_s),
        (caller.checked_s, caller.up_s),
        (caller.spoke_s, caller.heard_s),
    )
    return [round((after_s - before_s) * 1000, 3) for before_s, after_s in times]


def longest_gap_ms(times_ns: list[int]) -> float:
    """Between two arrivals."""
    return max((silence_ms(*pair) for pair in pairwise(sorted(times_ns))), default=0.0)


def silence_ms(before_ns: int, after_ns: int) -> float:
    """Between two frames, less what lies between any two."""
    return max(round((after_ns - before_ns - FRAME_NS) / 1e6, 3), 0.0)


def is_hopeless(caller: Caller, now_s: float) -> bool:
    """Whether it is time for another offer."""
    waited_s = now_s - caller.asked_s
    return not caller.arrivals and waited_s > (RETRY_S if caller.stage is Stage.FAILED else OFFER_AGAIN_S)


def make_orders(crowd: Crowd) -> Orders:
    """For the loop that all callers' processes share."""
    return DesignOrders(crowd)


if __name__ == "__main__":
    main(make_orders)
