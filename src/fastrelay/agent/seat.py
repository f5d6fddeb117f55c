"""The worker's side of a call's agent: packets and events in, frames out.

Lives here: the border's face towards the session. All of it is called on the media loop, returns at once, and never
raises for what an agent does. Must not live here: running agents (hosting), what agents see (call).

The worker makes a seat with `AgentHost.seat`, gives it an Outlet, and then:

    seat.start()                   the call is established: the agent begins
    seat.hear(packet, now_s)       an authenticated RTP packet, in whatever order it came
    seat.tell(event)               something happened
    seat.next_frame(now_s)         for the pacer: the seat, or what wraps it, is the PacedStream
    seat.end(reason)               the call is over: the agent is told, and the outlet hears no more of it
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from fastrelay.agent.border import Border, Outlet
from fastrelay.agent.events import CallEvent, Message
from fastrelay.media.opus import frame_samples
from fastrelay.media.pace import Frame
from fastrelay.media.reorder import AudioPacket, Reorder

__all__ = ["Outlet", "Performance", "Seat"]


class Performance(Protocol):
    """An agent's run on a call, by whatever host."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """The call is over: see to it that the agent ends."""


class Seat:
    """One call's agent."""

    def __init__(self, border: Border, performance: Performance) -> None:
        self._border = border
        self._performance = performance
        self._order = Reorder(self._deliver)
        self._malformed = 0
        self._has_started = False
        self.hear: Callable[[AudioPacket, float], None] = self._order.put
        """Take a packet: `hear(packet, now_s)`. Bound to where it goes, because it is called for each packet."""
        self.next_frame: Callable[[float], Frame | None] = border.mouth.take
        """Return what is to be sent now, and how many samples of 48 kHz it lasts; None when nothing waits."""

    def start(self) -> None:
        """Let the agent begin. Once."""
        if not self._has_started and self._border.end_reason is None:
            self._has_started = True
            self._performance.start()

    def tell(self, event: CallEvent) -> None:
        """Pass something on that has happened."""
        if not isinstance(event, Message):
            self._border.events.put(event)
            return
        messages = self._border.messages(event.channel)
        if messages is None:
            self._border.messages_refused += 1
        else:
            messages.put(event.content)

    def end(self, reason: str) -> None:
        """The call is over. Again and again, if you like."""
        if self._border.end_reason is None:
            self._border.close(reason)
            if self._has_started:
                self._performance.stop()

    def statistics(self) -> dict[str, Any]:
        """What the queues hold and have lost."""
        mouth, order = self._border.mouth, self._order
        return {
            "buffered_ms": mouth.queued_samples / 48,
            "unheard_packets": len(self._border.audio),
            "frames_spoken": mouth.frames_spoken,
            "frames_flushed": mouth.frames_flushed,
            "packets_lost": order.lost,
            "packets_late": order.late,
            "packets_reordered": order.reordered,
            "packets_malformed": self._malformed,
            "dropped": self._border.dropped,
        }

    def _deliver(self, packet: AudioPacket) -> None:
        if frame_samples(packet.payload):
            self._border.audio.put(packet)
        else:
            self._malformed += 1  # authenticated, and yet no Opus: the client's own bytes harm nobody but itself
