"""A request for another worker's call is handed on over its socket, in bounded time and size, and never twice."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from fastrelay.http import neighbours
from fastrelay.http.neighbours import HANDED_ON
from fastrelay.http.settings import HttpSettings
from tests import offers
from tests.unit.http_desk import BEARER, CLOSED, FRAGMENT, OPEN, Desk, Served, call_id, error_of, serving, socket_folder

THEIRS = 500
PATCH = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*", "Origin": "https://app.example"}
RESTART = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n"
SDP = {"Content-Type": "application/sdp"}


def two_workers(scene: Callable[[Served, Served], Awaitable[None]], settings: HttpSettings = OPEN) -> None:
    """Play a scene with two workers, where the second has a call that the first knows the home of."""

    async def play() -> None:
        with socket_folder() as folder:
            path = folder / "second"
            async with serving(settings, Desk(first=THEIRS), neighbour=path) as second:
                opening = second.client.post("/whip", data=offers.load("chrome156"), headers=SDP | BEARER)
                async with opening as answer:
                    assert answer.status == 201
                desk = Desk(homes={call_id(THEIRS): path}, others=[path])
                async with serving(settings, desk) as first:
                    await scene(first, second)

    asyncio.run(play())


@contextlib.asynccontextmanager
async def silent_or_strange(path: Path, content: bytes | None) -> AsyncIterator[None]:
    """A neighbour that answers with these bytes, or not at all."""
    gone = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if content is None:
            await gone.wait()
        else:
            writer.write(content)
        writer.close()

    server = await asyncio.start_unix_server(answer, path)
    try:
        yield
    finally:
        gone.set()
        server.close()
        await server.wait_closed()


def test_statistics_restart_and_hangup_reach_the_neighbours_call() -> None:
    async def scene(first: Served, second: Served) -> None:
        name = call_id(THEIRS)
        async with first.client.get(f"/v1/calls/{name}/stats") as answer:
            assert await answer.json() == {"call_id": name, "etag": "ice-1"}
        async with first.client.patch(f"/whip/{name}", data=RESTART, headers=PATCH) as answer:
            assert (answer.status, await answer.text()) == (200, FRAGMENT)
            assert answer.headers["ETag"] == '"ice-2"'
            assert answer.content_type == "application/trickle-ice-sdpfrag"
            for header in ("Access-Control-Allow-Origin", "Server", "Date", "Content-Length"):
                assert len(answer.headers.getall(header)) == 1
        assert second.desk.restarts == [(name, RESTART)]
        for status in (200, 404):
            async with first.client.post(f"/v1/realtime/calls/{name}/hangup") as answer:
                assert answer.status == status
        assert second.desk.ended == [name]
        assert first.desk.ended == []

    two_workers(scene)


def test_page_of_this_host_reaches_its_call_wherever_it_is_and_a_foreign_page_does_not() -> None:
    async def scene(first: Served, second: Served) -> None:
        own = f"http://127.0.0.1:{first.address[1]}"
        for origin, status in [(own, 200), ("https://evil.example", 403)]:
            headers = PATCH | {"Origin": origin}
            async with first.client.patch(f"/whip/{call_id(THEIRS)}", data=RESTART, headers=headers) as answer:
                assert answer.status == status
        assert len(second.desk.restarts) == 1

    two_workers(scene, HttpSettings(is_open=True))


def test_header_that_is_no_text_stays_here() -> None:
    async def scene(first: Served, _: Served) -> None:
        head = f"GET /v1/calls/{call_id(THEIRS)}/stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-City: ".encode()
        assert (await first.send_raw(head + b"S\xe3o Paulo\r\n\r\n")).startswith(b"HTTP/1.1 200 ")

    two_workers(scene)


def test_statuses_and_preconditions_are_the_neighbours() -> None:
    async def scene(first: Served, _: Served) -> None:
        headers = PATCH | {"If-Match": '"ice-0"'}
        async with first.client.patch(f"/whip/{call_id(THEIRS)}", data=RESTART, headers=headers) as answer:
            assert answer.status == 412
            assert (await error_of(answer))["code"] == "stale"
        async with first.client.patch(f"/whip/{call_id(THEIRS)}", data=RESTART, headers=SDP) as answer:
            assert answer.status == 415
            assert answer.headers["Accept-Patch"] == "application/trickle-ice-sdpfrag"

    two_workers(scene)


def test_stranger_is_refused_before_anything_is_handed_on() -> None:
    async def scene(first: Served, second: Served) -> None:
        async with first.client.delete(f"/whip/{call_id(THEIRS)}") as answer:
            assert answer.status == 401
        assert second.desk.ended == []
        async with first.client.delete(f"/whip/{call_id(THEIRS)}", headers=BEARER) as answer:
            assert answer.status == 200

    two_workers(scene, CLOSED)


def test_list_is_of_every_worker_and_says_when_one_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "ANSWER_S", 0.2)

    async def scene(first: Served, _: Served) -> None:
        both = [{"call_id": call_id(THEIRS)}]
        first.desk.others.append(Path("/nowhere/third"))  # a worker that has ended has no calls
        async with first.client.get("/v1/calls") as answer:
            assert await answer.json() == {"calls": both, "is_complete": True}
        with socket_folder() as folder:
            first.desk.others.append(folder / "fourth")
            strange = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
            for content in (None, b"", strange + b"[]", strange + b"{}", strange + b"{x"):
                async with silent_or_strange(folder / "fourth", content), first.client.get("/v1/calls") as answer:
                    assert await answer.json() == {"calls": both, "is_complete": False}
        async with first.client.get("/v1/calls", headers={HANDED_ON: "1"}) as answer:
            assert await answer.json() == {"calls": [], "is_complete": True}

    two_workers(scene)


def test_request_is_handed_on_once_and_not_to_and_fro() -> None:
    async def scene(first: Served, second: Served) -> None:
        second.desk.homes = first.desk.homes
        async with first.client.get(f"/v1/calls/{call_id(THEIRS)}/stats") as answer:
            assert answer.status == 404
            assert (await error_of(answer))["code"] == "no_such_call"

    two_workers(scene)


def test_hop_by_hop_headers_stay_at_their_hop() -> None:
    seen: list[bytes] = []

    async def play() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(
                b"HTTP/1.1 200 OK\r\nConnection: X-Drop, close\r\nX-Drop: 1\r\nX-Keep: 1\r\nKeep-Alive: 1\r\n"
                b"Content-Length: 2\r\n\r\n{}"
            )
            writer.close()

        with socket_folder() as folder:
            server = await asyncio.start_unix_server(answer, folder / "second")
            async with serving(desk=Desk(homes={call_id(7): folder / "second"})) as first:
                headers = {"Connection": "keep-alive, X-Own", "X-Own": "1", "TE": "x", "X-Mine": "1", "Host": "public"}
                async with first.client.get(f"/v1/calls/{call_id(7)}/stats", headers=headers) as found:
                    assert found.status == 200
                    assert found.headers["X-Keep"] == "1"
                    assert "X-Drop" not in found.headers
                    assert "Keep-Alive" not in found.headers
            server.close()
            await server.wait_closed()

    asyncio.run(play())
    lines = seen[0].lower().split(b"\r\n")
    assert b"x-mine: 1" in lines
    assert f"{HANDED_ON}: 1".lower().encode() in lines
    assert not [line for line in lines if line.startswith((b"x-own", b"te:", b"host: public"))]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        pytest.param(None, 504, "neighbour_silent", id="silent"),
        pytest.param(b"", 502, "neighbour_failed", id="hangs up"),
        pytest.param(b"hello\r\n\r\n", 502, "neighbour_failed", id="no HTTP"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", 502, "neighbour_failed", id="half an answer"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (neighbours.ANSWER_BYTES_MAX + 1), 502, "neighbour_failed", id="endless"
        ),
    ],
)
def test_neighbour_that_does_not_answer_is_a_sentence_in_bounded_time(
    content: bytes | None, status: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "ANSWER_S", 0.2)

    async def play() -> None:
        with socket_folder() as folder:
            path = folder / "second"
            async with silent_or_strange(path, content), serving(desk=Desk(homes={call_id(7): path})) as first:
                async with first.client.get(f"/v1/calls/{call_id(7)}/stats") as answer:
                    assert answer.status == status
                    assert (await error_of(answer))["code"] == code
                assert first.lines == []

    asyncio.run(play())


def test_call_of_a_worker_that_is_gone_is_gone() -> None:
    async def play() -> None:
        with socket_folder() as folder:
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(str(folder / "dead"))
            homes = {call_id(7): folder / "dead", call_id(8): folder / "never"}
            async with serving(desk=Desk(homes=homes)) as first:
                for name in homes:
                    async with first.client.delete(f"/whip/{name}") as answer:
                        assert answer.status == 404
                        assert (await error_of(answer))["code"] == "no_such_call"

    asyncio.run(play())


def test_body_for_a_neighbour_is_bounded_too() -> None:
    async def scene(first: Served, _: Served) -> None:
        async with first.client.patch(f"/whip/{call_id(THEIRS)}", data=b"x" * 300_000, headers=PATCH) as answer:
            assert answer.status == 413

    two_workers(scene)


def test_connections_to_neighbours_are_kept_for_a_bounded_number_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "NEIGHBOURS_MAX", 2)

    async def play() -> None:
        homes = {call_id(number): Path(f"/nowhere/{number}") for number in range(5)}
        async with serving(desk=Desk(homes=homes)) as first:
            for name in homes:
                async with first.client.get(f"/v1/calls/{name}/stats") as answer:
                    assert answer.status == 404

    asyncio.run(play())


def test_redirect_of_a_neighbour_is_not_followed() -> None:
    async def play() -> None:
        with socket_folder() as folder:
            path = folder / "second"
            content = b"HTTP/1.1 307 X\r\nLocation: http://elsewhere.example/\r\nContent-Length: 0\r\n\r\n"
            async with silent_or_strange(path, content), serving(desk=Desk(homes={call_id(7): path})) as first:
                asking = first.client.get(f"/v1/calls/{call_id(7)}/stats", allow_redirects=False)
                async with asking as answer:
                    assert isinstance(answer, aiohttp.ClientResponse)
                    assert answer.headers["Location"] == "http://elsewhere.example/"

    asyncio.run(play())


@pytest.mark.parametrize(
    ("path", "way"), [("/whip", "whip"), ("/v1/realtime/calls", "realtime")], ids=["WHIP", "Realtime"]
)
def test_offer_that_a_replaced_worker_gets_is_answered_by_its_successor(path: str, way: str) -> None:
    async def scene(first: Served, second: Served) -> None:
        first.desk.is_draining = True
        first.desk.others.insert(0, Path("/nobody/is/here"))
        async with first.client.post(path, data=offers.load("chrome156"), headers=SDP | BEARER) as answer:
            assert answer.status == 201, await answer.text()
            assert answer.headers["Location"] == f"{path}/{call_id(THEIRS + 1)}"
            assert answer.headers["Connection"] == "close", "the next one goes to whoever has the port"
        assert first.desk.requests == []
        assert second.desk.requests[-1].way == way
        async with first.client.get("/healthz") as answer:
            assert answer.status == 200, "a balancer's kept connection hears of the machine, not of this worker"

    two_workers(scene, CLOSED)


def test_offer_is_refused_when_all_workers_drain() -> None:
    async def scene(first: Served, second: Served) -> None:
        first.desk.is_draining = second.desk.is_draining = True
        async with first.client.post("/whip", data=offers.load("chrome156"), headers=SDP) as answer:
            assert answer.status == 503
            assert (await error_of(answer))["code"] == "draining"
        async with first.client.get("/healthz") as answer:
            assert answer.status == 503

    two_workers(scene)


def test_offer_is_handed_on_for_those_alone_who_may_call() -> None:
    async def scene(first: Served, second: Served) -> None:
        first.desk.is_draining = True
        asked = len(second.desk.requests)
        async with first.client.post("/whip", data=offers.load("chrome156"), headers=SDP) as answer:
            assert answer.status == 401
        assert len(second.desk.requests) == asked

    two_workers(scene, CLOSED)


def test_connection_that_has_brought_a_call_ends_where_neighbours_could_take_the_next() -> None:
    async def scene(first: Served, second: Served) -> None:
        for server, connection in ((first, "close"), (second, None)):
            async with server.client.post("/whip", data=offers.load("chrome156"), headers=SDP) as answer:
                assert answer.status == 201
                assert answer.headers.get("Connection") == connection

    two_workers(scene)
