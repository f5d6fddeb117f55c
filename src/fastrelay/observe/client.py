"""Asks a running relay's admin HTTP, through its run directory or over the network.

Lives here: where a relay can be asked, one request with a deadline, and what each failure means for an operator.
Must not live here: what the answers say (answers), how they are shown (top), signals (process).
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from fastrelay.errors import ConfigError, PeerError
from fastrelay.observe.answers import tier_of

ENVIRONMENT: Final = "FASTRELAY_AT"
RUN_DIR: Final = "/run/fastrelay"
SOCKET_NAME: Final = "admin.sock"
TIMEOUT_S: Final = 3.0
ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
"""A page of a thousand flows has 400 KiB."""
_PIECE_BYTES = 64 * 1024
_SOCKET_PATH_BYTES_MAX = 107
_REFUSED_START = 400


@dataclass(frozen=True, slots=True)
class Place:
    """Where a relay is asked: its run directory on this machine, or a URL."""

    text: str
    run_dir: Path | None = None
    is_tls: bool = False
    host: str = ""
    port: int | None = None
    prefix: str = ""
    """The path before ours, where a proxy stands in front of several relays."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its code."""

    code: int
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


def parse_place(text: str, *, key: str = "--at") -> Place:
    """Read a run directory's path, or http://HOST:PORT. ConfigError names `key`."""
    if "://" not in text:
        return Place(text, run_dir=Path(text).expanduser())
    try:
        parts = urlsplit(text)
        port = parts.port
        (parts.hostname or "").encode("idna")
    except ValueError as error:
        raise ConfigError(key, f"{text!r} is not a URL: {error}") from None
    if parts.scheme not in {"http", "https"}:
        raise ConfigError(key, f"{text!r} is neither a run directory nor http://HOST:PORT")
    is_plain = text.isprintable() and " " not in text and parts.username is None
    if not parts.hostname or parts.query or parts.fragment or not is_plain:
        raise ConfigError(key, f"{text!r} is not a base URL (write http://10.0.0.5:9464)")
    return Place(text, None, parts.scheme == "https", parts.hostname, port, parts.path.rstrip("/"))


class AdminClient:
    """Asks one relay or transceiver. Holds nothing open between two questions."""

    def __init__(self, place: Place, *, timeout_s: float = TIMEOUT_S, key: str = "--at") -> None:
        self.place = place
        self._timeout_s = timeout_s
        self._key = key

    def document(self, path: str, query: Mapping[str, str | int] | None = None) -> dict[str, Any]:
        """A JSON object. PeerError when the question is refused, or when it is nothing of ours that answers."""
        answer = self.ask(path, query)
        try:
            found = json.loads(answer.body)
        except (ValueError, RecursionError):
            raise self._stranger(path, answer, "not JSON") from None
        if not isinstance(found, dict):
            raise self._stranger(path, answer, "not a JSON object")
        if answer.code >= _REFUSED_START:
            raise PeerError(f"{self.place.text} answers {path} with {answer.code}: {_problem_in(found)}")
        return found

    def status(self) -> dict[str, Any]:
        """The /status document, seen to be a relay's or a transceiver's."""
        found = self.document("/status")
        if tier_of(found) is None:
            raise PeerError(f"{self.place.text}: what answers there is not fastrelay")
        return found

    def ask(self, path: str, query: Mapping[str, str | int] | None = None) -> Answer:
        """One GET within the deadline. ConfigError for a place that cannot be, PeerError for one that is silent."""
        target = self.place.prefix + path + (f"?{urlencode(query)}" if query else "")
        deadline_s = time.monotonic() + self._timeout_s
        connection = self._connection()
        try:
            connection.request("GET", target, headers={"Connection": "close"})
            end = connection.sock  # the connection forgets it when the answer ends it; the answer keeps it open
            with connection.getresponse() as response:
                return Answer(response.status, self._read(end, response, deadline_s))
        except TimeoutError:
            raise PeerError(f"{self.place.text} did not answer within {self._timeout_s:g} s") from None
        except (ConnectionResetError, http.client.IncompleteRead):
            raise PeerError(f"{self.place.text} closed the connection before it had answered") from None
        except http.client.HTTPException as error:
            raise PeerError(
                f"{self.place.text}: what answers there does not speak HTTP ({type(error).__name__})"
            ) from None
        except OSError as error:
            raise self._unreachable(error) from None
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        place = self.place
        if place.run_dir is not None:
            return _UnixConnection(self._socket_path(place.run_dir), self._timeout_s)
        kind = http.client.HTTPSConnection if place.is_tls else http.client.HTTPConnection
        return kind(place.host, place.port, timeout=self._timeout_s)

    def _socket_path(self, run_dir: Path) -> str:
        if not run_dir.is_dir():
            what = "is not a directory" if run_dir.exists() else "no such directory"
            raise ConfigError(self._key, f"{run_dir}: {what}; give a --run-dir or http://HOST:PORT")
        path = str(run_dir / SOCKET_NAME)
        if len(os.fsencode(path)) > _SOCKET_PATH_BYTES_MAX:
            raise ConfigError(self._key, f"{path} is longer than a socket's path may be")
        return path

    def _read(self, end: socket.socket, response: http.client.HTTPResponse, deadline_s: float) -> bytes:
        """The body; an answer that drips in must not hold the caller for longer than the deadline."""
        body = bytearray()
        expected = response.length  # before the first read: releases of Python differ in whether they count it down
        while expected is None or len(body) < expected:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            end.settimeout(left_s)
            piece = response.read1(_PIECE_BYTES)
            if not piece:
                if expected is not None:
                    raise http.client.IncompleteRead(bytes(body), expected - len(body))
                break
            body += piece
            if len(body) > ANSWER_BYTES_MAX:
                raise PeerError(f"{self.place.text} answers with more than {ANSWER_BYTES_MAX:,} bytes")
        return bytes(body)

    def _unreachable(self, error: OSError) -> ConfigError | PeerError:
        where = self.place.text
        if isinstance(error, PermissionError):
            return ConfigError(self._key, f"{where} may not be opened by you; run as root or as its user")
        if isinstance(error, socket.gaierror):
            return ConfigError(self._key, f"{where}: the host's name is not found")
        if isinstance(error, FileNotFoundError):
            return PeerError(f"nothing of fastrelay serves in {where}: {SOCKET_NAME} is not there")
        if isinstance(error, ConnectionRefusedError):
            return PeerError(f"nobody listens at {where}")
        return PeerError(f"{where} cannot be asked: {error.strerror or error}")

    def _stranger(self, path: str, answer: Answer, problem: str) -> PeerError:
        return PeerError(f"{self.place.text}: what answers there is not fastrelay ({path}: {answer.code}, {problem})")


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket: only how it connects differs."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("relay", timeout=timeout_s)
        self._path = path
        self._timeout_s = timeout_s

    def connect(self) -> None:
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            end.settimeout(self._timeout_s)
            end.connect(self._path)
        except OSError:
            end.close()
            raise
        self.sock = end


def _problem_in(document: Mapping[str, Any]) -> str:
    for name in ("problem", "error", "message"):
        found = document.get(name)
        if isinstance(found, str):
            return found
        if isinstance(found, dict):
            return _problem_in(found)
    return "no reason is given"
