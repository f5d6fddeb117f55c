"""`fastrelay relay`, or another command that serves, as a process of its own.

Lives here: starting it, reading what it prints, and looking at a relay's counter pages from outside.
Must not live here: clients and transceivers (ends).
"""

from __future__ import annotations

import mmap
import os
import select
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from fastrelay.observe.counters import CounterPage
from fastrelay.wire.address import parse_endpoint
from tests.live.ends import PATIENCE_S, Address, eventually

START_PATIENCE_S = 60.0
"""What a process imports takes a while where others compile beside it."""
COMMAND = [sys.executable, "-W", "error", "-c", "from fastrelay.cli.main import main; main()"]


def options(listen: str, trunk: str, ring_file: Path, *allowed: str) -> list[str]:
    """The options of a relay of one worker with this address for clients, this trunk address and these networks."""
    bracketed = f"[{listen}]" if ":" in listen else listen
    allow = [word for network in allowed for word in ("--allow", network)]
    return ["--listen", f"{bracketed}:0", "--trunk", trunk, "--keys", str(ring_file), *allow, "--workers", "1"]


class Lines:
    """What a process writes to one pipe, line by line, with a deadline for each wait."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._text = ""
        self.seen: list[str] = []

    def until(self, matches: Callable[[str], object], *, patience_s: float = PATIENCE_S) -> str:
        """The next line that matches; those before it are in `seen`."""
        deadline_s = time.monotonic() + patience_s
        while True:
            line = self._next(deadline_s)
            self.seen.append(line)
            if matches(line):
                return line

    def _next(self, deadline_s: float) -> str:
        while "\n" not in self._text:
            left_s = deadline_s - time.monotonic()
            readable, _, _ = select.select([self._descriptor], [], [], max(left_s, 0))
            assert readable, f"no such line in time, but: {self.seen}"
            piece = os.read(self._descriptor, 65_536).decode()
            assert piece, f"ended without such a line: {self.seen} {self._text!r}"
            self._text += piece
        line, _, self._text = self._text.partition("\n")
        return line

    def rest(self) -> list[str]:
        """Everything unread, of a process that has ended."""
        while piece := os.read(self._descriptor, 65_536).decode():
            self._text += piece
        self.seen += self._text.splitlines()
        self._text = ""
        return self.seen


class ServiceProcess(ABC):
    """A command that serves. Enter it: it does so when the block begins, and is stopped cleanly when the block ends."""

    word: str
    """The command's name."""

    def __init__(
        self,
        *arguments: str,
        environment: dict[str, str] | None = None,
        command: Sequence[str] = tuple(COMMAND),
        descriptors: Sequence[int] = (),
        folder: Path | None = None,
    ) -> None:
        self._command = [*command, self.word, *arguments]
        self._environment = environment
        self._descriptors = descriptors
        self._folder = folder
        self.is_outlived = False
        """Set by a test that means its workers to go on without it."""

    @abstractmethod
    def take_ready(self, said: str) -> None:
        """What stands after `ready:`."""

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | (self._environment or {}),
            cwd=self._folder,
            start_new_session=True,
            pass_fds=self._descriptors,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.out = Lines(self.process.stdout.fileno())
        self.log = Lines(self.process.stderr.fileno())
        try:
            ready = self.out.until(lambda line: line.startswith("ready: "), patience_s=START_PATIENCE_S)
        except AssertionError as error:
            for pid in session(self.process.pid):  # or they would hold its pipes open
                os.kill(pid, signal.SIGKILL)
            code = self._end(signal.SIGKILL)
            raise AssertionError(f"exit code {code}: {self.log.seen}") from error
        self.take_ready(ready.removeprefix("ready: "))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ended_before = self.process.poll() is not None
        code = self._end(signal.SIGINT)  # TERM would wait for calls to end
        left = session(self.process.pid)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if kind is None and not self.is_outlived:
            assert not left, f"processes outlived their supervisor: {left}"
        if kind is None and not ended_before:
            assert code == 0, f"exit code {code}: {self.log.seen}"

    def _end(self, number: signal.Signals) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        if not self.process.stdout.closed:
            self.out.rest()
            self.log.rest()
            self.process.stdout.close()
            self.process.stderr.close()
        return code

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it and return its exit code; what it printed is in `out.seen` and `log.seen`."""
        return self._end(number)


class RelayProcess(ServiceProcess):
    """`fastrelay relay`."""

    word = "relay"

    def take_ready(self, said: str) -> None:
        clients, _, rest = said.removeprefix("clients ").partition(" trunk ")
        trunks, _, admin = rest.partition(" admin ")
        self.admin: Address | None = parse_endpoint(admin) if admin else None
        self.clients: list[Address] = [parse_endpoint(text) for text in clients.split()]
        self.trunks: list[Address] = [parse_endpoint(text) for text in trunks.split()]

    @property
    def workers(self) -> list[int]:
        """Those that have a counter page open: a rehearsal of another release is a child, too, and has none."""
        return [pid for pid in children(self.process.pid) if not is_observer(pid) and has_pages(pid)]

    @property
    def observer(self) -> int:
        """The process that serves health and metrics."""
        (pid,) = [pid for pid in children(self.process.pid) if is_observer(pid)]
        return pid

    @contextmanager
    def counters(self, worker: int = 0) -> Iterator[CounterPage]:
        """A worker's counter page, live, by the descriptor the supervisor holds."""
        # a page may be open twice: Python's own map of it keeps a descriptor, too
        entry = next(open_as(self.process.pid, f"/memfd:fastrelay-counters-{worker} "))
        with entry.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory, closing(CounterPage(memory)) as page:
            yield page

    def counts(self, verdict: str, expected: int, worker: int = 0) -> None:
        """Wait until this verdict's counter is what it should be, and see that it is not more."""
        with self.counters(worker) as page:
            eventually(lambda: page.packets(verdict) >= expected, f"{verdict} {expected}")
            assert page.packets(verdict) == expected

    def happened(self, event: str, at_least: int = 1, worker: int = 0) -> None:
        with self.counters(worker) as page:
            eventually(lambda: page.event(event) >= at_least, f"{event} {at_least}")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def open_as(pid: int, name: str) -> Iterator[Path]:
    """The descriptors of a process whose target begins with this name."""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            is_wanted = str(entry.readlink()).startswith(name)
        except FileNotFoundError:
            continue  # closed since it was listed
        if is_wanted:
            yield entry


def session(leader: int) -> list[int]:
    """The processes that this one has started, and theirs, but for zombies: it began a session of its own."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] != "Z" and int(fields[3]) == leader and int(folder.name) != leader:
            found.append(int(folder.name))
    return found


def has_pages(pid: int) -> bool:
    try:
        return any(open_as(pid, "/memfd:fastrelay-counters-"))
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_observer(pid: int) -> bool:
    try:
        return b"fastrelay.observe.admin" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_running(pid: int) -> bool:
    """Whether a process that is not ours to wait for still exists; a zombie has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
