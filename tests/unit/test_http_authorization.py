"""Who may do what: API keys, secrets for browsers, and nobody else."""

from typing import Any

import pytest

from tests import offers
from tests.unit.http_desk import BEARER, CLOSED, NOW_S, STRANGER, Served, error_of, served

OFFER = offers.load("chrome156")
CALLS = "/v1/realtime/calls"
SECRETS = "/v1/realtime/client_secrets"
SDP = {"Content-Type": "application/sdp"}


@pytest.mark.parametrize(
    ("document", "lifetime_s"),
    [
        ({}, 600),
        ({"expires_after": {"anchor": "created_at", "seconds": 10}}, 10),
        ({"expires_after": {"seconds": 7200}}, 7200),
        ({"expires_after": None, "session": None}, 600),
        ({"session": {"type": "realtime", "voice": "ä"}}, 600),
    ],
    ids=["default", "shortest", "longest", "nulls", "session"],
)
def test_secret_is_made_for_as_long_as_it_is_asked_for(document: dict[str, Any], lifetime_s: int) -> None:
    async def scene(server: Served) -> None:
        async with server.client.post(SECRETS, json=document, headers=BEARER) as answer:
            assert answer.status == 200
            made = await answer.json()
        assert made.keys() == {"value", "expires_at", "session"}
        assert made["value"].startswith("ek_")
        assert made["expires_at"] == NOW_S + lifetime_s
        assert made["session"] == (document.get("session") or {})

    served(scene, CLOSED)


@pytest.mark.parametrize(
    ("document", "param"),
    [
        ({"expires_after": {"seconds": 9}}, "expires_after.seconds"),
        ({"expires_after": {"seconds": 7201}}, "expires_after.seconds"),
        ({"expires_after": {"seconds": 60.5}}, "expires_after.seconds"),
        ({"expires_after": {"seconds": True}}, "expires_after.seconds"),
        ({"expires_after": {"seconds": "60"}}, "expires_after.seconds"),
        ({"expires_after": {"anchor": "now"}}, "expires_after.anchor"),
        ({"expires_after": 60}, "expires_after"),
        ({"session": "x"}, "session"),
        ({"session": {"x": "y" * 5000}}, "session"),
    ],
)
def test_secret_that_cannot_be_made_names_the_field(document: dict[str, Any], param: str) -> None:
    async def scene(server: Served) -> None:
        async with server.client.post(SECRETS, json=document, headers=BEARER) as answer:
            assert answer.status == 400
            assert (await error_of(answer))["param"] == param

    served(scene, CLOSED)


def test_secret_starts_many_calls_with_its_makers_session_until_it_expires() -> None:
    async def scene(server: Served) -> None:
        body = {"session": {"voice": "ash", "customer": 7}, "expires_after": {"seconds": 60}}
        async with server.client.post(SECRETS, json=body, headers=BEARER) as answer:
            secret = (await answer.json())["value"]
        authorized = {"Authorization": f"Bearer {secret}"}
        asked = {"sdp": OFFER, "session": {"customer": 8, "lang": "de"}}
        for _ in range(2):
            async with server.client.post(CALLS, json=asked, headers=authorized) as answer:
                assert answer.status == 201
        assert [request.session for request in server.desk.requests] == [
            {"voice": "ash", "customer": 7, "lang": "de"}
        ] * 2
        subjects = {request.subject for request in server.desk.requests}
        assert len(subjects) == 1
        assert subjects.pop().startswith("secret:")
        assert secret not in server.log.getvalue()
        server.now_s[0] += 60
        async with server.client.post(CALLS, json=asked, headers=authorized) as answer:
            assert answer.status == 401
            assert "expired" in (await error_of(answer))["message"]

    served(scene, CLOSED)


def test_secret_may_hang_up_and_neither_list_calls_nor_make_secrets() -> None:
    async def scene(server: Served) -> None:
        async with server.client.post(SECRETS, json={}, headers=BEARER) as answer:
            authorized = {"Authorization": f"Bearer {(await answer.json())['value']}"}
        async with server.client.post(CALLS, data=OFFER, headers=SDP | authorized) as answer:
            location = answer.headers["Location"]
        for method, path in [("GET", "/v1/calls"), ("POST", SECRETS)]:
            async with server.client.request(method, path, headers=authorized) as answer:
                assert answer.status == 403
                assert (await error_of(answer))["code"] == "api_key_required"
        async with server.client.delete(location, headers=authorized) as answer:
            assert answer.status == 200

    served(scene, CLOSED)


GUARDED = [
    ("POST", CALLS),
    ("POST", f"{CALLS}/{STRANGER}/hangup"),
    ("DELETE", f"{CALLS}/{STRANGER}"),
    ("POST", SECRETS),
    ("POST", "/whip"),
    ("PATCH", f"/whip/{STRANGER}"),
    ("DELETE", f"/whip/{STRANGER}"),
    ("GET", "/v1/calls"),
    ("GET", f"/v1/calls/{STRANGER}/stats"),
    ("GET", "/v1/realtime/ws"),
]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_api_key"),
        ({"Authorization": "Bearer sk_0123456789abcdee"}, "invalid_api_key"),
        ({"Authorization": "Bearer ek_AAAA"}, "invalid_client_secret"),
        ({"Authorization": "Basic c2s6"}, "invalid_authorization"),
        ({"Authorization": "Bearer"}, "invalid_authorization"),
        ({"Authorization": "Bearer \udcff".encode("utf-8", "surrogateescape").decode("latin-1")}, "invalid_api_key"),
        ({"Sec-WebSocket-Protocol": "realtime, openai-insecure-api-key.wrong"}, "invalid_api_key"),
    ],
)
def test_nothing_is_done_without_a_key(headers: dict[str, str], code: str) -> None:
    async def scene(server: Served) -> None:
        for method, path in GUARDED:
            async with server.client.request(method, path, headers=headers, data=b"x") as answer:
                assert answer.status == 401
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                error = await error_of(answer)
                assert (error["type"], error["code"]) == ("authentication_error", code)
        assert server.desk.requests == []

    served(scene, CLOSED)


def test_open_server_takes_any_key_and_still_no_broken_secret() -> None:
    async def scene(server: Served) -> None:
        async with server.client.post(CALLS, data=OFFER, headers=SDP | BEARER) as answer:
            assert answer.status == 201
        async with server.client.post(CALLS, data=OFFER, headers=SDP | {"Authorization": "Bearer ek_AA"}) as answer:
            assert answer.status == 401

    served(scene)
