"""The call, as an agent sees it.

Lives here: the public face, every method of it. Must not live here: threads (hosting), the worker's side (seat).
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from fastrelay.agent.border import Border
from fastrelay.agent.events import CallEvent
from fastrelay.agent.voice import Voice
from fastrelay.errors import FastrelayError
from fastrelay.media.opus import Samples, frame_samples, require_rate
from fastrelay.media.pace import CLOCK_RATE
from fastrelay.media.pcm import PcmReader, samples_of
from fastrelay.media.reorder import AudioPacket


class CallEnded(FastrelayError):
    """The call is over, and what the agent wanted to do on it makes no sense any more. Let it pass."""


class Call:
    """One conversation. Its methods belong to the agent's own thread; `flush` may be called on any."""

    def __init__(self, call_id: str, metadata: Mapping[str, Any], border: Border) -> None:
        self._id = call_id
        self._metadata = MappingProxyType(dict(metadata))
        self._border = border
        self._mouth = border.mouth
        self._voice: Voice | None = None

    def __repr__(self) -> str:
        return f"<Call {self._id}{' over' if self.is_over else ''}>"

    @property
    def id(self) -> str:
        """The call's name: in logs, in the API, in `fastrelay` commands."""
        return self._id

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the caller's application said about the call when it asked for it."""
        return self._metadata

    @property
    def is_over(self) -> bool:
        """Whether the call has ended. Iterators end then; `play` and `send` raise CallEnded."""
        return self._border.end_reason is not None

    # What the client says

    def audio(self) -> AsyncIterator[bytes]:
        """Iterate over what the client says, as Opus frames in order. It ends with the call."""
        return _Payloads(self._border.audio)

    def pcm(self, rate: int = 24_000) -> AsyncIterator[Samples]:
        """Iterate over the same as PCM: pieces of 20 ms, one channel, int16, at 8,000, 16,000, 24,000 or 48,000.

        What is lost on the way is concealed. While the client sends nothing (a muted microphone) nothing comes.
        """
        require_rate(rate)
        return _Pieces(self._border.audio, rate)

    def packets(self) -> AsyncIterator[AudioPacket]:
        """Iterate over the same with time and number of each frame, for who needs to know about gaps."""
        return self._border.audio

    # What the client hears

    @property
    def queued_s(self) -> float:
        """How much audio waits to be sent, in seconds."""
        return self._mouth.queued_samples / CLOCK_RATE

    async def play(self, frame: bytes) -> None:
        """Send an Opus frame, at its time after what is queued. Waits while ten seconds are queued.

        A frame that waits here while someone calls `flush` is not sent.
        """
        samples = frame_samples(frame)
        if not samples:
            raise ValueError(f"{len(frame)} bytes that are no Opus frame")
        if self._border.end_reason is not None:
            raise self._over()
        mouth = self._mouth
        if self._voice is not None:
            self._voice.finish()
        if mouth.is_full:
            stretch = mouth.stretch
            await mouth.wait_for_room()
            if self._border.end_reason is not None:
                raise self._over()
            if mouth.stretch is not stretch:
                return
        mouth.add((frame, samples))

    async def play_pcm(self, samples: npt.NDArray[np.generic] | bytes, rate: int = 24_000) -> None:
        """Send PCM, of any length: int16, floats from -1 to 1, or 16-bit bytes; at 8, 16, 24 or 48 kHz.

        What fills no frame of 20 ms waits for more, or for silence. A `flush` drops what this call still has to queue.
        """
        require_rate(rate)
        if self._border.end_reason is None:
            if self._voice is None:
                self._voice = Voice(self._mouth)
            await self._voice.say(samples_of(samples), rate)
        if self._border.end_reason is not None:
            raise self._over()

    def flush(self) -> None:
        """Say nothing of what is queued: the client hears the last of it within a frame. On any thread."""
        self._mouth.flush()

    async def played(self) -> None:
        """Wait until everything queued has been sent, or flushed, or the call is over."""
        if self._voice is not None:
            self._voice.finish()
        await self._mouth.wait_for_silence()

    # Everything else

    def events(self) -> AsyncIterator[CallEvent]:
        """Iterate over what happens besides audio and messages. It ends with the call."""
        return self._border.events

    def messages(self, channel: str) -> AsyncIterator[str | bytes]:
        """Iterate over what the client writes on a data channel: text or bytes. It ends with the call."""
        ear = self._border.messages(channel)
        if ear is None:
            raise ValueError(f"the client uses more channels than are listened to; {channel!r} is not among them")
        return ear

    async def send(self, channel: str, content: str | bytes) -> None:
        """Write text or bytes on a data channel. Waits while many messages are on their way."""
        # here, where the agent has made the mistake: on the media loop it would be everyone's
        if not isinstance(content, (str, bytes)):
            raise TypeError(f"a message is text or bytes, not {type(content).__name__}")
        if isinstance(content, str) and not content.isascii():
            content.encode()
        if self._border.end_reason is not None:
            raise self._over()
        await self._border.outbox.put(channel, content)

    async def statistics(self) -> Mapping[str, Any]:
        """Return the call's telemetry: round trip, loss, jitter, bitrate. At most a second old."""
        return await self._border.ask_statistics()

    def hang_up(self, reason: str = "agent hung up") -> None:
        """End the call now. To finish a sentence first: `await call.played()`."""
        self._border.hang_up(reason)

    def _over(self) -> CallEnded:
        return CallEnded(f"the call is over: {self._border.end_reason}")


class _Payloads:
    """The frames of packets, without a generator: one that is left half-way would be cleaned up by a task."""

    __slots__ = ("_packets",)

    def __init__(self, packets: AsyncIterator[AudioPacket]) -> None:
        self._packets = packets

    def __aiter__(self) -> _Payloads:
        return self

    async def __anext__(self) -> bytes:
        return (await anext(self._packets)).payload


class _Pieces:
    """The same as PCM. Its decoder is made at the first packet."""

    __slots__ = ("_packets", "_pieces", "_rate", "_reader")

    def __init__(self, packets: AsyncIterator[AudioPacket], rate: int) -> None:
        self._packets = packets
        self._rate = rate
        self._reader: PcmReader | None = None
        self._pieces: deque[Samples] = deque()

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> Samples:
        while not self._pieces:
            packet = await anext(self._packets)
            if self._reader is None:
                self._reader = PcmReader(self._rate)
            self._pieces.extend(self._reader.read(packet))
        return self._pieces.popleft()
