"""Connections: one a turn, with deadlines and a bound, with TLS where wanted, and neighbours let in to the end."""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from fastrelay.http import door, server
from fastrelay.http.app import build_app, reload_settings
from fastrelay.http.client_secrets import SecretKeeper
from fastrelay.http.server import Doors
from tests import offers
from tests.unit.http_desk import CLOSED, OPEN, RING, Desk, Served, served, serving, socket_folder

SHORT_S = 0.2
PATIENCE_S = 10.0
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


async def ends(reader: asyncio.StreamReader) -> bytes:
    try:
        return await asyncio.wait_for(reader.read(), PATIENCE_S)
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize(
    "sent", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: x"], ids=["nothing", "half a line", "half a head"]
)
def test_client_whose_request_does_not_come_is_closed(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_S", SHORT_S)

    async def scene(server: Served) -> None:
        assert await server.send_raw(sent) == b""

    served(scene)


def test_connection_is_kept_for_the_next_request_and_then_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_S", SHORT_S)

    async def scene(server: Served) -> None:
        received = await server.send_raw(HEALTH * 2)
        assert received.count(b"HTTP/1.1 200 OK") == 2

    served(scene)


def test_longest_idle_gives_way_when_all_places_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 3)

    async def scene(server: Served) -> None:
        ends_of = [await asyncio.open_connection(*server.address) for _ in range(3)]
        for reader, writer in ends_of:  # each is inside before the next one comes
            writer.write(HEALTH)
            await reader.readuntil(b"}")
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(HEALTH)
        await reader.readuntil(b"}")
        assert await ends(ends_of[0][0]) == b""
        assert server.doors.turned_away == 1
        ends_of[1][1].write(HEALTH)
        await ends_of[1][0].readuntil(b"}")
        for _, each in [*ends_of, (reader, writer)]:
            each.close()

    served(scene)


def test_busy_connections_never_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 1)
    monkeypatch.setattr(door, "FULL_S", 0.01)

    async def scene(server: Served) -> None:
        async with server.client.ws_connect("/v1/realtime/ws") as socket:
            reader, writer = await asyncio.open_connection(*server.address)
            writer.write(HEALTH)
            await socket.send_json({"type": "offer", "sdp": offers.load("chrome156")})
            assert (await socket.receive_json())["type"] == "answer"
            await socket.close()
        # its place is free now, and who has waited in the kernel comes in
        assert (await asyncio.wait_for(reader.readuntil(b"}"), PATIENCE_S)).startswith(b"HTTP/1.1 200")
        writer.close()

    served(scene)


def test_neighbours_are_let_in_until_the_end() -> None:
    async def play() -> None:
        with socket_folder() as folder:
            async with serving(neighbour=folder / "own") as server:
                server.doors.stop_listening()
                server.doors.stop_listening()
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection(*server.address)
                connector = aiohttp.UnixConnector(str(folder / "own"))
                async with aiohttp.ClientSession("http://own", connector=connector) as client:
                    async with client.get("/healthz") as answer:
                        assert answer.status == 200
                    # a request over a unix socket has no client's address to log
                    headers = {"Content-Type": "application/sdp"}
                    async with client.post("/whip", data=offers.load("chrome156"), headers=headers) as answer:
                        assert answer.status == 201
                assert "remote" not in server.lines[0]

    asyncio.run(play())


def test_descriptors_that_have_run_out_are_one_line_and_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    class Poor(socket.socket):
        is_poor = True

        def accept(self) -> tuple[socket.socket, object]:
            if Poor.is_poor:
                Poor.is_poor = False
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    monkeypatch.setattr(door, "FULL_S", 0.01)

    async def play() -> None:
        app = build_app(Desk(), SecretKeeper(RING), OPEN)
        doors = Doors(app)
        plain = socket.create_server(("127.0.0.1", 0))
        address = plain.getsockname()
        await doors.open([Poor(fileno=plain.detach())])
        reader, writer = await asyncio.open_connection(*address)
        writer.write(HEALTH)
        assert (await asyncio.wait_for(reader.readuntil(b"}"), PATIENCE_S)).startswith(b"HTTP/1.1 200")
        writer.close()
        await doors.close()

    asyncio.run(play())


def test_connection_that_another_worker_was_faster_to_take_is_nothing() -> None:
    async def play() -> None:
        doors = [Doors(build_app(Desk(), SecretKeeper(RING), OPEN)) for _ in range(2)]
        listening = socket.create_server(("127.0.0.1", 0))
        address = listening.getsockname()
        await doors[0].open([listening.dup()])
        await doors[1].open([listening])
        async with aiohttp.ClientSession(f"http://127.0.0.1:{address[1]}") as client:
            for _ in range(20):
                async with client.get("/healthz", headers={"Connection": "close"}) as answer:
                    assert answer.status == 200
        for each in doors:
            await each.close()

    asyncio.run(play())


@pytest.fixture
def certificate() -> Iterator[tuple[Path, Path]]:
    """A certificate for this machine, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, SHA256())
    )
    with socket_folder() as folder:
        (folder / "certificate").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        (folder / "key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        yield folder / "certificate", folder / "key"


def test_clients_come_by_tls_where_there_is_a_certificate(certificate: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    trusting = ssl.create_default_context(cafile=str(certificate[0]))

    async def play() -> None:
        doors = Doors(build_app(Desk(), SecretKeeper(RING), OPEN))
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        await doors.open([listening], tls=context)
        # who speaks no TLS, and who says nothing, harm nobody
        with contextlib.suppress(ConnectionResetError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HEALTH)
            assert not (await asyncio.wait_for(reader.read(), PATIENCE_S)).startswith(b"HTTP")
        writer.close()
        _, silent = await asyncio.open_connection("127.0.0.1", port)
        async with (
            aiohttp.ClientSession(f"https://127.0.0.1:{port}") as client,
            client.get("/healthz", ssl=trusting, server_hostname="localhost") as answer,
        ):
            assert answer.status == 200
        await doors.close()
        silent.close()

    asyncio.run(play())


def test_answers_and_connections_are_counted() -> None:
    async def scene(server: Served) -> None:
        for path in ("/healthz", "/healthz", "/nowhere"):
            async with server.client.get(path) as answer:
                await answer.read()
        told = server.doors.snapshot()
        assert told == {"connections": 1, "turned_away": 0, "answers": {"200": 2, "404": 1}}

    served(scene)


def test_settings_are_taken_from_the_next_request_on() -> None:
    async def scene(server: Served) -> None:
        for settings, status in [(CLOSED, 401), (OPEN, 200)]:
            reload_settings(server.app, settings)
            async with server.client.get("/v1/calls") as answer:
                assert answer.status == status

    served(scene)
