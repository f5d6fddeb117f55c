"""Several things at once, as on a bad night: signals that cross, and deaths in the middle of what they started."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest

from fastrelay.errors import PeerError
from fastrelay.routing import KeyRing
from tests.live.ends import eventually
from tests.live.process import is_running
from tests.load.launcher import Launcher
from tests.load.lengths import IS_SOAK
from tests.load.load import CALLS, Load, load_up
from tests.load.operated import OperatedRelay

BATCH = 256
QUEUE = 1000
"""What waits in a socket between two workers: 10 ms of the load."""
HANG_REPLACED_WITHIN_S = 2.0
ROUNDS = 30 if IS_SOAK else 4
SEEDS = range(4 if IS_SOAK else 1)
WORKERS = 2
OBSERVER_ROUNDS = 2


@pytest.fixture
def launcher(tmp_path: Path) -> Launcher:
    made = Launcher(tmp_path)
    made.install("0")
    return made


def is_settled(relay: OperatedRelay) -> bool:
    try:
        return relay.ask("/readyz").code == 200 and len(relay.workers) == WORKERS
    except PeerError:
        return False  # its admin process has just died


@pytest.mark.parametrize("seed", SEEDS)
def test_crossing_signals_and_deaths_cost_no_more_than_the_deaths(
    seed: int, launcher: Launcher, tmp_path: Path, ring_file: Path, ring: KeyRing
) -> None:
    """Two of these at a time, without waiting for the first to be done."""
    chance = random.Random(seed)
    deaths = 0
    with (
        OperatedRelay(tmp_path, ring_file, workers=WORKERS, command=launcher.command) as relay,
        load_up(ring, relay.clients[0]) as load,
    ):
        for number in range(ROUNDS):
            eventually(lambda: is_settled(relay), "it is whole again")
            load.goes_on(0.2)
            # an admin process that dies often is held back for longer than we would wait
            observer = ["observer"] if number < OBSERVER_ROUNDS else []
            done = chance.sample(["reload", "upgrade", "worker", *observer], 2)
            print(f"round {number}: {done}")
            for what in done:
                if what == "reload":
                    relay.configure(workers=WORKERS, limits={"token_lifetime_s": 3600 + number})
                    relay.process.send_signal(signal.SIGHUP)
                elif what == "upgrade":
                    relay.process.send_signal(signal.SIGUSR2)
                elif what == "worker":
                    os.kill(chance.choice(relay.workers), signal.SIGKILL)
                    deaths += 1
                else:
                    os.kill(relay.observer, signal.SIGKILL)
                if chance.random() < 0.5:
                    load.goes_on(chance.random())
        eventually(lambda: is_settled(relay), "it is whole again")
        load.goes_on(0.5)
        outcome = load.finish()
        print(f"{deaths} deaths: {outcome}")
        assert outcome.lost <= deaths * BATCH
        assert (outcome.duplicates, outcome.refused) == (0, 0)
        assert relay.memory(WORKERS).strangers == 0


def test_release_that_rehearses_well_and_then_fails_leaves_orphans_that_carry_on(
    launcher: Launcher, tmp_path: Path, ring_file: Path, ring: KeyRing
) -> None:
    """The supervisor is gone; a service manager that starts it again finds every call where it was."""
    with (
        OperatedRelay(tmp_path, ring_file, workers=WORKERS, command=launcher.command) as relay,
        load_up(ring, relay.clients[0]) as load,
    ):
        load.goes_on(0.2)
        orphans = relay.workers
        relay.is_outlived = True
        launcher.install_treacherous()
        relay.process.send_signal(signal.SIGUSR2)
        relay.process.wait(20)
        load.goes_on(0.3)
        assert all(map(is_running, orphans))
        launcher.install("mended")
        with OperatedRelay(tmp_path, ring_file, workers=WORKERS, command=launcher.command) as second:
            second.wait_for_successors(orphans)
            load.goes_on(0.3)
            assert_kept(load, second)


def test_worker_that_stands_still_does_not_keep_a_reload_from_the_others(
    tmp_path: Path, ring_file: Path, ring: KeyRing
) -> None:
    with (
        OperatedRelay(tmp_path, ring_file, workers=WORKERS) as relay,
        load_up(ring, relay.clients[0], rate=5_000) as load,
    ):
        load.goes_on(0.2)
        os.kill(victim := relay.workers[0], signal.SIGSTOP)
        relay.configure(workers=WORKERS, limits={"token_lifetime_s": 1234})
        relay.process.send_signal(signal.SIGHUP)
        relay.log.until(lambda line: "reload" in line)
        relay.wait_for_successors([victim])
        load.goes_on(0.3)
        outcome = load.finish()
        print(f"SIGSTOP and HUP: {outcome}")
        assert outcome.lost <= BATCH
        assert outcome.latest_s <= HANG_REPLACED_WITHIN_S
        relay.says(lambda status: status.reloads == 1)


def test_supervisor_killed_while_it_replaces_its_workers_keeps_the_calls(
    launcher: Launcher, tmp_path: Path, ring_file: Path, ring: KeyRing
) -> None:
    with (
        OperatedRelay(tmp_path, ring_file, workers=WORKERS, command=launcher.command) as relay,
        load_up(ring, relay.clients[0]) as load,
    ):
        load.goes_on(0.2)
        relay.is_outlived = True
        former = relay.workers
        relay.process.send_signal(signal.SIGUSR2)
        relay.out.until(lambda line: line.startswith("ready: "))
        relay.process.kill()  # its workers are just being replaced
        relay.process.wait()
        load.goes_on(0.3)
        with OperatedRelay(tmp_path, ring_file, workers=WORKERS, command=launcher.command) as second:
            second.wait_for_successors(former)
            load.goes_on(0.3)
            assert_kept(load, second, lost_max=QUEUE)


def assert_kept(load: Load, relay: OperatedRelay, *, lost_max: int = 0) -> None:
    """Every call is where it was, and no more is lost than this."""
    outcome = load.finish()
    print(outcome)
    assert outcome.lost <= lost_max
    assert (outcome.duplicates, outcome.refused) == (0, 0)
    assert relay.memory(WORKERS).flows >= CALLS
    assert relay.memory(WORKERS).strangers == 0
    assert relay.status().adoptions == 1
