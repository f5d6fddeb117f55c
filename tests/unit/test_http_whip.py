"""WHIP as RFC 9725 has it: POST, OPTIONS, PATCH with its preconditions, DELETE."""

import dataclasses

import pytest

from tests import offers
from tests.unit.http_desk import (
    ANSWER,
    BEARER,
    CLOSED,
    FRAGMENT,
    STRANGER,
    Served,
    call_id,
    error_of,
    served,
)

OFFER = offers.load("ffmpeg8-whip")
SDP = {"Content-Type": "application/sdp"}
PATCHED = {"Content-Type": "application/trickle-ice-sdpfrag"}
SESSION = f"/whip/{call_id(1)}"
CANDIDATES = "m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 1 198.51.100.1 9 typ host\r\n"
RESTART = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n" + CANDIDATES


async def opened(server: Served) -> None:
    async with server.client.post("/whip", data=OFFER, headers=SDP) as answer:
        assert answer.status == 201


def test_post_answers_with_everything_the_rest_needs() -> None:
    async def scene(server: Served) -> None:
        async with server.client.post("/whip", data=OFFER, headers=SDP | BEARER) as answer:
            assert answer.status == 201
            assert answer.content_type == "application/sdp"
            assert await answer.text() == ANSWER
            assert answer.headers["Location"] == SESSION
            assert answer.headers["ETag"] == '"ice-1"'
            assert answer.headers["Accept-Patch"] == "application/trickle-ice-sdpfrag"
            assert answer.headers["Link"] == f'</v1/calls/{call_id(1)}/stats>; rel="status"'
        (request,) = server.desk.requests
        assert (request.offer, request.way, request.session, request.subject) == (OFFER, "whip", {}, "key:backend")
        (line,) = server.lines
        assert (line["event"], line["way"]) == ("call_opened", "whip")

    served(scene, CLOSED)


def test_location_and_link_can_name_this_machine() -> None:
    async def scene(server: Served) -> None:
        async with server.client.post("/whip", data=OFFER, headers=SDP | BEARER) as answer:
            assert answer.headers["Location"] == f"https://eu-1.example{SESSION}"
            assert answer.headers["Link"].startswith("<https://eu-1.example/v1/calls/")

    served(scene, dataclasses.replace(CLOSED, public_url="https://eu-1.example"))


def test_options_say_what_may_be_sent_without_a_key() -> None:
    async def scene(server: Served) -> None:
        async with server.client.options("/whip") as answer:
            assert answer.status == 204
            assert answer.headers["Accept-Post"] == "application/sdp"
        async with server.client.options(SESSION) as answer:
            assert answer.status == 204
            assert answer.headers["Accept-Patch"] == "application/trickle-ice-sdpfrag"

    served(scene, CLOSED)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
def test_endpoint_knows_post_alone(method: str) -> None:
    async def scene(server: Served) -> None:
        async with server.client.request(method, "/whip") as answer:
            assert answer.status == 405
            assert answer.headers["Allow"] == "OPTIONS, POST"

    served(scene)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST"])
def test_session_knows_patch_and_delete_alone(method: str) -> None:
    async def scene(server: Served) -> None:
        async with server.client.request(method, SESSION) as answer:
            assert answer.status == 405
            assert answer.headers["Allow"] == "DELETE, OPTIONS, PATCH"

    served(scene)


@pytest.mark.parametrize(
    "matching", ['"ice-1"', ' "ice-1" ', '"other", "ice-1"'], ids=["one", "with space", "one of several"]
)
def test_candidates_for_the_present_ice_session_are_taken(matching: str) -> None:
    async def scene(server: Served) -> None:
        await opened(server)
        for fragment in (CANDIDATES, RESTART, "a=end-of-candidates\r\n"):
            headers = PATCHED | {"If-Match": matching}
            async with server.client.patch(SESSION, data=fragment, headers=headers) as answer:
                assert answer.status == 204
                assert "ETag" not in answer.headers
        assert server.desk.restarts == []

    served(scene)


