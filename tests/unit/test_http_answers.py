"""Every request ends in an answer: CORS, limits in time, faults of ours, requests that are no HTTP."""

import asyncio
import dataclasses

import aiohttp
import pytest

from fastrelay.http.settings import HttpSettings
from tests import offers
from tests.unit.http_desk import BEARER, CLOSED, OPEN, Desk, Served, error_of, served

OFFER = offers.load("chrome156")
CALLS = "/v1/realtime/calls"
SDP = {"Content-Type": "application/sdp"}
PAGE = "https://app.example"
ONE_PAGE = HttpSettings(is_open=True, allowed_origins=(PAGE, "https://other.example"))
EXPOSED = {"Location", "ETag", "Link", "Retry-After", "Accept-Post", "Accept-Patch", "Allow"}


@pytest.mark.parametrize(
    ("settings", "origin", "allowed"),
    [
        (OPEN, PAGE, "*"),
        (ONE_PAGE, PAGE, PAGE),
        (ONE_PAGE, "https://evil.example", None),
        (ONE_PAGE, "null", None),
        (ONE_PAGE, None, None),
    ],
    ids=["any page", "a page that is allowed", "another page", "a page without origin", "no page"],
)
def test_pages_that_are_allowed_may_read_every_answer(
    settings: HttpSettings, origin: str | None, allowed: str | None
) -> None:
    async def scene(server: Served) -> None:
        headers = {} if origin is None else {"Origin": origin}
        for method, path, data in [("POST", CALLS, OFFER), ("POST", CALLS, "x"), ("GET", "/nowhere", None)]:
            async with server.client.request(method, path, data=data, headers=headers | SDP) as answer:
                assert answer.headers.get("Access-Control-Allow-Origin") == allowed
                exposed = answer.headers.get("Access-Control-Expose-Headers")
                assert (exposed is None) == (allowed is None)
                assert exposed is None or set(exposed.split(", ")) == EXPOSED
                assert answer.headers.get("Vary") == (None if settings is OPEN else "Origin")
                assert answer.headers["Server"] == "fastrelay"
                assert answer.headers["X-Content-Type-Options"] == "nosniff"

    served(scene, settings)


@pytest.mark.parametrize(
    ("origin", "is_welcome"),
    [(PAGE, True), ("https://evil.example", False), ("null", False), ("ours", True), (None, True)],
)
def test_open_server_makes_no_calls_for_foreign_pages(origin: str | None, is_welcome: bool) -> None:
    async def scene(server: Served) -> None:
        own = f"http://127.0.0.1:{server.address[1]}"
        headers = {} if origin is None else {"Origin": own if origin == "ours" else origin}
        fields = aiohttp.FormData({"sdp": OFFER}, default_to_multipart=True)  # what a page may send without asking
        async with server.client.post(CALLS, data=fields, headers=headers) as answer:
            assert answer.status == (201 if is_welcome else 403)
        assert len(server.desk.requests) == is_welcome

    served(scene, ONE_PAGE)


def test_page_with_a_key_is_the_keys_business_whatever_its_origin() -> None:
    async def scene(server: Served) -> None:
        headers = SDP | BEARER | {"Origin": "https://evil.example"}
        async with server.client.post(CALLS, data=OFFER, headers=headers) as answer:
            assert answer.status == 201

    served(scene, dataclasses.replace(CLOSED, allowed_origins=()))


def test_preflight_allows_what_the_page_wants_to_send_without_a_key() -> None:
    async def scene(server: Served) -> None:
        for path in (CALLS, "/whip", "/whip/rtc_x", "/v1/realtime/client_secrets"):
            wanted = {"Origin": PAGE, "Access-Control-Request-Method": "PATCH"}
            wanted["Access-Control-Request-Headers"] = "authorization,content-type,if-match,x-openai-agents-sdk"
            async with server.client.options(path, headers=wanted) as answer:
                assert answer.status == 204
                assert answer.headers["Access-Control-Allow-Origin"] == "*"
                assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
                assert answer.headers["Access-Control-Allow-Headers"] == wanted["Access-Control-Request-Headers"]
                assert int(answer.headers["Access-Control-Max-Age"]) > 0
                assert answer.headers.get("Accept-Post") == ("application/sdp" if "whip" in path else None)

    served(scene, CLOSED)


