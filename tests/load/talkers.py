"""Callers in a test's own process, who talk to an echo while something befalls its server, and leave in every way.

Lives here: what they do beyond a benchmark's callers (bench.calls), and what they have lost. Must not live here:
servers (stage_of_calls), what must hold (the tests).
"""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from bench.calls.caller import Caller, Stage
from bench.calls.crowd import Crowd
from bench.calls.voice import voice

Value = TypeVar("Value")

PATIENCE_S = 20.0
"""For calls to come up, and for whatever a test waits for, on a busy machine."""
FRAME_S = 0.02
SETTLED = (Stage.UP, Stage.FAILED, Stage.CLOSED)
FRAGMENT = "application/trickle-ice-sdpfrag"
SILENT_NS = 500_000_000
CALLS_PATH = "/v1/realtime/calls"


@dataclass(frozen=True, slots=True)
class Heard:
    """What the callers of one window have heard of themselves."""

    calls: int
    expected: int
    lost: int
    """Sequence numbers that never came, between the first and the last that did."""
    longest_gap_ms: float
    """Between two arrivals, of the call that had the longest."""
    gap_p99_ms: float
    silent: int
    """Calls that heard nothing in the last part of the window."""

    def __str__(self) -> str:
        return (
            f"{self.calls} calls, {self.lost} of {self.expected} frames lost, gaps: p99 {self.gap_p99_ms:.1f} ms, "
            f"longest {self.longest_gap_ms:.1f} ms; {self.silent} silent at the end"
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back over HTTP."""

    status: int
    body: bytes


class Talkers:
    """Callers of one transceiver. Close it: they hang up."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._crowd = Crowd(url + CALLS_PATH, voice())

    def close(self) -> None:
        self._crowd.close()

    @property
    def callers(self) -> list[Caller]:
        return list(self._crowd.callers.values())

    # --- calls

    def call(self, count: int, **session: str) -> list[Caller]:
        """Open so many, which speak as soon as all are up. `session` is what the agent is told."""
        return self._brought_up([self._crowd.invite("main", session) for _ in range(count)])

    def _brought_up(self, callers: list[Caller]) -> list[Caller]:
        self.until(lambda: all(caller.stage is not Stage.ASKING for caller in callers), "calls are answered")
        self.until(lambda: all(caller.stage in SETTLED for caller in callers), "calls come up")
        problems = [caller.problem for caller in callers if caller.stage is Stage.FAILED]
        assert not [problem for problem in problems if "closed by the server" not in problem], problems
        for caller in callers:
            self._crowd.speak(caller)
        return callers

    def hang_up(self, callers: Sequence[Caller]) -> None:
        """With a goodbye, each."""
        self._crowd.hang_up([caller for caller in callers if caller.number in self._crowd.callers])

    def vanish(self, callers: Sequence[Caller]) -> None:
        """Without."""
        for caller in callers:
            caller.stage = Stage.FAILED
        self._crowd.hang_up(list(callers))

    # --- time

    def go_on(self, seconds: float) -> None:
        self._crowd.pass_time(seconds)

    def until(self, condition: Callable[[], bool], what: str, *, patience_s: float = PATIENCE_S) -> None:
        """Go on until it is so."""
        for _ in range(int(patience_s / FRAME_S)):
            if condition():
                return
            self._crowd.pass_time(FRAME_S)
        raise AssertionError(f"not within {patience_s:.0f} s: {what}")

    def meanwhile(self, work: Callable[[], Value]) -> Value:
        """Do something that takes its time, beside them."""
        with ThreadPoolExecutor(1, thread_name_prefix="meanwhile") as beside:
            done = beside.submit(work)
            self.until(done.done, "what is done meanwhile", patience_s=3 * PATIENCE_S)
            return done.result()

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, *, url: str = "", **headers: str) -> Reply:
        """One request to their server, or another, beside them."""
        return self.meanwhile(partial(ask, url or self._url, path, method, body, **headers))

    def restart_ice(self, caller: Caller) -> None:
        """The server gets, and gives, other credentials; the caller's next check uses them."""
        fragment = (
            f"a=ice-ufrag:{caller.ours.ufrag}\r\na=ice-pwd:{caller.ours.password}\r\n"
            "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
        )
        reply = self.ask(
            f"/whip/{call_id_of(caller)}", "PATCH", fragment.encode(), content_type=FRAGMENT, if_match='"*"'
        )
        assert reply.status == 200, reply
        said = dict(line.split(":", 1) for line in reply.body.decode().splitlines() if ":" in line)
        caller.take_restart(said["a=ice-ufrag"], said["a=ice-pwd"], time.monotonic())

    def reload(self, callers: Sequence[Caller]) -> list[Caller]:
        """These vanish, and others call from the same addresses, as a browser's page does that is loaded again."""
        self.vanish(callers)
        return self._brought_up([self._crowd.invite("main", {}, caller.ours.port) for caller in callers])

    # --- what they hear

    def listen(self, callers: Sequence[Caller]) -> None:
        """From now on these remember when each frame came."""
        self._crowd.watch(list(callers), True)

    def heard(self, callers: Sequence[Caller]) -> Heard:
        """What they have heard since."""
        return heard(callers)


def heard(callers: Sequence[Caller]) -> Heard:
    """What these have heard since they have been listening."""
    expected = lost = silent = 0
    gaps: list[NDArray[np.float64]] = [np.zeros(1)]
    latest = max((caller.arrivals[-1][1] for caller in callers if caller.arrivals), default=0)
    for caller in callers:
        arrivals = caller.arrivals
        if not arrivals:
            silent += 1
            continue
        table = np.array(arrivals, dtype=np.int64)
        span = int(table[:, 0].max() - table[:, 0].min()) + 1
        expected += span
        lost += span - len(np.unique(table[:, 0]))
        gaps.append(np.diff(np.sort(table[:, 1] - latest)).astype(np.float64) / 1e6)
        silent += latest - table[-1, 1] > SILENT_NS
    together = np.concatenate(gaps)
    return Heard(len(callers), expected, lost, float(together.max()), float(np.percentile(together, 99)), int(silent))


def call_id_of(caller: Caller) -> str:
    """The name that the server has given it, which is the cname of its answer."""
    found = re.search(r" cname:(rtc_\w+)", caller.answer)
    assert found is not None, caller.answer
    return found[1]


def ask(url: str, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Reply:
    """One request on a connection of its own."""
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)) as connection:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return Reply(response.status, response.read())
