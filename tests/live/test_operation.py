"""A relay in its operator's hands: signals, key rings, users, CPUs and log lines."""

from __future__ import annotations

import json
import os
import pwd
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from fastrelay.routing import KeyRing
from tests.live.ends import PATIENCE_S, CallingClient, Transceiver, admit, eventually, goes_on
from tests.live.process import RelayProcess, is_running, options


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_signal_ends_it_cleanly_with_a_summary(
    number: signal.Signals, workers: str, local: list[str], ring: KeyRing
) -> None:
    with (
        RelayProcess(*local, "--workers", workers) as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as client,
    ):
        admit(client, transceiver)
        children = relay.workers
        if number == signal.SIGTERM:
            transceiver.answer(client.as_client, closes=True)  # it waits for calls to end
        assert relay.stop(number) == 0
        assert not any(map(is_running, children))
        printed = "\n".join(relay.out.seen)
        assert f"with {workers} worker" in printed
        assert "up      1 packets" in printed
        assert "flows   created 1, confirmed 1" in printed
        assert [line for line in relay.log.seen if "Traceback" in line] == []


def test_whole_group_may_be_signalled(local: list[str]) -> None:
    """As a terminal does on Ctrl-C, and a service manager on stop."""
    with RelayProcess(*local, "--workers", "2") as relay:
        for worker in relay.workers:
            os.kill(worker, signal.SIGINT)
            os.kill(worker, signal.SIGTERM)
        assert relay.stop(signal.SIGINT) == 0


def test_second_signal_ends_it_at_once(local: list[str]) -> None:
    with RelayProcess(*local) as relay:
        (worker,) = relay.workers
        os.kill(worker, signal.SIGSTOP)  # it cannot end by itself
        relay.process.send_signal(signal.SIGTERM)
        relay.process.send_signal(signal.SIGTERM)
        assert relay.process.wait(PATIENCE_S) == 0
        assert not is_running(worker)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_key_ring_is_reloaded_under_running_calls(
    workers: str, local: list[str], ring_file: Path, ring: KeyRing
) -> None:
    def reload(changed: KeyRing) -> None:
        changed.save(ring_file)
        relay.process.send_signal(signal.SIGHUP)
        relay.log.until(lambda line: " reloaded" in line)

    now_s = int(time.time())
    rotated = ring.rotate(now_s=now_s, delay_s=0)
    old_key, new_key = ring.keys[0], next(key for key in rotated.keys if key.id != ring.keys[0].id)
    with (
        RelayProcess(*local, "--workers", workers) as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as early,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as late,
    ):
        admit(early, transceiver)

        # added: the transceiver may begin to mint with it, once the second it mints from has come
        reload(rotated)
        transceiver.ring = rotated
        eventually(lambda: rotated.minting_key(time.time()) == new_key, "the new key mints")
        assert goes_on(early, transceiver)
        with CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as fresh:
            admit(fresh, transceiver)

            # retired: no new flows by the old key; what runs goes on
            reload(rotated.retire(old_key.id, now_s=int(time.time())))
            assert goes_on(early, transceiver)
            assert goes_on(fresh, transceiver)
            late.check()
            eventually(lambda: packets(relay, int(workers), "TOKEN_RETIRED_KEY") == 1, "the token is refused")
            assert packets(relay, int(workers), "UP_ADMITTED") == 2


def packets(relay: RelayProcess, workers: int, verdict: str) -> int:
    """A verdict's counter over all workers."""
    found = 0
    for index in range(workers):
        with relay.counters(index) as page:
            found += page.packets(verdict)
    return found


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [
        pytest.param("{", 0o600, "not JSON", id="not JSON"),
        pytest.param('{"version":1,"keys":[]}', 0o600, "at least one key", id="empty"),
        pytest.param(None, 0o644, "lets others at the keys", id="too open"),
        pytest.param("ended", 0o600, "no key that mints", id="nothing mints"),
    ],
)
def test_bad_key_ring_is_refused_whole(
    content: str | None, mode: int, problem: str, local: list[str], ring_file: Path, ring: KeyRing
) -> None:
    with (
        RelayProcess(*local) as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as client,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as next_client,
    ):
        admit(client, transceiver)
        if content == "ended":
            whole = json.loads(ring_file.read_text())
            whole["keys"][0]["open_until"] = int(time.time()) - 1
            content = json.dumps(whole)
        if content is not None:
            ring_file.write_text(content)
        ring_file.chmod(mode)
        relay.process.send_signal(signal.SIGHUP)
        line = relay.log.until(lambda line: "reload" in line)
        assert "refused" in line
        assert problem in line
        assert goes_on(client, transceiver)
        admit(next_client, transceiver)


