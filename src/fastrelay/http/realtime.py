"""The Realtime API's way to make a call, so that its SDKs work unchanged.

Lives here: POST /v1/realtime/calls in its three forms, hanging up, client secrets. Must not live here: media, agents.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from fastrelay.errors import WireError
from fastrelay.http.desk import CallRequest
from fastrelay.http.documents import json_response, read_object
from fastrelay.http.forms import parse_form
from fastrelay.http.front import FRONT, call_id_of, client_facts, read_body, read_text
from fastrelay.http.problems import Problem
from fastrelay.http.settings import SECRET_LIFETIME_S_MAX, SECRET_LIFETIME_S_MIN
from fastrelay.observe.logs import facts

LOG = logging.getLogger(__name__)

SDP: Final = "application/sdp"
JSON: Final = "application/json"
FORM: Final = "multipart/form-data"


async def open_call(request: web.Request) -> web.Response:
    """POST /v1/realtime/calls: an offer, and what the caller says about the session; the answer comes back."""
    front = request.app[FRONT]
    caller = front.authenticate(request)
    front.refuse_while_draining(request)
    body = await read_body(request, SDP, JSON, FORM)
    offer, session = read_request(request.content_type, request.headers["Content-Type"], body)
    # What the secret's maker has said is not the browser's to change.
    call_request = CallRequest(offer, "realtime", {**session, **caller.session}, caller.subject)
    opened = await front.desk.open_call(call_request)
    LOG.info(
        "call opened",
        extra=facts(call=opened.call_id, way="realtime", subject=caller.subject, **client_facts(request)),
    )
    location = f"{front.settings.public_url}/v1/realtime/calls/{opened.call_id}"
    headers = {"Location": location, "ETag": f'"{opened.etag}"'}
    return web.Response(status=201, body=opened.answer.encode(), content_type=SDP, headers=headers)


async def hang_up(request: web.Request) -> web.Response:
    """POST /v1/realtime/calls/{call_id}/hangup, and DELETE of the call itself."""
    call_id = call_id_of(request)
    await request.app[FRONT].desk.end_call(call_id)
    LOG.info("hang-up taken", extra=facts(call=call_id, way="realtime", **client_facts(request)))
    return web.Response(status=200)


async def make_client_secret(request: web.Request) -> web.Response:
    """POST /v1/realtime/client_secrets: a secret that a browser may hold."""
    front = request.app[FRONT]
    front.require_api_key(request)
    body = await read_body(request, JSON)
    document = read_object(body, "body") if body else {}
    session = _member(document, "session")
    lifetime_s = _lifetime_of(document, front.settings.secret_lifetime_s)
    try:
        value, secret = front.keeper.mint(session, lifetime_s=lifetime_s, now_s=front.clock_s())
    except ValueError as error:
        raise WireError("session", 0, str(error)) from None
    return json_response({"value": value, "expires_at": secret.expires_at_s, "session": session})


def read_request(kind: str, content_type: str, body: bytes) -> tuple[str, Mapping[str, Any]]:
    """Offer and session of a body of one of the three forms."""
    if kind == SDP:
        return read_text(body, "sdp"), {}
    if kind == FORM:
        fields = parse_form(body, content_type)
        if "sdp" not in fields:
            raise Problem(400, "missing_field", "the form has no field sdp", param="sdp")
        session = read_object(fields["session"], "session") if "session" in fields else {}
        return read_text(fields["sdp"], "sdp"), session
    return read_offer_document(read_object(body, "body"))


def read_offer_document(document: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Offer and session of the JSON form."""
    offer = document.get("sdp")
    if not isinstance(offer, str):
        raise Problem(400, "missing_field", "sdp must be there, as text", param="sdp")
    return offer, _member(document, "session")


def _member(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Problem(400, "invalid_field", f"{name} must be an object", param=name)
    return found


def _lifetime_of(document: Mapping[str, Any], default_s: int) -> int:
    expires_after = _member(document, "expires_after")
    if expires_after.get("anchor", "created_at") != "created_at":
        raise Problem(400, "invalid_field", "anchor must be created_at", param="expires_after.anchor")
    seconds = expires_after.get("seconds", default_s)
    is_whole = isinstance(seconds, int) and not isinstance(seconds, bool)
    if not is_whole or not SECRET_LIFETIME_S_MIN <= seconds <= SECRET_LIFETIME_S_MAX:
        message = f"seconds must be a whole number from {SECRET_LIFETIME_S_MIN} to {SECRET_LIFETIME_S_MAX}"
        raise Problem(400, "invalid_field", message, param="expires_after.seconds")
    return int(seconds)
