"""Offer and answer over a WebSocket: one call for each, which ends with it."""

import asyncio
from typing import Any

import aiohttp
import pytest

from fastrelay.http import websocket
from fastrelay.http.desk import CallRefused, Refusal
from fastrelay.http.settings import BODY_BYTES_MAX, HttpSettings
from tests import offers
from tests.unit.http_desk import ANSWER, BEARER, CLOSED, FRAGMENT, KEY, NOW_S, Desk, Served, call_id, error_of, served

PATH = "/v1/realtime/ws"
OFFER = {"type": "offer", "sdp": offers.load("firefox153esr"), "session": {"lang": "fr"}}
RESTART = {"type": "restart", "fragment": "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n"}


async def said(socket: aiohttp.ClientWebSocketResponse, message: Any) -> Any:
    await socket.send_json(message)
    return await socket.receive_json()


async def hung_up(server: Served) -> None:
    await asyncio.wait_for(server.desk.has_ended_one.wait(), 10)


def test_offer_is_answered_and_closing_hangs_up() -> None:
    async def scene(server: Served) -> None:
        async with server.client.ws_connect(PATH) as socket:
            answer = await said(socket, OFFER)
            assert answer == {"type": "answer", "sdp": ANSWER, "call_id": call_id(1)}
            (request,) = server.desk.requests
            assert (request.offer, request.way, request.session) == (OFFER["sdp"], "websocket", {"lang": "fr"})
        await hung_up(server)
        assert server.desk.ended == [call_id(1)]
        assert [line["event"] for line in server.lines] == ["call_opened", "hang_up_taken"]

    served(scene)


def test_client_that_is_cut_off_hangs_up() -> None:
    async def scene(server: Served) -> None:
        async with server.client.ws_connect(PATH) as socket:
            await said(socket, OFFER)
            assert server.client.connector is not None
            await server.client.connector.close()
        await hung_up(server)

    served(scene)


def test_hangup_is_confirmed_and_closes() -> None:
    async def scene(server: Served) -> None:
        async with server.client.ws_connect(PATH) as socket:
            await said(socket, OFFER)
            assert await said(socket, {"type": "hangup"}) == {"type": "ended"}
            assert (await socket.receive()).type == aiohttp.WSMsgType.CLOSE
        assert server.desk.ended == [call_id(1)]

    served(scene)


def test_end_by_the_other_side_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "LOOK_S", 0.02)

    async def scene(server: Served) -> None:
        async with server.client.ws_connect(PATH) as socket:
            await said(socket, OFFER)
            server.desk.etags.clear()
            assert await socket.receive_json() == {"type": "ended"}
            assert (await socket.receive()).type == aiohttp.WSMsgType.CLOSE
        assert server.desk.ended == []

    served(scene)


def test_ice_restarts_over_the_socket() -> None:
    async def scene(server: Served) -> None:
        async with server.client.ws_connect(PATH) as socket:
            assert (await said(socket, RESTART))["error"]["param"] == "fragment"
            await said(socket, OFFER)
            assert await said(socket, RESTART) == {"type": "restarted", "fragment": FRAGMENT}
        assert server.desk.restarts == [(call_id(1), RESTART["fragment"])]

    served(scene)


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        ({"type": "offer"}, "missing_field", "sdp"),
        ({"type": "offer", "sdp": "x"}, "invalid_offer", "sdp"),
        ({"type": "offer", "sdp": OFFER["sdp"], "session": 7}, "invalid_field", "session"),
        ({"type": "dance"}, "unknown_type", "type"),
        ({}, "unknown_type", "type"),
        ([], "invalid_message", "message"),
        ({"type": "restart", "fragment": 7}, "invalid_message", "fragment"),
    ],
)
def test_message_that_means_nothing_is_an_error_and_the_socket_stays(message: Any, code: str, param: str) -> None:
    async def scene(server: Served) -> None:
        async with server.client.ws_connect(PATH) as socket:
            answer = await said(socket, message)
            assert answer["type"] == "error"
            assert (answer["error"]["code"], answer["error"]["param"]) == (code, param)
            assert (await said(socket, OFFER))["type"] == "answer"

    served(scene)


@pytest.mark.parametrize("content", ["{", "\x00", '{"type": NaN}'])
def test_text_that_is_no_json_is_an_error(content: str) -> None:
    async def scene(server: Served) -> None:
        async with server.client.ws_connect(PATH) as socket:
            await socket.send_str(content)
            assert (await socket.receive_json())["error"]["code"] == "invalid_message"

    served(scene)


