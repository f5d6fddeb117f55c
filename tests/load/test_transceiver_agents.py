"""Agents that block, flood, fail and will not end, beside other live calls; and what stays behind of calls."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial

import pytest

from bench.calls.caller import Caller
from fastrelay.routing import KeyRing
from tests.load.call_hall import Hall, Holdings
from tests.load.lengths import IS_SOAK, SOAK_S
from tests.load.rss import Watched
from tests.load.talkers import CALLS_PATH, call_id_of

CALLS = 20
BAD = 4
BURNERS = 1
PAUSE_MS = 500
"""What a busy machine may make of it. On one that is not: 25 ms, beside a thread that computes without end as well."""
CONNECTIONS = 24
"""Descriptors of HTTP connections that callers and neighbours keep for a while."""
GROWTH_BYTES_PER_HOUR_MAX = 32 << 20
AGENT = """
import asyncio, time

FRAME = bytes([0x78]) + bytes(60)

async def talk(call):
    match call.metadata.get("way"):
        case "blocks":
            while True: time.sleep(0.1)
        case "computes":
            while True: pass
        case "floods":
            while True: await call.play(FRAME)
        case "writes without end":
            while True: await call.send("events", "x" * 1000)
        case "raises":
            raise ValueError("as told")
        case "exits":
            raise SystemExit(3)
        case "returns":
            return
        case "hangs up":
            call.hang_up("as told")
        case "ignores its end":
            while True:
                try: await asyncio.sleep(3600)
                except asyncio.CancelledError: pass
    async for frame in call.audio():
        await call.play(frame)
"""
WAYS = ["blocks", "floods", "writes without end", "raises", "exits", "returns", "hangs up", "computes"]
WAYS += ["ignores its end"] if IS_SOAK else []
ENDING = ("raises", "exits", "returns", "hangs up")


@pytest.fixture(scope="module")
def empty_hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    folder = tmp_path_factory.mktemp("hall")
    ring_file = folder / "ring.json"
    KeyRing.new(now_s=int(time.time())).save(ring_file, is_new=True)
    (folder / "agents.py").write_text(AGENT)
    with Hall(folder, ring_file, workers=1, agent="agents:talk") as running:
        yield running


@pytest.fixture
def hall(empty_hall: Hall) -> Iterator[Hall]:
    with empty_hall.gathering():
        yield empty_hall


def test_agents_that_misbehave_together_are_not_felt_on_other_calls(hall: Hall) -> None:
    talkers = hall.talkers
    (worker,) = hall.transceiver.workers
    callers = talkers.call(CALLS)
    threads = Holdings.of(worker).threads
    talkers.listen(callers)
    for way in WAYS:
        bad = talkers.call(BURNERS if way == "computes" else BAD, way=way)
        talkers.go_on(0.3)
        if way in ENDING:
            talkers.until(partial(all_have_ended, bad), f"who {way} has ended its call")
        talkers.hang_up(bad)
    talkers.until(lambda: Holdings.of(worker).threads <= threads, "their threads have ended, one way or another")
    heard = talkers.heard(callers)
    print(f"agents that misbehave: {heard}")
    assert (heard.lost, heard.silent) == (0, 0)
    assert heard.longest_gap_ms < PAUSE_MS
    assert hall.transceiver.workers == [worker]
    talkers.hang_up(callers)
    hall.transceiver.until(lambda status: status["totals"]["calls"] == 0, "nothing is left")


def all_have_ended(callers: Sequence[Caller]) -> bool:
    return all(caller.problem for caller in callers)


def wave(hall: Hall) -> None:
    """Calls that end in every way that there is."""
    talkers = hall.talkers
    callers = talkers.call(24)
    talkers.call(4, way="returns")
    talkers.call(4, way="raises")
    talkers.go_on(0.3)
    for each in callers[:3]:
        talkers.restart_ice(each)
    reloaded, deleted, vanishing = callers[3:6], callers[6:9], callers[9:12]
    forgotten = [call_id_of(each) for each in (*reloaded, *vanishing)]
    talkers.reload(reloaded)
    for each in deleted:
        assert talkers.ask(f"{CALLS_PATH}/{call_id_of(each)}", "DELETE").status == 200
    talkers.vanish(vanishing)
    talkers.go_on(0.3)
    talkers.hang_up(talkers.callers)
    for name in forgotten:  # their clients have gone without a word, and would be waited for until consent ends
        assert talkers.ask(f"{CALLS_PATH}/{name}", "DELETE").status in (200, 404)
    talkers.until(lambda: hall.transceiver.status["totals"]["calls"] == 0, "all have ended")


def test_nothing_stays_behind_of_calls_that_have_ended(hall: Hall) -> None:
    (worker,) = hall.transceiver.workers
    wave(hall)
    hall.talkers.until(lambda: Holdings.of(worker).threads == 1, "agents' threads end after their calls")
    first = Holdings.of(worker)
    watched = Watched({"worker": worker})
    end_s, waves = time.monotonic() + (SOAK_S if IS_SOAK else 0), 0
    while waves < 2 or time.monotonic() < end_s:
        wave(hall)
        waves += 1
        hall.talkers.until(lambda: Holdings.of(worker).threads == 1, "agents' threads end after their calls")
        assert Holdings.of(worker).descriptors <= first.descriptors + CONNECTIONS
        watched.sample()
    print(f"{waves} waves: {first} before, {Holdings.of(worker)} after")
    if IS_SOAK:
        trend = watched.trends()["worker"]
        print(trend)
        assert (trend.per_s - 2 * trend.error_per_s) * 3600 <= GROWTH_BYTES_PER_HOUR_MAX
