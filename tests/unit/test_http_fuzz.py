"""Whatever bytes come to the port, the server answers or closes, logs no fault, and serves the next client."""

import asyncio
import dataclasses
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrelay.http import server as http_server
from fastrelay.http import websocket
from tests import offers
from tests.unit.http_desk import OPEN, Served, call_id, serving

OFFER = offers.load("ffmpeg8-whip").encode()
FORM = b'--xyz\r\nContent-Disposition: form-data; name="sdp"\r\n\r\n' + OFFER + b"\r\n--xyz--\r\n"
AT_ONCE = 128
SHORT_S = 0.1
"""How long the server waits for what will not come."""


def request(line: str, body: bytes = b"", **headers: str) -> bytes:
    named = {"Host": "x", "Connection": "close", "Content-Length": str(len(body)), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items())
    return f"{line} HTTP/1.1\r\n{head}\r\n".encode() + body


REQUESTS = {
    "realtime": request("POST /v1/realtime/calls?model=x", OFFER, Content_Type="application/sdp"),
    "form": request("POST /v1/realtime/calls", FORM, Content_Type="multipart/form-data; boundary=xyz"),
    "secret": request(
        "POST /v1/realtime/client_secrets",
        b'{"expires_after":{"anchor":"created_at","seconds":60},"session":{"a":[1,null,true,"\\u00e4"]}}',
        Content_Type="application/json",
        Authorization="Bearer sk_0123456789abcdef",
    ),
    "restart": request(
        f"PATCH /whip/{call_id(1)}",
        b"a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n",
        Content_Type="application/trickle-ice-sdpfrag",
        If_Match='"*"',
        Origin="https://app.example",
    ),
    "chunks": request("POST /whip", Content_Type="application/sdp", Transfer_Encoding="chunked").replace(
        b"Content-Length: 0\r\n", b""
    )
    + b"5;a=b\r\nv=0\r\n\r\n0\r\nTrailer: x\r\n\r\n",
    "websocket": request(
        "GET /v1/realtime/ws",
        b"\x81\x82\x00\x00\x00\x00{}\x88\x80\x00\x00\x00\x00",
        Connection="Upgrade",
        Upgrade="websocket",
        Sec_WebSocket_Version="13",
        Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
        Sec_WebSocket_Protocol="realtime, openai-insecure-api-key.sk_0123456789abcdef",
    ).replace(b"Content-Length: 16\r\n", b""),
}


@pytest.fixture(autouse=True, scope="module")
def _short_deadlines() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_server, "IDLE_S", SHORT_S)
        patch.setattr(websocket, "OFFER_S", SHORT_S)
        patch.setattr(websocket, "LOOK_S", SHORT_S)
        yield


async def answer_to(server: Served, content: bytes, turns: asyncio.Semaphore) -> bytes:
    """What comes back when these bytes are all that is ever sent."""
    async with turns:
        return await server.send_raw(content)


def survives(contents: list[bytes]) -> list[bytes]:
    async def play() -> list[bytes]:
        async with serving(dataclasses.replace(OPEN, request_s=SHORT_S)) as server:
            server.desk.etags[call_id(1)] = "ice-1"
            turns = asyncio.Semaphore(AT_ONCE)
            answers = await asyncio.gather(*(answer_to(server, content, turns) for content in contents))
            async with server.client.get("/healthz") as answer:
                assert answer.status == 200
            assert [line.get("trace", line) for line in server.lines if line["level"] == "error"] == []
        return answers

    answers = asyncio.run(play())
    for content, received in zip(contents, answers, strict=True):
        assert b"Traceback" not in received, content
        assert b" 500 " not in received[:20], content
    return answers


def test_requests_are_good_as_they_are() -> None:
    statuses = [received.split(b" ")[1] for received in survives(list(REQUESTS.values()))]
    assert statuses == [b"201", b"201", b"200", b"200", b"400", b"101"]


@pytest.mark.parametrize("name", REQUESTS)
def test_request_cut_anywhere(name: str) -> None:
    content = REQUESTS[name]
    survives([content[:length] for length in range(1, len(content))])


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("flip", [0x01, 0x20, 0x80], ids=["bit 0", "bit 5", "bit 7"])
def test_request_with_any_byte_flipped(name: str, flip: int) -> None:
    content = REQUESTS[name]
    survives([content[:at] + bytes([byte ^ flip]) + content[at + 1 :] for at, byte in enumerate(content)])


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.lists(
            st.one_of(
                st.binary(max_size=40),
                st.sampled_from([piece + b"\r\n" for each in REQUESTS.values() for piece in each.split(b"\r\n")[:9]]),
            ),
            max_size=12,
        ).map(b"".join),
        min_size=20,
        max_size=40,
    )
)
def test_any_bytes(contents: list[bytes]) -> None:
    survives(contents)
