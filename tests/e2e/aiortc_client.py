"""A caller made of aiortc's RTCPeerConnection, as a Python developer would write one.

Lives here: making the call, speaking a tone, listening, data channels. Must not live here: what is expected of the
server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import aiohttp
import numpy as np
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSctpTransport, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, MediaStreamTrack
from av import AudioFrame
from numpy.typing import NDArray

Value = TypeVar("Value")

PATIENCE_S = 15.0
POLL_S = 0.02
TONE_HZ = 440.0
TONE_LEVEL = 8000
"""Amplitude, of 32,767."""
HEARD_RMS = TONE_LEVEL / 2
"""What comes back of it: FFmpeg makes two channels of one by sharing its power among them."""
TRACK_RATE = 8000
"""Of aiortc's own audio track, which paces at real time."""


class ToneTrack(AudioStreamTrack):
    """A microphone that hears a tone."""

    async def recv(self) -> AudioFrame:
        frame = cast(AudioFrame, await super().recv())
        assert frame.pts is not None
        at = (frame.pts + np.arange(frame.samples)) * (2 * np.pi * TONE_HZ / TRACK_RATE)
        frame.planes[0].update((np.sin(at) * TONE_LEVEL).astype(np.int16).tobytes())
        return frame


@dataclass
class Ear:
    """What has been heard: mono samples at 48 kHz, frame by frame."""

    frames: list[NDArray[np.int16]] = field(default_factory=list)
    grown: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self, track: MediaStreamTrack) -> None:
        """Listen until the track ends."""
        while True:
            try:
                frame = cast(AudioFrame, await track.recv())
            except MediaStreamError:
                return
            self.frames.append(frame.to_ndarray().reshape(-1, 2)[:, 0].astype(np.int16))
            self.grown.set()

    async def until(self, frames: int) -> None:
        """Wait for so many frames."""
        while len(self.frames) < frames:
            self.grown.clear()
            await in_time(self.grown.wait())

    def loudness(self, last: int) -> float:
        """Root mean square over the last frames."""
        return float(np.sqrt(np.mean(np.square(np.concatenate(self.frames[-last:]).astype(np.float64)))))

    def pitch_hz(self, last: int) -> float:
        """The strongest frequency of the last frames."""
        samples = np.concatenate(self.frames[-last:]).astype(np.float64)
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
        return float(np.argmax(spectrum) * 48_000 / len(samples))


class Channel:
    """A data channel whose messages can be waited for."""

    def __init__(self, channel: RTCDataChannel) -> None:
        self.channel = channel
        self._messages: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.has_opened, self.has_closed = asyncio.Event(), asyncio.Event()
        channel.on("message", self._messages.put_nowait)
        channel.on("open", self.has_opened.set)
        channel.on("close", self.has_closed.set)

    async def ask(self, content: str | bytes) -> str | bytes:
        """Send, and return what comes next."""
        await in_time(self.has_opened.wait())
        self.channel.send(content)
        return await self.hear()

    async def hear(self) -> str | bytes:
        """Return the next message."""
        return await in_time(self._messages.get())


class NotCalled(Exception):
    """The offer was refused."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


class AiortcCaller:
    """One call. `call_id` and `location` are known once it has been answered."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.ear = Ear()
        self.url, self.http = url, http
        self.location = ""
        self.answer = ""
        self._is_connected, self._is_over = asyncio.Event(), asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self.peer.on("track", self._take_track)
        self.peer.on("connectionstatechange", self._take_state)

    @property
    def call_id(self) -> str:
        return self.location.rpartition("/")[2]

    @property
    def sctp(self) -> RTCSctpTransport:
        """What carries its data channels; there is one once a channel has been opened."""
        assert self.peer.sctp is not None
        return self.peer.sctp

    async def call(self, path: str = "/v1/realtime/calls", *, key: str | None = None) -> None:
        """Offer what has been added, take the answer, and wait until media can flow."""
        headers = {"Content-Type": "application/sdp"} | ({"Authorization": f"Bearer {key}"} if key else {})
        async with self.http.post(f"{self.url}{path}", data=await self.offer(), headers=headers) as response:
            text = await response.text()
            if response.status != 201:
                raise NotCalled(response.status, text)
            self.location = response.headers["Location"]
        await self.accept(text)

    async def offer(self) -> str:
        """The offer of what has been added."""
        await self.peer.setLocalDescription(await self.peer.createOffer())
        return self.peer.localDescription.sdp

    async def accept(self, answer: str) -> None:
        """Take the answer, and wait until media can flow."""
        self.answer = answer
        await self.peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await in_time(self._is_connected.wait())

    def open_channel(self, label: str, **options: Any) -> Channel:
        return Channel(self.peer.createDataChannel(label, **options))

    async def statistics(self) -> dict[str, Any]:
        """What the server says of this call."""
        async with self.http.get(f"{self.url}/v1/calls/{self.call_id}/stats") as response:
            assert response.status == 200, await response.text()
            return cast(dict[str, Any], await response.json())

    async def is_known(self) -> bool:
        """Whether the server still has this call."""
        async with self.http.get(f"{self.url}/v1/calls/{self.call_id}/stats") as response:
            return response.status == 200

    async def over(self) -> None:
        """Wait until this end has noticed that the call is over."""
        await in_time(self._is_over.wait())

    async def gone(self) -> None:
        """Wait until the server has forgotten the call."""
        for _ in range(int(PATIENCE_S / POLL_S)):
            if not await self.is_known():
                return
            await asyncio.sleep(POLL_S)
        raise AssertionError(f"the server still has the call: {await self.statistics()}")

    async def close(self) -> None:
        await self.peer.close()
        if self._listening is not None:
            await self._listening

    def _take_track(self, track: MediaStreamTrack) -> None:
        self._listening = asyncio.get_running_loop().create_task(self.ear.listen(track))

    def _take_state(self) -> None:
        if self.peer.connectionState == "connected":
            self._is_connected.set()
        elif self.peer.connectionState in {"closed", "failed"}:
            self._is_over.set()


@asynccontextmanager
async def caller(url: str, *, is_speaking: bool = True) -> AsyncIterator[AiortcCaller]:
    """A caller that has not called yet; hung up when the block ends."""
    async with aiohttp.ClientSession() as http:
        made = AiortcCaller(url, http)
        made.peer.addTrack(ToneTrack()) if is_speaking else made.peer.addTransceiver("audio", "recvonly")
        try:
            yield made
        finally:
            await made.close()


async def in_time(wait: Awaitable[Value]) -> Value:
    """Wait, but not for ever."""
    async with asyncio.timeout(PATIENCE_S):
        return await wait
