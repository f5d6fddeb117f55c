"""Signalling as one aiohttp application.

Lives here: which path is answered by what. Must not live here: answers.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import WSCloseCode, web

from fastrelay.http import realtime, telemetry, websocket, whip
from fastrelay.http.answers import answer_always, set_common_headers
from fastrelay.http.client_secrets import SecretKeeper
from fastrelay.http.demo import add_demo
from fastrelay.http.desk import CallDesk
from fastrelay.http.front import FRONT, SOCKET_PATH, Front, call_id_of, read_bounded
from fastrelay.http.neighbours import HANDED_ON
from fastrelay.http.problems import Problem
from fastrelay.http.settings import BODY_BYTES_MAX, HttpSettings

Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_app(
    desk: CallDesk, keeper: SecretKeeper, settings: HttpSettings, *, clock_s: Callable[[], float] = time.time
) -> web.Application:
    """Make the application of one worker. `clock_s` gives Unix seconds."""
    app = web.Application(middlewares=[answer_always], client_max_size=BODY_BYTES_MAX)
    app[FRONT] = Front(desk, keeper, settings, clock_s)
    app.on_response_prepare.append(set_common_headers)
    app.on_shutdown.append(_close_sockets)
    app.cleanup_ctx.append(_neighbours)
    app.add_routes(
        [
            web.post("/v1/realtime/calls", by_a_successor(realtime.open_call)),
            web.post("/v1/realtime/calls/{call_id}/hangup", at_home(realtime.hang_up)),
            web.delete("/v1/realtime/calls/{call_id}", at_home(realtime.hang_up)),
            web.post("/v1/realtime/client_secrets", realtime.make_client_secret),
            web.get(SOCKET_PATH, websocket.converse, allow_head=False),
            web.post("/whip", by_a_successor(whip.open_call)),
            web.options("/whip", whip.describe_endpoint),
            web.patch("/whip/{call_id}", at_home(whip.change_ice)),
            web.delete("/whip/{call_id}", at_home(whip.end_call)),
            web.options("/whip/{call_id}", whip.describe_session),
            web.get("/v1/calls", telemetry.calls),
            web.get("/v1/calls/{call_id}/stats", at_home(telemetry.statistics)),
            web.get("/healthz", by_a_successor(telemetry.health)),
        ]
    )
    if settings.serves_demo:
        add_demo(app)
    return app


def reload_settings(app: web.Application, settings: HttpSettings) -> None:
    """Take other settings from the next request on. Whether the demonstration is there was decided at the start."""
    app[FRONT].settings = settings


def at_home(endpoint: Endpoint) -> Endpoint:
    """Answer where the call is: in this worker or, over its socket, in a neighbour."""

    async def answer(request: web.Request) -> web.StreamResponse:
        front = request.app[FRONT]
        front.authenticate(request)
        home = front.desk.home_of(call_id_of(request))
        if home is None:
            return await endpoint(request)
        if HANDED_ON in request.headers:
            # Two workers that each take the other for the call's home must not hand it to and fro.
            raise Problem(404, "no_such_call", "there is no such call, or no longer")
        return await front.neighbours.hand_on(request, home, await read_bounded(request))

    return answer


def by_a_successor(endpoint: Endpoint) -> Endpoint:
    """Answer, if this worker drains, as a neighbour does that takes calls; spread calls over all of them.

    A worker that is replaced takes no more connections, but those that are kept alive lead to it for as long as it has
    calls, and their clients must not hear that the machine is about to stop.
    """

    async def answer(request: web.Request) -> web.StreamResponse:
        front = request.app[FRONT]
        is_ours = not front.desk.is_draining or HANDED_ON in request.headers
        others = [] if is_ours else front.desk.neighbours()
        if others:
            if request.method != "GET":
                front.authenticate(request)
            taken = await front.neighbours.hand_to_any(request, others, await read_bounded(request))
            if taken is not None:
                return taken
        response = await endpoint(request)
        if response.status == 201 and front.desk.neighbours():
            # connections are taken by whoever is idle, but one that is kept would bring all its calls to one worker
            response.force_close()
        return response

    return answer


async def _close_sockets(app: web.Application) -> None:
    for socket in list(app[FRONT].sockets):
        await socket.close(code=WSCloseCode.GOING_AWAY)


async def _neighbours(app: web.Application) -> AsyncIterator[None]:
    yield
    await app[FRONT].neighbours.close()
