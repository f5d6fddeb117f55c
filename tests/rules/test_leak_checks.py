"""The checks of tests/conftest.py catch what they promise to catch."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"

LEAKS = {
    "socket": "import socket\nkept = []\ndef test_it(): kept.append(socket.socket())",
    "pipe": "import os\ndef test_it(): os.pipe()",
    "memory page": "import os\ndef test_it(): os.memfd_create('page')",
    "thread": (
        "import threading\nstop = threading.Event()\n"
        "def test_it(): threading.Thread(target=stop.wait, args=(5,), daemon=True).start()"
    ),
    "child process": "import subprocess\nkept = []\ndef test_it(): kept.append(subprocess.Popen(['sleep', '3']))",
    "task": (
        "import asyncio\nkept = []\ndef test_it():\n"
        "    loop = asyncio.new_event_loop()\n"
        "    kept.append(loop.create_task(asyncio.sleep(0)))\n"
        "    loop.close()"
    ),
}
CLEAN = """
import asyncio, socket, subprocess, sys, threading
def test_it():
    with socket.socket(): pass
    asyncio.run(asyncio.sleep(0))
    subprocess.run([sys.executable, "-c", ""], check=True)
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
"""
SKIPS = {
    "skip call": "import pytest\ndef test_it(): pytest.skip('not today')",
    "skip mark": "import pytest\n@pytest.mark.skip(reason='not today')\ndef test_it(): pass",
    "import or skip": "import pytest\npytest.importorskip('no_such_module_anywhere')\ndef test_it(): pass",
}


def run_suite(folder: Path, source: str, *, ci: bool) -> "subprocess.CompletedProcess[str]":
    shutil.copy(CONFTEST, folder / "conftest.py")
    (folder / "test_sample.py").write_text(source)
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | ({"CI": "true"} if ci else {})
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)


@pytest.mark.parametrize("what", LEAKS)
def test_leak_fails_the_test_that_left_it(tmp_path: Path, what: str) -> None:
    outcome = run_suite(tmp_path, LEAKS[what], ci=False)
    assert outcome.returncode == 1, outcome.stdout
    assert "left behind by this test" in outcome.stdout


def test_clean_test_passes(tmp_path: Path) -> None:
    outcome = run_suite(tmp_path, CLEAN, ci=True)
    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.parametrize("how", SKIPS)
def test_skip_fails_in_ci(tmp_path: Path, how: str) -> None:
    outcome = run_suite(tmp_path, SKIPS[how], ci=True)
    assert outcome.returncode in {1, 2}, outcome.stdout
    assert "CI does not accept" in outcome.stdout


def test_skip_is_allowed_at_a_desk(tmp_path: Path) -> None:
    assert run_suite(tmp_path, SKIPS["skip call"], ci=False).returncode == 0