def test_workers_end_with_their_supervisor(local: list[str]) -> None:
    with RelayProcess(*local, "--workers", "2") as relay:
        workers = relay.workers
        relay.process.kill()
        relay.process.wait()
        eventually(lambda: not any(map(is_running, workers)), "orphaned workers end by themselves")


def test_nothing_forks_or_serves_beside_a_thread(local: list[str]) -> None:
    with RelayProcess(*local) as relay:
        for pid in (relay.process.pid, *relay.workers):
            assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1


def test_each_worker_keeps_to_its_cpu(local: list[str]) -> None:
    allowed = sorted(os.sched_getaffinity(0))
    with RelayProcess(*local, "--workers", f"{allowed[-1]},{allowed[0]}") as relay:
        assert [os.sched_getaffinity(worker) for worker in relay.workers] == [{allowed[-1]}, {allowed[0]}]


def two_free_ports_in_a_row() -> int:
    """The first of them, below the range the kernel chooses from."""
    for port in range(21_000, 22_000, 2):
        try:
            with Transceiver("127.0.0.1", KeyRing(()), port=port), Transceiver("127.0.0.1", KeyRing(()), port=port + 1):
                return port
        except OSError:
            continue
    raise AssertionError("no two free ports in a row")


def test_workers_take_trunk_ports_in_a_row(ring_file: Path) -> None:
    port = two_free_ports_in_a_row()
    arguments = options("127.0.0.1", f"127.0.0.1:{port}", ring_file, "127.0.0.1")
    with RelayProcess(*arguments, "--workers", "2") as relay:
        assert relay.trunks == [("127.0.0.1", port), ("127.0.0.1", port + 1)]


@pytest.fixture
def nobodys_ring(ring: KeyRing) -> Iterator[Path]:
    """A ring that the user nobody may read, in a folder of theirs."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    nobody = pwd.getpwnam("nobody")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ring.json"
        ring.save(path, is_new=True)
        for owned in (path, Path(folder)):
            os.chown(owned, nobody.pw_uid, nobody.pw_gid)
        yield path


def test_privileges_are_dropped_and_the_ring_can_still_be_reloaded(nobodys_ring: Path, ring: KeyRing) -> None:
    arguments = options("127.0.0.1", "127.0.0.1", nobodys_ring, "127.0.0.1")
    with (
        RelayProcess(*arguments, "--user", "nobody") as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as client,
    ):
        nobody = str(pwd.getpwnam("nobody").pw_uid)
        for pid in (relay.process.pid, *relay.workers):
            status = Path(f"/proc/{pid}/status").read_text()
            fields = dict(line.split(":", 1) for line in status.splitlines())
            assert set(fields["Uid"].split()) == {nobody}
            assert fields["CapEff"].strip("\t0") == ""
        client.check()
        transceiver.frames(1)
        relay.process.send_signal(signal.SIGHUP)
        relay.log.until(lambda line: " reloaded" in line)


def test_log_lines_are_json_and_tell_no_secret(local: list[str], ring: KeyRing) -> None:
    with (
        RelayProcess(*local, "--log", "json") as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as client,
    ):
        admit(client, transceiver)
        relay.process.send_signal(signal.SIGHUP)
        relay.log.until(lambda line: '"reloaded"' in line)
        relay.stop(signal.SIGINT)
        lines = [json.loads(line) for line in relay.log.seen]
        assert {"ts", "level", "msg"} <= set.intersection(*(set(line) for line in lines))
        told = [line["event"] for line in lines if line["level"] == "info"]
        assert told == ["worker_started", "reloaded", "stopping"]
        everything = "\n".join(relay.log.seen + relay.out.seen)
        secret = json.loads(ring.build())["keys"][0]["secret"]
        assert secret not in everything
        assert str(client.address[1]) not in everything
        assert client.ticket.password not in everything
