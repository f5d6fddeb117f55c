"""One listening socket, and how connections come in by it.

Lives here: taking connections off the socket, one at a time, TLS included. Must not live here: what is asked over them,
how many there may be (server).

asyncio's own servers take as many connections at once as wait. Here a worker takes one a turn of its loop, so that
while it is busy its neighbours, who listen on the same socket, get the others.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Final

from aiohttp.web_protocol import RequestHandler

from fastrelay.observe.logs import facts

LOG = logging.getLogger(__name__)

HANDSHAKE_S: Final = 5.0
COMING_MAX: Final = 256
"""TLS handshakes under way. They are not yet counted as connections."""
FULL_S: Final = 0.1
"""How long nothing is taken when there is no room or no descriptor."""
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Door:
    """One listening socket. It is ours to close; other processes' copies of it stay open."""

    def __init__(
        self,
        listener: socket.socket,
        has_room: Callable[[], bool],
        admit: Callable[[], RequestHandler],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._has_room = has_room
        self._admit = admit
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._coming: dict[asyncio.Task[None], socket.socket] = {}
        self._pause: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Begin to take connections."""
        self._pause = None
        self._loop.add_reader(self._listener.fileno(), self._take_one)

    def close(self) -> None:
        """Take no more. Connections that are there stay."""
        if self._pause is not None:
            self._pause.cancel()
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()

    async def settle(self) -> None:
        """Give up on connections that are still on their way in."""
        coming = dict(self._coming)
        for task in coming:
            task.cancel()
        if coming:
            await asyncio.wait(coming)
        for task, connection in coming.items():
            if task.cancelled():  # perhaps before its first step, in which case nobody else knows of the socket
                connection.close()

    def _take_one(self) -> None:
        # Asked before the socket is: who is not taken waits in the kernel, where a neighbour may take them.
        if len(self._coming) >= COMING_MAX or not self._has_room():
            self._rest()
            return
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # a neighbour was faster, or the client has gone
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            LOG.error("no connection is taken for want of descriptors", extra=facts(problem=str(error.strerror)))
            self._rest()
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._let_in(connection))
        self._coming[task] = connection
        task.add_done_callback(self._coming.pop)

    def _rest(self) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._pause = self._loop.call_later(FULL_S, self.open)

    async def _let_in(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._admit,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=None if self._tls is None else HANDSHAKE_S,
            )
        except OSError:  # its handshake failed, or it has gone: the client knows
            connection.close()
