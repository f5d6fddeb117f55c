"""The commands for a running relay: whom they signal and when, what they say, and their exit codes."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fastrelay.cli import drain, upgrade
from fastrelay.cli.main import run
from fastrelay.errors import PeerError
from fastrelay.observe import following
from fastrelay.observe.running import running_supervisor
from tests.unit.relay_stand_in import NOW_S, Answers, relay_status, served, status_document
from tests.unit.supervisor_stand_in import SupervisorStandIn

TERM, INT, HUP, USR2 = signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Runs a command in this process, with short waits."""
    monkeypatch.setattr(drain, "PROGRESS_EVERY_S", 0.01)
    monkeypatch.setattr(following, "PATIENCE_S", 0.1)

    def run_command(*arguments: str) -> Outcome:
        code = run(list(arguments))
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run_command


class Relay(NamedTuple):
    """A supervisor's lock, and an admin HTTP that says what the test makes of the signals."""

    where: str
    supervisor: SupervisorStandIn
    answers: Answers


@contextmanager
def relay(run_dir: Path, status: Callable[[SupervisorStandIn], Any] | None = None) -> Iterator[Relay]:
    with SupervisorStandIn(run_dir) as supervisor:
        answers: Answers = {"/status": lambda _: status(supervisor) if status else status_document()}
        with served(answers, run_dir) as where:
            yield Relay(where, supervisor, answers)


# --- status


@pytest.mark.parametrize(
    ("state", "readiness", "code"),
    [
        ("serving", "ready\n", 0),
        ("serving", (503, "no worker serves\n"), 1),
        ("serving", (503, ""), 1),
        ("starting", (503, "the relay is starting\n"), 1),
        ("draining", (503, "the relay is draining\n"), 3),
        ("stopping", (503, "the relay is stopping\n"), 1),
    ],
)
def test_status_is_an_exit_code(command: Callable[..., Outcome], state: str, readiness: Any, code: int) -> None:
    with served({"/status": status_document(relay={"state": state}), "/readyz": readiness}) as where:
        told = command("status", "--at", where)
        as_json = command("status", "--at", where, "--json")
    assert (told.code, as_json.code, told.err) == (code, code, "")
    assert told.out.startswith(f"state     {state}")
    document = json.loads(as_json.out)
    assert document["is_ready"] is (code == 0)
    assert document["relay"]["state"] == state
    assert bool(document["reasons"]) is (code != 0)


def test_status_of_no_relay_is_one_line(command: Callable[..., Outcome], tmp_path: Path) -> None:
    assert command("status", "--at", str(tmp_path)) == (
        1,
        "",
        f"fastrelay: nothing of fastrelay serves in {tmp_path}: admin.sock is not there\n",
    )


# --- who is signalled


@pytest.mark.parametrize("name", ["drain", "upgrade", "reload"])
def test_signals_need_the_relays_own_machine(command: Callable[..., Outcome], name: str) -> None:
    refused = command(name, "--at", "http://10.0.0.5:9464")
    assert (refused.code, refused.out) == (2, "")
    assert f"{name} works on its own machine alone" in refused.err


@pytest.mark.parametrize("name", ["drain", "upgrade", "reload"])
@pytest.mark.parametrize(
    ("lock", "code", "problem"),
    [(None, 1, "nothing of fastrelay runs in"), ("1\n", 1, "without clearing up")],
    ids=["no lock", "nobody holds it"],
)
def test_a_lock_that_nobody_holds_gets_no_signal(
    command: Callable[..., Outcome], tmp_path: Path, name: str, lock: str | None, code: int, problem: str
) -> None:
    if lock is not None:
        (tmp_path / "lock").write_text(lock)
    refused = command(name, "--at", str(tmp_path))
    assert (refused.code, refused.out) == (code, "")
    assert problem in refused.err


def test_a_missing_run_directory_cannot_be_used(command: Callable[..., Outcome], tmp_path: Path) -> None:
    assert command("drain", "--at", str(tmp_path / "nowhere")).code == 2


