"""The relay as operators run it: the real command, its supervisor and its worker.

Lives here: starting it, ending parts of it, replacing it, reading what its workers count. Must not live here: calls,
what is measured.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from bench.load import cpu
from bench.load.build import ROOT
from bench.load.failure import BenchFailure
from bench.load.relay_candidate import Relay
from bench.load.traffic import CANDIDATE
from bench.peers.running import tied
from fastrelay.observe.counters import CounterPage
from fastrelay.routing.keys import Key, KeyRing

COMMAND: Final = (sys.executable, "-c", "from fastrelay.cli.main import main; main()")
READY_WITHIN_S: Final = 30.0
ENDED_WITHIN_S: Final = 10.0
POLL_S: Final = 0.002
LISTEN_PORT: Final = 3478
TRUNK_PORT: Final = 4000
REFUSED: Final = ("UNKNOWN_CLIENT", "DOWN_RECREATE_BUDGET", "DOWN_NOT_YOURS", "DOWN_AMPLIFIED", "DOWN_TABLE_FULL")
PAGE: Final = "/memfd:fastrelay-counters-"


@dataclass(frozen=True)
class Setup:
    """What a relay is started with."""

    listen: str = CANDIDATE
    port: int = LISTEN_PORT
    trunk: str = CANDIDATE
    trunk_port: int = TRUNK_PORT
    allow: tuple[str, ...] = ("127.0.0.0/8",)
    limits: Mapping[str, int] = field(default_factory=dict)
    within: tuple[str, ...] = ()
    """Before the command: where it runs."""

    def toml(self, folder: Path) -> str:
        """Its configuration file. A JSON string, number or list of strings is one of TOML as well."""
        sections: dict[str, Mapping[str, object]] = {
            "relay": {
                "listen": [f"{self.listen}:{self.port}"],
                "trunk": f"{self.trunk}:{self.trunk_port}",
                "allow": list(self.allow),
                "keys_file": str(folder / "ring.json"),
            },
            "workers": {"count": 1},
            "limits": self.limits,
        }
        lines = [
            line
            for name, values in sections.items()
            for line in (f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()))
        ]
        return "\n".join(lines) + "\n"


class SupervisedRelay:
    """`fastrelay relay` with one worker, all of it on the candidate's processor. A context: nothing of it is left.

    It has no run directory: with one, workers would outlive a supervisor that ends with a harness that was killed.
    """

    def __init__(self, folder: Path, setup: Setup) -> None:
        self.setup = setup
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._config = folder / "relay.toml"
        self._config.write_text(setup.toml(folder))
        ring = folder / "ring.json"
        ring.unlink(missing_ok=True)
        KeyRing((Key(Relay.KEY_ID, Relay.SECRET, 0),)).save(ring, is_new=True)
        self._refused_before = 0
        self._log: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> SupervisedRelay:
        with ExitStack() as undo:
            undo.callback(self._close)
            self.start()
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    # --- its life

    def start(self) -> None:
        """Starts it and waits until it serves."""
        self._forget()
        self._log = (self._folder / "log").open("ab")
        command = [*before(), *self.setup.within, *COMMAND, "relay", "--config", str(self._config)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=ROOT,
            start_new_session=True,
        )
        cpu.prefer(self.pid, cpu.NICE_CANDIDATE)
        self._wait_until_ready()

    def stop(self) -> None:
        """As an operator who does not wait for calls to end: SIGINT, and until all of it has gone."""
        self._refused_before = self.refused()
        self._interrupt()

    def _interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(ENDED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._end()
            raise BenchFailure(f"the relay did not end within {ENDED_WITHIN_S:.0f} s: {self.said()}") from None

    def kill(self) -> None:
        """kill -9 of supervisor and workers at once: what a lost machine does to them."""
        self._refused_before = self.refused()
        self._end()

    def _close(self) -> None:
        # whatever has become of it: one that never counted anything must not be left behind for that
        if self._process is not None and self._process.poll() is None:
            self._interrupt()
        self._forget()

    def _end(self) -> None:
        # the supervisor first: it would replace its workers
        for pid in (self.pid, *session(self.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: not session(self.pid), "the relay's processes are gone")

    def kill_worker(self) -> None:
        """kill -9 of the worker; returns when its successor is there."""
        (victim,) = self.workers()
        os.kill(victim, signal.SIGKILL)
        self._wait_for_successor(victim)

    def upgrade(self) -> None:
        """SIGUSR2, as `fastrelay upgrade` does; returns when the new release's worker has taken over."""
        (former,) = self.workers()
        self.process.send_signal(signal.SIGUSR2)
        self._wait_until_ready()
        self._wait_for_successor(former)

    # --- what it says

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The supervisor."""
        if self._process is None:
            raise BenchFailure("the relay has not been started")
        return self._process

    @property
    def pid(self) -> int:
        """The supervisor's; `ip netns exec` becomes it."""
        return self.process.pid

    def workers(self) -> list[int]:
        """Processes that have a counter page open and are no supervisor's rehearsal."""
        return [pid for pid in children(self.pid) if is_worker(pid)]

    def refused(self) -> int:
        """Media that were refused because nobody knew the call, since the first start; what a dead relay counted is
        kept."""
        return self._refused_before + self._refused_now()

    def _refused_now(self) -> int:
        entry = next(open_as(self.pid, f"{PAGE}0 "), None)
        if entry is None:
            raise BenchFailure(f"the relay has no counter page: {self.said()}")
        page = CounterPage(entry.read_bytes())
        try:
            return sum(page.packets(verdict) for verdict in REFUSED)
        finally:
            page.close()

    def said(self) -> str:
        """The end of its log."""
        return (self._folder / "log").read_text(errors="replace")[-1500:]

    def _wait_until_ready(self) -> None:
        out = self.process.stdout
        if out is None:
            raise BenchFailure("the relay has no standard output")
        readable, _, _ = select.select([out], [], [], READY_WITHIN_S)
        line = out.readline() if readable else b""
        if not line.startswith(b"ready: "):
            raise BenchFailure(f"the relay did not become ready: {line!r} {self.said()}")

    def _wait_for_successor(self, former: int) -> None:
        wait_until(lambda: any(pid != former for pid in self.workers()), "the worker has a successor")

    def _forget(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()
        if self._log is not None:
            self._log.close()
        self._process = self._log = None


def before() -> Sequence[str]:
    """Ends with the harness; on one processor, so that the calls' generator has the other to itself; preferred."""
    preferred = ("nice", "-n", str(cpu.NICE_CANDIDATE)) if os.geteuid() == 0 else ()
    return (*tied(), *preferred)


def children(pid: int) -> list[int]:
    """Of one process."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def session(leader: int) -> list[int]:
    """The living processes of the session that this one began, without itself."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if fields[0] != "Z" and int(fields[3]) == leader and int(folder.name) != leader:
                found.append(int(folder.name))
    return found


def is_worker(pid: int) -> bool:
    """Has a counter page, and does not serve the admin port."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return not is_admin(pid) and next(open_as(pid, PAGE), None) is not None
    return False


def is_admin(pid: int) -> bool:
    """Serves the admin port of a relay or a transceiver."""
    return b"fastrelay.observe.admin" in Path(f"/proc/{pid}/cmdline").read_bytes()


def open_as(pid: int, name: str) -> Iterator[Path]:
    """The descriptors of a process whose target begins with this name."""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            if str(entry.readlink()).startswith(name):
                yield entry


def wait_until(claim: Callable[[], bool], what: str) -> None:
    """BenchFailure when it has not come true in time."""
    deadline_s = time.monotonic() + READY_WITHIN_S
    while not claim():
        if time.monotonic() > deadline_s:
            raise BenchFailure(f"not in time: {what}")
        time.sleep(POLL_S)
