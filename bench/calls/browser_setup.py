"""How soon a browser is connected once it has the answer: ours beside the stack that people use today.

Lives here: calls of a headless Chromium, made in turns at each server, and their times. Must not live here: starting
the servers, the bar and the report (the scenarios that call this).
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from tests.e2e.chromium import FAKE_MICROPHONE, Chromium

CALLS: Final = 24
WARM_UP_CALLS: Final = 3
"""Of each server, not counted: a browser's first calls start its own services."""

# One call. Candidates are gathered before the offer, and the clock starts with the answer: so the time is that of
# connectivity checks and DTLS alone, which is what servers differ in.
CALL: Final = """
const [url] = args;
window.microphone ??= await navigator.mediaDevices.getUserMedia({ audio: true });
const peer = new RTCPeerConnection();
const connected = new Promise((resolve, reject) => {
  peer.addEventListener("connectionstatechange", () => {
    if (peer.connectionState === "connected") resolve(performance.now());
    if (peer.connectionState === "failed") reject(new Error("no connection"));
  });
});
peer.addTrack(window.microphone.getAudioTracks()[0], window.microphone);
const gathered = new Promise((resolve) => {
  peer.addEventListener("icegatheringstatechange", () => peer.iceGatheringState === "complete" && resolve());
});
await peer.setLocalDescription();
await gathered;
const offeredMs = performance.now();
const response = await fetch(url, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ sdp: peer.localDescription.sdp, session: {} }),
});
const sdp = await response.text();
if (!response.ok) throw new Error(`${response.status} ${sdp}`);
const answeredMs = performance.now();
await peer.setRemoteDescription({ type: "answer", sdp });
const connectedMs = await connected;
peer.close();
const location = response.headers.get("Location");
if (location) await fetch(new URL(location, url), { method: "DELETE" });
return [answeredMs - offeredMs, connectedMs - answeredMs];
"""


@dataclass(frozen=True, slots=True)
class BrowserSetup:
    """The counted calls of one server, in the order in which they were made."""

    answer_ms: tuple[float, ...]
    """Offer sent → answer read."""
    connected_ms: tuple[float, ...]
    """Answer read → connected."""

    @property
    def median_ms(self) -> float:
        return median(self.connected_ms)


def measure_browser_setup(servers: Mapping[str, str], *, calls: int = CALLS) -> dict[str, BrowserSetup]:
    """Call each server (name: the URL that takes offers) so many times, in turns. The first also lends its origin."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in servers}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        # a server that knows nothing of CORS is measured, too
        flags = (*FAKE_MICROPHONE, "--disable-web-security")
        with Chromium(Path(folder) / "profile", flags=flags) as browser:
            browser.open(next(iter(servers.values())))  # an error page will do: only its origin counts
            for turn in range(WARM_UP_CALLS + calls):
                for name, url in servers.items():
                    answer_ms, connected_ms = browser.run(CALL, url)
                    if turn >= WARM_UP_CALLS:
                        times[name].append((answer_ms, connected_ms))
    return {
        name: BrowserSetup(tuple([each[0] for each in found]), tuple([each[1] for each in found]))
        for name, found in times.items()
    }
