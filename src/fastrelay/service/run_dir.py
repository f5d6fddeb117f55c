"""The directory in which one relay or transceiver can be found: by commands, and by its next supervisor.

Lives here: the names in it, the lock that makes it one supervisor's, and the sockets that orphaned workers answer on.
Must not live here: what is said over those sockets.

    lock            held by the supervisor for as long as it lives; its text is the supervisor's process id
    worker-N.sock   a relay's worker N answers here once its supervisor is gone
    http-N.sock     a transceiver's worker N answers its neighbours here
    admin.sock      the admin port, for this machine's operators
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from fastrelay.errors import ConfigError

LOCK, ADMIN = "lock", "admin.sock"
BACKLOG = 64
LOCK_PATIENCE_S, LOCK_RETRY_S = 0.1, 0.01


class RunDir:
    """One supervisor's directory. Entering the lock is what makes a process its supervisor."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @classmethod
    def make(cls, path: Path, owner: tuple[int, int] | None) -> RunDir:
        """Create the directory if need be, for its owner's eyes alone. ConfigError when that cannot be."""
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if owner is not None:
                os.chown(path, *owner)
        except OSError as error:
            raise ConfigError("--run-dir", f"cannot make {path}: {error.strerror}") from error
        return cls(path)

    def lock(self) -> None:
        """ConfigError when another supervisor is running here."""
        try:
            descriptor = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigError("--run-dir", f"cannot write in {self.path}: {error.strerror}") from error
        # an operator's command looks whether the lock is held by trying it, and holds it for that moment
        deadline_s = time.monotonic() + LOCK_PATIENCE_S
        while not _is_locked(descriptor):
            if time.monotonic() >= deadline_s:
                pid = os.read(descriptor, 20).decode(errors="replace").strip()
                os.close(descriptor)
                raise ConfigError("--run-dir", f"fastrelay runs in {self.path} already (pid {pid})")
            time.sleep(LOCK_RETRY_S)
        self._lock = descriptor
        self._write_pid(descriptor)

    def _write_pid(self, descriptor: int) -> None:
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            self.unlock()
            raise ConfigError("--run-dir", f"cannot write in {self.path}: {error.strerror}") from error

    def take_over_lock(self, descriptor: int) -> None:
        """The lock came through an exec, held all the while."""
        self._lock = descriptor

    @property
    def lock_descriptor(self) -> int | None:
        return self._lock

    def unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def clear(self) -> None:
        """Who ends on purpose leaves nothing behind but the directory. Without the lock it is another's."""
        if self._lock is None:
            return
        for path in (*self.path.glob("worker-*.sock"), self.path / ADMIN, self.path / LOCK):
            with suppress(FileNotFoundError):
                path.unlink()

    # --- sockets

    def listen(self, name: str, kind: socket.SocketKind) -> socket.socket:
        """A listening socket of this name, in place of whatever had the name before."""
        return listen_at(self.path / name, kind, BACKLOG)

    def listen_for_adoption(self, worker: int) -> socket.socket:
        return self.listen(f"worker-{worker}.sock", socket.SOCK_SEQPACKET)

    def listen_for_admin(self) -> socket.socket:
        return self.listen(ADMIN, socket.SOCK_STREAM)

    def orphans(self) -> list[socket.socket]:
        """Connections to every worker that a former supervisor has left behind; dead ones' sockets are removed."""
        found = []
        for path in sorted(self.path.glob("worker-*.sock")):
            end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                end.connect(str(path))
            except (ConnectionRefusedError, FileNotFoundError):
                end.close()
                path.unlink(missing_ok=True)
                continue
            except OSError as error:
                end.close()
                raise ConfigError("--run-dir", f"cannot reach the worker at {path}: {error.strerror}") from error
            found.append(end)
        return found


def listen_at(path: Path, kind: socket.SocketKind, backlog: int) -> socket.socket:
    """A unix socket that listens, for its owner alone, in place of whatever had the name before."""
    end = socket.socket(socket.AF_UNIX, kind)
    try:
        path.unlink(missing_ok=True)
        end.bind(str(path))
        path.chmod(0o600)
        end.listen(backlog)
    except OSError as error:
        end.close()
        raise ConfigError("--run-dir", f"cannot make {path}: {error.strerror or error}") from error
    return end


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
