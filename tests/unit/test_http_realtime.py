"""The Realtime API's endpoints: a call in three forms, its end, and secrets for browsers."""

import asyncio
import dataclasses
import json
from typing import Any

import aiohttp
import pytest

from fastrelay.http.desk import CallRefused, Refusal
from fastrelay.http.settings import BODY_BYTES_MAX
from tests import offers
from tests.unit.http_desk import (
    ANSWER,
    BEARER,
    CLOSED,
    STRANGER,
    Desk,
    Served,
    call_id,
    error_of,
    served,
)

OFFER = offers.load("chrome156")
CALLS = "/v1/realtime/calls"
SDP = {"Content-Type": "application/sdp"}


def form(session: str | None) -> aiohttp.FormData:
    fields = aiohttp.FormData(default_to_multipart=True)
    fields.add_field("sdp", OFFER)
    if session is not None:
        fields.add_field("session", session, content_type="application/json")
    return fields


FORMS: list[Any] = [
    pytest.param({"data": OFFER, "headers": SDP}, {}, id="SDP"),
    pytest.param({"data": OFFER, "headers": {"Content-Type": "application/sdp; charset=utf-8"}}, {}, id="with charset"),
    pytest.param({"json": {"sdp": OFFER}}, {}, id="JSON"),
    pytest.param({"json": {"sdp": OFFER, "session": {"voice": "ä"}}}, {"voice": "ä"}, id="JSON with session"),
    pytest.param({"json": {"sdp": OFFER, "session": None}}, {}, id="JSON without session"),
]


@pytest.mark.parametrize(("body", "session"), FORMS)
def test_call_is_opened_in_every_form(body: dict[str, Any], session: dict[str, Any]) -> None:
    async def scene(server: Served) -> None:
        async with server.client.post(CALLS, **body) as answer:
            assert answer.status == 201
            assert answer.content_type == "application/sdp"
            assert await answer.text() == ANSWER
            assert answer.headers["Location"] == f"{CALLS}/{call_id(1)}"
            assert answer.headers["ETag"] == '"ice-1"'
            assert answer.headers["Cache-Control"] == "no-store"
        (request,) = server.desk.requests
        assert (request.offer, request.way, request.session, request.subject) == (OFFER, "realtime", session, "anyone")

    served(scene)


@pytest.mark.parametrize(
    ("session", "found"), [(None, {}), ('{"voice": "ä"}', {"voice": "ä"})], ids=["without", "with"]
)
def test_call_is_opened_by_a_form(session: str | None, found: dict[str, Any]) -> None:
    async def scene(server: Served) -> None:
        async with server.client.post(CALLS, data=form(session)) as answer:
            assert answer.status == 201
        (request,) = server.desk.requests
        assert (request.offer, request.session) == (OFFER, found)

    served(scene)


def test_location_can_name_this_machine() -> None:
    async def scene(server: Served) -> None:
        async with server.client.post(CALLS, data=OFFER, headers=SDP | BEARER) as answer:
            assert answer.headers["Location"] == f"https://eu-1.example{CALLS}/{call_id(1)}"

    served(scene, dataclasses.replace(CLOSED, public_url="https://eu-1.example"))


