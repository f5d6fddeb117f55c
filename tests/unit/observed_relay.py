"""A relay to look at: pages that a real core fills, without processes, and a real observer process before them.

Lives here: making both, and asking over HTTP. Must not live here: expectations.
"""

from __future__ import annotations

import http.client
import json
import mmap
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastrelay._ext.relay_core import EVENT_NAMES, VERDICT_NAMES, RelayCore, counter_page_bytes, flow_page_bytes
from fastrelay.io.channel import Channel
from fastrelay.observe.counters import LAYOUT
from fastrelay.observe.observed import Pages
from fastrelay.observe.status import KeyStatus, ServiceState, ServiceStatus, WorkerState, WorkerStatus
from fastrelay.relay.dataplane.limits import Limits
from fastrelay.wire.trunk import Client, Frame
from tests.dataplane import packets
from tests.dataplane.packets import ALLOWED, CLUSTER, LOCALS, RING, UNIX_S

PATIENCE_S = 5.0


def now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class PretendWorker:
    """A worker's pages, the core that writes them, and a hand to write what only a loop would."""

    def __init__(self, flows: int = 256) -> None:
        self.flow_descriptor = os.memfd_create("flows", os.MFD_CLOEXEC)
        self.counter_descriptor = os.memfd_create("counters", os.MFD_CLOEXEC)
        os.ftruncate(self.flow_descriptor, flow_page_bytes(flows))
        os.ftruncate(self.counter_descriptor, counter_page_bytes())
        self.flow_memory = mmap.mmap(self.flow_descriptor, 0)
        self.counter_memory = mmap.mmap(self.counter_descriptor, 0)
        self._flows = flows
        self._sequence = 0
        self._core: RelayCore | None = None

    @property
    def core(self) -> RelayCore:
        assert self._core is not None
        return self._core

    def start(self) -> RelayCore:
        """Before this, both pages are all zero."""
        self._core = RelayCore(
            RING.entries(),
            ALLOWED,
            CLUSTER,
            LOCALS,
            Limits(flows=self._flows),
            packets.EPOCH_US,
            flow_page=self.flow_memory,
            counter_page=self.counter_memory,
        )
        self.turn()
        return self.core

    def write(self, name: str, value: int, at: int | None = None) -> None:
        """Set a number of the counter page."""
        page = np.frombuffer(self.counter_memory, LAYOUT, count=1)
        if at is None:
            page[name] = value
        else:
            page[name][0, at] = value

    def turn(self, *, ago_ms: int = 0) -> None:
        """The heartbeat of the loop."""
        self.write("alive_ms", now_ms() - ago_ms)

    def count(self, name: str, value: int) -> None:
        """Set a verdict or an event."""
        if name in VERDICT_NAMES:
            self.write("verdict_packets", value, VERDICT_NAMES.index(name))
        else:
            self.write("events", value, EVENT_NAMES.index(name))

    def up(self, client: Client, *payloads: bytes, at_ms: int | None = None) -> None:
        address = (client.ip, client.port, client.scope)
        self.core.handle_up([(payload, address, 0) for payload in payloads], at_ms or now_ms(), UNIX_S)

    def down(self, *frames: Frame, source: tuple[str, int] = packets.T1, at_ms: int | None = None) -> None:
        self._sequence += 1
        self.core.handle_down([(source, packets.down(*frames, sequence=self._sequence))], at_ms or now_ms(), UNIX_S)

    def call(self, client: Client, session: int = 1, *, at_ms: int | None = None) -> None:
        """A check that makes a flow, and the answer that confirms it."""
        self.up(client, packets.check(packets.ticket(session)), at_ms=at_ms)
        self.down(Frame(client, packets.RESPONSE), at_ms=at_ms)

    @property
    def descriptors(self) -> list[int]:
        return [self.flow_descriptor, self.counter_descriptor]

    def pages(self) -> Pages:
        """As an observer maps them."""
        return Pages(*self.descriptors)

    def close(self) -> None:
        self._core = None
        self.flow_memory.close()
        self.counter_memory.close()
        for descriptor in self.descriptors:
            os.close(descriptor)


def rtp(sequence: int, *, ssrc: int = 7) -> bytes:
    """Twenty milliseconds of speech, as the header tells it."""
    timestamp = 960 * sequence
    return (
        b"\x80\x6f" + sequence.to_bytes(2, "big") + timestamp.to_bytes(4, "big") + ssrc.to_bytes(4, "big") + b"speech"
    )


def serving(*workers: WorkerStatus, state: ServiceState = ServiceState.SERVING, **others: Any) -> ServiceStatus:
    """What a supervisor says in good times."""
    known = workers or (WorkerStatus(0, pid=os.getpid(), state=WorkerState.SERVING),)
    keys = (KeyStatus(1, mint_from_s=UNIX_S, open_until_s=UNIX_S + 1000, is_minting=True),)
    return ServiceStatus(**{"release": "1.2.3", "state": state, "workers": known, "keys": keys, **others})


# --- the process


@dataclass(frozen=True, slots=True)
class Reply:
    code: int
    body: bytes
    headers: dict[str, str]

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("relay", timeout=PATIENCE_S)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(self._path)


class RunningObserver:
    """`python -m fastrelay.observe.admin`, and the supervisor's end of its channel."""

    def __init__(self, process: subprocess.Popen[str], channel: Channel, endpoint: tuple[str, int], path: Path) -> None:
        self.process = process
        self.channel = channel
        self.endpoint = endpoint
        self.path = path

    def tell(self, status: ServiceStatus) -> None:
        assert self.channel.send({"kind": "status", "status": status.build()})

    def give(self, worker: PretendWorker, index: int = 0) -> None:
        assert self.channel.send({"kind": "pages", "worker": index}, worker.descriptors)

    def get(self, path: str, *, method: str = "GET", over_unix: bool = False) -> Reply:
        connection = _Unix(self.path) if over_unix else http.client.HTTPConnection(*self.endpoint, timeout=PATIENCE_S)
        try:
            connection.request(method, path)
            with connection.getresponse() as response:
                return Reply(response.status, response.read(), dict(response.getheaders()))
        finally:
            connection.close()

    def until(self, path: str, member: str, expected: Any) -> Any:
        """The document at `path` once a member of it, dotted, has this value: messages and samples take a moment."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            document = self.get(path).json
            found = document
            for name in member.split("."):
                found = found[int(name) if name.isdigit() else name] if found else None
            if found == expected:
                return document
            assert time.monotonic() < deadline_s, f"{member} is {found!r}"

    @property
    def resident_kib(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))

    def end(self) -> tuple[int, str]:
        """Close the channel: exit code, and what was logged."""
        self.channel.close()
        _, errors = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, errors


@contextmanager
def run_observer(folder: Path, arguments: Sequence[str] = ()) -> Iterator[RunningObserver]:
    """Start the process as a supervisor does, and wait until it is ready."""
    path = folder / "admin.sock"
    ours, theirs = Channel.pair()
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as unix,
        ours,
        theirs,
    ):
        unix.bind(str(path))
        unix.listen()
        named = ["--tcp", str(tcp.fileno()), "--unix", str(unix.fileno()), *arguments]
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "fastrelay.observe.admin", str(theirs.fileno()), *named],
            pass_fds=(theirs.fileno(), tcp.fileno(), unix.fileno()),
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            theirs.close()
            ready = ours.receive(timeout_s=PATIENCE_S)
            assert ready is not None
            assert ready.body == {"kind": "ready"}
            yield RunningObserver(process, ours, tcp.getsockname(), path)
        finally:
            process.kill()
            process.communicate()
