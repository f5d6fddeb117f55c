"""A desk that makes calls of nothing, and signalling served on a real socket in front of it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from fastrelay.http.app import build_app
from fastrelay.http.client_secrets import SecretKeeper
from fastrelay.http.desk import CallRefused, CallRequest, OpenedCall, Refusal, RestartedIce
from fastrelay.http.keys import ApiKeys
from fastrelay.http.server import Doors
from fastrelay.http.settings import HttpSettings
from fastrelay.observe.logs import configure
from fastrelay.routing.keys import KeyRing
from fastrelay.transceiver.negotiation import SdpError, read_offer

NOW_S = 1_800_000_000
RING = KeyRing.new(now_s=NOW_S - 10)
KEY = "sk_0123456789abcdef"
BEARER = {"Authorization": f"Bearer {KEY}"}
OPEN = HttpSettings(is_open=True, allowed_origins=("*",))
CLOSED = HttpSettings(api_keys=ApiKeys.parse(f"backend {KEY}"), allowed_origins=("*",))
ANSWER = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
FRAGMENT = "a=ice-ufrag:anew\r\na=ice-pwd:anewanewanewanewanewanew\r\n"
STRANGER = "rtc_zzzzzzzzzzzzz"
PATIENCE_S = 10.0


def call_id(number: int) -> str:
    return "rtc_" + base64.b32encode(number.to_bytes(8, "big")).decode().lower().rstrip("=")


@dataclass
class Desk:
    """Keeps calls in a table. What a test wants to go wrong, it says."""

    requests: list[CallRequest] = field(default_factory=list)
    etags: dict[str, str] = field(default_factory=dict)
    restarts: list[tuple[str, str]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    homes: dict[str, Path] = field(default_factory=dict)
    others: list[Path] = field(default_factory=list)
    failure: BaseException | None = None
    """What open_call raises."""
    gate: asyncio.Event | None = None
    """What open_call waits for."""
    was_cancelled: bool = False
    has_ended_one: asyncio.Event = field(default_factory=asyncio.Event)
    is_draining: bool = False
    first: int = 1

    async def open_call(self, request: CallRequest) -> OpenedCall:
        self.requests.append(request)
        if self.gate is not None:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.was_cancelled = True
                raise
        if self.failure is not None:
            raise self.failure
        try:
            read_offer(request.offer)
        except SdpError as error:
            raise CallRefused(Refusal.INVALID_OFFER, str(error), param="sdp") from error
        opened = OpenedCall(call_id(self.first + len(self.requests) - 1), ANSWER, "ice-1")
        self.etags[opened.call_id] = opened.etag
        return opened

    def home_of(self, call_id: str) -> Path | None:
        return self.homes.get(call_id)

    def neighbours(self) -> list[Path]:
        return self.others

    def etag_of(self, call_id: str) -> str:
        if call_id not in self.etags:
            raise CallRefused(Refusal.NO_SUCH_CALL, "there is no such call, or no longer")
        return self.etags[call_id]

    async def restart_ice(self, call_id: str, fragment: str) -> RestartedIce:
        self.etag_of(call_id)
        self.restarts.append((call_id, fragment))
        self.etags[call_id] = f"ice-{len(self.restarts) + 1}"
        return RestartedIce(FRAGMENT, self.etags[call_id])

    async def end_call(self, call_id: str) -> None:
        self.etag_of(call_id)
        del self.etags[call_id]
        self.ended.append(call_id)
        self.has_ended_one.set()

    def statistics(self, call_id: str) -> Mapping[str, Any]:
        return {"call_id": call_id, "etag": self.etag_of(call_id)}

    def calls(self) -> list[Mapping[str, Any]]:
        return [{"call_id": each} for each in self.etags]


@dataclass
class Served:
    """Signalling on this machine, and a client of it."""

    desk: Desk
    client: aiohttp.ClientSession
    address: tuple[str, int]
    log: io.StringIO
    app: aiohttp.web.Application
    doors: Doors
    keeper: SecretKeeper
    now_s: list[float]
    """One number: the time of day."""

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What has been logged."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    async def send_raw(self, content: bytes) -> bytes:
        """Everything that comes back for these bytes until the server closes."""
        reader, writer = await asyncio.open_connection(*self.address)
        received = b""
        try:
            writer.write(content)
            while piece := await asyncio.wait_for(reader.read(65_536), PATIENCE_S):
                received += piece
        except ConnectionResetError:
            return received  # it was closed before all of this had been read
        finally:
            writer.close()
        return received


@contextlib.asynccontextmanager
async def serving(
    settings: HttpSettings = OPEN, desk: Desk | None = None, *, neighbour: Path | None = None
) -> AsyncIterator[Served]:
    """Serve signalling over TCP and, if wanted, on a unix socket for neighbours."""
    desk, now_s, log, keeper = desk or Desk(), [float(NOW_S)], io.StringIO(), SecretKeeper(RING)
    configure("json", log)
    app = build_app(desk, keeper, settings, clock_s=lambda: now_s[0])
    doors = Doors(app)
    sockets = [socket.create_server(("127.0.0.1", 0))]
    address = sockets[0].getsockname()
    if neighbour is not None:
        sockets.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        sockets[-1].bind(str(neighbour))
        sockets[-1].listen()
    await doors.open(sockets)
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{address[1]}", timeout=timeout) as client:
            yield Served(desk, client, address, log, app, doors, keeper, now_s)
    finally:
        await doors.close()


def served(scene: Callable[[Served], Awaitable[None]], settings: HttpSettings = OPEN, desk: Desk | None = None) -> None:
    """Play a scene with signalling served."""

    async def play() -> None:
        async with serving(settings, desk) as server:
            await scene(server)

    asyncio.run(play())


@contextlib.contextmanager
def socket_folder() -> Iterator[Path]:
    """A folder for unix sockets: their names must be shorter than a test's own folder can be."""
    with tempfile.TemporaryDirectory(prefix="fr-") as folder:
        yield Path(folder)


async def error_of(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    """The error in an answer, which has all four members."""
    document = await answer.json()
    error = document["error"]
    assert document == {"error": error}
    assert error.keys() == {"type", "code", "message", "param"}
    assert error["message"]
    assert "Traceback" not in error["message"]
    return dict(error)
