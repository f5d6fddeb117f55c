"""A relay that cannot start says why in one line and leaves nothing: no process, no socket, no file."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from fastrelay.routing import KeyRing
from tests.live.ends import PATIENCE_S, CallingClient, Transceiver, admit
from tests.live.process import COMMAND, RelayProcess, options, session
from tests.load.operated import OperatedRelay

CONFIGURATION = 2
PORT = 23_478
"""Below the range the kernel chooses from, so that it can be tried again afterwards."""


@dataclass(frozen=True, slots=True)
class Refusal:
    code: int
    line: str


def refused(arguments: Sequence[str], run_dir: Path | None, *, before: Sequence[str] = ()) -> Refusal:
    """Run the command to its end, and see that nothing of it is left."""
    process = subprocess.Popen(
        [*before, *COMMAND, "relay", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed, said = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)
        raise
    assert session(process.pid) == [], "no process is left"
    assert printed == "", "it was never ready"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", PORT))
    if run_dir is not None and run_dir.is_dir():
        assert list(run_dir.iterdir()) == [], "no file is left"
    problems = [line for line in said.splitlines() if line.startswith("fastrelay: ")]
    assert len(problems) == 1, said
    assert "Traceback" not in said
    return Refusal(process.returncode, problems[0])


def arguments(ring_file: Path, run_dir: Path | None, *more: str) -> list[str]:
    chosen = options("127.0.0.1", "127.0.0.1", ring_file, "127.0.0.0/8")
    chosen[1] = f"127.0.0.1:{PORT}"
    at = [] if run_dir is None else ["--run-dir", str(run_dir)]
    return [*chosen, "--workers", "2", *at, *more]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


def test_admin_port_that_is_taken(ring_file: Path, run_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = refused(arguments(ring_file, run_dir, "--admin", f"127.0.0.1:{port}"), run_dir)
    assert found == Refusal(CONFIGURATION, f"fastrelay: --admin: cannot open 127.0.0.1:{port}: Address already in use")


@pytest.mark.parametrize(
    ("option", "address"),
    [
        pytest.param("--listen", "192.0.2.1:3478", id="listen"),
        pytest.param("--admin", "192.0.2.1:9464", id="admin"),
        pytest.param("--trunk", "192.0.2.1", id="trunk"),
    ],
)
def test_address_that_this_host_has_not(option: str, address: str, ring_file: Path, run_dir: Path) -> None:
    found = refused(arguments(ring_file, run_dir, option, address), run_dir)
    assert found.code == CONFIGURATION
    assert found.line.startswith(f"fastrelay: {option}: cannot open {address}")
    assert "Cannot assign requested address" in found.line


def test_keys_that_cannot_be_read(tmp_path: Path, run_dir: Path) -> None:
    absent = tmp_path / "absent.json"
    found = refused(arguments(absent, run_dir), run_dir)
    assert found.code == CONFIGURATION
    assert "absent.json: No such file" in found.line


def test_keys_that_others_may_read(ring_file: Path, run_dir: Path) -> None:
    ring_file.chmod(0o644)
    found = refused(arguments(ring_file, run_dir), run_dir)
    assert found.code == CONFIGURATION
    assert "lets others at the keys" in found.line


def test_run_directory_that_cannot_be_made(ring_file: Path, tmp_path: Path) -> None:
    found = refused(arguments(ring_file, ring_file / "run"), None)
    assert found.code == CONFIGURATION
    assert found.line.startswith(f"fastrelay: --run-dir: cannot make {ring_file}/run")


def test_run_directory_of_a_running_relay(ring_file: Path, tmp_path: Path) -> None:
    with OperatedRelay(tmp_path, ring_file) as relay:
        found = refused(arguments(ring_file, relay.run_dir), None)
        assert found.code == CONFIGURATION
        assert f"fastrelay runs in {relay.run_dir} already (pid {relay.process.pid})" in found.line
        assert relay.ask("/readyz").code == 200


def test_page_larger_than_the_memory_it_may_have(ring_file: Path, run_dir: Path) -> None:
    """A shared page counts as a file: its size is what this limit bounds."""
    limited = ["prlimit", f"--fsize={1 << 20}"]
    found = refused(arguments(ring_file, run_dir), run_dir, before=limited)
    assert found.code == CONFIGURATION
    assert found.line.startswith("fastrelay: --flows: no memory for a page of ")


def test_more_flows_than_a_page_can_hold(ring_file: Path, run_dir: Path) -> None:
    found = refused(arguments(ring_file, run_dir, "--flows", str(1 << 24)), run_dir)
    assert found.code == CONFIGURATION
    assert "--flows" in found.line


def own_mounts() -> list[str]:
    """How to run a command that may mount: by right, or as the root of a user namespace."""
    by_right = ["unshare", "--mount"]
    may = subprocess.run([*by_right, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0
    return by_right if may else ["unshare", "--user", "--map-root-user", "--mount"]


def test_disk_that_is_full(ring_file: Path, tmp_path: Path) -> None:
    """The run directory cannot take so much as a process id."""
    full = tmp_path / "full"
    full.mkdir()
    script = 'mount -t tmpfs -o size=4k none "$0" && { head -c 4096 /dev/zero >"$0/ballast"; exec "$@"; }'
    found = refused(arguments(ring_file, full), None, before=[*own_mounts(), "sh", "-c", script, str(full)])
    assert found.code == CONFIGURATION
    assert f"cannot write in {full}: No space left on device" in found.line


def test_log_that_cannot_be_written_stops_nothing(ring_file: Path, ring: KeyRing) -> None:
    """A full disk under the log is the log's trouble."""
    base = [*options("127.0.0.1", "127.0.0.1", ring_file, "127.0.0.0/8"), "--workers", "1"]
    with (
        RelayProcess(*base, command=["sh", "-c", 'exec "$@" 2>/dev/full', "sh", *COMMAND]) as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
    ):
        for _ in range(2):
            with CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as client:
                admit(client, transceiver)
            relay.process.send_signal(signal.SIGHUP)
        victim = relay.workers[0]
        os.kill(victim, signal.SIGKILL)
        with CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as client:
            admit(client, transceiver)
