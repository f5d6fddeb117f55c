"""A new release under load: code and interpreter are replaced, and nobody notices."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from fastrelay.routing import KeyRing
from tests.live.ends import eventually
from tests.load.launcher import BROKEN, Launcher, second_interpreter
from tests.load.lengths import TIMES
from tests.load.load import CALLS, load_down, load_up
from tests.load.operated import OperatedRelay


@pytest.fixture
def launcher(tmp_path: Path) -> Launcher:
    made = Launcher(tmp_path)
    made.install("0")
    return made


def interpreter_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()


@pytest.mark.parametrize("workers", [1, 2])
def test_upgrades_in_a_row_lose_nothing(
    workers: int, launcher: Launcher, tmp_path: Path, ring_file: Path, ring: KeyRing
) -> None:
    other = second_interpreter(tmp_path)
    with (
        OperatedRelay(tmp_path, ring_file, workers=workers, command=launcher.command) as relay,
        load_up(ring, relay.clients[0]) as up,
        load_down(ring, relay.clients[0], relay.trunks[0], tmp_path) as down,
    ):
        up.goes_on(0.2)
        supervisor, before = relay.process.pid, relay.memory(workers)
        for number in range(1, TIMES + 1):
            former = relay.workers
            is_other = number % 2 == 1
            launcher.install(str(number), interpreter=other if is_other else None)
            relay.process.send_signal(signal.SIGUSR2)
            relay.out.until(lambda line: line.startswith("ready: "))
            relay.wait_for_successors(former)
            assert relay.process.poll() is None, "the supervisor is still the process that was started"
            assert (interpreter_of(supervisor) == str(other)) == is_other
            up.goes_on(0.2)
        ups, downs = up.finish(), down.finish()
        print(f"{TIMES} upgrades, {workers} workers, up: {ups}")
        print(f"{TIMES} upgrades, {workers} workers, down: {downs}")
        assert ups.is_whole()
        assert downs.is_whole()
        assert relay.memory(workers) == before
        relay.says(lambda status: (status.upgrades, status.upgrades_refused, status.pid) == (TIMES, 0, supervisor))
        assert all(worker.restarts == 0 for worker in relay.status().workers), "an upgrade is no crash"
        relay.log.until(lambda line: line == f"release {TIMES}")


@pytest.mark.parametrize("how", BROKEN)
def test_release_that_does_not_start_leaves_the_old_one_serving(
    how: str, launcher: Launcher, tmp_path: Path, ring_file: Path, ring: KeyRing
) -> None:
    with (
        OperatedRelay(tmp_path, ring_file, command=launcher.command) as relay,
        load_up(ring, relay.clients[0]) as load,
    ):
        workers = relay.workers
        launcher.install_broken(how)
        relay.process.send_signal(signal.SIGUSR2)
        relay.log.until(lambda line: "upgrade refused" in line)
        load.goes_on(0.2)
        assert load.finish().is_whole()
        assert relay.workers == workers
        relay.says(lambda status: (status.upgrades, status.upgrades_refused) == (0, 1))
        assert relay.status().last_problem is not None

        # and what is mended can still be installed
        launcher.install("mended")
        relay.process.send_signal(signal.SIGUSR2)
        relay.out.until(lambda line: line.startswith("ready: "))
        relay.wait_for_successors(workers)
        assert relay.memory().flows == CALLS


def test_release_that_is_gone_leaves_the_old_one_serving(launcher: Launcher, tmp_path: Path, ring_file: Path) -> None:
    with OperatedRelay(tmp_path, ring_file, command=launcher.command) as relay:
        eventually(lambda: relay.ask("/readyz").code == 200, "it is ready")
        workers = relay.workers
        launcher.remove()
        relay.process.send_signal(signal.SIGUSR2)
        relay.log.until(lambda line: "upgrade refused" in line)
        assert relay.workers == workers
        assert relay.ask("/readyz").code == 200


def test_upgrade_leaves_no_descriptor_behind(launcher: Launcher, tmp_path: Path, ring_file: Path) -> None:
    def upgrade() -> None:
        workers = relay.workers
        relay.process.send_signal(signal.SIGUSR2)
        relay.out.until(lambda line: line.startswith("ready: "))
        relay.wait_for_successors(workers)
        eventually(lambda: relay.ask("/readyz").code == 200, "it is ready again")

    def descriptors(pid: int) -> int:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))

    with OperatedRelay(tmp_path, ring_file, command=launcher.command) as relay:
        upgrade()
        before = descriptors(relay.process.pid), descriptors(relay.workers[0])
        for _ in range(3):
            upgrade()
        assert (descriptors(relay.process.pid), descriptors(relay.workers[0])) == before
