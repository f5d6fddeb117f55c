"""A relay and a transceiver as processes of their own, as real clients meet them: one HTTP port and one UDP port.

Lives here: starting them, knowing when they serve, ending them, reading their logs. Must not live here: clients
(chromium, aiortc_client), what is expected of anything.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from ipaddress import ip_network
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Literal, Self

from fastrelay.io.channel import Channel
from fastrelay.routing import KeyRing
from fastrelay.transceiver.worker.orders import Charge, Order, Word
from fastrelay.transceiver.worker.plan import WorkerPlan, socket_name
from tests.live.process import RelayProcess, options

HOST = "127.0.0.1"
START_S = 20.0
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
    """One worker of a transceiver under a supervisor that does nothing. Enter it: it serves when the block begins."""

    def __init__(
        self,
        ring: KeyRing,
        relay: tuple[str, int],
        folder: Path,
        *,
        environment: Mapping[str, str],
        **settings: Any,
    ) -> None:
        self._ring = ring
        self._environment = environment
        self._folder = folder
        self.plan = WorkerPlan(
            slot=0,
            cpu=None,
            trunk=(HOST, 0),
            relays=(relay,),
            allowed=(ip_network(HOST),),
            neighbours=folder,
            log_form="json",
            is_open=True,
            serves_demo=True,
            **settings,
        )
        self.log = Log(folder / "transceiver.log")

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            self._channel, theirs = Channel.pair()
            undo.enter_context(self._channel)
            undo.enter_context(theirs)
            door = undo.enter_context(socket.create_server((HOST, 0)))
            neighbours = undo.enter_context(socket.socket(socket.AF_UNIX))
            neighbours.bind(str(self._folder / socket_name(0)))
            neighbours.listen()
            self.url = f"http://{HOST}:{door.getsockname()[1]}"
            with self.log.path.open("wb") as log:
                self.process = subprocess.Popen(
                    [sys.executable, "-W", "error", "-m", "fastrelay.transceiver.worker", str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stderr=log,
                    pass_fds=[theirs.fileno()],
                    env=os.environ | self._environment,
                    start_new_session=True,
                )
            undo.callback(self._end)
            charge = Charge(self.plan, self._ring, None)
            self._channel.send({"kind": Order.PLAN, **charge.build()}, [door.fileno(), neighbours.fileno()])
            for given in (theirs, door, neighbours):
                given.close()
            self._wait_ready()
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self._channel.send({"kind": Order.STOP})
        self._undo.close()
        if kind is None:
            assert self.process.returncode == 0, self.log.path.read_text()

    def _wait_ready(self) -> None:
        deadline_s = time.monotonic() + START_S
        while True:
            message = self._channel.receive(timeout_s=max(deadline_s - time.monotonic(), 0))
            assert message is not None, self.log.path.read_text()
            if message.body["kind"] == Word.READY:
                return
            assert message.body["kind"] == Word.STATUS, message.body

    def _end(self) -> None:
        try:
            self.process.wait(STOP_S if self.process.poll() is None else 0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Stack:
    """A relay and a transceiver behind it. Enter it: both serve when the block begins, and have ended when it ends."""

    def __init__(
        self,
        folder: Path,
        *,
        agent: str = "fastrelay.agent.echo:echo",
        dtls_role: Literal["passive", "active"] = "passive",
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._folder = folder
        self.dtls_role = dtls_role
        self._settings: dict[str, Any] = {"agent": agent, "dtls_role": dtls_role, "environment": environment}

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            ring = KeyRing.new(now_s=int(time.time()))
            ring_file = self._folder / "ring.json"
            ring.save(ring_file, is_new=True)
            self.relay = undo.enter_context(RelayProcess(*options(HOST, HOST, ring_file, HOST), "--log", "json"))
            self.transceiver = undo.enter_context(
                TransceiverProcess(ring, self.relay.clients[0], self._folder, **self._settings)
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
        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=START_S)
        with closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200, (path, response.status, body)
            return json.loads(body)

    def calls(self) -> list[dict[str, Any]]:
        """The calls there are."""
        found: list[dict[str, Any]] = self.ask("/v1/calls")["calls"]
        return found
