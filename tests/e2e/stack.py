"""A relay and a transceiver as processes of their own, as real clients meet them: one HTTP port and one UDP port.

Lives here: starting them, knowing when they serve, ending them, reading their logs. Must not live here: clients
(chromium, aiortc_client), what is expected of anything.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Literal, Self

from fastrelay.routing import KeyRing
from fastrelay.wire.address import format_endpoint
from tests.live.process import COMMAND, Lines, RelayProcess, options, session

HOST = "127.0.0.1"
START_S = 40.0
ANSWER_S = 10.0
STOP_S = 10.0
LEVELS = ("debug", "info", "warning", "error", "critical")


class Log:
    """What a process writes to its standard error: a file, so that it never waits for us."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def length(self) -> int:
        """How much has been written, to look from there on."""
        return self.path.stat().st_size

    def lines(self, after: int = 0) -> list[str]:
        """Whole lines written after that length."""
        text = self.path.read_bytes()[after:]
        return text[: text.rfind(b"\n") + 1].decode().splitlines()

    def complaints(self, after: int = 0) -> list[str]:
        """Of these lines, those that nobody should have to read: errors, and whatever is no log line at all."""
        return [line for line in self.lines(after) if not _is_welcome(line)]


def _is_welcome(line: str) -> bool:
    try:
        level = json.loads(line)["level"]
    except (ValueError, KeyError, TypeError):
        return False
    return LEVELS.index(level.lower()) < LEVELS.index("error")


class TransceiverProcess:
    """`fastrelay transceiver` with two workers. Enter it: it serves when the block begins, and has ended afterwards."""

    def __init__(self, folder: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._arguments = arguments
        self._environment = environment
        self.log = Log(folder / "transceiver.log")
        self.url = ""

    def __enter__(self) -> Self:
        with self.log.path.open("wb") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "transceiver", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | self._environment,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        # two processes import an agent's libraries, on a machine that may be busy; the line is the first they print
        select.select([self.process.stdout], [], [], START_S)
        try:
            ready = Lines(self.process.stdout.fileno()).until(lambda line: line.startswith("ready: "))
        except AssertionError as error:
            self._end()
            raise AssertionError(self.log.path.read_text()) from error
        self.url = ready.removeprefix("ready: http ").partition(" trunk ")[0].rstrip("/")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        code = self._end()
        if kind is None:
            assert not (left := session(self.process.pid)), f"processes outlived their supervisor: {left}"
            assert code == 0, self.log.path.read_text()

    def _end(self) -> int:
        self.process.send_signal(signal.SIGINT)  # TERM would wait for calls to end
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.process.wait()


class Stack:
    """A relay and a transceiver behind it. Enter it: both serve when the block begins, and have ended when it ends."""

    def __init__(
        self,
        folder: Path,
        *,
        agent: str = "fastrelay.agent.echo:echo",
        dtls_role: Literal["passive", "active"] = "passive",
        environment: Mapping[str, str] = MappingProxyType({}),
        more: Sequence[str] = (),
    ) -> None:
        """`more` are further options of the transceiver."""
        self._folder = folder
        self.dtls_role = dtls_role
        self._settings = ("--agent", agent, "--dtls-role", dtls_role, *more)
        self._environment = environment

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            ring_file = self._folder / "ring.json"
            KeyRing.new(now_s=int(time.time())).save(ring_file, is_new=True)
            self.relay = undo.enter_context(RelayProcess(*options(HOST, HOST, ring_file, HOST), "--log", "json"))
            own = ["--trunk", HOST, "--relay", format_endpoint(*self.relay.clients[0]), "--allow", HOST]
            own += ["--keys", str(ring_file), "--http", f"{HOST}:0", "--demo", "--workers", "2", "--log", "json"]
            self.transceiver = undo.enter_context(
                TransceiverProcess(self._folder, [*own, *self._settings], self._environment)
            )
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()
        if kind is None:
            lines = [line for line in self.relay.log.seen if not _is_welcome(line)]
            assert not lines, lines

    @property
    def url(self) -> str:
        """Where offers go, without a slash at the end."""
        return self.transceiver.url

    @property
    def log(self) -> Log:
        """The transceiver's. The relay's is looked at when it has ended."""
        return self.transceiver.log

    def complaints(self, after: int = 0) -> list[str]:
        """Lines of the transceiver's log, written after that length, that should not be there."""
        return self.log.complaints(after)

    def ask(self, path: str) -> Any:
        """What a GET of this path answers, parsed."""
        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=ANSWER_S)
        with closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200, (path, response.status, body)
            return json.loads(body)

    def calls(self, way: str) -> list[dict[str, Any]]:
        """The calls that were made in this way: a browser's may go on behind every test."""
        return [call for call in self.ask("/v1/calls")["calls"] if call["way"] == way]
