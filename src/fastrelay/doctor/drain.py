"""The drain: pause a process, queue packets in its socket, let it empty the queue, divide its CPU time by the packets.

Lives here: the process that is measured and one drain of it. No race with a sender, batches are full, and what else the
machine does costs time but none of this process's CPU. Must not live here: what the packets are (traffic), what the
figures mean (capacity).
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from fastrelay.errors import WorkerError

POLL_S: Final = 0.0005
SETTLE_S: Final = 1.0
"""A queue that is not empty by then, or a process that does not stop: no measurement is possible here."""


class Subject:
    """A process with inherited descriptors that says "ready". Leave the block and it is gone."""

    def __init__(self, setup: Mapping[str, object], descriptors: tuple[int, ...]) -> None:
        self._line = json.dumps({**setup, "parent": os.getpid()}).encode() + b"\n"
        self._descriptors = descriptors

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fastrelay.doctor.subject"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=self._descriptors,
            bufsize=0,
        )
        self.pid = self._process.pid
        with ExitStack() as undo:
            undo.callback(self._end)
            assert self._process.stdin is not None
            self._process.stdin.write(self._line)
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()

    def wait_until_ready(self, deadline_s: float) -> None:
        """WorkerError, with what the process said last, when it is not by then."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        readable, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline_s - time.monotonic()))
        if not readable:
            raise WorkerError("the process to be measured did not start in time; the machine is too busy")
        if self._process.stdout.read(64) != b"ready\n":
            complaints = self._process.stderr.read().decode(errors="replace").strip().splitlines()
            raise WorkerError(f"the process to be measured ended: {complaints[-1] if complaints else 'without a word'}")

    @property
    def cpu_ns(self) -> int:
        """CPU time of all its threads; exact while it is paused."""
        # the clock that clock_getcpuclockid(3) returns: the kernel's own account, in nanoseconds
        return time.clock_gettime_ns(~self.pid << 3 | 2)

    def pause(self) -> None:
        """Stops it, and returns when it has left its CPU."""
        os.kill(self.pid, signal.SIGSTOP)
        self._wait(lambda: self._state == "T", "does not stop")

    def resume(self) -> None:
        """Lets it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def wait_until_idle(self, is_done: Callable[[], bool]) -> None:
        """Returns when the work is done and the process sleeps; WorkerError when that does not come."""
        self._wait(lambda: is_done() and self._state == "S", "does not empty its queue")

    @property
    def _state(self) -> str:
        # the name before the state may hold spaces and brackets: cut behind its last bracket
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def _wait(self, is_over: Callable[[], bool], complaint: str) -> None:
        deadline_s = time.monotonic() + SETTLE_S
        while not is_over():
            if self._process.poll() is not None:
                raise WorkerError("the process that was measured has died")
            if time.monotonic() > deadline_s:
                raise WorkerError(f"the process that is measured {complaint}")
            time.sleep(POLL_S)


def drain(subject: Subject, fill: Callable[[], int], handled: Callable[[], int]) -> tuple[int, int]:
    """Packets and nanoseconds of CPU of one drain; the subject is left paused. `handled` counts since its start."""
    subject.pause()
    before = handled()
    filled = fill()
    cpu_ns = subject.cpu_ns
    subject.resume()
    subject.wait_until_idle(lambda: handled() - before >= filled)
    subject.pause()
    return filled, subject.cpu_ns - cpu_ns
