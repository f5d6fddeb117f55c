"""The supervisor that runs in a run directory, from outside: found by its lock, signalled by a descriptor.

Lives here: making sure that a signal reaches it and nobody else. Must not live here: what the signals mean (the
supervisors), what is awaited after one (cli).

A process id in a file may be long out of date, and its number somebody else's. So the lock has to be held, the process
is pinned by a descriptor, and the lock is looked at again after that.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fastrelay.errors import ConfigError, PeerError

LOCK_NAME: Final = "lock"
_PID_DIGITS_MAX = 10


class RunningSupervisor:
    """Pinned by a descriptor: it can end, but its number can never come to mean another process."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self._descriptor = descriptor

    def send(self, number: signal.Signals, *, key: str = "--at") -> None:
        """PeerError when it has ended, ConfigError when this user may not."""
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            raise PeerError(f"the supervisor (pid {self.pid}) has just ended") from None
        except PermissionError:
            raise ConfigError(
                key, f"you may not signal the supervisor (pid {self.pid}); run as root or as its user"
            ) from None

    def has_ended(self, *, within_s: float = 0.0) -> bool:
        """Wait that long at most for its end."""
        # poll, not select: a descriptor above 1023 is none of select's business
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(within_s * 1000))


@contextmanager
def running_supervisor(run_dir: Path, *, key: str = "--at") -> Iterator[RunningSupervisor]:
    """The supervisor that holds this directory's lock. ConfigError for no directory, PeerError when none does."""
    pid = _holder(run_dir, key)
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        raise PeerError(_elsewhere(run_dir, pid)) from None
    try:
        if _holder(run_dir, key) != pid:
            raise PeerError(f"what runs in {run_dir} is changing its supervisor; try again")
        if not _has_open(pid, run_dir / LOCK_NAME):
            raise PeerError(_elsewhere(run_dir, pid))
        yield RunningSupervisor(pid, descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def one_at_a_time(run_dir: Path, *, key: str = "--at") -> Iterator[None]:
    """Keep the operator's other commands waiting: between a look and a signal nothing must change.

    The directory itself is what is locked. Supervisors do not look at that.
    """
    try:
        descriptor = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(key, f"{run_dir}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _holder(run_dir: Path, key: str) -> int:
    """The process id in the lock, if somebody holds it."""
    try:
        descriptor = os.open(run_dir / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        if not run_dir.is_dir():
            raise ConfigError(key, f"{run_dir}: no such directory; give a --run-dir") from None
        raise PeerError(f"nothing of fastrelay runs in {run_dir}") from None
    except OSError as error:
        raise ConfigError(key, f"{run_dir / LOCK_NAME}: {error.strerror}") from None
    try:
        # Shared, so that two commands which look at the same time do not take each other for a supervisor.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, _PID_DIGITS_MAX + 2, 0).strip()
    else:
        raise PeerError(f"nothing of fastrelay runs in {run_dir} (its supervisor has ended without clearing up)")
    finally:
        os.close(descriptor)
    if not text.isdigit() or len(text) > _PID_DIGITS_MAX or int(text) < 1:
        raise PeerError(f"{run_dir / LOCK_NAME} is held, but names no process; is it just starting?")
    return int(text)


def _has_open(pid: int, path: Path) -> bool:
    """Whether the process holds this very file open; a yes where we may not look, because the signal will tell."""
    wanted = path.stat()
    folder = Path("/proc") / str(pid) / "fd"
    try:
        entries = list(folder.iterdir())
    except OSError:
        return True
    for entry in entries:
        try:
            found = entry.stat()
        except OSError:
            continue
        if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
            return True
    return False


def _elsewhere(run_dir: Path, pid: int) -> str:
    return f"what runs in {run_dir} calls itself process {pid}, which is not it here: is it in another container?"
