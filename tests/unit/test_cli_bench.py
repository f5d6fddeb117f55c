"""`fastrelay bench` finds a checkout and becomes its harness; where there is none it says what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.report.files import write_run
from fastrelay.cli.bench import HARNESS, PYTHON, REPORT, find_checkout
from fastrelay.errors import ConfigError
from tests.unit.bench_runs import a_run

ECHO = "import json, os, sys\nprint(json.dumps([os.getcwd(), *sys.argv[1:]]))\nsys.exit(7)\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A stand-in whose harness says how it was called."""
    folder = tmp_path / "checkout"
    for path in (HARNESS, REPORT):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(ECHO)
    (folder / PYTHON).parent.mkdir(parents=True)
    (folder / PYTHON).symlink_to(sys.executable)
    return folder


def fastrelay(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from fastrelay.cli.main import main; main()", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "handed_over"),
    [
        pytest.param(["relay"], ["--part", "relay"], id="a part"),
        pytest.param(["calls", "--short"], ["--part", "calls", "--short"], id="a short one"),
        pytest.param(
            ["peers", "--out", "there"], ["--part", "peers", "--out", "CWD/there"], id="a folder of the caller's"
        ),
        pytest.param(["relay", "--only", "hop"], ["--only", "hop"], id="one scenario"),
        pytest.param(["list"], ["--list"], id="names"),
        pytest.param(["peers", "--full"], ["--part", "peers", "--full"], id="a full one"),
        pytest.param(["compare", "a.json", "b.json"], ["compare", "CWD/a.json", "CWD/b.json"], id="the caller's files"),
        pytest.param(
            ["compare", "a", "b", "--margin", "0.1"],
            ["compare", "CWD/a", "CWD/b", "--margin", "0.1"],
            id="another margin",
        ),
    ],
)
def test_the_harness_of_the_checkout_takes_over(
    checkout: Path, tmp_path: Path, arguments: list[str], handed_over: list[str]
) -> None:
    done = fastrelay(*arguments, "--checkout", str(checkout), cwd=tmp_path)
    assert done.returncode == 7
    assert json.loads(done.stdout) == [str(checkout), *(each.replace("CWD", str(tmp_path)) for each in handed_over)]


def test_what_is_no_checkout_is_refused(tmp_path: Path) -> None:
    done = fastrelay("relay", "--checkout", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 2
    assert "is no checkout of fastrelay" in done.stderr


def test_a_checkout_that_is_not_set_up_is_refused(checkout: Path) -> None:
    (checkout / PYTHON).unlink()
    with pytest.raises(ConfigError, match="make setup"):
        find_checkout(checkout, HARNESS)


def test_an_installed_package_looks_in_the_current_folder_and_above(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastrelay.__file__", str(tmp_path / "lib" / "site-packages" / "fastrelay" / "__init__.py"))
    monkeypatch.chdir(checkout / "bench")
    assert find_checkout(None, HARNESS) == (checkout, checkout / PYTHON)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="not in the package"):
        find_checkout(None, HARNESS)


def test_runs_are_compared_from_anywhere(tmp_path: Path) -> None:
    write_run(a_run(1), tmp_path / "a.json")
    write_run(a_run(2, slower=1.2), tmp_path / "b.json")
    done = fastrelay("compare", "a.json", "b.json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "slower" in done.stdout
    (tmp_path / "b.json").write_text("{}")
    done = fastrelay("compare", "a.json", "b.json", cwd=tmp_path)
    assert done.returncode == 2
    assert "not a run of these benchmarks" in done.stderr
