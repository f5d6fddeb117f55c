"""A worker's process as its supervisor's loop sees it: started by exec, heard, ordered, and seen to end.

Lives here: one process. Must not live here: when it is started and replaced (crew), what it does (worker.process).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Any, Final

from fastrelay.errors import ConfigError, PeerError
from fastrelay.io.channel import Channel, Message
from fastrelay.observe.logs import facts
from fastrelay.transceiver.worker.orders import Charge, Order, Word
from fastrelay.wire.address import format_endpoint

LOG = logging.getLogger(__name__)

COMMAND: Final = (sys.executable, "-m", "fastrelay.transceiver.worker")
ORDER_PATIENCE_S: Final = 0.2
"""A worker that does not even take an order out of its socket in this time is stuck, and seen to be soon."""
MESSAGES_AT_ONCE: Final = 16


class Stage(StrEnum):
    """Of one process's life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    ENDED = "ended"


class WorkerProcess:
    """One process. `on_word` is called with what it says, `on_end` once when it has ended."""

    def __init__(
        self,
        index: int,
        charge: Charge,
        on_word: Callable[[WorkerProcess, Word, Mapping[str, Any]], None],
        on_end: Callable[[WorkerProcess], None],
    ) -> None:
        self.index = index
        """Whose place it takes in the crew."""
        self.slot = charge.plan.slot
        self.cpu = charge.plan.cpu
        self.charge = charge
        self.stage = Stage.STARTING
        self.trunk = ""
        self.release = ""
        self.status: Mapping[str, Any] = {}
        """What it has said last of itself."""
        self.last_end: str | None = None
        self.problem: ConfigError | None = None
        """Why it could not start."""
        self._on_word = on_word
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self.started_s = self.heard_s = self._loop.time()
        self.has_ended = asyncio.Event()

    def start(self, descriptors: Sequence[int]) -> None:
        """ConfigError when this user may not start it. The descriptors, for its first order, stay the caller's."""
        ours, theirs = Channel.pair()
        try:
            self._process = subprocess.Popen(
                [*COMMAND, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )
        except OSError as error:
            ours.close()
            raise ConfigError("--user", f"cannot start a worker, {COMMAND[0]}: {error.strerror}") from error
        finally:
            theirs.close()
        self._channel = ours
        self._pidfd = os.pidfd_open(self._process.pid)
        self._loop.add_reader(self._pidfd, self._see_end)
        self._loop.add_reader(ours.fileno(), self._take_messages)
        ours.send({"kind": Order.PLAN, **self.charge.build()}, descriptors, timeout_s=ORDER_PATIENCE_S)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def calls(self) -> int:
        found = self.status.get("calls")
        return found if isinstance(found, int) else 0

    @property
    def rss_bytes(self) -> int:
        found = self.status.get("rss_bytes")
        return found if isinstance(found, int) else 0

    # --- orders

    def order(self, order: Order, **values: Any) -> bool:
        """Whether it was taken from us."""
        if self.stage is Stage.ENDED or self._channel.fileno() < 0:
            return False
        return self._channel.send({"kind": order.value, **values}, timeout_s=ORDER_PATIENCE_S)

    def drain(self, deadline_s: float | None, *, keeps_door: bool) -> None:
        """Let its calls end. With `keeps_door` it goes on to tell new clients to go elsewhere."""
        self.stage = Stage.DRAINING
        self.order(Order.DRAIN, deadline_s=deadline_s, keeps_door=keeps_door)

    def kill(self) -> None:
        """End it at once; its end is seen as any other."""
        if self.stage is not Stage.ENDED:
            with suppress(ProcessLookupError):  # it has ended, and is not yet seen to have
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    # --- what comes from it

    def _take_messages(self) -> None:
        for message in self._channel.waiting(MESSAGES_AT_ONCE, self._ignore):
            if message is None:
                self._loop.remove_reader(self._channel.fileno())
            else:
                self._take(message)

    def _ignore(self, nonsense: PeerError) -> None:
        LOG.warning("a message of a worker is ignored", extra=facts(worker=self.index, problem=nonsense.problem))

    def _take(self, message: Message) -> None:
        message.close()
        self.heard_s = self._loop.time()
        body = message.body
        try:
            word = Word(str(body.get("kind")))
        except ValueError:
            self._ignore(PeerError(f"unknown kind {body.get('kind')!r}"))
            return
        if word is Word.STATUS and isinstance(body.get("status"), dict):
            self.status = body["status"]
        elif word is Word.READY:
            self.stage = Stage.SERVING
            self.trunk, self.release = _endpoint_text(body.get("trunk")), str(body.get("release", ""))
        elif word is Word.FAILED:
            self.problem = ConfigError(str(body.get("key") or "worker"), str(body.get("problem")))
        self._on_word(self, word, body)

    def _see_end(self) -> None:
        code = self._process.poll()
        if code is None:
            return
        self._take_messages()  # its last words may have come together with its end
        self._loop.remove_reader(self._pidfd)
        self._loop.remove_reader(self._channel.fileno())
        os.close(self._pidfd)
        self._channel.close()
        self.last_end = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        self.stage = Stage.ENDED
        self.has_ended.set()
        self._on_end(self)


def _endpoint_text(value: object) -> str:
    match value:
        case [str(ip), int(port)]:
            return format_endpoint(ip, port)
    return ""
