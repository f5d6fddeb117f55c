"""The admin process as its supervisor sees it: started, told what changed, started again when it died.

Lives here: its sockets, its process, and what it is told. Must not live here: what it serves (fastrelay.observe.admin).
It has pages to read and nothing to break: packets pass as before when it is gone.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastrelay.config.addresses import Endpoint
from fastrelay.errors import ConfigError
from fastrelay.io.channel import Channel
from fastrelay.observe.logs import facts
from fastrelay.observe.status import ServiceStatus
from fastrelay.relay.resources import WorkerResources
from fastrelay.wire.address import format_endpoint

LOG = logging.getLogger(__name__)

ADMIN_COMMAND: Final = (sys.executable, "-m", "fastrelay.observe.admin")
NICENESS: Final = 10
"""Of whatever is not a packet: where a CPU is short, it waits."""
RETRY_FIRST_S: Final = 0.5
RETRY_LAST_S: Final = 30.0
LASTING_S: Final = 60.0
STOP_PATIENCE_S: Final = 2.0
BACKLOG: Final = 128


class Observer:
    """Whoever answers on the admin port. Without sockets there is none, and nothing is started."""

    def __init__(self, log_form: str) -> None:
        self.tcp: socket.socket | None = None
        self.unix: socket.socket | None = None
        self._log_form = log_form
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._told: dict[int, WorkerResources] = {}
        self._status: ServiceStatus | None = None
        self._started_s = 0.0
        self._retry_s = 0.0
        self._wait_s = RETRY_FIRST_S

    def listen(self, endpoint: Endpoint) -> None:
        """Open the admin port. ConfigError when it is taken."""
        ip, port = endpoint
        self.tcp = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM)
        try:
            self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.tcp.bind((ip, port))
            self.tcp.listen(BACKLOG)
        except OSError as error:
            raise ConfigError("--admin", f"cannot open {format_endpoint(ip, port)}: {error.strerror}") from error

    def take_over(self, descriptors: Mapping[str, int]) -> None:
        """The sockets came through an exec."""
        for name, descriptor in descriptors.items():
            os.set_inheritable(descriptor, False)
            setattr(self, name.removeprefix("--"), socket.socket(fileno=descriptor))

    @property
    def address(self) -> str | None:
        return None if self.tcp is None else format_endpoint(*self.tcp.getsockname()[:2])

    @property
    def sockets(self) -> list[tuple[str, socket.socket]]:
        named = [("--tcp", self.tcp), ("--unix", self.unix)]
        return [(name, listener) for name, listener in named if listener is not None]

    # --- the process

    def look_after(self, now_s: float) -> None:
        """Start it when there is something to serve on and it does not run."""
        if self._process is not None:
            if self._process.poll() is None:
                return
            LOG.error("admin process died", extra=facts(code=self._process.returncode))
            self._let_go()
            self._hold_back(now_s)
        if now_s >= self._retry_s:
            try:
                self.start(now_s)
            except ConfigError as error:
                LOG.error("admin process cannot be started", extra=facts(problem=error.problem))
                self._hold_back(now_s)

    def _hold_back(self, now_s: float) -> None:
        if now_s - self._started_s > LASTING_S:
            self._wait_s = RETRY_FIRST_S
        self._retry_s = now_s + self._wait_s
        self._wait_s = min(self._wait_s * 2, RETRY_LAST_S)

    def start(self, now_s: float) -> None:
        """Where there is something to serve on. ConfigError when this user may not start it."""
        if not self.sockets:
            return
        self._started_s = now_s
        options = [word for name, listener in self.sockets for word in (name, str(listener.fileno()))]
        ours, theirs = Channel.pair()
        try:
            self._process = subprocess.Popen(
                [*ADMIN_COMMAND, str(theirs.fileno()), *options, "--log-form", self._log_form],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), *(listener.fileno() for _, listener in self.sockets)],
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )
        except OSError as error:
            ours.close()
            problem = f"cannot start the admin process, {ADMIN_COMMAND[0]}: {error.strerror}"
            raise ConfigError("--user", problem) from error
        finally:
            theirs.close()
        os.setpriority(os.PRIO_PROCESS, self._process.pid, NICENESS)
        self._channel = ours
        self._told.clear()
        self._status = None

    def stop(self) -> None:
        """End of file is the order; one that does not take it is ended."""
        process = self._process
        self._let_go()
        if process is None:
            return
        try:
            process.wait(STOP_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _let_go(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self._channel = None
        self._process = None

    def close(self) -> None:
        self.stop()
        for _, listener in self.sockets:
            listener.close()
        self.tcp = self.unix = None

    # --- what it is told

    def tell(self, status: ServiceStatus, pages: Sequence[tuple[int, WorkerResources]]) -> None:
        """What has changed since it was told last. One that does not listen is stuck, and is ended and replaced."""
        if self._channel is None:
            return
        for message, descriptors in self._news(status, dict(pages)):
            if not self._channel.send(message, descriptors, timeout_s=0.2):
                LOG.error("admin process does not listen and is ended", extra=facts())
                if self._process is not None:
                    self._process.kill()
                return

    def _news(
        self, status: ServiceStatus, pages: Mapping[int, WorkerResources]
    ) -> list[tuple[Mapping[str, Any], Sequence[int]]]:
        news: list[tuple[Mapping[str, Any], Sequence[int]]] = []
        for worker in [worker for worker, resources in self._told.items() if pages.get(worker) is not resources]:
            del self._told[worker]
            news.append(({"kind": "gone", "worker": worker}, ()))
        for worker, resources in pages.items():
            if worker not in self._told:
                self._told[worker] = resources
                descriptors = [resources.flow_page.descriptor, resources.counter_page.descriptor]
                news.append(({"kind": "pages", "worker": worker}, descriptors))
        if status != self._status:
            self._status = status
            news.append(({"kind": "status", "status": status.build()}, ()))
        return news
