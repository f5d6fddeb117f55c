"""The demo page before a server that answers as a test has written down, to see how it takes bad news.

Lives here: the server, in a thread of its own. Must not live here: what the page makes of it (the tests).
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aiohttp import web

from fastrelay.http.demo import add_demo

START_S = 10.0


@dataclass(frozen=True)
class Reply:
    status: int
    code: str = ""
    """Of the error; empty for an answer without a body."""
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> web.Response:
        if not self.code:
            return web.Response(status=self.status, headers=self.headers)
        error = {"type": "server_error", "code": self.code, "message": f"the test says {self.code}", "param": None}
        text = json.dumps({"error": error})
        return web.Response(status=self.status, text=text, content_type="application/json", headers=self.headers)


class ScriptedServer:
    """Serves the page; every other request gets `reply`, or none at all while that is None. A context manager."""

    def __init__(self) -> None:
        self.reply: Reply | None = None
        self.is_silent = False
        """Takes requests and never answers."""
        self.asked: list[tuple[str, str, str | None]] = []
        """Method, path and Authorization of each request that was no page's."""
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._is_up = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_up.wait(START_S), "the scripted server does not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application()
        add_demo(app)
        app.router.add_route("*", "/{path:.+}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
            self._is_up.set()
            await self._stop.wait()
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.path, request.headers.get("Authorization")))
        if self.is_silent:
            await self._stop.wait()
        if self.reply is None:
            assert request.transport is not None, "the request has just come over it"
            request.transport.abort()
            return web.Response()
        return self.reply.response()
