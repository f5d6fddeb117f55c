"""The demo page in a browser, as a person uses it and as a test looks behind it.

Lives here: its buttons, its state, its call's audio. Must not live here: what is expected (the tests).
"""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from tests.e2e.chromium import Chromium

PATIENCE_S: Final = 5.0
IN_STATE: Final = "return document.querySelector('#stage').dataset.state === args[0]"
# Asks again until so many more packets have come than a report before had.
MORE_AUDIO: Final = """
const report = await window.peers.at(-1).getStats();
const heard = [...report.values()].find((entry) => entry.type === 'inbound-rtp');
return (heard?.packetsReceived ?? 0) >= args[0] && JSON.stringify(heard);
"""


@dataclass(frozen=True)
class Heard:
    """What the browser has heard until a moment."""

    at_s: float
    packets: int
    lost: int
    energy: float

    @classmethod
    def parse(cls, entry: dict[str, Any]) -> Heard:
        at_s = entry["timestamp"] / 1000
        return cls(at_s, entry["packetsReceived"], entry["packetsLost"], entry["totalAudioEnergy"])


class DemoPage:
    def __init__(self, browser: Chromium, url: str) -> None:
        self.browser = browser
        self.url = url

    def open(self) -> None:
        self.browser.open(f"{self.url}/")

    def call(self) -> str:
        """Call, wait until the call is there, and return its id."""
        self.browser.click("#call")
        self.wait_for("live")
        return self.call_id

    def hang_up(self) -> None:
        self.browser.click("#call")
        self.wait_for("ended")

    def wait_for(self, state: str, within_s: float = 10.0) -> None:
        self.browser.wait(IN_STATE, state, within_s=within_s)

    @property
    def call_id(self) -> str:
        shown: str = self.browser.wait(
            "const shown = document.querySelector('[data-fact=call]').textContent;"
            "return shown.startsWith('rtc_') && shown"
        )
        return shown

    def heard(self, at_least: int = 1, within_s: float = 10.0) -> Heard:
        """What has been heard, once so many packets have come in all."""
        return Heard.parse(json.loads(self.browser.wait(MORE_AUDIO, at_least, within_s=within_s)))

    def hear_on(self, packets: int, within_s: float = 10.0) -> tuple[Heard, Heard]:
        """What has been heard now, and after so many packets more."""
        before = self.heard()
        return before, self.heard(before.packets + packets, within_s)

    def server_knows(self, call_id: str) -> dict[str, Any] | None:
        """The server's statistics of a call, None when it has no such call."""
        status, text = self._ask("GET", f"/v1/calls/{call_id}/stats")
        if status == 404:
            return None
        known: dict[str, Any] = json.loads(text)
        return known

    def server_hangs_up(self, call_id: str) -> None:
        """End the call from another side than the page."""
        status, text = self._ask("DELETE", f"/v1/realtime/calls/{call_id}")
        assert status == 200, text

    def _ask(self, method: str, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=PATIENCE_S)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()
