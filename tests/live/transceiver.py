"""`fastrelay transceiver` as a process of its own, asked and called as clients and operators do.

Lives here: starting it, its workers, its admin port, and calls that are only offers. Must not live here: clients with
media (tests/e2e), relays.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastrelay.wire.address import parse_endpoint
from tests import offers
from tests.live.ends import Address, eventually
from tests.live.process import START_PATIENCE_S, ServiceProcess, children

HOST = "127.0.0.1"
OFFER = "chrome156"


def options(ring_file: Path, run_dir: Path, *, workers: int = 1, relay: str = f"{HOST}:3478") -> list[str]:
    """A transceiver on loopback, on ports that are free."""
    return [
        *("--http", f"{HOST}:0", "--trunk", HOST, "--relay", relay, "--allow", HOST, "--keys", str(ring_file)),
        *("--run-dir", str(run_dir), "--workers", str(workers), "--admin", f"{HOST}:0"),
    ]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over HTTP."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text)
        return found

    @property
    def call_id(self) -> str:
        return self.headers["Location"].rpartition("/")[2]


class TransceiverProcess(ServiceProcess):
    """`fastrelay transceiver`."""

    word = "transceiver"

    def take_ready(self, said: str) -> None:
        url, _, rest = said.removeprefix("http ").partition(" trunk ")
        trunks, _, admin = rest.partition(" admin ")
        self.url = url
        self.trunks: list[Address] = [parse_endpoint(text) for text in trunks.split()]
        self.admin = f"http://{admin}"

    @property
    def workers(self) -> list[int]:
        """All worker processes, those that drain included."""
        return children(self.process.pid)

    def offer(self, *, key: str | None = None) -> Answer:
        """Ask for a call. No packet follows: it waits for its first check, half a minute long."""
        headers = {"Content-Type": "application/sdp"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        return ask(f"{self.url}/v1/realtime/calls", "POST", offers.load(OFFER), headers)

    def hang_up(self, call_id: str) -> Answer:
        return ask(f"{self.url}/v1/realtime/calls/{call_id}", "DELETE")

    def told(self, path: str) -> Answer:
        """What the admin port says."""
        return ask(f"{self.admin}{path}")

    @property
    def status(self) -> dict[str, Any]:
        return self.told("/status").document

    @property
    def service(self) -> dict[str, Any]:
        found: dict[str, Any] = self.status["transceiver"]
        return found

    def until(self, condition: Callable[[dict[str, Any]], bool], what: str) -> None:
        """Wait until /status is so."""
        eventually(lambda: condition(self.status), what, patience_s=START_PATIENCE_S)


def ask(url: str, method: str = "GET", body: str | None = None, headers: Mapping[str, str] | None = None) -> Answer:
    """One request on a connection of its own."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    with closing(http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)) as connection:
        connection.request(method, parts.path, body=body, headers=dict(headers or {}))
        with connection.getresponse() as response:
            return Answer(response.status, dict(response.getheaders()), response.read().decode())