def test_opened_call_is_one_line_in_the_log_without_the_clients_address() -> None:
    async def scene(server: Served) -> None:
        async with server.client.post(CALLS, data=OFFER, headers=SDP | BEARER) as answer:
            assert answer.status == 201
        (line,) = server.lines
        assert (line["event"], line["call"], line["subject"]) == ("call_opened", call_id(1), "key:backend")
        assert (line["way"], line["remote"]) == ("realtime", "127.0.0.0/24")

    served(scene, CLOSED)


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        pytest.param({"data": "hello", "headers": SDP}, "sdp", "not a line of SDP", id="no SDP"),
        pytest.param(
            {"data": OFFER.replace("a=rtcp-mux\r\n", ""), "headers": SDP}, "sdp", "line 8 (m=audio", id="no rtcp-mux"
        ),
        pytest.param({"data": OFFER.replace("opus", "opas"), "headers": SDP}, "sdp", "Opus", id="no Opus"),
        pytest.param({"data": b"v=0\xff", "headers": SDP}, "sdp", "at byte 3: not UTF-8", id="no text"),
        pytest.param({"data": "", "headers": SDP}, "sdp", "empty", id="nothing"),
        pytest.param({"json": {"offer": OFFER}}, "sdp", "sdp must be there", id="JSON without sdp"),
        pytest.param({"json": {"sdp": 7}}, "sdp", "sdp must be there, as text", id="sdp of another kind"),
        pytest.param({"json": {"sdp": OFFER, "session": []}}, "session", "an object", id="session of another kind"),
        pytest.param({"json": [OFFER]}, "body", "must be a JSON object", id="JSON list"),
        pytest.param(
            {"data": '{"sdp":\n "x",}', "headers": {"Content-Type": "application/json"}},
            "body",
            "line 2 column 6",
            id="broken JSON",
        ),
        pytest.param(
            {"data": "[" * 100_000, "headers": {"Content-Type": "application/json"}}, "body", "deep", id="deep JSON"
        ),
        pytest.param(
            {"data": '{"sdp": NaN}', "headers": {"Content-Type": "application/json"}}, "body", "NaN", id="no number"
        ),
        pytest.param(
            {"data": '{"a": ' + "9" * 5000 + "}", "headers": {"Content-Type": "application/json"}},
            "body",
            "not JSON of ours",
            id="endless number",
        ),
        pytest.param(
            {"data": '{"sdp": "\\ud800"}', "headers": {"Content-Type": "application/json"}},
            "body",
            "surrogate",
            id="half a character",
        ),
        pytest.param(
            {"data": b'{"sdp": "\xff"}', "headers": {"Content-Type": "application/json"}},
            "body",
            "byte 9: not UTF-8",
            id="JSON that is no text",
        ),
        pytest.param(
            {"data": "--x--\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
            "sdp",
            "no field sdp",
            id="empty form",
        ),
        pytest.param(
            {"data": "--x--\r\n", "headers": {"Content-Type": "multipart/form-data"}},
            "Content-Type",
            "names no boundary",
            id="form without boundary",
        ),
    ],
)
def test_body_that_cannot_be_used_is_a_sentence_with_the_place(body: dict[str, Any], param: str, message: str) -> None:
    async def scene(server: Served) -> None:
        async with server.client.post(CALLS, **body) as answer:
            assert answer.status == 400
            error = await error_of(answer)
        assert error["type"] == "invalid_request_error"
        assert error["param"] == param
        assert message in error["message"]
        assert server.lines == []

    served(scene)


def test_session_of_a_form_is_json_or_refused_by_name() -> None:
    async def scene(server: Served) -> None:
        async with server.client.post(CALLS, data=form("{")) as answer:
            assert answer.status == 400
            assert (await error_of(answer))["param"] == "session"

    served(scene)


@pytest.mark.parametrize(
    ("refusal", "retry_after_s", "status", "kind", "retry_after"),
    [
        (Refusal.INVALID_OFFER, None, 400, "invalid_request_error", None),
        (Refusal.TOO_MANY_CALLS, None, 503, "server_error", "2"),
        (Refusal.TOO_MANY_CALLS, 30, 503, "server_error", "30"),
        (Refusal.TOO_MANY_OFFERS, 1, 429, "rate_limit_error", "1"),
        (Refusal.TOO_MANY_OFFERS, 0, 429, "rate_limit_error", "1"),
        (Refusal.DRAINING, 5, 503, "server_error", "5"),
        (Refusal.NO_SUCH_CALL, None, 404, "invalid_request_error", None),
    ],
)
def test_every_refusal_of_the_desk_has_its_status(
    refusal: Refusal, retry_after_s: int | None, status: int, kind: str, retry_after: str | None
) -> None:
    async def scene(server: Served) -> None:
        async with server.client.post(CALLS, data=OFFER, headers=SDP) as answer:
            assert answer.status == status
            assert answer.headers.get("Retry-After") == retry_after
            error = await error_of(answer)
        assert error == {"type": kind, "code": refusal.value, "message": "so it is", "param": "p"}

    desk = Desk(failure=CallRefused(refusal, "so it is", param="p", retry_after_s=retry_after_s))
    served(scene, desk=desk)


def test_draining_worker_reads_no_offer() -> None:
    async def scene(server: Served) -> None:
        for path in (CALLS, "/whip"):
            async with server.client.post(path, data=OFFER, headers=SDP) as answer:
                assert answer.status == 503
                assert answer.headers["Retry-After"] == "2"
                assert (await error_of(answer))["code"] == "draining"
        assert server.desk.requests == []

    served(scene, desk=Desk(is_draining=True))


@pytest.mark.parametrize("path", [CALLS, "/whip", "/whip?room=7"])
def test_draining_worker_sends_new_calls_to_the_other_cluster(path: str) -> None:

    async def scene(server: Served) -> None:
        async with server.client.post(path, data=OFFER, headers=SDP | BEARER, allow_redirects=False) as answer:
            assert answer.status == 307
            assert answer.headers["Location"] == f"https://us.example{path}"

    served(scene, dataclasses.replace(CLOSED, redirect_to="https://us.example"), Desk(is_draining=True))


