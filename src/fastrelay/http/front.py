"""What every endpoint needs: the desk, who may call, the settings of now, and what came in one request.

Lives here: the state of signalling and its bounds on reading. Must not live here: endpoints, statuses of refusals.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from fastrelay.errors import WireError
from fastrelay.http.client_secrets import PREFIX, SecretError, SecretKeeper
from fastrelay.http.desk import CallDesk
from fastrelay.http.neighbours import Neighbours
from fastrelay.http.problems import Problem
from fastrelay.http.settings import BODY_BYTES_MAX, RETRY_AFTER_S, HttpSettings

CALL_ID = re.compile(r"rtc_[a-z2-7]{13}")
SOCKET_PATH: Final = "/v1/realtime/ws"
"""The one path whose requests last."""
SUBPROTOCOL_KEY: Final = "openai-insecure-api-key."
"""What a page's WebSocket, which can set no header, puts its secret behind: the Realtime API's convention."""
_KEY_LENGTH_MAX: Final = 8192


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    subject: str
    """The key's or secret's name; `anyone` where signalling is open."""
    has_api_key: bool
    """Not a browser with a secret: may see all calls, and make secrets."""
    session: Mapping[str, Any] = field(default_factory=dict)
    """What the maker of the secret has said about its calls."""


@dataclass(slots=True)
class Front:
    """Signalling's state in one worker."""

    desk: CallDesk
    keeper: SecretKeeper
    settings: HttpSettings
    clock_s: Callable[[], float] = time.time
    """Unix seconds, for secrets."""
    neighbours: Neighbours = field(default_factory=Neighbours)
    busy: set[RequestHandler] = field(default_factory=set)
    """Connections with a request under way: these are not closed to make room."""
    answers: Counter[int] = field(default_factory=Counter)
    """Requests answered, by status."""
    sockets: set[web.WebSocketResponse] = field(default_factory=set)
    """WebSockets that are open."""

    def authenticate(self, request: web.Request) -> Caller:
        """Who asks, or 401."""
        key = _presented_key(request)
        if key is not None and key.startswith(PREFIX):
            try:
                secret = self.keeper.open(key, self.clock_s())
            except SecretError as error:
                raise _unauthorized("invalid_client_secret", str(error)) from None
            return Caller(f"secret:{secret.name}", has_api_key=False, session=secret.session)
        name = None if key is None else self.settings.api_keys.find(key)
        if name is not None:
            return Caller(f"key:{name}", has_api_key=True)
        if self.settings.is_open:
            # Nothing but the address is needed here, and any page that a browser on this network shows knows it.
            self.refuse_foreign_page(request)
            return Caller("anyone", has_api_key=True)
        if key is None:
            raise _unauthorized("missing_api_key", "send an API key or a client secret: Authorization: Bearer …")
        raise _unauthorized("invalid_api_key", "this API key is not known here")

    def require_api_key(self, request: web.Request) -> Caller:
        """Who asks, where a browser's secret is not enough."""
        caller = self.authenticate(request)
        if not caller.has_api_key:
            raise Problem(403, "api_key_required", "this takes an API key, not a client secret")
        return caller

    def refuse_foreign_page(self, request: web.Request) -> None:
        """A browser lets any page send some requests anywhere; it says whose page it is, and leaves it to us."""
        origin = request.headers.get("Origin")
        if origin is None or self.settings.allows_origin(origin) or origin.partition("://")[2] == request.host:
            return
        raise Problem(403, "foreign_origin", "pages of this origin may not call here; see http.allowed_origins")

    def refuse_while_draining(self, request: web.Request) -> None:
        """Send new calls elsewhere before anything is read of them."""
        if not self.desk.is_draining:
            return
        message = "this machine takes no new calls, because it is about to stop"
        if self.settings.redirect_to:
            # RFC 9725 §4.5: 307 keeps the method and the body
            location = f"{self.settings.redirect_to}{request.rel_url}"
            raise Problem(307, "draining", message, headers={"Location": location})
        raise Problem(503, "draining", message, headers={"Retry-After": str(RETRY_AFTER_S)})


FRONT: Final = web.AppKey("front", Front)


def call_id_of(request: web.Request) -> str:
    """The call that the path names; 404 for what cannot be one."""
    call_id = request.match_info["call_id"]
    if not CALL_ID.fullmatch(call_id):
        raise Problem(404, "no_such_call", "a call id is rtc_ and 13 letters and digits")
    return call_id


def client_facts(request: web.Request) -> dict[str, str]:
    """Where a request comes from, for a log line. One that a neighbour has handed on comes from nowhere."""
    try:
        return {"remote": str(ipaddress.ip_address(request.remote or ""))}
    except ValueError:
        return {}


async def read_body(request: web.Request, *accepted: str, accept_header: str = "Accept-Post") -> bytes:
    """The whole body, when it is of an accepted type and not larger than allowed."""
    if request.content_type not in accepted or "Content-Type" not in request.headers:
        message = f"send this as {' or '.join(accepted)}"
        raise Problem(415, "unsupported_content_type", message, headers={accept_header: ", ".join(accepted)})
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(415, "unsupported_content_encoding", "send the body without Content-Encoding")
    return await read_bounded(request)


async def read_bounded(request: web.Request) -> bytes:
    """The whole body of any type, when it comes in time and is not larger than allowed."""
    too_large = Problem(413, "body_too_large", f"a body has at most {BODY_BYTES_MAX} bytes", is_final=True)
    if request.content_length is not None and request.content_length > BODY_BYTES_MAX:
        raise too_large
    try:
        async with asyncio.timeout(request.app[FRONT].settings.request_s):
            return await request.read()
    except TimeoutError:
        raise Problem(408, "timeout", "the body did not come in time", is_final=True) from None
    except ConnectionResetError:
        raise Problem(400, "gone", "the client has gone before its body had come", is_final=True) from None
    except web.HTTPRequestEntityTooLarge:
        raise too_large from None
    except web.RequestPayloadError:
        problem = "the body breaks HTTP: its chunks or its length"
        raise Problem(400, "invalid_body", problem, is_final=True) from None


def read_text(body: bytes, what: str) -> str:
    """Text of a client, which is UTF-8."""
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise WireError(what, error.start, "not UTF-8") from None


def _presented_key(request: web.Request) -> str | None:
    authorization = request.headers.get("Authorization")
    if authorization is not None:
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not key or len(key) > _KEY_LENGTH_MAX:
            raise _unauthorized("invalid_authorization", "Authorization must be: Bearer, a space, and the key")
        return key.strip()
    for protocol in request.headers.get("Sec-WebSocket-Protocol", "").split(","):
        if protocol.strip().startswith(SUBPROTOCOL_KEY):
            return protocol.strip().removeprefix(SUBPROTOCOL_KEY)
    return None


def _unauthorized(code: str, message: str) -> Problem:
    return Problem(401, code, message, headers={"WWW-Authenticate": "Bearer"})
