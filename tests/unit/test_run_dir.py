"""The run directory: one supervisor's at a time, and where its orphans are found."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fastrelay.errors import ConfigError
from fastrelay.service.run_dir import RunDir

HOLDER = """
import sys
from pathlib import Path
from fastrelay.service.run_dir import RunDir
directory = RunDir.make(Path(sys.argv[1]), None)
directory.lock()
print("held", flush=True)
sys.stdin.read()
"""


def test_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    RunDir.make(tmp_path / "a" / "b", None)
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_second_supervisor_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match=rf"fastrelay runs in .* already \(pid {holder.pid}\)"):
            RunDir(tmp_path).lock()
        assert (tmp_path / "lock").read_text() == f"{holder.pid}\n"
    directory = RunDir(tmp_path)
    directory.lock()  # the holder is gone, and its lock with it
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    directory.unlock()


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_place_that_cannot_be_a_directory_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="--run-dir: cannot make"):
        RunDir.make(tmp_path / name, None)


def test_path_too_long_for_a_socket_is_told(tmp_path: Path) -> None:
    directory = RunDir.make(tmp_path / ("x" * 100), None)
    with pytest.raises(ConfigError, match=r"--run-dir: cannot make .*path too long"):
        directory.listen_for_adoption(0)


def test_orphans_are_found_and_the_sockets_of_the_dead_removed(tmp_path: Path) -> None:
    directory = RunDir.make(tmp_path, None)
    with directory.listen_for_adoption(0) as living:
        directory.listen_for_adoption(1).close()
        orphans = directory.orphans()
        assert len(orphans) == 1
        with living.accept()[0]:
            assert orphans[0].getpeername() == living.getsockname()
        orphans[0].close()
    assert [path.name for path in tmp_path.iterdir()] == ["worker-0.sock"]


def test_new_socket_takes_the_place_of_an_old_one(tmp_path: Path) -> None:
    directory = RunDir.make(tmp_path, None)
    with directory.listen_for_admin(), directory.listen_for_admin() as second:
        assert (tmp_path / "admin.sock").stat().st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as visitor:
            visitor.connect(str(tmp_path / "admin.sock"))
            second.accept()[0].close()


def test_service_that_ends_on_purpose_leaves_nothing_behind(tmp_path: Path) -> None:
    directory = RunDir.make(tmp_path, None)
    directory.lock()
    with directory.listen_for_admin(), directory.listen_for_adoption(0):
        directory.clear()
        directory.unlock()
    assert list(tmp_path.iterdir()) == []
