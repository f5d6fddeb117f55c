"""The forms that answers of an admin HTTP have, a relay's and a transceiver's.

Lives here: status codes, content types. Must not live here: what is asked and answered (routes).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

METRICS_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
Answer = Callable[[web.BaseRequest], Awaitable[web.Response]]


async def answered(answers: Mapping[str, Answer], request: web.BaseRequest) -> web.Response:
    """By path. All of it is only read."""
    found = answers.get(request.path)
    if found is None:
        return problem(404, f"there is nothing at this path; there are {', '.join(answers)}")
    if request.method != "GET":
        response = problem(405, "everything here is only read, by GET")
        response.headers["Allow"] = "GET"
        return response
    return await found(request)


def metrics(registry: CollectorRegistry) -> web.Response:
    """A scrape."""
    return web.Response(body=generate_latest(registry), headers={"Content-Type": METRICS_CONTENT_TYPE})


def health(reasons: list[str], well: str) -> web.Response:
    return web.Response(status=503 if reasons else 200, text="\n".join(reasons or [well]) + "\n")


def document(values: Mapping[str, Any], status: int = 200) -> web.Response:
    body = json.dumps(values, ensure_ascii=False, separators=(",", ":"), default=str).encode()
    return web.Response(status=status, body=body, content_type="application/json", charset="utf-8")


def problem(status: int, text: str, parameter: str | None = None) -> web.Response:
    named = {} if parameter is None else {"parameter": parameter}
    return document({"problem": text, **named}, status)