def test_preflight_repeats_no_nonsense() -> None:
    async def scene(server: Served) -> None:
        wanted = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": '"<x>"'}
        async with server.client.options(CALLS, headers=wanted) as answer:
            assert answer.status == 204
            assert "Access-Control-Allow-Headers" not in answer.headers

    served(scene)


def test_path_without_anything_is_404_and_wrong_method_is_405_with_the_right_ones() -> None:
    async def scene(server: Served) -> None:
        async with server.client.get("/v2") as answer:
            assert answer.status == 404
            assert (await error_of(answer))["code"] == "not_found"
        async with server.client.get(CALLS) as answer:
            assert answer.status == 405
            assert answer.headers["Allow"] == "POST"
            assert (await error_of(answer))["code"] == "method_not_allowed"

    served(scene)


def test_fault_of_ours_is_a_number_for_the_client_and_one_line_with_everything_for_us() -> None:
    async def scene(server: Served) -> None:
        async with server.client.post(CALLS, data=OFFER, headers=SDP) as answer:
            assert answer.status == 500
            error = await error_of(answer)
        assert (error["type"], error["code"]) == ("server_error", "internal_error")
        assert "secret detail" not in error["message"]
        (line,) = server.lines
        assert (line["event"], line["level"], line["path"]) == ("an_answer_failed", "error", CALLS)
        assert line["fault"] in error["message"]
        assert "secret detail" in line["trace"]
        async with server.client.get("/healthz") as answer:
            assert answer.status == 200

    served(scene, desk=Desk(failure=ZeroDivisionError("secret detail")))


def test_answer_that_takes_too_long_is_given_up() -> None:
    async def scene(server: Served) -> None:
        async with server.client.post(CALLS, data=OFFER, headers=SDP) as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"] == "2"
            assert (await error_of(answer))["code"] == "timeout"
        assert server.desk.was_cancelled
        assert server.lines == []

    served(scene, dataclasses.replace(OPEN, request_s=0.05), Desk(gate=asyncio.Event()))


def test_body_that_does_not_come_is_given_up() -> None:
    async def scene(server: Served) -> None:
        head = (
            b"POST /v1/realtime/calls HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\nContent-Length: 9\r\n\r\n"
        )
        received = await server.send_raw(head + b"v=0")
        assert received.startswith(b"HTTP/1.1 408 ")

    served(scene, dataclasses.replace(OPEN, request_s=0.05))


def test_client_that_leaves_in_the_middle_leaves_no_line() -> None:
    async def scene(server: Served) -> None:
        gate = server.desk.gate = asyncio.Event()
        head = b"POST /whip HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\nContent-Length: 3\r\n\r\n"
        for content in (head + b"v", head + b"v=0", head[:30]):
            _, writer = await asyncio.open_connection(*server.address)
            writer.write(content)
            await writer.drain()
            writer.transport.abort()
        async with server.client.get("/healthz") as answer:
            assert answer.status == 200
        gate.set()
        async with server.client.get("/healthz") as answer:
            assert answer.status == 200
        assert server.lines == []

    served(scene)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
        pytest.param(b"hello\r\n\r\n", id="no HTTP"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200 + b"\r\n", id="too many headers"),
        pytest.param(b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", id="endless line"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 9000 + b"\r\n\r\n", id="endless header"),
        pytest.param(b"GET / HTTP/1.1\r\nA B: c\r\n\r\n", id="odd header"),
        pytest.param(b"POST /whip HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", id="odd length"),
        pytest.param(
            b"POST /whip HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", id="smuggling"
        ),
        pytest.param(
            b"POST /whip HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\n"
            b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            id="odd chunk",
        ),
    ],
)
def test_what_is_no_http_is_400_without_a_line_or_a_trace(content: bytes) -> None:
    async def scene(server: Served) -> None:
        received = await server.send_raw(content)
        assert received.startswith(b"HTTP/1.")
        assert received.split(b" ")[1] == b"400"
        assert b"Traceback" not in received
        assert b"File" not in received
        assert server.lines == []

    served(scene)


def test_key_is_nowhere_in_the_log() -> None:
    async def scene(server: Served) -> None:
        for data in (OFFER, "x"):
            async with server.client.post(CALLS, data=data, headers=SDP | BEARER) as answer:
                await answer.read()
        assert BEARER["Authorization"].split()[1] not in server.log.getvalue()
        assert "ice-pwd" not in server.log.getvalue()

    served(scene, CLOSED)