@pytest.mark.parametrize("says", ["", "0", "-1", "12 34", "x", "99999999999"])
def test_a_lock_that_names_no_process_gets_no_signal(tmp_path: Path, says: str) -> None:
    (tmp_path / "lock").write_text(says)
    with (tmp_path / "lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(PeerError, match="names no process"), running_supervisor(tmp_path):
            pass


def test_a_process_that_does_not_have_the_lock_open_gets_no_signal(tmp_path: Path) -> None:
    """The number in the lock is another process's here when the relay runs in a container of its own."""
    bystander = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with (
            SupervisorStandIn(tmp_path, says=str(bystander.pid)),
            pytest.raises(PeerError, match="another container"),
            running_supervisor(tmp_path),
        ):
            pass
    finally:
        bystander.communicate(b"\n")


def test_a_process_that_is_gone_gets_no_signal(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    with (
        SupervisorStandIn(tmp_path, says=str(gone.pid)),
        pytest.raises(PeerError, match="another container"),
        running_supervisor(tmp_path),
    ):
        pass


def test_looking_at_the_lock_leaves_it_with_its_holder(tmp_path: Path) -> None:
    with (
        SupervisorStandIn(tmp_path) as supervisor,
        running_supervisor(tmp_path) as found,
        running_supervisor(tmp_path) as again,
    ):
        assert found.pid == again.pid == supervisor.process.pid
        assert not found.has_ended()
        supervisor.end()
        assert found.has_ended(within_s=10)
        with pytest.raises(PeerError, match="has just ended"):
            found.send(TERM)


# --- drain


def drained(supervisor: SupervisorStandIn, calls: int = 214) -> dict[str, Any]:
    """What a relay says that drains as soon as it has been told to."""
    if TERM not in supervisor.signals:
        return status_document()
    relay = {"state": "draining", "draining_since_s": NOW_S, "drain_deadline_s": NOW_S + 3540}
    return status_document(relay=relay, totals={"calls": calls, "flows": calls, "last_packet_age_s": 1.2})


def test_drain_tells_what_is_left(command: Callable[..., Outcome], tmp_path: Path) -> None:
    with relay(tmp_path, drained) as stand_in:
        told = command("drain", "--at", stand_in.where)
        assert told == (0, "draining: 214 calls left, last activity 1.2 s ago, deadline in 3,540 s\n", "")
        assert stand_in.supervisor.signals == [TERM]


def test_a_second_drain_does_not_stop_the_relay(command: Callable[..., Outcome], tmp_path: Path) -> None:
    with relay(tmp_path, drained) as stand_in:
        assert command("drain", "--at", stand_in.where).code == 0
        again = command("drain", "--at", stand_in.where)
        assert again.code == 0
        assert again.out.startswith("already draining: 214 calls left")
        assert stand_in.supervisor.signals == [TERM]


def test_two_drains_at_once_are_one(command: Callable[..., Outcome], tmp_path: Path) -> None:
    """The second waits until the first has seen the relay drain, however slowly it begins."""
    slow = iter(range(1000))

    def status(supervisor: SupervisorStandIn) -> Any:
        is_seen = TERM in supervisor.signals and next(slow) >= 3
        return drained(supervisor) if is_seen else status_document()

    with relay(tmp_path, status) as stand_in:
        one = [sys.executable, "-c", "from fastrelay.cli.main import main; main()", "drain", "--at", stand_in.where]
        both = [subprocess.Popen(one, stdout=subprocess.PIPE) for _ in range(2)]
        said = sorted(process.communicate()[0].decode().split(":")[0] for process in both)
        assert said == ["already draining", "draining"]
        assert stand_in.supervisor.signals == [TERM]


def test_drain_waits_for_the_end_and_shows_progress(command: Callable[..., Outcome], tmp_path: Path) -> None:
    left = [3, 3, 2, 1]

    def status(supervisor: SupervisorStandIn) -> Any:
        document = drained(supervisor, left.pop(0) if TERM in supervisor.signals and left else 0)
        if not left:
            supervisor.end()
        return document

    with relay(tmp_path, status) as stand_in:
        told = command("drain", "--at", stand_in.where, "--wait")
    lines = told.out.splitlines()
    assert (told.code, told.err) == (0, "")
    assert [line.split(" ")[0] for line in lines[1:-1]] == ["3", "2", "1"], "a line for each change"
    assert lines[-1].startswith("the relay has ended after ")


def test_drain_that_takes_too_long_goes_on(command: Callable[..., Outcome], tmp_path: Path) -> None:
    with relay(tmp_path, drained) as stand_in:
        told = command("drain", "--at", stand_in.where, "--wait", "--timeout", "0.1", "--json")
        assert stand_in.supervisor.signals == [TERM]
    assert told.code == 1
    assert "it drains on" in told.err
    for text in told.out.splitlines():
        facts = json.loads(text)
        assert (facts["state"], facts["calls_left"], facts["deadline_in_s"]) == ("draining", 214, 3540.0)


def test_drain_of_an_idle_relay_may_be_over_before_it_is_seen(command: Callable[..., Outcome], tmp_path: Path) -> None:
    def status(supervisor: SupervisorStandIn) -> Any:
        if TERM in supervisor.signals:
            supervisor.end()
            return 503, "{}"
        return status_document(totals={"calls": 0})

    with relay(tmp_path, status) as stand_in:
        assert command("drain", "--at", stand_in.where) == (0, "the relay had no calls and has ended\n", "")


def test_drain_does_not_signal_a_relay_it_cannot_see(command: Callable[..., Outcome], tmp_path: Path) -> None:
    with relay(tmp_path) as stand_in:
        stand_in.answers["/status"] = (503, "{}")
        assert command("drain", "--at", stand_in.where).code == 1
        assert stand_in.supervisor.signals == []


def test_a_relay_that_ignores_the_signal_is_told_of(
    command: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "TAKEN_WITHIN_S", 0.1)
    with relay(tmp_path) as stand_in:
        ignored = command("drain", "--at", stand_in.where)
        assert (ignored.code, ignored.out) == (1, "")
        assert "has not begun to drain" in ignored.err


def test_stop_now_needs_no_look(command: Callable[..., Outcome], tmp_path: Path) -> None:
    with relay(tmp_path) as stand_in:
        stand_in.answers["/status"] = (503, "{}")
        assert command("drain", "--at", stand_in.where, "--stop-now") == (0, "told to stop now\n", "")
        assert stand_in.supervisor.wait_for_signals() == [INT]


def test_a_supervisor_that_dies_leaves_its_workers_and_is_told_of(
    command: Callable[..., Outcome], tmp_path: Path
) -> None:
    def status(supervisor: SupervisorStandIn) -> Any:
        document = drained(supervisor)
        document["relay"]["workers"] = [{"index": 0, "pid": os.getpid()}]  # one that outlives it
        if TERM in supervisor.signals:
            supervisor.end()
        return document

    with relay(tmp_path, status) as stand_in:
        told = command("drain", "--at", stand_in.where, "--wait")
    assert told.code == 1
    assert f"its workers go on: {os.getpid()}" in told.err


# --- upgrade and reload


def upgraded(supervisor: SupervisorStandIn, looks: list[int], replaced: int = 2) -> Any:
    """Silence while the process is replaced, the new release, then one worker after the other."""
    if USR2 not in supervisor.signals:
        return status_document()
    looks.append(1)
    if len(looks) == 1:
        return 503, "{}"
    workers = relay_status()["workers"]
    for worker in workers[: min(len(looks) - 2, replaced)]:
        worker |= {"pid": worker["pid"] + 100, "release": "0.3.0"}
    return status_document(relay={"release": "0.3.0", "upgrades": 2, "workers": workers})


def test_upgrade_ends_when_the_workers_are_the_new_release(command: Callable[..., Outcome], tmp_path: Path) -> None:
    looks: list[int] = []
    with relay(tmp_path, lambda supervisor: upgraded(supervisor, looks)) as stand_in:
        told = command("upgrade", "--at", stand_in.where)
        assert stand_in.supervisor.signals == [USR2]
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith("upgraded from 0.2.0 to 0.3.0 in ")
    assert told.out.endswith(" s, workers replaced 2/2\n")


def test_an_upgrade_that_stays_half_done_is_a_failure(command: Callable[..., Outcome], tmp_path: Path) -> None:
    looks: list[int] = []
    with relay(tmp_path, lambda supervisor: upgraded(supervisor, looks, replaced=1)) as stand_in:
        told = command("upgrade", "--at", stand_in.where, "--timeout", "0.5", "--json")
    assert told.code == 1
    facts = json.loads(told.out)
    assert (facts["from"], facts["to"], facts["workers_replaced"], facts["workers"]) == ("0.2.0", "0.3.0", 1, 2)


@pytest.mark.parametrize(("name", "number"), [("upgrade", USR2), ("reload", HUP)])
def test_what_the_relay_refuses_is_told_in_its_words(
    command: Callable[..., Outcome], tmp_path: Path, name: str, number: signal.Signals
) -> None:
    def status(supervisor: SupervisorStandIn) -> Any:
        before = relay_status()[f"{name}s_refused"]
        changes = {f"{name}s_refused": before + 1, "last_problem": "relay.toml:3: no"}
        return status_document(relay=changes if number in supervisor.signals else {})

    with relay(tmp_path, status) as stand_in:
        assert command(name, "--at", stand_in.where) == (
            1,
            "",
            f"fastrelay: {name} refused, 0.2.0 serves on: relay.toml:3: no\n",
        )
        refused = command(name, "--at", stand_in.where, "--timeout", "0.1", "--json")
        assert refused.code == 1


def test_a_reload_is_told_when_it_is_taken(command: Callable[..., Outcome], tmp_path: Path) -> None:
    def status(supervisor: SupervisorStandIn) -> Any:
        return status_document(relay={"reloads": 2 + len(supervisor.signals)})

    with relay(tmp_path, status) as stand_in:
        told = command("reload", "--at", stand_in.where)
        assert (told.code, told.err) == (0, "")
        assert told.out.startswith("reloaded in 0.")
        as_json = command("reload", "--at", stand_in.where, "--json")
        assert json.loads(as_json.out)["is_refused"] is False
        assert stand_in.supervisor.signals == [HUP, HUP]


@pytest.mark.parametrize("name", ["upgrade", "reload"])
def test_no_outcome_in_time_is_a_failure(command: Callable[..., Outcome], tmp_path: Path, name: str) -> None:
    with relay(tmp_path) as stand_in:
        told = command(name, "--at", stand_in.where, "--timeout", "0.1")
        assert told.code == 1
        assert f"no outcome of the {name}" in told.err


def test_a_relay_that_ends_instead_is_told_of(command: Callable[..., Outcome], tmp_path: Path) -> None:
    def status(supervisor: SupervisorStandIn) -> Any:
        if USR2 in supervisor.signals:
            supervisor.end()
        return status_document()

    with relay(tmp_path, status) as stand_in:
        told = command("upgrade", "--at", stand_in.where)
    assert told.code == 1
    assert "the relay has ended instead of the upgrade" in told.err


def test_without_waiting_only_the_signal_is_sent(command: Callable[..., Outcome], tmp_path: Path) -> None:
    with relay(tmp_path) as stand_in:
        assert command("upgrade", "--at", stand_in.where, "--no-wait") == (0, "", "")
        assert stand_in.supervisor.wait_for_signals() == [USR2]


@pytest.mark.parametrize("order", [upgrade.UPGRADE, upgrade.RELOAD], ids=lambda order: order.name)
def test_orders_count_what_the_status_has(order: upgrade.Order) -> None:
    names = relay_status()
    assert {order.done, order.refused} <= set(names)


@pytest.mark.parametrize("name", ["status", "top", "drain", "upgrade", "reload", "trace"])
def test_help_has_examples_and_exit_codes(command: Callable[..., Outcome], name: str) -> None:
    told = command(name, "--help")
    assert told.code == 0
    assert f"  fastrelay {name}" in told.out
    assert "The exit code is 0 " in " ".join(told.out.split())
    assert "FASTRELAY_AT" in told.out
