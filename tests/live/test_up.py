"""`fastrelay up` says where to talk, carries a real call, shows it, and ends together."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fastrelay.cli import up
from fastrelay.cli.demo.child import Child
from fastrelay.errors import PeerError
from tests.e2e.aiortc_client import caller
from tests.live.ends import eventually
from tests.live.process import COMMAND, START_PATIENCE_S, Lines, children, is_running
from tests.live.transceiver import ask

FREE = "127.0.0.1:0"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, "up", *arguments], capture_output=True, text=True, check=False, timeout=120)


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], Lines, str]]:
    """The process, its lines, and the page it tells to open."""
    command = [*COMMAND, "up", "--http", FREE, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        out = Lines(process.stdout.fileno())
        try:
            told = re.fullmatch(
                r"open (http://127\.0\.0\.1:\d+)/ and talk", out.until(lambda _: True, patience_s=START_PATIENCE_S)
            )
            assert told, out.seen
            yield process, out, told[1]
        finally:
            process.kill()


def test_page_is_served_and_a_call_is_carried_shown_and_summed_up() -> None:
    async def call(url: str, out: Lines) -> None:
        async with caller(url) as made:
            await made.call()
            await made.ear.until(frames=50)
            for pattern in (
                r"serving  calls 1  flows [12]  up [\d.,]+/s .*",
                r"agent   1 call, hears [\d.]+/s, says [\d.]+/s",
            ):
                await asyncio.to_thread(out.until, re.compile(pattern).fullmatch)

    with running() as (process, out, url):
        assert "<!doctype html>" in ask(f"{url}/").text.lower()
        asyncio.run(call(url, out))
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0
        lines = out.rest()
        assert any(re.match(r"flows   created [12], confirmed [12]", line) for line in lines)
        outcome = re.fullmatch(r"agent   1 call, heard ([\d,]+) packets, said ([\d,]+)", lines[-1])
        assert outcome, lines[-1]
        assert min(int(each.replace(",", "")) for each in outcome.groups()) >= 50


def test_it_ends_after_its_time() -> None:
    done = run("--http", FREE, "--seconds", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "agent   0 calls, heard 0 packets, said 0"


def test_parts_end_when_their_parent_is_killed() -> None:
    with running() as (process, out, _):
        out.until(lambda line: line.startswith("agent"))
        family = children(process.pid)
        assert len(family) == 2, "a relay and a transceiver"
        process.kill()
        process.wait(10)
        eventually(lambda: not any(is_running(pid) for pid in family), "both have ended")


def test_help_has_an_example() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "fastrelay up --agent parrot:parrot" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--seconds", "0"), "--seconds"),
        (("--seconds", "soon"), "--seconds"),
        (("--http", "here"), "--http"),
        (("--http", "0.0.0.0:8080"), "name one of this machine's"),
        (("--http", FREE, "--agent", "not_there:agent"), "--agent: not_there: No module named 'not_there'"),
    ],
)
def test_bad_argument_is_refused(arguments: tuple[str, ...], says: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_relay_is_at_the_machines_own_address_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert up._relay_addresses("192.0.2.7") == ["192.0.2.7"], "where one was asked for"
    first, *own = up._relay_addresses("127.0.0.1")
    assert first == "127.0.0.1"
    assert not [ip for ip in own if ipaddress.ip_address(ip).is_loopback]
    monkeypatch.setattr(up, "ELSEWHERE", ("255.255.255.255", 9))  # refused, as everywhere without a network
    assert up._relay_addresses("127.0.0.1") == ["127.0.0.1"]


def test_port_that_is_taken_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("--http", where)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == f"fastrelay: --http: cannot open {where}: Address already in use"


# --- its children


def test_process_that_cannot_start_is_reported() -> None:
    with Child("fastrelay.cli.demo.relay") as child:
        child.start({"ring": "not a ring"})
        with pytest.raises(PeerError, match="did not start"):
            child.wait_for_report()
