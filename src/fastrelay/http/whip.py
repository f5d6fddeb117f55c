"""WHIP (RFC 9725), for encoders and broadcasting tools, and for pages that want ICE restarts.

Lives here: the endpoint and its sessions over HTTP. Must not live here: what an ICE session is.
"""

from __future__ import annotations

import logging
import re
from typing import Final

from aiohttp import web

from fastrelay.http.desk import CallRequest
from fastrelay.http.front import FRONT, call_id_of, client_facts, read_body, read_text
from fastrelay.http.problems import Problem
from fastrelay.http.realtime import SDP
from fastrelay.observe.logs import facts
from fastrelay.transceiver.negotiation import read_fragment

LOG = logging.getLogger(__name__)

FRAGMENT: Final = "application/trickle-ice-sdpfrag"
_ENTITY_TAGS = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"')


async def open_call(request: web.Request) -> web.Response:
    """POST /whip."""
    front = request.app[FRONT]
    caller = front.authenticate(request)
    front.refuse_while_draining(request)
    offer = read_text(await read_body(request, SDP), "sdp")
    opened = await front.desk.open_call(CallRequest(offer, "whip", caller.session, caller.subject))
    LOG.info(
        "call opened",
        extra=facts(call=opened.call_id, way="whip", subject=caller.subject, **client_facts(request)),
    )
    base = front.settings.public_url
    headers = {
        "Location": f"{base}/whip/{opened.call_id}",
        "ETag": f'"{opened.etag}"',
        "Accept-Patch": FRAGMENT,
        "Link": f'<{base}/v1/calls/{opened.call_id}/stats>; rel="status"',  # RFC 8631
    }
    return web.Response(status=201, body=opened.answer.encode(), content_type=SDP, headers=headers)


async def describe_endpoint(_: web.Request) -> web.Response:
    """OPTIONS /whip."""
    return web.Response(status=204, headers={"Accept-Post": SDP, "Allow": "OPTIONS, POST"})


async def describe_session(_: web.Request) -> web.Response:
    """OPTIONS /whip/{call_id}."""
    return web.Response(status=204, headers={"Accept-Patch": FRAGMENT, "Allow": "DELETE, OPTIONS, PATCH"})


async def change_ice(request: web.Request) -> web.Response:
    """PATCH /whip/{call_id}: candidates for the ICE session that If-Match names, or another ICE session (`*`)."""
    call_id = call_id_of(request)
    desk = request.app[FRONT].desk
    text = read_text(await read_body(request, FRAGMENT, accept_header="Accept-Patch"), "sdp")
    etag = desk.etag_of(call_id)
    wanted = request.headers.get("If-Match")
    if wanted is None:
        raise Problem(428, "precondition_required", 'send If-Match: the ETag of the answer, or "*" to restart ICE')
    fragment = read_fragment(text)
    if wanted.strip() not in ("*", '"*"'):
        # RFC 9110 §13.1.1: a weak tag matches nothing here
        if f'"{etag}"' not in _ENTITY_TAGS.findall(wanted):
            raise Problem(412, "stale", "this is not the ETag of the call's present ICE session")
        return web.Response(status=204)  # an ICE-lite end needs no candidates: it answers whoever checks
    if fragment.ufrag is None:
        raise Problem(422, "no_credentials", "an ICE restart brings a=ice-ufrag and a=ice-pwd")
    restarted = await desk.restart_ice(call_id, text)
    LOG.info("ice restarted", extra=facts(call=call_id, **client_facts(request)))
    body = restarted.fragment.encode()
    return web.Response(status=200, body=body, content_type=FRAGMENT, headers={"ETag": f'"{restarted.etag}"'})


async def end_call(request: web.Request) -> web.Response:
    """DELETE /whip/{call_id}."""
    call_id = call_id_of(request)
    await request.app[FRONT].desk.end_call(call_id)
    LOG.info("hang-up taken", extra=facts(call=call_id, way="whip", **client_facts(request)))
    return web.Response(status=200)
