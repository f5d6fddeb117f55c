"""`fastrelay top` at work: on a real terminal, into a pipe, and as JSON."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import pytest

from fastrelay.cli.main import run
from tests.unit.relay_stand_in import Answers, served, status_document

PATIENCE_S = 20.0
SIZES = ("COLUMNS", "LINES")
COMMAND = [sys.executable, "-W", "error", "-c", "from fastrelay.cli.main import main; main()", "top"]


class Terminal:
    """A terminal of 120 by 40 with top in it, and hands to type and to resize."""

    def __init__(self, *arguments: str, kind: str = "xterm") -> None:
        self._arguments = arguments
        self._kind = kind
        self._seen = b""

    def __enter__(self) -> Self:
        self._open = [self._ours, self._theirs] = list(pty.openpty())
        self.resize(120, 40)
        self.mode_before = termios.tcgetattr(self._theirs)
        self.process = subprocess.Popen(
            [*COMMAND, *self._arguments],
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            # without those by which who runs the tests may say another size
            env={name: text for name, text in os.environ.items() if name not in SIZES} | {"TERM": self._kind},
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.close()

    def close(self) -> None:
        """Take the terminal away."""
        for descriptor in self._open:
            os.close(descriptor)
        self._open = []

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def until(self, wanted: str) -> str:
        """What was written up to and with this text, since the last time."""
        return self.when(lambda text: wanted in text, wanted)

    def when(self, matches: Callable[[str], bool], what: str) -> str:
        deadline_s = time.monotonic() + PATIENCE_S
        while not matches(self._seen.decode(errors="replace")):
            readable, _, _ = select.select([self._ours], [], [], max(deadline_s - time.monotonic(), 0))
            assert readable, f"no {what!r} in {self._seen!r}"
            self._seen += os.read(self._ours, 65_536)
        text, self._seen = self._seen.decode(errors="replace"), b""
        return text

    def end(self) -> int:
        """Its exit code; the terminal is as it was, and the view off the screen."""
        self.until("\x1b[?1049l")
        code = self.process.wait(PATIENCE_S)
        assert termios.tcgetattr(self._theirs) == self.mode_before
        return code


def test_q_quits_and_leaves_the_terminal_as_it_was() -> None:
    with served({"/status": status_document()}) as where, Terminal("--at", where) as terminal:
        terminal.until("q quit")
        terminal.type("q")
        assert terminal.end() == 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGHUP, 129)]
)
def test_a_signal_leaves_the_terminal_as_it_was(number: signal.Signals, code: int) -> None:
    with served({"/status": status_document()}) as where, Terminal("--at", where) as terminal:
        terminal.until("q quit")
        terminal.process.send_signal(number)
        assert terminal.end() == code


def test_s_sorts_p_pauses_and_arrows_do_nothing() -> None:
    with served({"/status": status_document()}) as where, Terminal("--at", where, "--every", "60") as terminal:
        terminal.until("sort calls: worst")
        terminal.type("s")
        terminal.until("sort calls: loss")
        terminal.type("p")
        terminal.until("p go on")
        terminal.type("\x1bOP")
        terminal.until("p go on")
        terminal.type("p")
        terminal.until("p pause")
        terminal.type("q")
        assert terminal.end() == 0


def test_the_view_follows_the_terminals_size() -> None:
    with served({"/status": status_document()}) as where, Terminal("--at", where, "--every", "60") as terminal:
        assert "batch" not in terminal.until("q quit")
        terminal.resize(200, 50)
        assert "batch" in terminal.until("q quit")
        terminal.type("q")
        assert terminal.end() == 0


def test_a_relay_that_goes_away_is_asked_again() -> None:
    answers: Answers = {"/status": status_document()}
    with served(answers) as where, Terminal("--at", where, "--every", "0.1") as terminal:
        terminal.until("q quit")
        answers["/status"] = (503, "{}")
        terminal.when(lambda text: "210 calls" in text.rpartition("(trying again)")[2], "the last numbers beside it")
        answers["/status"] = status_document(totals={"calls": 77})
        terminal.when(lambda text: "77 calls" in text.rpartition("q quit")[0], "77 calls")
        terminal.type("q")
        assert terminal.end() == 0


def test_count_ends_it() -> None:
    with (
        served({"/status": status_document()}) as where,
        Terminal("--at", where, "--every", "0.1", "--count", "3") as t,
    ):
        assert t.end() == 0


def test_a_terminal_on_which_nothing_can_be_placed_gets_lines() -> None:
    with served({"/status": status_document()}) as where, Terminal("--at", where, kind="dumb") as terminal:
        assert "\x1b" not in terminal.until("busiest 42%")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(PATIENCE_S) == 0


def test_a_terminal_that_is_closed_ends_it() -> None:
    with served({"/status": status_document()}) as where, Terminal("--at", where) as terminal:
        terminal.until("q quit")
        terminal.close()
        assert terminal.process.wait(PATIENCE_S) != 0


# --- without a terminal


def run_top(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(["top", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_pipe_gets_a_line_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    with served({"/status": status_document()}) as where:
        code, out, err = run_top(capsys, "--at", where, "--every", "0.1", "--count", "2")
    assert (code, err) == (0, "")
    assert [text.split()[:3] for text in out.splitlines()] == [["serving", "calls", "210"]] * 2


def test_json_is_a_document_a_line_and_tells_of_problems(capsys: pytest.CaptureFixture[str]) -> None:
    documents: list[Any] = [status_document(surprise=1), (503, "{}"), status_document(totals={"calls": 3})]
    answers: Answers = {"/status": lambda _: documents.pop(0)}
    with served(answers) as where:
        code, out, _ = run_top(capsys, "--at", where, "--every", "0.1", "--count", "3", "--json")
    first, second, third = map(json.loads, out.splitlines())
    assert code == 0
    assert first["surprise"] == 1, "nothing of the document is lost"
    assert "503" in second["problem"]
    assert third["totals"]["calls"] == 3


def test_once_prints_a_whole_screen(capsys: pytest.CaptureFixture[str]) -> None:
    with served({"/status": status_document()}) as where:
        code, out, _ = run_top(capsys, "--at", where, "--once")
    assert code == 0
    assert out.splitlines()[0].startswith("fastrelay 0.2.0 · serving")
    assert "TOKEN_EXPIRED" in out
    assert "q quit" not in out


def test_a_relay_that_never_answered_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with served({}) as where:
        code, out, err = run_top(capsys, "--at", where)
    assert (code, out) == (1, "")
    assert "404: there is nothing at this path" in err


def test_ctrl_c_ends_the_lines_well(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    with served({"/status": status_document()}) as where:
        code, out, _ = run_top(capsys, "--at", where)
    assert code == 0
    assert len(out.splitlines()) == 1


def test_the_place_may_come_from_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with served({"/status": status_document()}) as where:
        monkeypatch.setenv("FASTRELAY_AT", where)
        assert run_top(capsys, "--once")[0] == 0


def test_the_command_line_stays_light() -> None:
    """A relay is a command line, too. numpy's library starts threads when it is loaded, and the supervisor has to fork
    without any; asyncio would only be carried along."""
    code = "import sys, fastrelay.cli.main; print(*({'numpy', 'asyncio'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "\n"
