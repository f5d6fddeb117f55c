"""A stage for one agent: a seat, an outlet that remembers, and packets to be heard.

Lives here: what the worker is to an agent. Must not live here: the pump, RTP from the wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from fastrelay.agent import AgentHost, LoadedAgent, Seat
from fastrelay.transceiver.srtp import RtpPacket

PATIENCE_S = 10.0
FRAME = bytes([0x78, 1, 2, 3])  # 20 ms of full band, whatever it holds


def packet(number: int, payload: bytes = FRAME, *, timestamp: int | None = None, ssrc: int = 7) -> RtpPacket:
    """Return the packet of a sender of 20 ms frames."""
    return RtpPacket(111, number, number * 960 if timestamp is None else timestamp, ssrc, False, payload)


class Stage:
    """An agent on a call. Leave its block to end the call and wait until the agent is gone."""

    def __init__(
        self,
        agent: LoadedAgent,
        *,
        call_id: str = "rtc_test",
        metadata: Mapping[str, Any] | None = None,
        statistics: Callable[[], Mapping[str, Any]] = dict,
        host: AgentHost | None = None,
    ) -> None:
        self.host = host or AgentHost(agent, asyncio.get_running_loop())
        self.wakes = 0
        self.sent: list[tuple[str, str | bytes]] = []
        self.hang_ups: list[str] = []
        self.endings: list[str | None] = []
        self._changed = asyncio.Event()
        self.seat: Seat = self.host.seat(call_id, metadata or {}, self, statistics)

    async def __aenter__(self) -> Self:
        self.seat.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seat.end("the test is over")
        await asyncio.wait_for(self.host.close(), PATIENCE_S)

    def hear(self, *packets: RtpPacket, now_s: float = 0.0) -> None:
        """Have packets arrive."""
        for each in packets:
            self.seat.hear(each, now_s)

    def take(self, most: int = 100_000) -> list[tuple[bytes, int]]:
        """Take what waits to be sent, as a pacer in a hurry would."""
        frames: list[tuple[bytes, int]] = []
        while len(frames) < most and (frame := self.seat.next_frame(0.0)) is not None:
            frames.append(frame)
        return frames

    async def until(self, is_so: Callable[[], object]) -> None:
        """Wait for something that the outlet will be told of."""
        while not is_so():
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), PATIENCE_S)

    async def told(self, content: str) -> None:
        """Wait until the agent has said where it stands, on a channel."""
        await self.until(lambda: any(text == content for _, text in self.sent))

    async def emptied(self) -> None:
        """Wait until nothing of any agent runs, of those left behind either: the host has nobody to tell of that."""
        async with asyncio.timeout(PATIENCE_S):
            while self.host.running:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    # The outlet

    def audio_waits(self) -> None:
        self.wakes += 1
        self._changed.set()

    def agent_sends(self, channel: str, content: str | bytes) -> None:
        self.sent.append((channel, content))
        self._changed.set()

    def agent_hangs_up(self, reason: str) -> None:
        self.hang_ups.append(reason)
        self._changed.set()

    def agent_ended(self, problem: str | None) -> None:
        self.endings.append(problem)
        self._changed.set()


def payloads(frames: Iterable[tuple[bytes, int]]) -> list[bytes]:
    return [payload for payload, _ in frames]
