"""A process that holds a run directory's lock as a supervisor does, and tells which signals reach it.

Lives here: that process, and ending it. Must not live here: what a relay does on a signal (the test plays that).
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

_PROGRAM = """
import fcntl, os, signal, sys
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
os.write(lock, (sys.argv[2] or str(os.getpid())).encode() + b"\\n")
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
    signal.signal(number, lambda number, frame: os.write(1, bytes([number])))
os.write(1, b"\\0")
sys.stdin.read()
"""


class SupervisorStandIn:
    """Enter it: the lock is held. `says` is written into the lock in place of its own process id."""

    def __init__(self, run_dir: Path, says: str = "") -> None:
        self._lock = run_dir / "lock"
        self._says = says
        self._signals: list[signal.Signals] = []

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-E", "-c", _PROGRAM, str(self._lock), self._says],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.read(1) == b"\0"
        os.set_blocking(self.process.stdout.fileno(), False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def signals(self) -> list[signal.Signals]:
        """Those that have arrived, in order."""
        assert self.process.stdout is not None
        self._signals += map(signal.Signals, self.process.stdout.read() or b"")
        return self._signals

    def wait_for_signals(self) -> list[signal.Signals]:
        """Those that have arrived, at least one of them new."""
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], 20)
        assert readable, "no signal in 20 s"
        return self.signals

    def end(self) -> None:
        """Let it go, with its lock."""
        assert self.process.stdin is not None
        if not self.process.stdin.closed:
            self.process.stdin.close()
        self.process.wait()
