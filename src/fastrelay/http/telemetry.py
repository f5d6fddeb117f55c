"""What can be asked about calls, and whether this worker takes more.

Lives here: reading, by GET. Must not live here: what is measured.
"""

from __future__ import annotations

from aiohttp import web

from fastrelay.http.documents import json_response
from fastrelay.http.front import FRONT, call_id_of
from fastrelay.http.neighbours import HANDED_ON


async def statistics(request: web.Request) -> web.Response:
    """GET /v1/calls/{call_id}/stats."""
    return json_response(request.app[FRONT].desk.statistics(call_id_of(request)))


async def calls(request: web.Request) -> web.Response:
    """GET /v1/calls: every call on this machine; `is_complete` is false when a worker has not answered."""
    front = request.app[FRONT]
    front.require_api_key(request)
    found = list(front.desk.calls())
    is_complete = True
    if HANDED_ON not in request.headers:
        for theirs in await front.neighbours.collect_calls(front.desk.neighbours(), request):
            is_complete = is_complete and theirs is not None
            found.extend(theirs or [])
    return json_response({"calls": found, "is_complete": is_complete})


async def health(request: web.Request) -> web.Response:
    """GET /healthz, for a balancer: whether new calls are taken."""
    is_draining = request.app[FRONT].desk.is_draining
    return json_response({"status": "draining" if is_draining else "ok"}, status=503 if is_draining else 200)
