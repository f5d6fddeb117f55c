"""What answers calls in a benchmark: our transceiver with a relay in front, and aiortc.

Lives here: their processes, where they are pinned, what they cost; what every other server has in common with them.
Must not live here: callers, figures, the designs that are compared (bench.designs).

The measured process has processor 0 to itself; relay and callers share processor 1.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from ipaddress import ip_network
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from bench.load import cpu
from bench.load.build import ROOT
from bench.load.failure import BenchFailure
from bench.load.process import Program
from fastrelay.io.channel import Channel
from fastrelay.routing.keys import KeyRing
from fastrelay.transceiver.worker.orders import Charge, Order, Word
from fastrelay.transceiver.worker.plan import WorkerPlan

ADDRESS = "127.0.0.1"
SERVER_CPU = cpu.RELAY_CPU
STARTED_WITHIN_S = 15.0
STOPPED_WITHIN_S = 10.0
BACKLOG = 1024
SAID_MAX = 1000
"""Of what a worker has logged, when it does not start."""
CALLS_MAX = 10_000
CALLS_PATH = "/v1/realtime/calls"
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


class Server(ABC):
    """Whatever answers calls at a URL. Entering it starts it; with leaving, or when starting fails, all of it ends."""

    name: str

    @property
    @abstractmethod
    def url(self) -> str:
        """Where calls are asked for."""

    @property
    @abstractmethod
    def pid(self) -> int:
        """The process that has the calls."""

    @abstractmethod
    def _start(self, undo: ExitStack) -> None:
        """Start it, and have `undo` end each part of it from the moment it is there."""

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            self._start(undo)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()


class OneProcess(Server):
    """A server that is one process, which says on which port it serves."""

    def __init__(self, name: str, command: Callable[[int, int], list[str]]) -> None:
        """`command` makes a command line of a port for HTTP and one for media; 0 is any."""
        self.name = name
        self._command = command

    @property
    def url(self) -> str:
        return url_at(self._program.port())

    @property
    def pid(self) -> int:
        return self._program.pid

    def _start(self, undo: ExitStack) -> None:
        self._run(0, 0)
        undo.callback(self._stop)

    def _run(self, http_port: int, media_port: int) -> None:
        self._program = Program(self._command(http_port, media_port), SERVER_CPU, cpu.NICE_CANDIDATE)

    def _stop(self) -> None:
        self._program.stop()


def url_at(port: int) -> str:
    """Where a server with this port for HTTP is asked for calls."""
    return f"http://{ADDRESS}:{port}{CALLS_PATH}"


def await_end(process: subprocess.Popen[bytes]) -> None:
    """Of a process that has been told to end; one that does not listen is killed."""
    try:
        process.wait(STOPPED_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def aiortc_command(http_port: int, _media_port: int) -> list[str]:
    """aiortc's echo. Every call has ports of its own."""
    return [sys.executable, "-m", "bench.calls.aiortc_child", str(http_port)]


def keep_time(pid: int) -> None:
    """Puts an instrument before all ordinary work of the machine, where we may: its own lateness would be measured.

    Callers and relay share a processor and a priority: neither interrupts the other for each packet.
    """
    with suppress(PermissionError):
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))


def resident_kib(pid: int) -> int:
    """Memory of a process that is in use."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_KIB


class Aiortc(OneProcess):
    """aiortc's echo, alone on its processor; callers reach it directly."""

    def __init__(self) -> None:
        super().__init__("aiortc", aiortc_command)


class Transceiver(Server):
    """One worker of the transceiver as its supervisor would start it, behind a relay."""

    def __init__(self, agent: str, **settings: Any) -> None:
        self.name = f"fastrelay, {agent}"
        self.status: Mapping[str, Any] = {}
        self._agent = agent
        self._settings = settings
        self._ready = threading.Event()
        self._problem = ""

    @property
    def url(self) -> str:
        return url_at(self._http.getsockname()[1])

    @property
    def pid(self) -> int:
        return self._process.pid

    def _start(self, undo: ExitStack) -> None:
        ring = KeyRing.new(now_s=int(time.time()))
        command = [sys.executable, "-m", "bench.calls.relay_child", ring.build()]
        relay = Program(command, cpu.OTHERS_CPU, cpu.NICE_RECEIVER)
        undo.callback(relay.stop)
        keep_time(relay.pid)
        folder = Path(undo.enter_context(TemporaryDirectory(prefix="fastrelay-bench-")))
        self._http = undo.enter_context(socket.create_server((ADDRESS, 0), backlog=BACKLOG))
        self._channel, theirs = Channel.pair()
        undo.callback(self._channel.close)
        log = folder / "worker.log"
        self._process = self._run(theirs, log)
        undo.callback(self._stop)
        self._hearing = threading.Thread(target=self._hear, name="transceiver")
        self._hearing.start()
        self._charge(ring, relay.port(), folder)
        if not self._ready.wait(STARTED_WITHIN_S):
            raise BenchFailure(f"the transceiver did not start: {self._problem} {log.read_text()[-SAID_MAX:]}")

    def _run(self, theirs: Channel, log: Path) -> subprocess.Popen[bytes]:
        descriptor = theirs.fileno()
        command = [sys.executable, "-m", "fastrelay.transceiver.worker", str(descriptor)]
        with log.open("wb") as said:
            process = subprocess.Popen(command, stderr=said, pass_fds=[descriptor], cwd=ROOT, start_new_session=True)
        theirs.close()
        cpu.prefer(process.pid, cpu.NICE_CANDIDATE)
        return process

    def _charge(self, ring: KeyRing, relay_port: int, folder: Path) -> None:
        plan = WorkerPlan(
            slot=0,
            cpu=SERVER_CPU,
            trunk=(ADDRESS, 0),
            relays=((ADDRESS, relay_port),),
            allowed=(ip_network("127.0.0.0/8"),),
            neighbours=folder,
            agent=self._agent,
            calls_max=CALLS_MAX,
            offers_per_s=CALLS_MAX,
            offers_burst=CALLS_MAX,
            is_open=True,
            **self._settings,
        )
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as neighbours:
            neighbours.bind(str(plan.socket_of(0)))
            neighbours.listen()
            message = {"kind": Order.PLAN.value, **Charge(plan, ring, None).build()}
            self._channel.send(message, [self._http.fileno(), neighbours.fileno()])

    def _hear(self) -> None:
        """Its heartbeats must be taken, or it would wait to be heard."""
        while True:
            message = self._channel.receive(timeout_s=None)
            if message is None:
                return
            kind = message.body.get("kind")
            if kind == Word.READY:
                self._ready.set()
            elif kind == Word.STATUS:
                self.status = message.body.get("status", {})
            elif kind == Word.FAILED:
                self._problem = json.dumps(dict(message.body))
            message.close()

    def _stop(self) -> None:
        self._channel.send({"kind": Order.STOP.value})
        await_end(self._process)
        self._hearing.join()
