"""What a call's two sides share: the queues between the media loop and the agent, and that the call is over.

Lives here: one call's queues, put together, and the ways across. The media loop's side is the Seat, the agent's the
Call. Must not live here: threads (hosting), what either side does with a queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from fastrelay.agent.bell import Bell, Post
from fastrelay.agent.ear import AUDIO_PACKETS, EVENTS, MESSAGE_BYTES, MESSAGES, Ear
from fastrelay.agent.events import CallEvent
from fastrelay.agent.mouth import Mouth
from fastrelay.agent.outbox import Outbox
from fastrelay.media.reorder import AudioPacket

CHANNELS_MAX: Final = 16
"""Channels whose messages are kept until the agent asks: a client opens two or three."""
STATISTICS_EVERY_S: Final = 0.5
"""An agent that asks more often gets the former answer."""


class Outlet(Protocol):
    """What an agent's doings become. The session implements it; everything is called on the media loop."""

    def audio_waits(self) -> None:
        """There is something to send where there was nothing: wake the pacer."""

    def agent_sends(self, channel: str, content: str | bytes) -> None:
        """Write to a data channel."""

    def agent_hangs_up(self, reason: str) -> None:
        """End the call."""

    def agent_ended(self, problem: str | None) -> None:
        """The agent has returned (None), or raised: `problem` says what. What it had queued has been sent."""


class Border:
    """One call's."""

    def __init__(
        self,
        media_loop: asyncio.AbstractEventLoop,
        to_media: Post,
        to_agent: Post,
        outlet: Outlet,
        statistics: Callable[[], Mapping[str, Any]],
    ) -> None:
        self.to_media = to_media
        self.to_agent = to_agent
        self.outlet = outlet
        self.end_reason: str | None = None
        """Why the call is over; None while it is not. The media loop sets it."""
        self.audio: Ear[AudioPacket] = Ear(to_agent, AUDIO_PACKETS)
        self.events: Ear[CallEvent] = Ear(to_agent, EVENTS)
        self.mouth = Mouth(to_agent, self._audio_waits_from_agent)
        self.outbox = Outbox(media_loop, to_media, to_agent, outlet.agent_sends)
        self.messages_refused = 0
        """Messages on more channels than are kept."""
        self._messages: dict[str, Ear[str | bytes]] = {}
        self._statistics = statistics
        self._known: Mapping[str, Any] | None = None
        self._asked_s = -STATISTICS_EVERY_S
        self._answered = Bell(to_agent)
        self._is_hanging_up = False

    def messages(self, channel: str) -> Ear[str | bytes] | None:
        """Return a channel's messages, on either side; None when there are too many channels."""
        ear = self._messages.get(channel)
        if ear is None:
            if len(self._messages) >= CHANNELS_MAX:
                return None
            fresh: Ear[str | bytes] = Ear(self.to_agent, MESSAGES, bytes_max=MESSAGE_BYTES, size_of=len)
            ear = self._messages.setdefault(channel, fresh)  # both sides may make one: the first counts
            if self.end_reason is not None:
                ear.close()
        return ear

    async def ask_statistics(self) -> Mapping[str, Any]:
        """Have the session's statistics read where they are written, on the media loop; not too often."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._asked_s >= STATISTICS_EVERY_S:
            self._asked_s = loop.time()
            self._known = None
            self.to_media(self._read_statistics)
        while (known := self._known) is None:
            await self._answered.wait_unless(lambda: self._known is not None)
        return known

    def _read_statistics(self) -> None:
        self._known = self._statistics()
        self._answered.ring()

    def hang_up(self, reason: str) -> None:
        """Have the call ended, once."""
        if not self._is_hanging_up:
            self._is_hanging_up = True
            self.to_media(lambda: self._hang_up(reason))

    def _hang_up(self, reason: str) -> None:
        if self.end_reason is None:
            self.outlet.agent_hangs_up(reason)

    def close(self, reason: str) -> None:
        """The call is over. On the media loop."""
        self.end_reason = reason
        self.audio.close()
        self.events.close()
        for ear in list(self._messages.values()):
            ear.close()
        self.outbox.close()
        self.mouth.close()

    @property
    def dropped(self) -> int:
        """Packets, events and messages that the agent was too slow for."""
        messages = sum(ear.dropped for ear in list(self._messages.values()))
        return self.audio.dropped + self.events.dropped + messages + self.messages_refused

    def _audio_waits_from_agent(self) -> None:
        self.to_media(self._audio_waits)

    def _audio_waits(self) -> None:
        if self.end_reason is None:
            self.outlet.audio_waits()
