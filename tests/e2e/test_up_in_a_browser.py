"""`fastrelay up`, as someone meets it who has just installed fastrelay: one command, one address, and one talks."""

import os
import re
import signal
import subprocess
from pathlib import Path

from tests.e2e.chromium import Chromium
from tests.e2e.demo_page import DemoPage
from tests.live.process import COMMAND, Lines

SECOND_OF_PACKETS = 50
END_S = 20.0


def test_one_command_and_one_address_are_enough_to_talk(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "up", "--http", "127.0.0.1:0"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            told = Lines(process.stdout.fileno()).until(lambda line: "http://" in line)
            address = re.search(r"http://[\d.]+:\d+", told)
            assert address is not None, told
            with Chromium(tmp_path / "profile") as browser:
                page = DemoPage(browser, address[0])
                page.open()
                page.call()
                before, after = page.hear_on(2 * SECOND_OF_PACKETS)
                assert after.energy > before.energy
                assert after.lost == 0
                page.hang_up()
                assert browser.complaints() == []
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.communicate(timeout=END_S)
        assert process.returncode == 0
