"""Handing a request to the worker that has the call: all workers answer on one port, and a call lives in one of them.

Lives here: the request and its answer on their way over a neighbour's unix socket, in bounded time and size.
Must not live here: which worker has a call (the desk).
"""

from __future__ import annotations

import asyncio
import errno
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientConnectorError, ClientError, ClientSession, ClientTimeout, DummyCookieJar, UnixConnector, web
from multidict import CIMultiDict, CIMultiDictProxy

from fastrelay.errors import WireError
from fastrelay.http.documents import read_object
from fastrelay.http.problems import Problem

HANDED_ON: Final = "Fastrelay-Handed-On"
"""Marks a request that a neighbour has sent: it is answered here or not at all."""
NEIGHBOURS_MAX: Final = 64
CONNECTIONS_MAX: Final = 32
"""To one neighbour. More requests wait for their turn within ANSWER_S."""
ANSWER_S: Final = 5.0
ANSWER_BYTES_MAX: Final = 1_048_576

_TRY_ANOTHER: Final = frozenset({307, 503})
"""Draining, or full."""

_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"}
    | {"transfer-encoding", "upgrade"}  # RFC 9110 §7.6.1
)
_OURS: Final = frozenset({"host", "content-length", "expect", "date", "server", HANDED_ON.lower()})
_JUDGED: Final = frozenset({"origin"})
"""The page's origin belongs to the Host that was asked, and was judged there."""


class Neighbours:
    """Connections to the other workers of this machine, made when they are needed."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[Path, ClientSession] = OrderedDict()  # the longest unused first

    async def hand_on(self, request: web.Request, home: Path, body: bytes) -> web.Response:
        """The neighbour's answer to the same request. 502 or 504 when there is none."""
        headers = _passed_on(request.headers)
        headers[HANDED_ON] = "1"
        status, found, content = await self._ask(home, request.method, str(request.rel_url), headers, body)
        return web.Response(status=status, body=content, headers=_passed_on(found))

    async def hand_to_any(self, request: web.Request, homes: Sequence[Path], body: bytes) -> web.Response | None:
        """The answer of the first neighbour that takes it; None when all are gone, full, or draining themselves."""
        for home in homes[:NEIGHBOURS_MAX]:
            try:
                answer = await self.hand_on(request, home, body)
            except Problem as problem:
                if problem.status == 504:  # it may have made a call of it
                    raise
                continue
            if answer.status not in _TRY_ANOTHER:
                return answer
        return None

    async def collect_calls(self, homes: Sequence[Path], request: web.Request) -> list[list[Any] | None]:
        """Every neighbour's calls; None for one that has no answer."""
        return list(await asyncio.gather(*(self._list_of(home, request) for home in homes[:NEIGHBOURS_MAX])))

    async def close(self) -> None:
        while self._sessions:
            await self._sessions.popitem()[1].close()

    async def _list_of(self, home: Path, request: web.Request) -> list[Any] | None:
        try:
            answer = await self.hand_on(request, home, b"")
            found = read_object(answer.body, "calls") if isinstance(answer.body, bytes) else {}
        except Problem as problem:
            return [] if problem.status == 404 else None
        except WireError:
            return None
        calls = found.get("calls")
        return calls if answer.status == 200 and isinstance(calls, list) else None

    async def _ask(
        self, home: Path, method: str, target: str, headers: CIMultiDict[str], body: bytes
    ) -> tuple[int, CIMultiDictProxy[str], bytes]:
        session = await self._session_of(home)
        try:
            async with session.request(
                method, f"http://neighbour{target}", headers=headers, data=body or None, allow_redirects=False
            ) as answer:
                content = await answer.content.read(ANSWER_BYTES_MAX + 1)
                while len(content) <= ANSWER_BYTES_MAX and (more := await answer.content.read(ANSWER_BYTES_MAX + 1)):
                    content += more
                if len(content) > ANSWER_BYTES_MAX:
                    raise Problem(502, "neighbour_failed", "the worker that has this call answers too much")
                return answer.status, answer.headers, content
        except ClientConnectorError as error:
            if error.os_error.errno in (errno.ENOENT, errno.ECONNREFUSED):  # its calls have gone with it
                raise Problem(404, "no_such_call", "the worker that had this call is gone") from None
            raise Problem(502, "neighbour_failed", "the worker that has this call cannot be reached") from None
        except TimeoutError:
            raise Problem(504, "neighbour_silent", "the worker that has this call does not answer in time") from None
        except (ClientError, OSError):
            raise Problem(502, "neighbour_failed", "the worker that has this call broke off") from None

    async def _session_of(self, home: Path) -> ClientSession:
        session = self._sessions.get(home)
        if session is None:
            session = self._sessions[home] = ClientSession(
                connector=UnixConnector(str(home), limit=CONNECTIONS_MAX),
                timeout=ClientTimeout(total=ANSWER_S),
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,
            )
        self._sessions.move_to_end(home)
        while len(self._sessions) > NEIGHBOURS_MAX:
            await self._sessions.popitem(last=False)[1].close()
        return session


def _passed_on(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """What belongs to the message, and not to the connection that it came by."""
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    dropped = _HOP_BY_HOP | _OURS | _JUDGED | named
    # Other bytes than ASCII have no meaning in any header that is read here, and may be no text at all.
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in dropped and value.isascii()
    )
