"""Offer and answer over a WebSocket, for clients that keep one anyway: closing it hangs up.

Lives here: the messages, one call for each socket. Must not live here: the call.

    client                                            server
    {"type": "offer", "sdp": …, "session": {…}}  →
                                                   ←  {"type": "answer", "sdp": …, "call_id": "rtc_…"}
    {"type": "restart", "fragment": …}           →    (ICE restart, RFC 8840)
                                                   ←  {"type": "restarted", "fragment": …}
    {"type": "hangup"}                           →
                                                   ←  {"type": "ended"}, also when the other end hung up
                                                   ←  {"type": "error", "error": {…}}, to any message
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import WSCloseCode, WSMsgType, web

from fastrelay.errors import WireError
from fastrelay.http.answers import log_fault, settled
from fastrelay.http.desk import CallRefused, CallRequest, Refusal
from fastrelay.http.documents import read_object
from fastrelay.http.front import FRONT, Caller, Front, client_facts
from fastrelay.http.problems import Problem
from fastrelay.http.realtime import read_offer_document
from fastrelay.http.settings import BODY_BYTES_MAX
from fastrelay.observe.logs import facts

LOG = logging.getLogger(__name__)

SUBPROTOCOL: Final = "realtime"
OFFER_S: Final = 10.0
"""For the offer to come."""
HEARTBEAT_S: Final = 20.0
LOOK_S: Final = 1.0
"""How often it is seen whether the call is still there."""
PROBLEMS_MAX: Final = 8
"""Errors on one socket before it is closed."""


async def converse(request: web.Request) -> web.StreamResponse:
    """GET /v1/realtime/ws."""
    front = request.app[FRONT]
    caller = front.authenticate(request)
    front.refuse_foreign_page(request)
    front.refuse_while_draining(request)
    for name, value in request.headers.items():
        if name.lower().startswith(("sec-websocket-", "upgrade", "connection")) and not value.isascii():
            raise Problem(400, "invalid_header", f"{name} has characters that it cannot have")
    socket = web.WebSocketResponse(
        protocols=(SUBPROTOCOL,), heartbeat=HEARTBEAT_S, max_msg_size=BODY_BYTES_MAX, compress=False
    )
    if not socket.can_prepare(request).ok:
        raise Problem(426, "upgrade_required", "this is a WebSocket", headers={"Upgrade": "websocket"})
    try:
        await socket.prepare(request)
    except ConnectionResetError:
        raise Problem(400, "gone", "the client has gone before its socket was open", is_final=True) from None
    front.sockets.add(socket)
    conversation = Conversation(front, caller, socket, client_facts(request))
    try:
        talk = await settled(conversation.run(), None)
    finally:
        front.sockets.discard(socket)
        await conversation.end()
    error = None if talk.cancelled() else talk.exception()
    if error is not None:  # no answer over HTTP can follow any more
        name = log_fault(error, request)
        await socket.close(code=WSCloseCode.INTERNAL_ERROR, message=f"in the log this is {name}".encode())
    return socket


class Conversation:
    """One socket, and the call that was made over it."""

    def __init__(self, front: Front, caller: Caller, socket: web.WebSocketResponse, client: dict[str, str]) -> None:
        self._front = front
        self._caller = caller
        self._socket = socket
        self._client = client
        self._call_id: str | None = None
        self._problems = 0

    async def run(self) -> None:
        """Until either end hangs up or closes."""
        deadline_s = asyncio.get_running_loop().time() + OFFER_S
        receiving = asyncio.ensure_future(self._socket.receive())
        try:
            while not self._socket.closed:
                await asyncio.wait({receiving}, timeout=LOOK_S)
                if receiving.done():
                    message = receiving.result()
                    if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                        return
                    await self._take(message.data)
                    receiving = asyncio.ensure_future(self._socket.receive())
                if self._call_id is None and asyncio.get_running_loop().time() >= deadline_s:
                    await self._socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"no offer came")
                elif self._call_id is not None and not self._is_there(self._call_id):
                    self._call_id = None
                    await self._say_ended()
        finally:
            receiving.cancel()
            await asyncio.wait({receiving})

    async def end(self) -> None:
        """The socket is over, and so is its call."""
        if self._call_id is not None and self._is_there(self._call_id):
            await self._front.desk.end_call(self._call_id)
            LOG.info("hang-up taken", extra=facts(call=self._call_id, way="websocket", **self._client))
        self._call_id = None

    def _is_there(self, call_id: str) -> bool:
        try:
            self._front.desk.etag_of(call_id)
        except CallRefused as refused:
            if refused.refusal is not Refusal.NO_SUCH_CALL:
                raise
            return False
        return True

    async def _say_ended(self) -> None:
        await self._send({"type": "ended"})
        await self._socket.close()

    async def _take(self, data: str | bytes) -> None:
        try:
            await self._answer(read_object(data, "message"))
        except Problem as problem:
            await self._complain(problem)
        except CallRefused as refused:
            await self._complain(Problem.of(refused))
        except WireError as error:
            await self._complain(Problem(400, "invalid_message", str(error), param=error.field))

    async def _answer(self, message: Mapping[str, Any]) -> None:
        kind = message.get("type")
        if kind == "offer":
            await self._open(message)
        elif kind == "restart":
            await self._restart(message)
        elif kind == "hangup":
            await self.end()
            await self._say_ended()
        else:
            raise Problem(400, "unknown_type", "type must be offer, restart or hangup", param="type")

    async def _open(self, message: Mapping[str, Any]) -> None:
        if self._call_id is not None:
            raise Problem(400, "call_exists", "this socket has its call already; open another socket")
        offer, session = read_offer_document(message)
        call_request = CallRequest(offer, "websocket", {**session, **self._caller.session}, self._caller.subject)
        opened = await self._front.desk.open_call(call_request)
        self._call_id = opened.call_id
        LOG.info(
            "call opened",
            extra=facts(call=opened.call_id, way="websocket", subject=self._caller.subject, **self._client),
        )
        await self._send({"type": "answer", "sdp": opened.answer, "call_id": opened.call_id})

    async def _restart(self, message: Mapping[str, Any]) -> None:
        fragment = message.get("fragment")
        if self._call_id is None or not isinstance(fragment, str):
            raise Problem(400, "invalid_message", "a restart has a fragment, and a call before it", param="fragment")
        restarted = await self._front.desk.restart_ice(self._call_id, fragment)
        LOG.info("ice restarted", extra=facts(call=self._call_id, **self._client))
        await self._send({"type": "restarted", "fragment": restarted.fragment})

    async def _send(self, message: Mapping[str, Any]) -> None:
        with contextlib.suppress(ConnectionResetError):  # it has gone, which the next receive() tells
            await self._socket.send_json(message)

    async def _complain(self, problem: Problem) -> None:
        await self._send({"type": "error", **problem.document})
        self._problems += 1
        if self._problems >= PROBLEMS_MAX:
            await self._socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"too many errors")
