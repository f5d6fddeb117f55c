"""A relay and a transceiver, under their supervisors, as processes of their own, and what they hold on to.

Lives here: starting them with files that a test may change, and looking at their workers from outside. Must not live
here: callers (talkers), what must hold (the tests).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.load.build import ROOT
from fastrelay.wire.address import format_endpoint
from tests.live.transceiver import TransceiverProcess
from tests.load.operated import OperatedRelay
from tests.load.rss import own_bytes
from tests.load.talkers import Talkers

HOST = "127.0.0.1"
PROGRAM = f"""
import os, sys
os.dup2(os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
sys.path.append({str(ROOT)!r})
from bench.load import cpu
cpu.prefer(os.getpid(), cpu.NICE_CANDIDATE)
from fastrelay.cli.main import main
main()
"""
"""Its standard error goes to a file: nobody reads a pipe while callers talk. It is preferred from its first moment."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a worker's process holds at a moment."""

    own_bytes: int
    descriptors: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Holdings:
        descriptors, threads = (len([*Path(f"/proc/{pid}", kind).iterdir()]) for kind in ("fd", "task"))
        return cls(own_bytes(pid), descriptors, threads)


class Hall:
    """A relay, and a transceiver behind it. Enter it: both serve."""

    def __init__(
        self,
        folder: Path,
        ring_file: Path,
        *,
        workers: int = 2,
        agent: str = "fastrelay.agent.echo:echo",
        environment: Mapping[str, str] | None = None,
        limits: Mapping[str, int] | None = None,
        drain_timeout_s: int = 3600,
    ) -> None:
        self.folder = folder
        self.ring_file = ring_file
        self.log_file = folder / "transceiver.log"
        self._workers = workers
        self._environment = environment
        self._limits = dict(limits or {})
        self._drain_timeout_s = drain_timeout_s
        self._agent = agent

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            (self.folder / "relay").mkdir()
            self.relay = undo.enter_context(OperatedRelay(self.folder / "relay", self.ring_file))
            self.configure(agent=self._agent)
            self.transceiver = undo.enter_context(self.another_transceiver())
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.__exit__(kind, error, trace)

    @contextmanager
    def gathering(self) -> Iterator[Self]:
        """With talkers before it, who hang up at the end."""
        self.talkers = Talkers(self.transceiver.url)
        with closing(self.talkers):
            yield self

    def configure(self, *, agent: str) -> None:
        """Write the transceiver's file; one that runs takes it at the next HUP."""
        limits = {"offers_per_s": 10_000, "offers_burst": 10_000, **self._limits}
        self.config_file.write_text(
            f"""
[transceiver]
trunk = "{HOST}"
relays = ["{format_endpoint(*self.relay.clients[0])}"]
allow = ["{HOST}"]
keys_file = "{self.ring_file}"
run_dir = "{self.folder / "run"}"
agent = "{agent}"
[http]
listen = "{HOST}:0"
[workers]
count = {self._workers}
[admin]
listen = "{HOST}:0"
[drain]
timeout_s = {self._drain_timeout_s}
[limits]
"""
            + "".join(f"{name} = {value}\n" for name, value in limits.items())
        )

    @property
    def config_file(self) -> Path:
        return self.folder / "transceiver.toml"

    def another_transceiver(self) -> TransceiverProcess:
        """Not yet started."""
        program = [sys.executable, "-W", "error", "-c", PROGRAM, str(self.log_file)]
        return TransceiverProcess(
            "--config",
            str(self.config_file),
            "--log",
            "json",
            command=program,
            folder=self.folder,  # where its agents lie
            environment=dict(self._environment or {}),
        )
