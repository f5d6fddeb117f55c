"""The unit's SystemCallFilter= lets through every system call that a relay makes in its life."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from fastrelay.routing.keys import KeyRing

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "systemd" / "fastrelay-relay.service"
COMMAND = Path(sys.executable).with_name("fastrelay")
PATIENCE_S = 30.0


@cache
def calls(name: str) -> frozenset[str]:
    """Return the system calls of a set, as this machine's systemd knows it."""
    done = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
    members = {line.strip() for line in done.stdout.splitlines()[1:] if line.strip() and "#" not in line}
    return frozenset().union(*(calls(each) if each.startswith("@") else {each} for each in members))


def allowed() -> frozenset[str]:
    """Return what the unit's lines leave, each adding to those before it or taking from them."""
    left: frozenset[str] = frozenset()
    for line in re.findall(r"^SystemCallFilter=(.+)$", UNIT.read_text(), re.MULTILINE):
        named = frozenset().union(*(calls(name) for name in line.removeprefix("~").split()))
        left = left - named if line.startswith("~") else left | named
    return left


@contextmanager
def traced_relay(folder: Path) -> Iterator[int]:
    """A relay under strace, which counts its calls into `calls`. It drops one packet. Yields the relay's process id."""
    KeyRing.new(now_s=1).save(folder / "keys.json", is_new=True)
    options = (
        "--listen=127.0.0.1:0",
        "--trunk=127.0.0.1:0",
        "--allow=127.0.0.0/8",
        "--admin=127.0.0.1:0",
        "--workers=2",
    )
    command = [str(COMMAND), "relay", *options, f"--keys={folder / 'keys.json'}", f"--run-dir={folder / 'run'}"]
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
        ready = re.match(rb"ready: clients ([\d.]+):(\d+) ", process.stdout.readline())
        assert ready is not None, (folder / "log").read_text()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"anything", (ready[1].decode(), int(ready[2])))
        pid = int((folder / "run" / "lock").read_text())
        try:
            yield pid
            assert process.wait(PATIENCE_S) == 0, (folder / "log").read_text()
        finally:
            if process.poll() is None:
                os.kill(pid, signal.SIGINT)


def test_filter_allows_every_call_of_a_relay(tmp_path: Path) -> None:
    with traced_relay(tmp_path) as pid:
        reloaded = subprocess.run([COMMAND, "reload", "--at", tmp_path / "run"], capture_output=True, check=False)
        assert reloaded.returncode == 0, reloaded.stderr
        os.kill(pid, signal.SIGTERM)
    made = set(re.findall(r"^ *(\w+)$", (tmp_path / "calls").read_text(), re.MULTILINE)) - {"syscall", "total"}
    assert {"recvmmsg", "sched_setaffinity", "memfd_create"} <= made
    assert made - allowed() == set()


def test_filter_refuses_what_a_relay_has_no_business_with() -> None:
    assert (
        allowed() & {"mount", "bpf", "ptrace", "reboot", "init_module", "setuid", "chroot", "perf_event_open"} == set()
    )
