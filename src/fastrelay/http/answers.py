"""Every request gets an answer, in bounded time, with the headers that all answers have.

Lives here: what surrounds an endpoint: the time limit, errors into answers, faults into one log line, CORS.
Must not live here: endpoints.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import traceback
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from aiohttp import web

from fastrelay.errors import WireError
from fastrelay.http.desk import CallRefused
from fastrelay.http.front import FRONT, SOCKET_PATH, Front
from fastrelay.http.problems import Problem
from fastrelay.http.settings import RETRY_AFTER_S
from fastrelay.observe.logs import facts

LOG = logging.getLogger(__name__)

EXPOSED: Final = "Location, ETag, Link, Retry-After, Accept-Post, Accept-Patch, Allow"
PREFLIGHT_S: Final = 600
_REQUESTED_HEADERS = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, \-]{1,1024}")

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def answer_always(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Run the endpoint, and turn whatever comes of it into an answer."""
    front = request.app[FRONT]
    front.busy.add(request.protocol)
    try:
        if is_preflight(request):
            response: web.StreamResponse = web.Response(status=204, headers=_preflight_headers(request))
        else:
            response = await _outcome(request, handler, front)
        if front.desk.is_draining:
            response.force_close()  # what its client asks next, another worker is to answer
        front.answers[response.status] += 1
        return response
    finally:
        front.busy.discard(request.protocol)


async def set_common_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Before an answer leaves: what every one has."""
    response.headers["Server"] = "fastrelay"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")
    origin = request.headers.get("Origin")
    settings = request.app[FRONT].settings
    if "*" not in settings.allowed_origins:
        response.headers.setdefault("Vary", "Origin")
    if origin is not None and settings.allows_origin(origin):
        response.headers["Access-Control-Allow-Origin"] = "*" if "*" in settings.allowed_origins else origin
        response.headers["Access-Control-Expose-Headers"] = EXPOSED


def is_preflight(request: web.Request) -> bool:
    """Whether a browser asks on its own account what a page may ask."""
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers


def _preflight_headers(request: web.Request) -> dict[str, str]:
    headers = {"Access-Control-Max-Age": str(PREFLIGHT_S), "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE"}
    wanted = request.headers.get("Access-Control-Request-Headers", "")
    if _REQUESTED_HEADERS.fullmatch(wanted):  # SDKs send headers of their own, and none is dangerous here
        headers["Access-Control-Allow-Headers"] = wanted
    if request.path.startswith("/whip"):
        headers["Accept-Post"] = "application/sdp"
    return headers


async def settled(work: Awaitable[T], timeout_s: float | None) -> asyncio.Task[T]:
    """Run something to its end or to the end of its time, in a task: its failure is then a value to look at."""
    task = asyncio.ensure_future(_as_coroutine(work))
    try:
        await asyncio.wait({task}, timeout=timeout_s)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
    return task


def log_fault(error: BaseException, request: web.Request) -> str:
    """Write down everything about a fault of ours; what comes back is its name, for the client."""
    name = secrets.token_hex(6)
    trace = "".join(traceback.format_exception(error))
    resource = request.match_info.route.resource
    path = "" if resource is None else resource.canonical
    LOG.error("an answer failed", extra=facts(fault=name, method=request.method, path=path, trace=trace))
    return name


async def _as_coroutine(work: Awaitable[T]) -> T:
    return await work


async def _outcome(request: web.Request, handler: Handler, front: Front) -> web.StreamResponse:
    is_lasting = request.path == SOCKET_PATH
    # Twice the time, because reading the body has a limit, and an answer, of its own.
    task = await settled(handler(request), None if is_lasting else 2 * front.settings.request_s)
    if task.cancelled():
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        return Problem(503, "timeout", "this took too long", headers=headers).response()
    error = task.exception()
    return task.result() if error is None else _answer_to(error, request)


def _answer_to(error: BaseException, request: web.Request) -> web.StreamResponse:
    if isinstance(error, Problem):
        return error.response()
    if isinstance(error, CallRefused):
        return Problem.of(error).response()
    if isinstance(error, WireError):
        code = "invalid_offer" if error.field == "sdp" else "invalid_body"
        return Problem(400, code, str(error), param=error.field).response()
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        message = f"{request.method[:16]} is not possible here, {allowed} is"
        return Problem(405, "method_not_allowed", message, headers={"Allow": allowed}).response()
    if isinstance(error, web.HTTPNotFound):
        return Problem(404, "not_found", "there is nothing at this path").response()
    if isinstance(error, web.HTTPException):
        return Problem(error.status, "refused", error.reason).response()
    name = log_fault(error, request)
    return Problem(500, "internal_error", f"something is wrong here; in the log it is {name}").response()
