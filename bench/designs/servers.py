"""The three designs as running servers: what is started, where, which processes belong to it, and how one dies.

Lives here: a process with a port per call (aiortc), a process with one port (pion), relay and transceiver by their own
commands. Must not live here: callers (party), what is measured (the scenarios).

Every process of every design runs on one processor, the same for all; callers have the other one.
"""

from __future__ import annotations

import os
import platform
import select
import signal
import subprocess
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

from bench.calls.servers import ADDRESS, OneProcess, Server, aiortc_command, await_end, url_at
from bench.load import cpu
from bench.load.build import ROOT
from bench.load.failure import BenchFailure
from bench.peers.install import go_program, go_version
from bench.peers.recipes import GO_DEFAULTS
from bench.peers.running import tied
from bench.restart.relay import COMMAND, children, is_admin
from fastrelay.routing import KeyRing
from fastrelay.wire.address import parse_endpoint

PER_SESSION: Final = "port per session (aiortc)"
SINGLE_PORT: Final = "single port (pion)"
TIERS: Final = "relay + transceiver"
GO: Final = ROOT / "bench" / "designs" / "go"
PION: Final = "github.com/pion/webrtc/v4"
READY_WITHIN_S: Final = 30.0
SERVER: Final = "server"
RELAY_WORKER, TRANSCEIVER_WORKER, REST = "relay worker", "transceiver worker", "supervisors and admin"


class Design(Server):
    """One way to serve calls."""

    version: str
    """Of what is not ours; empty where all of it is."""

    @property
    @abstractmethod
    def parts(self) -> Mapping[str, list[int]]:
        """Every process of it, by what it is."""

    @property
    @abstractmethod
    def inner_ports(self) -> set[int]:
        """UDP ports that its own processes have towards one another: no client sends there."""

    def kill(self, part: str) -> None:
        """SIGKILL."""
        os.kill(self.parts[part][0], signal.SIGKILL)

    @abstractmethod
    def revive(self) -> None:
        """Whoever supervises starts it again, where that is not the design's own doing."""


class Alone(OneProcess, Design):
    """A design of one process. The harness is its supervisor: it starts it again at once, on the same ports."""

    def __init__(self, name: str, version: str, command: Callable[[int, int], list[str]]) -> None:
        super().__init__(name, lambda http, media: [*tied(), *command(http, media)])
        self.version = version

    @property
    def inner_ports(self) -> set[int]:
        return set()

    @property
    def parts(self) -> Mapping[str, list[int]]:
        return {SERVER: [self.pid]}

    def revive(self) -> None:
        """On the ports that it had, so that clients need not look for it."""
        self._stop()
        self._run(self._program.port(), int(str(self._program.ready.get("udp_port", 0))))


def per_session() -> Alone:
    """aiortc's echo: a socket for each session."""
    version = f"Python {platform.python_version()}, aiortc {metadata.version('aiortc')}"
    return Alone(PER_SESSION, version, aiortc_command)


def single_port() -> Alone:
    """pion's: one socket for all. NotRun where it cannot be built."""
    # collector and scheduler as Go ships them, whatever the environment of the harness says
    program = ["env", *(f"{name}={value}" for name, value in GO_DEFAULTS.items()), str(go_program("echo", GO))]

    def command(http: int, media: int) -> list[str]:
        return [*program, "-http", f"{ADDRESS}:{http}", "-udp", f"{ADDRESS}:{media}"]

    return Alone(SINGLE_PORT, go_version(PION, GO), command)


class Command:
    """A `fastrelay` command that serves, with one worker, and what it says when it does."""

    def __init__(self, log: Path, *arguments: str) -> None:
        with log.open("wb") as said:
            self._process = subprocess.Popen(
                [*tied(), *COMMAND, *arguments], stdout=subprocess.PIPE, stderr=said, start_new_session=True
            )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        self._out = self._process.stdout
        cpu.prefer(self.pid, cpu.NICE_CANDIDATE)
        if not select.select([self._out], [], [], READY_WITHIN_S)[0] or not (line := self._out.readline()):
            self.stop()
            raise BenchFailure(f"{arguments[0]} did not start: {log.read_text()[-500:]}")
        self._ready = line.decode().split()

    def said(self, word: str) -> str:
        """What stands behind this word in the line that says it is ready."""
        return self._ready[self._ready.index(word) + 1]

    def stop(self) -> None:
        """At once, calls or not."""
        self._process.send_signal(signal.SIGINT)
        await_end(self._process)
        self._out.close()


class Tiers(Design):
    """`fastrelay relay` and `fastrelay transceiver`, one worker each, as an operator starts them."""

    name = TIERS
    version = ""

    def _start(self, undo: ExitStack) -> None:
        folder = Path(undo.enter_context(TemporaryDirectory(prefix="fastrelay-bench-")))
        keys = folder / "ring.json"
        KeyRing.new(now_s=int(time.time())).save(keys, is_new=True)
        shared = ["--trunk", ADDRESS, "--allow", ADDRESS, "--keys", str(keys), "--workers", "1"]
        relay_own = ["--listen", f"{ADDRESS}:0", "--admin", f"{ADDRESS}:0"]
        self._relay = Command(folder / "relay.log", "relay", *relay_own, *shared)
        undo.callback(self._relay.stop)
        own = ["--http", f"{ADDRESS}:0", "--relay", self._relay.said("clients"), "--admin", f"{ADDRESS}:0"]
        self._transceiver = Command(folder / "transceiver.log", "transceiver", *own, *shared)
        undo.callback(self._transceiver.stop)

    @property
    def url(self) -> str:
        port = urlsplit(self._transceiver.said("http")).port
        assert port is not None, "it was told to take one"
        return url_at(port)

    @property
    def pid(self) -> int:
        return self.parts[TRANSCEIVER_WORKER][0]

    @property
    def inner_ports(self) -> set[int]:
        return {parse_endpoint(command.said("trunk"))[1] for command in (self._relay, self._transceiver)}

    @property
    def parts(self) -> Mapping[str, list[int]]:
        found: dict[str, list[int]] = {RELAY_WORKER: [], TRANSCEIVER_WORKER: [], REST: []}
        for command, part in ((self._relay, RELAY_WORKER), (self._transceiver, TRANSCEIVER_WORKER)):
            found[REST].append(command.pid)
            for pid in children(command.pid):
                found[REST if is_admin(pid) else part].append(pid)
        return found

    def revive(self) -> None:
        """Their own supervisors do."""
