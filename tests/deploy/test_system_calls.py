"""The units' SystemCallFilter= lets through every system call that a relay or a transceiver makes in its life."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from http.client import HTTPConnection
from pathlib import Path

import pytest

from fastrelay.routing.keys import KeyRing
from tests import offers

ROOT = Path(__file__).parents[2]
SYSTEMD = ROOT / "deploy" / "systemd"
TIERS = ("relay", "transceiver")
COMMAND = Path(sys.executable).with_name("fastrelay")
PATIENCE_S = 30.0


@cache
def calls(name: str) -> frozenset[str]:
    """Return the system calls of a set, as this machine's systemd knows it."""
    done = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
    members = {line.strip() for line in done.stdout.splitlines()[1:] if line.strip() and "#" not in line}
    return frozenset().union(*(calls(each) if each.startswith("@") else {each} for each in members))


def allowed(tier: str) -> frozenset[str]:
    """Return what the lines of a unit leave, each adding to those before it or taking from them."""
    left: frozenset[str] = frozenset()
    for line in re.findall(
        r"^SystemCallFilter=(.+)$", (SYSTEMD / f"fastrelay-{tier}.service").read_text(), re.MULTILINE
    ):
        named = frozenset().union(*(calls(name) for name in line.removeprefix("~").split()))
        left = left - named if line.startswith("~") else left | named
    return left


OPTIONS = {
    "relay": ("--listen=127.0.0.1:0", "--trunk=127.0.0.1:0", "--allow=127.0.0.0/8"),
    "transceiver": ("--http=127.0.0.1:0", "--trunk=127.0.0.1", "--relay=127.0.0.1:3478", "--allow=127.0.0.0/8"),
}
READY = {"relay": rb"ready: clients ([\d.]+):(\d+) ", "transceiver": rb"ready: http http://([\d.]+):(\d+) "}


def send_packet(ip: str, port: int) -> None:
    """To a relay, which drops it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"anything", (ip, port))


def make_call(ip: str, port: int) -> None:
    """At a transceiver, and hang up again."""
    with closing(HTTPConnection(ip, port, timeout=PATIENCE_S)) as connection:
        headers = {"Content-Type": "application/sdp"}
        connection.request("POST", "/v1/realtime/calls", body=offers.load("chrome156"), headers=headers)
        with connection.getresponse() as response:
            assert response.status == 201, response.read()
            location = response.headers["Location"]
            response.read()
        connection.request("DELETE", f"/v1/realtime/calls/{location.rpartition('/')[2]}")
        with connection.getresponse() as response:
            assert response.status in (200, 204)


USE = {"relay": send_packet, "transceiver": make_call}


@contextmanager
def traced(tier: str, folder: Path) -> Iterator[int]:
    """One under strace, which counts its calls into `calls`; it is used once. Yields the supervisor's process id."""
    KeyRing.new(now_s=1).save(folder / "keys.json", is_new=True)
    options = (*OPTIONS[tier], "--admin=127.0.0.1:0", "--workers=2")
    command = [str(COMMAND), tier, *options, f"--keys={folder / 'keys.json'}", f"--run-dir={folder / 'run'}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["strace", "-f", "-c", "-U", "name", "-o", str(folder / "calls"), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env={name: value for name, value in os.environ.items() if not name.startswith("FASTRELAY_")},
        )
    with process:
        assert process.stdout is not None
        ready = re.match(READY[tier], process.stdout.readline())
        assert ready is not None, (folder / "log").read_text()
        pid = int((folder / "run" / "lock").read_text())
        try:
            USE[tier](ready[1].decode(), int(ready[2]))
            yield pid
            assert process.wait(PATIENCE_S) == 0, (folder / "log").read_text()
        finally:
            if process.poll() is None:
                os.kill(pid, signal.SIGINT)


@pytest.mark.parametrize(
    ("tier", "known"),
    [
        ("relay", {"recvmmsg", "sched_setaffinity", "memfd_create"}),
        ("transceiver", {"accept4", "sched_setaffinity", "pidfd_open", "prlimit64"}),
    ],
)
def test_filter_allows_every_call_that_is_made(tmp_path: Path, tier: str, known: set[str]) -> None:
    with traced(tier, tmp_path) as pid:
        for order in ("reload", "upgrade") if tier == "transceiver" else ("reload",):
            obeyed = subprocess.run([COMMAND, order, "--at", tmp_path / "run"], capture_output=True, check=False)
            assert obeyed.returncode == 0, obeyed.stderr
        os.kill(pid, signal.SIGTERM)
    made = set(re.findall(r"^ *(\w+)$", (tmp_path / "calls").read_text(), re.MULTILINE)) - {"syscall", "total"}
    assert known <= made
    assert made - allowed(tier) == set()


@pytest.mark.parametrize("tier", TIERS)
def test_filter_refuses_what_one_has_no_business_with(tier: str) -> None:
    forbidden = {"mount", "bpf", "ptrace", "reboot", "init_module", "setuid", "chroot", "perf_event_open"}
    assert allowed(tier) & forbidden == set()
