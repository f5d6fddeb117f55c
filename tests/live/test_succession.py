"""One worker after another on the same sockets and the same table: what a single call notices of it."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fastrelay.routing import KeyRing
from tests.live.ends import PATIENCE_S, CallingClient, Transceiver, admit, eventually, goes_on, speech
from tests.live.process import RelayProcess, is_running


def end_a_worker(relay: RelayProcess, pid: int, number: signal.Signals) -> None:
    """And wait for its successor."""
    os.kill(pid, number)
    relay.log.until(lambda line: "worker died" in line)
    relay.log.until(lambda line: "worker started" in line)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP], ids=["killed", "crashed", "stuck"])
def test_call_outlives_its_worker(number: signal.Signals, local: list[str], ring: KeyRing) -> None:
    with (
        RelayProcess(*local) as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as client,
    ):
        admit(client, transceiver)
        (worker,) = relay.workers
        end_a_worker(relay, worker, number)
        assert not is_running(worker)
        assert goes_on(client, transceiver)
        relay.counts("UP_ADMITTED", 1)


def test_table_that_crashes_its_workers_is_built_anew(local: list[str], ring: KeyRing) -> None:
    """And its flows come back as after any loss: with the transceiver's next frame."""
    with (
        RelayProcess(*local) as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as client,
    ):
        admit(client, transceiver)
        for _ in range(3):
            end_a_worker(relay, relay.workers[0], signal.SIGSEGV)
        assert any("built anew" in line for line in relay.log.seen)
        transceiver.answer(client.as_client, answer := speech(3))
        assert client.receive()[0] == answer
        relay.happened("flows_recreated")


def test_worker_that_keeps_dying_is_held_back_longer_each_time(local: list[str]) -> None:
    with RelayProcess(*local, "--workers", "2") as relay:
        (_, other), held_back = relay.workers, []
        for _ in range(4):
            (doomed,) = set(relay.workers) - {other}
            end_a_worker(relay, doomed, signal.SIGKILL)
            held_back = [line.rpartition("seconds=")[2] for line in relay.log.seen if "held back" in line]
        assert held_back == ["0.1", "0.2", "0.4"]


def test_calls_move_to_another_worker_and_back_when_their_number_changes(
    local: list[str], ring: KeyRing, ring_file: Path, tmp_path: Path
) -> None:
    """Nothing but media is sent: the flow itself follows."""
    config = tmp_path / "relay.toml"

    def set_workers(count: int) -> None:
        config.write_text(f"[workers]\ncount = {count}\n[limits]\nidle_after_ms = 3000\nsweep_period_ms = 200\n")

    arguments = [*local[: local.index("--workers")], "--config", str(config)]
    set_workers(1)
    with RelayProcess(*arguments) as relay, Transceiver("127.0.0.1", ring) as transceiver, ExitStack() as stack:
        calls = [
            stack.enter_context(CallingClient("127.0.0.1", relay.clients[0], transceiver.mint())) for _ in range(12)
        ]
        for call in calls:
            admit(call, transceiver)
        for count in (2, 1):
            set_workers(count)
            relay.process.send_signal(signal.SIGHUP)
            relay.log.until(lambda line: " reloaded" in line)
            assert all(goes_on(call, transceiver) for call in calls)
            if count == 2:
                with relay.counters(1) as page:
                    assert page.event("flows_adopted") > 0
        eventually(lambda: all(goes_on(call, transceiver) for call in calls) and len(relay.workers) == 1, "one is left")
        relay.counts("UP_ADMITTED", 12)


def test_address_comes_and_goes_while_calls_go_on(local: list[str], ring: KeyRing, tmp_path: Path) -> None:
    config = tmp_path / "relay.toml"

    def listen_on(*addresses: str) -> None:
        config.write_text(f"[relay]\nlisten = {[f'{address}:23481' for address in addresses]}\n")

    listen_on("127.0.0.1")
    arguments = [*local[2:], "--config", str(config)]
    with RelayProcess(*arguments) as relay, Transceiver("127.0.0.1", ring) as transceiver:

        def reload(*addresses: str) -> None:
            listen_on(*addresses)
            relay.process.send_signal(signal.SIGHUP)
            relay.log.until(lambda line: " reloaded" in line)
            relay.log.until(lambda line: "worker started" in line)

        with CallingClient("127.0.0.1", ("127.0.0.1", 23481), transceiver.mint()) as first:
            admit(first, transceiver)
            reload("127.0.0.1", "127.0.0.2")
            assert goes_on(first, transceiver)
            with CallingClient("127.0.0.1", ("127.0.0.2", 23481), transceiver.mint()) as second:
                admit(second, transceiver)
                reload("127.0.0.2")
                assert goes_on(second, transceiver)
                assert goes_on(first, transceiver), "a call on an address that leaves goes on"
                with CallingClient("127.0.0.1", ("127.0.0.1", 23481), transceiver.mint()) as late:
                    late.check()
                    relay.counts("DRAINING", 1)
                transceiver.answer(first.as_client, closes=True)
                relay.log.until(lambda line: "address closed" in line)
                relay.log.until(lambda line: "worker started" in line)
                assert goes_on(second, transceiver)
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as newcomer:
                    newcomer.bind(("127.0.0.1", 23481))


