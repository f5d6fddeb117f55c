"""A worker, its supervisor or the relay dies while calls talk: what each death costs, and nothing else."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from functools import partial

from bench.calls.caller import Caller
from fastrelay.transceiver.worker.desk import slot_of
from tests.live.process import is_running
from tests.load.call_hall import Hall
from tests.load.lengths import KILLS
from tests.load.talkers import CALLS_PATH, call_id_of

CALLS = 20
FRAME_MS = 20
PAUSE_MS = 500
"""What a busy machine may make of the pause that its neighbour's death is: the deaths themselves cost less than 100."""
ANSWERED_WITHIN_S = 2.0
BATCH = 64
"""Of the relay: what one turn has in hand when it dies."""


def by_worker(callers: list[Caller]) -> dict[int | None, list[Caller]]:
    """Callers by the slot of the worker that has their call."""
    found: dict[int | None, list[Caller]] = {}
    for caller in callers:
        found.setdefault(slot_of(call_id_of(caller)), []).append(caller)
    return found


def on_both(hall: Hall) -> tuple[list[Caller], list[Caller]]:
    """Calls at the first worker, and at the second: whoever is idle takes them, so it may take a few."""
    callers = hall.talkers.call(CALLS)
    while len(found := by_worker(callers)) < 2:
        assert len(callers) < 10 * CALLS, "one worker gets all calls"
        callers += hall.talkers.call(1)
    first, second = (found[slot] for slot in sorted(found, key=str))
    return first, second


def test_killed_worker_takes_its_own_calls_along_and_nothing_else(hall: Hall) -> None:
    for _ in range(KILLS):
        kill_one(hall)


def kill_one(hall: Hall) -> None:
    talkers, transceiver = hall.talkers, hall.transceiver
    others, doomed = on_both(hall)
    victim = transceiver.service["workers"][1]["pid"]
    talkers.listen([*doomed, *others])
    talkers.go_on(0.5)
    os.kill(victim, signal.SIGKILL)
    talkers.until(lambda: len(transceiver.workers) == 2 and victim not in transceiver.workers, "another has its place")
    for path, method in ((f"/v1/calls/{call_id_of(doomed[0])}/stats", "GET"), (call_path(doomed[0]), "DELETE")):
        asked_s = time.monotonic()
        assert talkers.ask(path, method).status == 404, "the call is gone, and so is whoever had it"
        assert time.monotonic() - asked_s < ANSWERED_WITHIN_S
    talkers.call(5)
    talkers.go_on(1)
    heard = talkers.heard(others)
    print(f"kill -9 of the other worker: {heard}")
    assert (heard.lost, heard.silent) == (0, 0)
    assert heard.longest_gap_ms < PAUSE_MS
    talkers.vanish(doomed)
    talkers.hang_up(talkers.callers)


def call_path(caller: Caller) -> str:
    return f"{CALLS_PATH}/{call_id_of(caller)}"


def test_relay_that_dies_or_is_upgraded_is_a_pause(hall: Hall) -> None:
    talkers, relay = hall.talkers, hall.relay
    callers = talkers.call(CALLS)
    talkers.listen(callers)
    talkers.go_on(0.5)
    talkers.meanwhile(relay.kill_worker)
    talkers.go_on(1)
    heard = talkers.heard(callers)
    print(f"kill -9 of the relay's worker: {heard}")
    assert heard.silent == 0
    assert heard.lost <= BATCH
    assert heard.longest_gap_ms < PAUSE_MS
    talkers.listen(callers)
    former = relay.workers
    relay.process.send_signal(signal.SIGUSR2)
    talkers.meanwhile(lambda: relay.wait_for_successors(former))
    talkers.go_on(1)
    heard = talkers.heard(callers)
    print(f"upgrade of the relay: {heard}")
    assert (heard.lost, heard.silent) == (0, 0)
    assert heard.longest_gap_ms < PAUSE_MS


def test_supervisor_that_dies_costs_no_call_and_another_begins_beside_its_workers(hall: Hall) -> None:
    talkers, transceiver = hall.talkers, hall.transceiver
    callers = talkers.call(CALLS)
    orphans = transceiver.workers
    talkers.listen(callers)
    transceiver.is_outlived = True
    transceiver.process.kill()
    transceiver.process.wait()
    talkers.go_on(0.5)
    with ExitStack() as undo:
        successor = talkers.meanwhile(partial(undo.enter_context, hall.another_transceiver()))
        reply = talkers.ask(call_path(callers[0]), "DELETE", url=successor.url)
        assert reply.status == 200, "it finds the orphans' calls"
        talkers.go_on(0.5)
        heard = talkers.heard(callers[1:])
        print(f"kill -9 of the supervisor: {heard}")
        assert (heard.lost, heard.silent) == (0, 0)
        assert heard.longest_gap_ms < PAUSE_MS
        talkers.hang_up(callers)
        talkers.until(lambda: not any(map(is_running, orphans)), "the orphans end with their last calls")
