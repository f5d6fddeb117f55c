"""What goes back when something is wrong: a status and {"error": {"type", "code", "message", "param"}}.

Lives here: the form, and the status of every refusal. Must not live here: finding out that something is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from fastrelay.errors import FastrelayError
from fastrelay.http.desk import CallRefused, Refusal
from fastrelay.http.documents import json_response
from fastrelay.http.settings import RETRY_AFTER_S

_STATUS: Final = {
    Refusal.INVALID_OFFER: 400,
    Refusal.TOO_MANY_CALLS: 503,
    Refusal.TOO_MANY_OFFERS: 429,
    Refusal.DRAINING: 503,
    Refusal.NO_SUCH_CALL: 404,
}
_RETRIED: Final = frozenset({429, 503})
_TYPES: Final = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class Problem(FastrelayError):
    """A request that is answered with an error. The message is for the client's developer.

    `is_final` closes the connection, where what follows on it could not be told from the rest of a body.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        is_final: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers = dict(headers or {})
        self.is_final = is_final

    @classmethod
    def of(cls, refused: CallRefused) -> Problem:
        """What a refusal of the desk is over HTTP."""
        status = _STATUS[refused.refusal]
        headers = {}
        if status in _RETRIED:
            seconds = RETRY_AFTER_S if refused.retry_after_s is None else max(1, refused.retry_after_s)
            headers["Retry-After"] = str(seconds)
        return cls(status, refused.refusal.value, refused.problem, param=refused.param, headers=headers)

    @property
    def document(self) -> dict[str, object]:
        """The error as clients of the Realtime API expect it."""
        default = "invalid_request_error" if self.status < 500 else "server_error"
        kind = _TYPES.get(self.status, default)
        return {"error": {"type": kind, "code": self.code, "message": self.message, "param": self.param}}

    def response(self) -> web.Response:
        response = json_response(self.document, status=self.status, headers=self.headers)
        if self.is_final:
            response.force_close()
        return response