def test_refusal_of_the_desk_is_an_error() -> None:
    async def scene(server: Served) -> None:
        async with server.client.ws_connect(PATH) as socket:
            assert (await said(socket, OFFER))["error"]["code"] == "too_many_offers"

    served(scene, desk=Desk(failure=CallRefused(Refusal.TOO_MANY_OFFERS, "slower, please")))


def test_socket_has_one_call() -> None:
    async def scene(server: Served) -> None:
        async with server.client.ws_connect(PATH) as socket:
            await said(socket, OFFER)
            assert (await said(socket, OFFER))["error"]["code"] == "call_exists"
        assert len(server.desk.requests) == 1

    served(scene)


def test_fault_of_ours_ends_the_socket_and_is_one_line() -> None:
    async def scene(server: Served) -> None:
        async with server.client.ws_connect(PATH) as socket:
            await socket.send_json(OFFER)
            closing = await socket.receive()
            assert (closing.type, closing.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.INTERNAL_ERROR)
            assert "secret detail" not in str(closing.extra)
        faults = [line for line in server.lines if line["level"] == "error"]
        assert [line["event"] for line in faults] == ["an_answer_failed"]

    served(scene, desk=Desk(failure=ZeroDivisionError("secret detail")))


def test_socket_with_errors_alone_is_closed() -> None:
    async def scene(server: Served) -> None:
        async with server.client.ws_connect(PATH) as socket:
            for _ in range(websocket.PROBLEMS_MAX):
                assert (await said(socket, {}))["type"] == "error"
            closing = await socket.receive()
            assert (closing.type, closing.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.POLICY_VIOLATION)

    served(scene)


def test_socket_without_an_offer_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "OFFER_S", 0.05)
    monkeypatch.setattr(websocket, "LOOK_S", 0.02)

    async def scene(server: Served) -> None:
        async with server.client.ws_connect(PATH) as socket:
            closing = await socket.receive()
            assert (closing.type, closing.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.POLICY_VIOLATION)

    served(scene)


def test_message_beyond_the_limit_closes_the_socket() -> None:
    async def scene(server: Served) -> None:
        async with server.client.ws_connect(PATH) as socket:
            await socket.send_str("x" * (BODY_BYTES_MAX + 1))
            closing = await socket.receive()
            assert (closing.type, closing.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.MESSAGE_TOO_BIG)
        assert server.lines == []

    served(scene)


def test_key_comes_in_the_header_or_as_a_pages_subprotocol() -> None:
    async def scene(server: Served) -> None:
        secret, _ = server.keeper.mint({"voice": "ash"}, lifetime_s=60, now_s=NOW_S)
        async with server.client.ws_connect(PATH, headers=BEARER) as socket:
            assert (await said(socket, OFFER))["type"] == "answer"
        for key in (KEY, secret):
            protocols = ("realtime", f"openai-insecure-api-key.{key}")
            async with server.client.ws_connect(PATH, protocols=protocols) as socket:
                assert socket.protocol == "realtime"
                assert (await said(socket, OFFER))["type"] == "answer"
        assert server.desk.requests[-1].session == {"lang": "fr", "voice": "ash"}

    served(scene, CLOSED)


@pytest.mark.parametrize(
    ("origin", "is_welcome"),
    [("https://app.example", True), ("https://evil.example", False), ("null", False), (None, True), ("ours", True)],
)
def test_foreign_page_gets_no_socket(origin: str | None, is_welcome: bool) -> None:
    async def scene(server: Served) -> None:
        own = f"http://127.0.0.1:{server.address[1]}"
        headers = {} if origin is None else {"Origin": own if origin == "ours" else origin}
        headers |= {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        headers["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
        async with server.client.get(PATH, headers=headers) as answer:
            assert answer.status == (101 if is_welcome else 403)
            if not is_welcome:
                assert (await error_of(answer))["code"] == "foreign_origin"

    served(scene, HttpSettings(is_open=True, allowed_origins=("https://app.example",)))


def test_plain_get_is_told_that_this_is_a_websocket() -> None:
    async def scene(server: Served) -> None:
        async with server.client.get(PATH) as answer:
            assert answer.status == 426
            assert answer.headers["Upgrade"] == "websocket"

    served(scene)


def test_worker_that_ends_closes_its_sockets() -> None:
    async def scene(server: Served) -> None:
        async with server.client.ws_connect(PATH) as socket:
            await said(socket, OFFER)
            closing = asyncio.ensure_future(server.doors.close())
            message = await socket.receive()
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.GOING_AWAY)
            await closing

    served(scene)


def test_draining_worker_opens_no_socket() -> None:
    async def scene(server: Served) -> None:
        async with server.client.get(PATH, headers={"Upgrade": "websocket"}) as answer:
            assert answer.status == 503

    served(scene, desk=Desk(is_draining=True))
