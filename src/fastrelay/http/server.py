"""The doors of signalling: sockets that listen, and bounds on who is inside.

Lives here: connections, their number and their deadlines. Must not live here: requests (app).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import traceback
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from fastrelay.http.front import FRONT
from fastrelay.observe.logs import facts

LOG = logging.getLogger(__name__)

CONNECTIONS_MAX: Final = 2048
"""Of one worker. Clients hold theirs for a request or two; a WebSocket holds it for its call."""
IDLE_S: Final = 15.0
"""For a request to come, the first as well as the next."""
FAREWELL_S: Final = 1.0
"""For answers under way when the worker ends."""
REQUEST_LINE_BYTES_MAX: Final = 4096
HEADER_BYTES_MAX: Final = 8190
"""A client secret is up to 6 KiB."""
HEADERS_MAX: Final = 64
BACKLOG: Final = 1024


class _Faults(logging.LoggerAdapter[logging.Logger]):
    """What aiohttp logs as exceptions. A request that is no HTTP is its client's fault, and has been answered."""

    def exception(self, msg: object, *args: object, exc_info: Any = True, **kwargs: Any) -> None:
        if isinstance(exc_info, BaseException) and not isinstance(exc_info, HttpProcessingError):
            LOG.error("a connection failed", extra=facts(trace="".join(traceback.format_exception(exc_info))))


class Doors:
    """The listening sockets, and the application behind all of them."""

    def __init__(self, app: web.Application) -> None:
        self._app = app
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=_Faults(LOG),
            keepalive_timeout=IDLE_S,
            lingering_time=0.0,
            max_line_size=REQUEST_LINE_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
            max_headers=HEADERS_MAX,
            auto_decompress=False,
            shutdown_timeout=FAREWELL_S,
        )
        self._listening: list[asyncio.Server] = []
        self.turned_away = 0
        """Connections closed, unused, to make room for others."""

    async def open(self, sockets: Sequence[socket.socket]) -> None:
        """Serve on sockets that are bound and listen, TCP or unix. From here on they are ours to close."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        for each in sockets:
            open_server = loop.create_unix_server if each.family == socket.AF_UNIX else loop.create_server
            self._listening.append(await open_server(self._admit, sock=each, backlog=BACKLOG))

    def stop_listening(self) -> None:
        """Take no more connections; those that are there go on."""
        for listening in self._listening:
            listening.close()

    async def close(self) -> None:
        """Take no more, finish what is under way if that is quick, let go of everything."""
        self.stop_listening()
        await self._runner.cleanup()

    def _admit(self) -> RequestHandler:
        """A new connection. When all places are taken, the one that has been idle longest gives way."""
        server = self._runner.server
        assert server is not None  # set up before anything listens
        present = server.connections
        if len(present) >= CONNECTIONS_MAX:
            busy = self._app[FRONT].busy
            idle = next((each for each in present if each not in busy), None)
            if idle is not None:
                self.turned_away += 1
                idle.force_close()
        return server()
