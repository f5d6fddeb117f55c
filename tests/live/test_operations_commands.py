"""The operator's commands against a real relay: what they say is what it does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest

from fastrelay.cli.main import run
from fastrelay.routing import KeyRing
from tests.live.ends import PATIENCE_S, CallingClient, Transceiver, admit, eventually, goes_on
from tests.live.process import COMMAND, Lines, RelayProcess, is_running, options, session


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    def run_command(*arguments: str) -> Outcome:
        code = run(list(arguments))
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run_command


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """Not below pytest's own folder: a socket's path is short."""
    with TemporaryDirectory(prefix="fastrelay-") as folder:
        yield Path(folder) / "run"


@pytest.fixture
def local(ring_file: Path, run_dir: Path) -> list[str]:
    return [*options("127.0.0.1", "127.0.0.1", ring_file, "127.0.0.1"), "--run-dir", str(run_dir)]


class Running:
    """A command in a process of its own, for one that waits."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments

    def __enter__(self) -> Running:
        self.process = subprocess.Popen([*COMMAND, *self._arguments], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert self.process.stdout is not None
        self.out = Lines(self.process.stdout.fileno())
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def document_of(command: Callable[..., Outcome], *arguments: str) -> dict[str, Any]:
    told = command(*arguments, "--json")
    assert told.err == ""
    document: dict[str, Any] = json.loads(told.out)
    return document


def shows(command: Callable[..., Outcome], where: str, *texts: str) -> bool:
    told = command("top", "--at", where, "--once")
    return told.code == 0 and all(text in told.out for text in texts)


def test_status_and_top_tell_of_a_call(
    command: Callable[..., Outcome], local: list[str], run_dir: Path, ring: KeyRing
) -> None:
    with (
        RelayProcess(*local, "--workers", "2", "--admin", "127.0.0.1:0") as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as client,
    ):
        admit(client, transceiver)
        assert relay.admin is not None
        for where in (str(run_dir), "http://{}:{}".format(*relay.admin)):
            at = ("--at", where)
            assert command("status", *at).code == 0
            status = document_of(command, "status", *at)
            assert [worker["pid"] for worker in status["relay"]["workers"]] == sorted(relay.workers)
            assert status["is_ready"] is True
            seen = "{}:{}".format(*transceiver.address)
            eventually(partial(shows, command, where, "1 flow", seen), "a flow and its transceiver are seen")


def test_top_outlives_the_relay_it_watches(local: list[str], run_dir: Path) -> None:
    with RelayProcess(*local) as relay, Running("top", "--at", str(run_dir), "--every", "0.1") as top:
        top.out.until(lambda line: line.startswith("serving"))
        relay.stop(signal.SIGINT)
        top.out.until(lambda line: line.endswith("(trying again)"))
        with RelayProcess(*local):
            top.out.until(lambda line: line.startswith("serving"))
            top.process.send_signal(signal.SIGINT)
            assert top.process.wait(PATIENCE_S) == 0


def test_upgrade_keeps_the_call_and_says_when_it_is_done(
    command: Callable[..., Outcome], local: list[str], run_dir: Path, ring: KeyRing
) -> None:
    with (
        RelayProcess(*local) as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as client,
    ):
        admit(client, transceiver)
        before = relay.workers
        told = command("upgrade", "--at", str(run_dir))
        assert (told.code, told.err) == (0, "")
        assert told.out.endswith("workers replaced 1/1\n")
        assert relay.workers != before
        assert goes_on(client, transceiver)
        assert document_of(command, "status", "--at", str(run_dir))["relay"]["upgrades"] == 1


def test_a_release_that_does_not_start_is_refused(
    command: Callable[..., Outcome], local: list[str], run_dir: Path, ring: KeyRing, tmp_path: Path
) -> None:
    installed = tmp_path / "fastrelay"
    installed.write_text("from fastrelay.cli.main import main\nmain()\n")
    with (
        RelayProcess(*local, command=[sys.executable, str(installed)]) as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as client,
    ):
        admit(client, transceiver)
        before = relay.workers
        installed.write_text("raise SystemExit('half installed')\n")
        told = command("upgrade", "--at", str(run_dir))
        assert (told.code, told.out) == (1, "")
        assert told.err.startswith("fastrelay: upgrade refused, ")
        assert relay.workers == before
        assert goes_on(client, transceiver)
        status = document_of(command, "status", "--at", str(run_dir))["relay"]
        assert (status["upgrades"], status["upgrades_refused"]) == (0, 1)


def test_reload_says_what_became_of_it(
    command: Callable[..., Outcome], local: list[str], run_dir: Path, ring_file: Path
) -> None:
    with RelayProcess(*local) as relay:
        assert command("reload", "--at", str(run_dir)).out.startswith("reloaded in ")
        ring_file.chmod(0o644)
        refused = command("reload", "--at", str(run_dir))
        assert (refused.code, refused.out) == (1, "")
        assert "reload refused" in refused.err
        assert f"chmod 600 {ring_file}" in refused.err
        ring_file.chmod(0o600)
        assert document_of(command, "status", "--at", str(run_dir))["relay"]["reloads_refused"] == 1
        relay.log.until(lambda line: "chmod 600" in line)


def test_drain_keeps_the_call_to_its_end(
    command: Callable[..., Outcome], local: list[str], run_dir: Path, ring: KeyRing
) -> None:
    with (
        RelayProcess(*local, "--drain-timeout", "600") as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as client,
    ):
        admit(client, transceiver)
        at = ("--at", str(run_dir))
        begun = command("drain", *at)
        assert begun.code == 0
        assert begun.out.startswith("draining: 1 ")
        with Running("drain", *at, "--wait") as waiting:
            waiting.out.until(lambda line: line.startswith("already draining: 1 "))
            assert command("status", *at).code == 3
            assert goes_on(client, transceiver)
            transceiver.answer(client.as_client, closes=True)
            waiting.out.until(lambda line: line.startswith("the relay has ended after "))
            assert waiting.process.wait(PATIENCE_S) == 0
        assert relay.process.wait(PATIENCE_S) == 0


def test_drain_gives_up_waiting_and_stop_now_ends_it(
    command: Callable[..., Outcome], local: list[str], run_dir: Path, ring: KeyRing
) -> None:
    with (
        RelayProcess(*local) as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as client,
    ):
        admit(client, transceiver)
        at = ("--at", str(run_dir))
        waited = command("drain", *at, "--wait", "--timeout", "0.2")
        assert waited.code == 1
        assert "it drains on" in waited.err
        assert relay.process.poll() is None
        with Running("drain", *at, "--stop-now", "--wait") as ending:
            assert relay.process.wait(PATIENCE_S) == 0
            assert ending.process.wait(PATIENCE_S) == 0


def happened(command: Callable[..., Outcome], run_dir: Path, session_id: str) -> list[str]:
    """What the relay has journalled of a session, in the order of time."""
    story = document_of(command, "trace", session_id, "--at", str(run_dir))
    return [entry["what"] for entry in story["entries"]]


def test_trace_shows_the_flow_of_a_token(
    command: Callable[..., Outcome], local: list[str], run_dir: Path, ring: KeyRing, ring_file: Path
) -> None:
    with (
        RelayProcess(*local) as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as client,
    ):
        admit(client, transceiver)
        wanted = client.ticket.token.session_id.hex()
        story = document_of(command, "trace", wanted, "--at", str(run_dir))
        (flow,) = story["flows"]
        assert flow["transceiver"] == "{}:{}".format(*transceiver.address)
        assert flow["client"] == "127.0.0.0/24", "an operator's screen shows no client"
        told = command("trace", f"{client.ticket.ufrag}:abcd", "--keys", str(ring_file), "--at", str(run_dir))
        assert told.code == 0
        assert told.out.startswith(f"session  {wanted}\ntoken    for {flow['transceiver']}, cluster 0")
        assert happened(command, run_dir, wanted) == ["created", "confirmed"]
        transceiver.answer(client.as_client, closes=True)
        eventually(lambda: happened(command, run_dir, wanted)[-1] == "closed", "the end of the flow is journalled")


def test_orphaned_workers_are_not_taken_for_a_relay(
    command: Callable[..., Outcome], local: list[str], run_dir: Path
) -> None:
    """The lock ends with the supervisor, although its workers have inherited what it had open."""
    with RelayProcess(*local) as relay:
        relay.is_outlived = True
        (worker,) = relay.workers
        os.kill(relay.process.pid, signal.SIGKILL)
        relay.process.wait(PATIENCE_S)
        assert is_running(worker)
        refused = command("drain", "--at", str(run_dir))
        for orphan in session(relay.process.pid):
            os.kill(orphan, signal.SIGKILL)
        eventually(lambda: not session(relay.process.pid), "the orphans are gone")
    assert refused.code == 1
    assert "nothing of fastrelay runs in" in refused.err
