"""A transceiver under its supervisor: workers die, hang, are replaced, reloaded and drained, and calls stay."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from fastrelay.routing import KeyRing
from fastrelay.transceiver.supervisor.crew import HANG_AFTER_S
from fastrelay.transceiver.worker.desk import slot_of
from fastrelay.transceiver.worker.plan import socket_name
from tests.live.ends import eventually
from tests.live.process import COMMAND, is_running
from tests.live.transceiver import HOST, Answer, TransceiverProcess, options

KEY = "sk_0123456789abcdef0123456789abcdef"


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


def config_file(tmp_path: Path, ring_file: Path, run_dir: Path, **more: str) -> Path:
    """A configuration file; `more` has further lines by section."""
    path = tmp_path / "transceiver.toml"
    path.write_text(
        f"""
[transceiver]
trunk = "{HOST}"
relays = ["{HOST}:3478"]
allow = ["{HOST}"]
keys_file = "{ring_file}"
run_dir = "{run_dir}"
{more.pop("transceiver", "")}
[http]
listen = "{HOST}:0"
{more.pop("http", "")}
[workers]
count = {more.pop("workers", "1")}
[admin]
listen = "{HOST}:0"
"""
        + "".join(f"[{section}]\n{lines}\n" for section, lines in more.items())
    )
    return path


def refused(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "transceiver", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


# --- start and end


def test_calls_are_answered_by_any_worker_and_changed_through_any_other(ring_file: Path, run_dir: Path) -> None:
    with TransceiverProcess(*options(ring_file, run_dir, workers=2)) as transceiver:
        calls: list[Answer] = []
        while len({slot_of(call.call_id) for call in calls}) < 2:
            calls.append(transceiver.offer())
            assert calls[-1].status == 201, calls[-1].text
            assert "a=candidate:" in calls[-1].text
            assert len(calls) < 100, "one worker gets all calls"
        transceiver.until(lambda status: status["totals"]["calls"] == len(calls), "all calls are counted")
        listed = transceiver.told("/calls").document["calls"]
        assert {each["call_id"] for each in listed} == {call.call_id for call in calls}
        for call in calls:
            assert transceiver.hang_up(call.call_id).status in (200, 204)
        transceiver.until(lambda status: status["totals"]["calls"] == 0, "all calls have ended")
        metrics = transceiver.told("/metrics").text
        assert 'calls_ended_total{reason="client_hung_up",worker="0"}' in metrics
        assert 'http_answers_total{status="201",worker="0"}' in metrics


def test_http_port_that_is_taken_is_one_line(ring_file: Path, run_dir: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        where = f"{HOST}:{taken.getsockname()[1]}"
        done = refused(*options(ring_file, run_dir), "--http", where)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [f"fastrelay: --http: cannot open {where}: Address already in use"]
    assert not list(run_dir.iterdir()), "nothing is left behind"


@pytest.mark.parametrize(
    ("agent", "says"),
    [
        ("fastrelay.agent.echo:nobody", "--agent: fastrelay.agent.echo has no 'nobody'"),
        ("not_there:agent", "--agent: not_there: No module named 'not_there'"),
    ],
)
def test_agent_that_is_not_there_is_one_line(ring_file: Path, run_dir: Path, agent: str, says: str) -> None:
    done = refused(*options(ring_file, run_dir), "--agent", agent)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"fastrelay: {says}\n")


def test_second_transceiver_in_a_run_directory_is_refused(ring_file: Path, run_dir: Path) -> None:
    with TransceiverProcess(*options(ring_file, run_dir)) as first:
        done = refused(*options(ring_file, run_dir))
        assert done.returncode == 2
        assert f"fastrelay runs in {run_dir} already (pid {first.process.pid})" in done.stderr


def test_trunk_port_that_is_set_is_the_first_of_the_workers_ports(ring_file: Path, run_dir: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        port = min(probe.getsockname()[1], 65_000)
        arguments = [*options(ring_file, run_dir, workers=2), "--trunk", f"{HOST}:{port}"]
        with TransceiverProcess(*arguments) as transceiver:
            assert sorted(transceiver.trunks) == [(HOST, port + 1), (HOST, port + 2)]


def test_transceiver_without_a_run_directory_serves(ring_file: Path, run_dir: Path) -> None:
    arguments = options(ring_file, run_dir)
    at = arguments.index("--run-dir")
    with TransceiverProcess(*arguments[:at], *arguments[at + 2 :]) as transceiver:
        assert transceiver.offer().status == 201
    assert not run_dir.exists()


# --- death


def test_killed_worker_is_replaced(ring_file: Path, run_dir: Path) -> None:
    with TransceiverProcess(*options(ring_file, run_dir, workers=2)) as transceiver:
        before = transceiver.service["workers"]
        os.kill(before[0]["pid"], signal.SIGKILL)
        transceiver.until(
            lambda status: (
                status["transceiver"]["workers"][0]["pid"] not in (0, before[0]["pid"])
                and status["transceiver"]["workers"][0]["state"] == "serving"
            ),
            "another has its place",
        )
        after = transceiver.service["workers"]
        assert (after[0]["restarts"], after[0]["last_end"]) == (1, "SIGKILL")
        assert after[1] == before[1]
        assert transceiver.offer().status == 201


def test_hung_worker_is_ended_and_replaced(ring_file: Path, run_dir: Path) -> None:
    with TransceiverProcess(*options(ring_file, run_dir)) as transceiver:
        (worker,) = transceiver.workers
        os.kill(worker, signal.SIGSTOP)
        transceiver.log.until(lambda line: "worker is stuck and is ended" in line)
        transceiver.until(lambda status: status["transceiver"]["workers"][0]["state"] == "serving", "it is replaced")
        assert transceiver.service["workers"][0]["hangs"] == 1


def test_machine_that_was_frozen_for_a_while_ends_no_call(ring_file: Path, run_dir: Path) -> None:
    """The supervisor is the first to wake, and has heard of nobody for longer than a worker may be silent."""
    with TransceiverProcess(*options(ring_file, run_dir)) as transceiver:
        call = transceiver.offer()
        before = transceiver.workers
        processes = [transceiver.process.pid, *before]
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(HANG_AFTER_S + 0.5)
        os.kill(processes[0], signal.SIGCONT)
        assert transceiver.told("/livez").status == 200, "it is awake, and has looked at its workers"
        os.kill(processes[1], signal.SIGCONT)
        transceiver.until(lambda status: status["totals"]["calls"] == 1, "its worker speaks again")
        assert transceiver.workers == before
        assert transceiver.service["workers"][0]["hangs"] == 0
        assert transceiver.hang_up(call.call_id).status in (200, 204)


def test_workers_of_a_dead_supervisor_keep_their_calls_and_let_go_of_the_port(ring_file: Path, run_dir: Path) -> None:
    arguments = options(ring_file, run_dir)
    with TransceiverProcess(*arguments) as transceiver:
        transceiver.is_outlived = True
        call = transceiver.offer()
        (orphan,) = transceiver.workers
        where = transceiver.url.removeprefix("http://")
        transceiver.process.kill()
        transceiver.process.wait()
        with TransceiverProcess(*arguments, "--http", where) as successor:
            assert is_running(orphan)
            # the successor's own worker has another slot, and finds the orphan's call by its name
            assert successor.hang_up(call.call_id).status in (200, 204)
            eventually(lambda: not is_running(orphan), "the orphan has ended with its last call")


# --- reload


def test_reload_takes_limits_and_keys(tmp_path: Path, ring_file: Path, run_dir: Path) -> None:
    path = config_file(tmp_path, ring_file, run_dir)
    with TransceiverProcess("--config", str(path)) as transceiver:
        before = transceiver.workers
        assert transceiver.offer().status == 201
        keys = tmp_path / "api-keys.txt"
        keys.write_text(f"shop {KEY}\n")
        keys.chmod(0o600)
        KeyRing.load(ring_file).rotate(now_s=0, delay_s=0).save(ring_file)
        config_file(
            tmp_path,
            ring_file,
            run_dir,
            http=f'api_keys_file = "{keys}"',
            limits="calls = 2",
        )
        transceiver.process.send_signal(signal.SIGHUP)
        transceiver.until(lambda status: status["transceiver"]["reloads"] == 1, "it is reloaded")
        assert transceiver.offer().status == 401
        assert transceiver.offer(key=KEY).status == 201
        assert transceiver.offer(key=KEY).status == 503, "two calls are all it takes now"
        assert transceiver.workers == before, "no process was replaced for that"


def test_another_agent_comes_with_new_processes_and_calls_keep_theirs(
    tmp_path: Path, ring_file: Path, run_dir: Path
) -> None:
    """Its import would hold up the calls of a process that has some."""
    path = config_file(tmp_path, ring_file, run_dir)
    with TransceiverProcess("--config", str(path)) as transceiver:
        (before,) = transceiver.workers
        call = transceiver.offer()
        config_file(tmp_path, ring_file, run_dir, transceiver='agent = "tone"', limits="calls = 2")
        transceiver.process.send_signal(signal.SIGHUP)
        transceiver.until(lambda status: status["transceiver"]["reloads"] == 1, "it is reloaded")
        transceiver.until(lambda status: status["workers"][0]["agent"] == "tone", "the agent of new calls")
        assert is_running(before), "its call goes on there"
        assert transceiver.hang_up(call.call_id).status in (200, 204)
        eventually(lambda: not is_running(before), "it ends with its last call")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"limits": "calls = 0"}, "limits.calls is 0, must be 1 to"),
        ({"transceiver": 'agent = "not_there:agent"'}, "transceiver.agent: not_there: No module named 'not_there'"),
        (
            {"transceiver": 'agent = "breaks:agent"'},
            "transceiver.agent: breaks:agent cannot be imported: ZeroDivisionError",
        ),
        ({"http": 'api_keys_file = "nowhere"'}, "nowhere: No such file or directory"),
        ({"http": 'certificate_file = "nowhere"\nkey_file = "nowhere"'}, "http.certificate_file: "),
    ],
    ids=["bad value", "no such agent", "agent that raises", "no such keys", "no such certificate"],
)
def test_reload_that_cannot_be_is_refused_whole(
    tmp_path: Path, ring_file: Path, run_dir: Path, change: dict[str, str], says: str
) -> None:
    (tmp_path / "breaks.py").write_text("1 / 0\n")
    path = config_file(tmp_path, ring_file, run_dir, workers="2")
    with TransceiverProcess("--config", str(path), folder=tmp_path) as transceiver:
        before = transceiver.workers
        config_file(tmp_path, ring_file, run_dir, workers="1", **change)
        transceiver.process.send_signal(signal.SIGHUP)
        transceiver.until(lambda status: status["transceiver"]["reloads_refused"] == 1, "it is refused")
        assert says in transceiver.service["last_problem"]
        assert transceiver.workers == before
        assert transceiver.service["config"]["workers.count"]["value"] == 2
        assert transceiver.offer().status == 201


def has_workers(transceiver: TransceiverProcess, count: int) -> bool:
    return len(transceiver.workers) == count


def test_reload_changes_how_many_workers_there_are(tmp_path: Path, ring_file: Path, run_dir: Path) -> None:
    path = config_file(tmp_path, ring_file, run_dir, workers="1")
    with TransceiverProcess("--config", str(path)) as transceiver:
        (first,) = transceiver.workers
        call = transceiver.offer()
        for count in (2, 1):
            config_file(tmp_path, ring_file, run_dir, workers=str(count))
            transceiver.process.send_signal(signal.SIGHUP)
            eventually(partial(has_workers, transceiver, count), f"there are {count}")
        assert transceiver.workers == [first]
        assert transceiver.hang_up(call.call_id).status in (200, 204)


# --- replacement


def test_workers_are_replaced_one_by_one_and_calls_stay(ring_file: Path, run_dir: Path) -> None:
    with TransceiverProcess(*options(ring_file, run_dir, workers=2)) as transceiver:
        calls = [transceiver.offer().call_id for _ in range(4)]
        before = transceiver.workers
        transceiver.process.send_signal(signal.SIGUSR2)
        transceiver.until(lambda status: status["transceiver"]["upgrades"] == 1, "all are replaced")
        assert not {each["pid"] for each in transceiver.service["workers"]} & set(before)
        transceiver.until(lambda status: status["totals"]["calls"] == len(calls), "nobody was cut off")
        later = transceiver.offer().call_id
        for call_id in (*calls, later):
            assert transceiver.hang_up(call_id).status in (200, 204), "a new worker finds the old one's call"
        eventually(lambda: not any(is_running(pid) for pid in before), "the old ones end with their last calls")
        eventually(partial(has_workers, transceiver, 2), "they are seen to have ended")


def test_replacement_that_does_not_start_leaves_the_old_ones(tmp_path: Path, ring_file: Path, run_dir: Path) -> None:
    agent = tmp_path / "voice.py"
    agent.write_text("async def talk(call): ...\n")
    with TransceiverProcess(*options(ring_file, run_dir), "--agent", "voice:talk", folder=tmp_path) as transceiver:
        before = transceiver.workers
        agent.write_text("import nothing_of_that_name\n")
        transceiver.process.send_signal(signal.SIGUSR2)
        transceiver.until(lambda status: status["transceiver"]["upgrades_refused"] == 1, "it is refused")
        assert "nothing_of_that_name" in transceiver.service["last_problem"]
        assert transceiver.workers == before
        assert transceiver.offer().status == 201


# --- drain


def test_drain_waits_for_the_last_call_and_turns_others_away(ring_file: Path, run_dir: Path) -> None:
    with TransceiverProcess(*options(ring_file, run_dir)) as transceiver:
        call = transceiver.offer()
        transceiver.process.send_signal(signal.SIGTERM)
        transceiver.until(lambda status: status["transceiver"]["state"] == "draining", "it drains")
        turned_away = transceiver.offer()
        assert (turned_away.status, turned_away.document["error"]["code"]) == (503, "draining")
        assert int(turned_away.headers["Retry-After"]) > 0
        assert transceiver.told("/readyz").status == 503
        assert transceiver.told("/livez").status == 200
        assert transceiver.hang_up(call.call_id).status in (200, 204)
        assert transceiver.process.wait(30) == 0
    assert not list(run_dir.iterdir())


def test_drain_in_the_middle_of_a_replacement_waits_for_the_call(
    tmp_path: Path, ring_file: Path, run_dir: Path
) -> None:
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(1.5)\nasync def agent(call): await call.played()\n")
    with TransceiverProcess(*options(ring_file, run_dir), "--agent", "slow:agent", folder=tmp_path) as transceiver:
        (before,) = transceiver.workers
        call = transceiver.offer()
        transceiver.process.send_signal(signal.SIGUSR2)
        eventually(partial(has_workers, transceiver, 2), "a successor is starting")
        transceiver.process.send_signal(signal.SIGTERM)
        transceiver.until(lambda status: status["transceiver"]["state"] == "draining", "it drains")
        eventually(partial(has_workers, transceiver, 1), "the successor has nothing to stay for", patience_s=30)
        assert transceiver.workers == [before]
        assert transceiver.hang_up(call.call_id).status in (200, 204)
        assert transceiver.process.wait(30) == 0


def test_calls_that_outlast_the_drain_are_ended(ring_file: Path, run_dir: Path) -> None:
    with TransceiverProcess(*options(ring_file, run_dir), "--drain-timeout", "1") as transceiver:
        transceiver.offer()
        transceiver.process.send_signal(signal.SIGTERM)
        assert transceiver.process.wait(30) == 0
        assert any("call ended" in line and "drained" in line for line in transceiver.log.rest())


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT], ids=["second TERM", "INT"])
def test_second_signal_ends_a_drain(ring_file: Path, run_dir: Path, second: signal.Signals) -> None:
    with TransceiverProcess(*options(ring_file, run_dir)) as transceiver:
        transceiver.offer()
        transceiver.process.send_signal(signal.SIGTERM)
        transceiver.until(lambda status: status["transceiver"]["state"] == "draining", "it drains")
        transceiver.process.send_signal(second)
        assert transceiver.process.wait(30) == 0


# --- the operator's commands


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=120)


def test_operators_commands_find_it(ring_file: Path, run_dir: Path) -> None:
    with TransceiverProcess(*options(ring_file, run_dir)) as transceiver:
        transceiver.offer()
        transceiver.until(lambda status: status["totals"]["calls"] == 1, "the call is counted")
        told = command("status", "--at", str(run_dir))
        assert told.returncode == 0, told.stderr
        assert "calls     1" in told.stdout.splitlines()
        top = command("top", "--at", str(run_dir), "--once")
        assert (top.returncode, "a transceiver answers there" in top.stderr) == (1, True)
        for name in ("reload", "upgrade"):
            done = command(name, "--at", str(run_dir))
            assert done.returncode == 0, done.stderr
        drained = command("drain", "--at", str(run_dir))
        assert (drained.returncode, drained.stdout.partition(",")[0]) == (0, "draining: 1 call left")
        ended = command("drain", "--at", str(run_dir), "--stop-now", "--wait")
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.splitlines()[-1].startswith("the transceiver has ended after")
        assert transceiver.process.wait(30) == 0


def test_worker_that_is_told_nothing_ends_by_itself() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "fastrelay.transceiver.worker", str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
        theirs.close()
        ours.close()
        assert process.wait(60) == 2


def test_slots_socket_is_for_its_owner_alone(ring_file: Path, run_dir: Path) -> None:
    with TransceiverProcess(*options(ring_file, run_dir)):
        assert (run_dir / socket_name(0)).stat().st_mode & 0o777 == 0o600