class KeepingManager:
    """A service manager: takes what is to be kept, and gives it to the next start."""

    def __init__(self, path: Path) -> None:
        self._end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._end.bind(str(path))
        self._end.settimeout(PATIENCE_S)
        self.environment = {"NOTIFY_SOCKET": str(path)}
        self.kept: dict[str, int] = {}
        self.told: list[str] = []

    def listen_until(self, wanted: str) -> None:
        while not any(wanted in text for text in self.told):
            data, descriptors, _, _ = socket.recv_fds(self._end, 4096, 4)
            self.told.append(text := data.decode())
            name = text.partition("FDNAME=")[2]
            if text.startswith("FDSTORE=1"):
                self._forget(name)
                (self.kept[name],) = descriptors
            elif text.startswith("FDSTOREREMOVE=1"):
                self._forget(name)

    def _forget(self, name: str) -> None:
        if name in self.kept:
            os.close(self.kept.pop(name))

    def close(self) -> None:
        self._end.close()
        for name in list(self.kept):
            self._forget(name)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[KeepingManager]:
    kept = KeepingManager(tmp_path / "notify")
    yield kept
    kept.close()


LAUNCHER = """
import os, sys
kept = [number.split("=") for number in sys.argv[1].split(",")]
for place, (name, number) in enumerate(kept):
    os.dup2(int(number), 200 + place)  # out of the way first: the numbers may overlap
for place in range(len(kept)):
    os.dup2(200 + place, 3 + place)
    os.close(200 + place)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(kept)),
               "LISTEN_FDNAMES": ":".join(name for name, _ in kept)}
sys.argv = ["fastrelay", *sys.argv[2:]]
from fastrelay.cli.main import main
main()
"""


def test_flows_outlive_every_process_where_the_service_manager_keeps_them(
    local: list[str], ring: KeyRing, manager: KeepingManager
) -> None:
    local[1] = "127.0.0.1:23482"
    with Transceiver("127.0.0.1", ring) as transceiver:
        with RelayProcess(*local, environment=manager.environment) as relay:
            client = CallingClient("127.0.0.1", relay.clients[0], transceiver.mint())
            manager.listen_until("READY=1")
            admit(client, transceiver)
            processes = (relay.process.pid, *relay.workers)
            for pid in processes:
                os.kill(pid, signal.SIGKILL)
            eventually(lambda: not any(map(is_running, processes)), "all of them end")
        assert {"0.listen.0", "0.trunk", "0.flows", "0.counters", "state"} == set(manager.kept)
        client.send(early := speech(7))  # into a socket that nobody reads yet
        command, descriptors = started_by(manager), list(manager.kept.values())
        with client, RelayProcess(*local, command=command, descriptors=descriptors) as relay:
            assert transceiver.frames(1)[0].payload == early
            assert goes_on(client, transceiver)
            relay.counts("UP_ADMITTED", 1)


def started_by(manager: KeepingManager) -> list[str]:
    return [sys.executable, "-c", LAUNCHER, ",".join(f"{name}={number}" for name, number in manager.kept.items())]


def test_upgrade_keeps_the_pid_and_the_calls(local: list[str], ring: KeyRing, tmp_path: Path) -> None:
    with (
        RelayProcess(*local, "--run-dir", str(tmp_path / "run")) as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as client,
    ):
        admit(client, transceiver)
        (before,) = relay.workers
        started_s = time.monotonic()
        relay.process.send_signal(signal.SIGUSR2)
        while time.monotonic() - started_s < PATIENCE_S and before in relay.workers:
            assert goes_on(client, transceiver)
        relay.log.until(lambda line: "relay taken over" in line and "way=upgrade" in line)
        relay.log.until(lambda line: "worker started" in line)
        assert relay.workers != [before]
        assert goes_on(client, transceiver)
        relay.counts("UP_ADMITTED", 1)
