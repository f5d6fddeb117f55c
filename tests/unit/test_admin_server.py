"""Connections have deadlines: for a request to come, and for its answer to be taken."""

from __future__ import annotations

import asyncio
import io
import json
import socket

import pytest

from fastrelay.observe.admin import server
from fastrelay.observe.admin.routes import Routes
from fastrelay.observe.admin.server import Doors
from fastrelay.observe.logs import configure
from fastrelay.observe.observed import Observed

SHORT_S = 0.2
PATIENCE_S = 5.0
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: relay\r\n\r\n"


async def closes(end: socket.socket) -> bytes:
    """What came before the other end closed."""
    loop = asyncio.get_running_loop()
    seen = b""
    try:
        while piece := await asyncio.wait_for(loop.sock_recv(end, 65_536), PATIENCE_S):
            seen += piece
    except ConnectionResetError:
        return seen
    return seen


async def connected(listening: socket.socket) -> socket.socket:
    end = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    end.setblocking(False)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await asyncio.get_running_loop().sock_connect(end, listening.getsockname())
    return end


@pytest.fixture(autouse=True)
def _short_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_S", SHORT_S)
    monkeypatch.setattr(server, "ANSWER_S", SHORT_S)


@pytest.mark.parametrize(
    "sent", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: rel"], ids=["nothing", "half a line", "half a head"]
)
def test_client_whose_request_does_not_come_is_closed(sent: bytes) -> None:
    async def scene() -> None:
        doors = Doors(Routes(Observed()))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            await doors.open([listening])
            with await connected(listening) as end:
                await asyncio.get_running_loop().sock_sendall(end, sent)
                assert await closes(end) == b""
            await doors.close()

    asyncio.run(scene())


def test_client_that_goes_quiet_after_an_answer_is_closed() -> None:
    async def scene() -> None:
        doors = Doors(Routes(Observed()))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            await doors.open([listening])
            with await connected(listening) as end:
                await asyncio.get_running_loop().sock_sendall(end, REQUEST + b"GET /me")
                assert (await closes(end)).count(b"HTTP/1.1 200") == 1
            await doors.close()

    asyncio.run(scene())


def test_client_that_does_not_take_its_answers_is_cut() -> None:
    async def scene() -> None:
        doors = Doors(Routes(Observed()))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            await doors.open([listening])
            with await connected(listening) as end:
                await asyncio.get_running_loop().sock_sendall(end, REQUEST * 100)
                await asyncio.sleep(3 * SHORT_S)
                answers = await closes(end)
                assert answers.count(b"HTTP/1.1 200") < 100
            await doors.close()

    asyncio.run(scene())


def test_fault_in_an_answer_is_logged_with_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> list[str]:
        raise ZeroDivisionError("the fault")

    async def scene() -> None:
        doors = Doors(Routes(Observed()))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            await doors.open([listening])
            with await connected(listening) as end:
                await asyncio.get_running_loop().sock_sendall(end, b"GET /livez HTTP/1.1\r\nHost: relay\r\n\r\n")
                assert (await closes(end)).startswith(b"HTTP/1.1 500")
            await doors.close()

    log = io.StringIO()
    configure("json", log)
    monkeypatch.setattr("fastrelay.observe.admin.routes.dead_because", fail)
    asyncio.run(scene())
    line = json.loads(log.getvalue())
    assert line["level"] == "error"
    assert "ZeroDivisionError: the fault" in line["trace"]


def test_request_that_is_no_http_is_not_worth_a_line() -> None:
    async def scene() -> None:
        doors = Doors(Routes(Observed()))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            await doors.open([listening])
            for junk in (b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\nno colon\r\n\r\n"):
                with await connected(listening) as end:
                    await asyncio.get_running_loop().sock_sendall(end, junk)
                    assert (await closes(end))[:12] in {b"", b"HTTP/1.0 400", b"HTTP/1.1 400"}
            await doors.close()

    log = io.StringIO()
    configure("json", log)
    asyncio.run(scene())
    assert log.getvalue() == ""


def test_many_clients_make_the_one_that_waits_longest_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        monkeypatch.setattr(server, "CONNECTIONS_MAX", 2)
        monkeypatch.setattr(server, "IDLE_S", 10 * PATIENCE_S)
        loop = asyncio.get_running_loop()
        doors = Doors(Routes(Observed()))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            await doors.open([listening])
            with await connected(listening) as first, await connected(listening) as second:
                await loop.sock_sendall(first, b"GET /version HTTP/1.1\r\nHost: relay\r\n\r\n")
                assert b"200 OK" in await asyncio.wait_for(loop.sock_recv(first, 4096), PATIENCE_S)
                with await connected(listening) as third:
                    assert await closes(second) == b""  # the first has been useful since
                    for end in (first, third):
                        await loop.sock_sendall(end, b"GET /version HTTP/1.1\r\nHost: relay\r\n\r\n")
                        assert b"200 OK" in await asyncio.wait_for(loop.sock_recv(end, 4096), PATIENCE_S)
            await doors.close()

    asyncio.run(scene())
