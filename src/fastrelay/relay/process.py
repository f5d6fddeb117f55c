"""A worker's process as its supervisor sees it: orders out, answers in, and whether it still lives.

Lives here: forking one, asking it, ending it. Must not live here: what the process does (worker), when it is replaced
(crew). The process may be a child, or an orphan that was adopted; both are watched through a pidfd.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from fastrelay.errors import PeerError
from fastrelay.io.channel import Channel
from fastrelay.relay.worker import WorkerPlan, become_worker

STOP_PATIENCE_S = 2.0
UNKNOWN_END = "unknown"
"""Of an adopted worker: it is another's child, and only a parent is told."""
ANSWER_PATIENCE_S = 0.5
"""A worker answers within a slice of its loop."""


class WorkerProcess:
    """One worker's process. Closing the channel makes it an orphan, or ends it where nobody could adopt it."""

    def __init__(self, index: int, pid: int, channel: Channel) -> None:
        self.index = index
        self.pid = pid
        self.channel = channel
        self.last_end: str | None = None
        self._pidfd: int | None
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._pidfd = None

    @classmethod
    def fork(cls, plan: WorkerPlan) -> WorkerProcess:
        """A worker, which serves as soon as its predecessor has ended."""
        ours, theirs = Channel.pair()
        pid = os.fork()
        if pid == 0:
            become_worker(plan, theirs)
        theirs.close()
        return cls(plan.index, pid, ours)

    # --- orders

    def tell(self, order: str, descriptors: Sequence[int] = (), **values: Any) -> bool:
        """Give an order; whether it was taken from us."""
        body: Mapping[str, Any] = {"order": order, **values}
        return self.channel.send(body, descriptors)

    def answer(self, patience_s: float) -> str | None:
        """The next word the worker says; None when it is gone or silent."""
        body = self.reply(patience_s)
        return None if body is None else str(body.get("said"))

    def reply(self, patience_s: float) -> Mapping[str, Any] | None:
        """All it says next."""
        try:
            message = self.channel.receive(timeout_s=patience_s)
        except (TimeoutError, PeerError):
            return None
        if message is None:
            return None
        message.close()
        return message.body

    def flows_by_listener(self) -> list[int] | None:
        """How many flows it has on each of its listeners; None when it does not say."""
        reply = self.reply(ANSWER_PATIENCE_S) if self.tell("count") else None
        return None if reply is None else reply.get("flows")

    # --- life

    @property
    def pidfd(self) -> int | None:
        """For whoever is to follow it."""
        return self._pidfd

    @property
    def is_alive(self) -> bool:
        """Whether it runs; once it does not, `last_end` says how it ended."""
        return not self.has_ended(0.0)

    def has_ended(self, patience_s: float) -> bool:
        """Whether it ends within that time."""
        if self._pidfd is None:
            return True
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if not poll.poll(max(patience_s, 0.0) * 1000):
            return False
        os.close(self._pidfd)
        self._pidfd = None
        self.last_end = self._reap()
        return True

    def _reap(self) -> str:
        try:
            _, status = os.waitpid(self.pid, 0)
        except ChildProcessError:
            return UNKNOWN_END
        code = os.waitstatus_to_exitcode(status)
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name

    def ask_to_stop(self) -> None:
        """It finishes its slice and ends."""
        self.tell("stop")

    def wait_for_end(self, patience_s: float = STOP_PATIENCE_S) -> bool:
        """Whether it has ended in time; if not, it is ended at once."""
        if self.has_ended(patience_s):
            self.close()
            return True
        self.kill()
        return False

    def stop(self) -> None:
        self.ask_to_stop()
        self.wait_for_end()

    def kill(self) -> None:
        """End it at once."""
        if self._pidfd is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            # a process in a system call of the kernel's may take a moment
            deadline_s = time.monotonic() + STOP_PATIENCE_S
            while not self.has_ended(0.1) and time.monotonic() < deadline_s:
                continue
        self.close()

    def close(self) -> None:
        """Let go of it. One that still runs becomes an orphan, or ends where nobody could adopt it."""
        self.channel.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