@pytest.mark.parametrize(("method", "suffix"), [("POST", "/hangup"), ("DELETE", "")], ids=["hangup", "DELETE"])
def test_call_is_hung_up_once(method: str, suffix: str) -> None:
    async def scene(server: Served) -> None:
        async with server.client.post(CALLS, data=OFFER, headers=SDP) as answer:
            location = answer.headers["Location"]
        for status in (200, 404):
            async with server.client.request(method, location + suffix) as answer:
                assert answer.status == status
        assert server.desk.ended == [call_id(1)]
        assert [line["event"] for line in server.lines] == ["call_opened", "hang_up_taken"]

    served(scene)


@pytest.mark.parametrize("name", [STRANGER, "rtc_", "x", "rtc_ZZZZZZZZZZZZZ", "rtc_" + "z" * 14, "..%2f..%2fetc"])
def test_call_that_is_not_there_is_404(name: str) -> None:
    async def scene(server: Served) -> None:
        for method, path in [
            ("POST", f"{CALLS}/{name}/hangup"),
            ("DELETE", f"{CALLS}/{name}"),
            ("DELETE", f"/whip/{name}"),
            ("GET", f"/v1/calls/{name}/stats"),
        ]:
            async with server.client.request(method, path) as answer:
                assert answer.status == 404
                await error_of(answer)

    served(scene)


def test_types_that_are_not_offers_are_415_with_those_that_are() -> None:
    async def scene(server: Served) -> None:
        for headers in (
            {"Content-Type": "text/plain"},
            {"Content-Type": "nonsense"},
            {"Content-Encoding": "gzip"} | SDP,
        ):
            async with server.client.post(CALLS, data=b"x", headers=headers) as answer:
                assert answer.status == 415
                await error_of(answer)
        async with server.client.post(CALLS, data=b"x", headers={"Content-Type": "text/plain"}) as answer:
            assert answer.headers["Accept-Post"] == "application/sdp, application/json, multipart/form-data"

    served(scene)


def test_body_may_have_just_the_limit() -> None:
    async def scene(server: Served) -> None:
        padding = " " * (BODY_BYTES_MAX - len(json.dumps({"sdp": OFFER})))
        body = json.dumps({"sdp": OFFER}) + padding
        headers = {"Content-Type": "application/json"}
        async with server.client.post(CALLS, data=body, headers=headers) as answer:
            assert answer.status == 201
        async with server.client.post(CALLS, data=body + " ", headers=headers) as answer:
            assert answer.status == 413
            assert (await error_of(answer))["code"] == "body_too_large"

    served(scene)


def test_endless_body_is_cut_at_the_limit() -> None:
    async def scene(server: Served) -> None:
        head = b"POST /v1/realtime/calls HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\n"
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        received = await server.send_raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 5 + b"0\r\n\r\n")
        assert received.startswith(b"HTTP/1.1 413 ")
        received = await server.send_raw(head + b"Content-Length: 999999999999\r\n\r\n")
        assert received.startswith(b"HTTP/1.1 413 ")

    served(scene)


def test_telemetry_and_list_are_read_by_get() -> None:
    async def scene(server: Served) -> None:
        async with server.client.post(CALLS, data=OFFER, headers=SDP) as answer:
            assert answer.status == 201
        async with server.client.get(f"/v1/calls/{call_id(1)}/stats") as answer:
            assert await answer.json() == {"call_id": call_id(1), "etag": "ice-1"}
        async with server.client.get("/v1/calls") as answer:
            assert await answer.json() == {"calls": [{"call_id": call_id(1)}], "is_complete": True}

    served(scene)


def test_health_says_whether_calls_are_taken_without_a_key() -> None:
    async def scene(server: Served) -> None:
        for is_draining, status, word in [(False, 200, "ok"), (True, 503, "draining")]:
            server.desk.is_draining = is_draining
            async with server.client.get("/healthz") as answer:
                assert (answer.status, await answer.json()) == (status, {"status": word})

    served(scene, CLOSED)


def test_calls_are_opened_side_by_side() -> None:
    async def scene(server: Served) -> None:
        async def call() -> int:
            async with server.client.post(CALLS, data=OFFER, headers=SDP) as answer:
                await answer.read()
                return answer.status

        assert set(await asyncio.gather(*(call() for _ in range(50)))) == {201}
        assert len(server.desk.etags) == 50

    served(scene)
