"""The doors of signalling, and bounds on who is inside.

Lives here: connections, their number and their deadlines. Must not live here: taking them off a socket (door), requests
(app).
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from fastrelay.http.door import Door
from fastrelay.http.front import FRONT
from fastrelay.observe.http_faults import HttpFaults

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


class Doors:
    """The listening sockets, and the application behind all of them."""

    def __init__(self, app: web.Application) -> None:
        self._app = app
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=HttpFaults(LOG, "a connection failed"),
            keepalive_timeout=IDLE_S,
            lingering_time=0.0,
            max_line_size=REQUEST_LINE_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
            max_headers=HEADERS_MAX,
            auto_decompress=False,
            shutdown_timeout=FAREWELL_S,
        )
        self._public: list[Door] = []
        self._private: list[Door] = []
        self.turned_away = 0
        """Connections closed, idle, to make room for others."""

    async def open(self, sockets: Sequence[socket.socket], *, tls: ssl.SSLContext | None = None) -> None:
        """Serve on sockets that are bound and listen. From here on they are ours to close.

        TCP sockets are for clients, with TLS where there is a context; unix sockets are for neighbours.
        """
        await self._runner.setup()
        for each in sockets:
            is_private = each.family == socket.AF_UNIX
            door = Door(each, self._has_room, self._admit, None if is_private else tls)
            (self._private if is_private else self._public).append(door)
            door.open()

    def snapshot(self) -> dict[str, Any]:
        """Counts for metrics: connections now, those turned away, answers by status."""
        server, front = self._runner.server, self._app[FRONT]
        return {
            "connections": 0 if server is None else len(server.connections),
            "turned_away": self.turned_away,
            "answers": {str(status): count for status, count in sorted(front.answers.items())},
        }

    def stop_listening(self) -> None:
        """Take no more connections of clients. Neighbours may still ask: the calls are here."""
        for door in self._public:
            door.close()

    async def close(self) -> None:
        """Take no more, finish what is under way if that is quick, let go of everything."""
        for door in (*self._public, *self._private):
            door.close()
            await door.settle()
        await self._runner.cleanup()

    def _has_room(self) -> bool:
        present = self._server.connections
        return len(present) < CONNECTIONS_MAX or self._idle_among(present) is not None

    def _admit(self) -> RequestHandler:
        """For a new connection. When all places are taken, the one that has been idle longest gives way."""
        present = self._server.connections
        idle = self._idle_among(present) if len(present) >= CONNECTIONS_MAX else None
        if idle is not None:
            self.turned_away += 1
            idle.force_close()
        return self._server()

    def _idle_among(self, present: list[RequestHandler]) -> RequestHandler | None:
        busy = self._app[FRONT].busy
        return next((each for each in present if each not in busy), None)

    @property
    def _server(self) -> web.Server:
        server = self._runner.server
        assert server is not None  # set up before anything listens
        return server
