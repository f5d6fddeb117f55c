"""A process of ours: started with a plan, reporting a line of JSON now and then, ended by a second line.

Lives here: both halves of that. The plan travels over standard input, because it holds keys and a command line can be
read by everyone. Must not live here: what a process does.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from types import TracebackType
from typing import Any, Self

from fastrelay.errors import ConfigError, PeerError

START_PATIENCE_S = 10.0
STOP_PATIENCE_S = 3.0
_PIECE_BYTES = 65_536

Report = dict[str, Any]


class Child:
    """The parent's half. Enter it; leaving it ends the process. `report` is the last one that has come."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._unread = b""
        self.report: Report = {}

    def __enter__(self) -> Self:
        # a session of its own: Ctrl-C is for us, and we end our children in order
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {self._module} import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, plan: Report) -> None:
        """Hand over the plan; nothing is waited for."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(plan).encode() + b"\n")

    def wait_for_report(self) -> Report:
        """The first report. ConfigError for what the process cannot use, PeerError when it ends before or is silent."""
        deadline_s = time.monotonic() + START_PATIENCE_S
        while not self.report:
            if not self._read(max(deadline_s - time.monotonic(), 0)):
                raise PeerError(f"{self._module} did not start")
        if "problem" in self.report:
            raise ConfigError(self.report["key"], self.report["problem"])
        return self.report

    def refresh(self) -> bool:
        """Take in what has been reported; tells whether the process still runs."""
        while self._read(0):
            pass
        return self._process.poll() is None

    def stop(self) -> Report:
        """End the process and return its last report."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if not self._process.stdin.closed:
            with suppress(BrokenPipeError):  # it has ended by itself
                # end of file alone would not arrive: workers that were forked since hold the pipe as well
                self._process.stdin.write(b"\n")
            self._process.stdin.close()
        deadline_s = time.monotonic() + STOP_PATIENCE_S
        if not self._process.stdout.closed:
            while self._read(max(deadline_s - time.monotonic(), 0)):
                pass
            self._process.stdout.close()
        try:
            self._process.wait(max(deadline_s - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        return self.report

    def _read(self, patience_s: float) -> bool:
        """Whether something came within that time."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], patience_s)[0]:
            return False
        piece = os.read(self._process.stdout.fileno(), _PIECE_BYTES)
        *lines, self._unread = (self._unread + piece).split(b"\n")
        for line in lines:
            self.report = json.loads(line)
        return bool(piece)


def take_plan() -> Report:
    """The child's half, at its start. Ctrl-C is not for it: the parent gives the order to stop."""
    # the parent may have blocked signals for itself, and a mask is inherited
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # unbuffered: what is read ahead could not be waited for afterwards
    plan: Report = json.loads(FileIO(0, closefd=False).readline() or b"{}")
    if not plan:
        sys.exit(0)  # the parent ended before it had one
    return plan


@contextmanager
def reporting_problems() -> Iterator[None]:
    """What cannot be used is the parent's to tell."""
    try:
        yield
    except ConfigError as error:
        send_report({"key": error.key, "problem": error.problem})


def is_stopping() -> bool:
    """Whether the parent has given the order to stop, or has died."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


def send_report(report: Report) -> None:
    """A parent that is gone reads nothing any more; the next look at standard input says so."""
    try:
        sys.stdout.write(json.dumps(report) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os._exit(0)  # nothing to unwind that the kernel does not close
