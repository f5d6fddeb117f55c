"""Offers to a server and answers from it, beside the loop: HTTP would hold up everybody's audio.

Lives here: a few threads with a connection each. Must not live here: SDP (description).
"""

from __future__ import annotations

import http.client
import json
import os
import queue
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

CREATED = 201
PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an offer: SDP, or a problem."""

    number: int
    text: str
    problem: str
    at_s: float
    """When it was there."""


class Signalling:
    """POSTs offers to `url`. Close it: its threads end. Its descriptor is readable when answers have come."""

    def __init__(self, url: str, threads: int = 4) -> None:
        parts = urlsplit(url)
        self._host, self._path = parts.netloc, parts.path
        self._asked: queue.SimpleQueue[tuple[int, str, dict[str, Any]] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name=f"signalling-{each}") for each in range(threads)]
        self._bell = os.eventfd(0, os.EFD_NONBLOCK)
        for thread in self._threads:
            thread.start()

    def fileno(self) -> int:
        return self._bell

    def ask(self, number: int, offer: str, session: dict[str, Any]) -> None:
        """Send an offer as soon as a connection is free."""
        self._asked.put((number, offer, session))

    def answers(self) -> list[Answer]:
        """Those that have come since."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._bell)  # before looking: what comes afterwards rings again
        found = []
        while not self._answers.empty():
            found.append(self._answers.get())
        return found

    def close(self) -> None:
        for _ in self._threads:
            self._asked.put(None)
        for thread in self._threads:
            thread.join()
        os.close(self._bell)

    def _work(self) -> None:
        connection = http.client.HTTPConnection(self._host, timeout=PATIENCE_S)
        while (wanted := self._asked.get()) is not None:
            number, offer, session = wanted
            self._answers.put(self._try(connection, number, offer, session))
            os.eventfd_write(self._bell, 1)
        connection.close()

    def _try(self, connection: http.client.HTTPConnection, number: int, offer: str, session: dict[str, Any]) -> Answer:
        """Twice: a server may have closed a connection that nobody used for a while."""
        problem = ""
        for _ in range(2):
            try:
                return self._ask(connection, number, offer, session)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                problem = f"{type(error).__name__}: {error}"
        return Answer(number, "", problem, time.monotonic())

    def _ask(self, connection: http.client.HTTPConnection, number: int, offer: str, session: dict[str, Any]) -> Answer:
        body = json.dumps({"sdp": offer, "session": session})
        connection.request("POST", self._path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read().decode()
        if response.status != CREATED:
            return Answer(number, "", f"HTTP {response.status}: {text[:200]}", time.monotonic())
        return Answer(number, text, "", time.monotonic())