@pytest.mark.parametrize("matching", ["*", '"*"'])
def test_restart_brings_a_fragment_and_another_etag(matching: str) -> None:
    async def scene(server: Served) -> None:
        await opened(server)
        async with server.client.patch(SESSION, data=RESTART, headers=PATCHED | {"If-Match": matching}) as answer:
            assert answer.status == 200
            assert answer.content_type == "application/trickle-ice-sdpfrag"
            assert await answer.text() == FRAGMENT
            assert answer.headers["ETag"] == '"ice-2"'
        assert server.desk.restarts == [(call_id(1), RESTART)]
        assert [line["event"] for line in server.lines] == ["call_opened", "ice_restarted"]
        # RFC 9725 §4.3.3: what was meant for the session before is stale now
        for etag, status in [('"ice-1"', 412), ('"ice-2"', 204)]:
            async with server.client.patch(SESSION, data=CANDIDATES, headers=PATCHED | {"If-Match": etag}) as answer:
                assert answer.status == status

    served(scene)


@pytest.mark.parametrize(
    ("headers", "fragment", "status", "code"),
    [
        pytest.param(PATCHED, CANDIDATES, 428, "precondition_required", id="no If-Match"),
        pytest.param(PATCHED | {"If-Match": '"ice-0"'}, CANDIDATES, 412, "stale", id="stale"),
        pytest.param(PATCHED | {"If-Match": 'W/"ice-1"'}, CANDIDATES, 412, "stale", id="weak"),
        pytest.param(PATCHED | {"If-Match": "ice-1"}, CANDIDATES, 412, "stale", id="without quotes"),
        pytest.param(PATCHED | {"If-Match": ""}, CANDIDATES, 412, "stale", id="empty"),
        pytest.param(PATCHED | {"If-Match": "*"}, CANDIDATES, 422, "no_credentials", id="restart of nothing"),
        pytest.param(PATCHED | {"If-Match": '"ice-1"'}, "v=0\r\n", 400, "invalid_offer", id="no fragment"),
        pytest.param(PATCHED | {"If-Match": "*"}, "", 400, "invalid_offer", id="nothing"),
        pytest.param(PATCHED | {"If-Match": "*"}, "a=ice-ufrag:EsAw\r\n", 400, "invalid_offer", id="half of it"),
        pytest.param(SDP | {"If-Match": "*"}, RESTART, 415, "unsupported_content_type", id="another type"),
    ],
)
def test_patch_that_cannot_be_done_changes_nothing(
    headers: dict[str, str], fragment: str, status: int, code: str
) -> None:
    async def scene(server: Served) -> None:
        await opened(server)
        async with server.client.patch(SESSION, data=fragment, headers=headers) as answer:
            assert answer.status == status
            assert (await error_of(answer))["code"] == code
            if status == 415:
                assert answer.headers["Accept-Patch"] == "application/trickle-ice-sdpfrag"
        assert server.desk.restarts == []

    served(scene)


def test_patch_of_a_call_that_is_over_is_404() -> None:
    async def scene(server: Served) -> None:
        for headers in (PATCHED, PATCHED | {"If-Match": "*"}):
            async with server.client.patch(f"/whip/{STRANGER}", data=RESTART, headers=headers) as answer:
                assert answer.status == 404

    served(scene)


def test_delete_ends_the_call_with_200() -> None:
    async def scene(server: Served) -> None:
        await opened(server)
        async with server.client.delete(SESSION) as answer:
            assert answer.status == 200
        assert server.desk.ended == [call_id(1)]
        async with server.client.delete(SESSION) as answer:
            assert answer.status == 404

    served(scene)


def test_call_of_the_realtime_way_can_restart_its_ice_here() -> None:
    async def scene(server: Served) -> None:
        async with server.client.post("/v1/realtime/calls", data=offers.load("chrome156"), headers=SDP) as answer:
            name = answer.headers["Location"].rpartition("/")[2]
        async with server.client.patch(f"/whip/{name}", data=RESTART, headers=PATCHED | {"If-Match": "*"}) as answer:
            assert answer.status == 200

    served(scene)
