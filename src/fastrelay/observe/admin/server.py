"""Connections: how many, for how long, and what happens to one that is slow.

Lives here: bounds around aiohttp's low-level server. Must not live here: what is answered (routes).

A client that sends its request slowly is closed by aiohttp after IDLE_S; one that reads its answer slowly is cut after
ANSWER_S; when all places are taken, the connection that has been waiting longest for its client gives way.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from typing import Final, Protocol

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from fastrelay.observe.http_faults import HttpFaults

LOG = logging.getLogger(__name__)

CONNECTIONS_MAX: Final = 64
IDLE_S: Final = 10.0
"""For a request to come, the first as well as the next."""
ANSWER_S: Final = 10.0
"""For an answer to be made and taken."""
FAREWELL_S: Final = 0.4
"""For answers that are under way when the process ends."""
REQUEST_LINE_BYTES_MAX: Final = 4096
HEADER_BYTES_MAX: Final = 4096
HEADERS_MAX: Final = 64
BACKLOG: Final = 64


class Routes(Protocol):
    """Whatever is asked, they have an answer to it."""

    async def answer(self, request: web.BaseRequest) -> web.Response: ...


class BoundedServer(web.Server):
    """Makes a place for every new connection, and keeps a deadline for each."""

    def __init__(self, routes: Routes) -> None:
        super().__init__(
            self._handle,
            access_log=None,
            logger=HttpFaults(LOG, "an answer failed"),
            keepalive_timeout=IDLE_S,
            lingering_time=0.0,
            max_line_size=REQUEST_LINE_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
            max_headers=HEADERS_MAX,
        )
        self._routes = routes
        # in the order in which their clients were last waited for: the first has kept us waiting longest
        self._transports: dict[RequestHandler, asyncio.Transport] = {}
        self._deadlines: dict[RequestHandler, asyncio.TimerHandle] = {}
        self._answering: set[RequestHandler] = set()

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._transports[handler] = transport
        self._set_deadline(handler, IDLE_S + ANSWER_S)
        if len(self._transports) > CONNECTIONS_MAX:
            waiting = next((each for each in self._transports if each not in self._answering), handler)
            self._cut(waiting)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._forget(handler)

    def _forget(self, handler: RequestHandler) -> None:
        self._transports.pop(handler, None)
        self._answering.discard(handler)
        deadline = self._deadlines.pop(handler, None)
        if deadline is not None:
            deadline.cancel()

    def _cut(self, handler: RequestHandler) -> None:
        transport = self._transports.get(handler)
        self._forget(handler)
        if transport is not None:
            transport.abort()  # close() would wait for a client that does not read

    def _set_deadline(self, handler: RequestHandler, seconds: float) -> None:
        former = self._deadlines.pop(handler, None)
        if former is not None:
            former.cancel()
        self._deadlines[handler] = asyncio.get_running_loop().call_later(seconds, self._cut, handler)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        handler = request.protocol
        if handler not in self._transports:
            raise ConnectionResetError("cut before it was answered")
        self._set_deadline(handler, ANSWER_S)
        self._answering.add(handler)
        try:
            response = await self._routes.answer(request)
            # here rather than in the caller, so that the deadline covers the client's reading too
            await response.prepare(request)
            await response.write_eof()
        finally:
            self._answering.discard(handler)
        if handler in self._transports:
            self._transports[handler] = self._transports.pop(handler)
            self._set_deadline(handler, IDLE_S + ANSWER_S)
        return response


class Doors:
    """The listening sockets, and one server behind all of them."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._server: BoundedServer | None = None
        self._listening: list[asyncio.Server] = []

    async def open(self, sockets: Sequence[socket.socket]) -> None:
        """Serve on sockets that are bound and listen. From here on they are ours to close."""
        self._server = BoundedServer(self._routes)
        loop = asyncio.get_running_loop()
        for each in sockets:
            self._listening.append(await loop.create_server(self._server, sock=each, backlog=BACKLOG))

    async def close(self) -> None:
        """Take no more requests, finish those under way if that is quick."""
        for listening in self._listening:
            listening.close()
        if self._server is not None:
            self._server.pre_shutdown()
            await self._server.shutdown(FAREWELL_S)
