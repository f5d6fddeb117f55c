"""A call as its worker holds it: a session, an agent's seat, data channels, and the one task that owns them.

Lives here: what each event of one means for the others, the passing of time, and the call's end. Must not live here:
audio in batches (exchange), making calls (desk), what a session or an agent is.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from fastrelay.agent.events import AddressChanged, ChannelClosed, ChannelOpened, Message
from fastrelay.agent.hosting import AgentHost
from fastrelay.http.desk import CallRequest
from fastrelay.observe.logs import facts
from fastrelay.transceiver.data_channel import DataChannels
from fastrelay.transceiver.dtls import DtlsRole
from fastrelay.transceiver.offer import Offer
from fastrelay.transceiver.session.events import Ended, Established, Heard, Moved, Reached, Received, SessionEvent
from fastrelay.transceiver.session.session import Session
from fastrelay.transceiver.session.states import EndReason, State
from fastrelay.transceiver.session.statistics import Sample, describe, sample
from fastrelay.transceiver.srtp import RtpPacket, SrtpInbound, SrtpOutbound
from fastrelay.transceiver.trunk_port import Path

LOG = logging.getLogger(__name__)

TELEMETRY: Final = "telemetry"
"""A data channel of this name, opened by the client, is sent the call's statistics every second."""


class CallExchange(Protocol):
    """What a call asks of the exchange that carries it."""

    def post(self, datagrams: list[tuple[Path, bytes]]) -> None: ...

    def wake(self, call: Call) -> None: ...

    def release(self, call: Call) -> None: ...


@dataclass(frozen=True, slots=True)
class CallNames:
    """What a call is called: by the API, and by relays."""

    call_id: str
    session: str
    """The session id in hexadecimal, as a relay's flows and logs have it."""

    def facts(self, **more: object) -> dict[str, dict[str, object]]:
        """For a log line about the call."""
        return facts(session=self.session, call=self.call_id, **more)


class Call:
    """One call. All of it runs on the worker's loop; the agent's thread, where it has one, is behind the seat."""

    def __init__(
        self,
        names: CallNames,
        session: Session,
        offer: Offer,
        role: DtlsRole,
        request: CallRequest,
        exchange: CallExchange,
        host: AgentHost,
        on_end: Callable[[Call, EndReason], None],
    ) -> None:
        self.names = names
        self.call_id = names.call_id
        self.session = session
        self.role = role
        self.request = request
        self.path: Path | None = None
        """Where the client is reached: the session's selected path, kept here for the exchange."""
        self.ufrags: set[str] = set()
        """Tokens that the exchange takes checks with for this call."""
        self.paths: dict[Path, None] = {}
        """All that the exchange knows this call by, the oldest first."""
        self.inbound: SrtpInbound | None = None
        self.outbound: SrtpOutbound | None = None
        self.minted_at_s = 0
        """Of its latest route token, in Unix seconds."""
        self._offer = offer
        self._exchange = exchange
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._seat = host.seat(names.call_id, request.session, self, self.statistics)
        # straight to the seat: fifty times a second for every call
        self.next_frame = self._seat.next_frame
        self._hear = self._seat.hear
        self._is_first = True
        self.has_nack = offer.audio.has_nack
        """Lost audio may be asked for again, either way."""
        self._channels: DataChannels | None = None
        self._is_telling = False
        self._wake = asyncio.Event()
        self._due_s = 0.0
        self._samples = (Sample(session.phases.opened_s), Sample(session.phases.opened_s))
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Let the task begin that owns this call from now on."""
        self._task = self._loop.create_task(self._own(), name=self.call_id)

    async def _own(self) -> None:
        """Let time pass for the session until it has ended, then clear up."""
        try:
            await self._live()
            if self._channels is not None:
                await self._channels.close()
        finally:
            # whatever happened, a fault of ours too: nothing of this call may stay behind
            reason = self.session.reason or EndReason.STOPPED
            self._seat.end(reason.value)
            self._exchange.release(self)
            self._on_end(self, reason)

    async def _live(self) -> None:
        session = self.session
        while session.state is not State.ENDED:
            due_s = session.next_timer_s()
            assert due_s is not None, "every living session has a longest time"
            self._due_s = due_s
            self._wake.clear()
            try:
                async with asyncio.timeout_at(due_s):
                    await self._wake.wait()
            except TimeoutError:
                session.handle_timer(self._loop.time())
                self._settle()

    def end(self, reason: EndReason) -> None:
        """End the call; the client is told as far as it can be."""
        self.session.end(reason, self._loop.time())
        self._settle()

    # --- from the exchange

    def after_datagram(self, now_s: float) -> None:
        """The session has taken a datagram that was no audio: send and do what came of it."""
        self._settle()
        due_s = self.session.next_timer_s()
        if due_s is None or due_s < self._due_s:
            self._wake.set()

    def hear(self, packet: RtpPacket, now_s: float) -> None:
        """One audio packet, opened. The first one is an event."""
        if self._is_first or self.has_nack:
            self._is_first = False
            self.session.note_audio(now_s)
            self._settle()
        self._hear(packet, now_s)

    # --- from the agent (agent.seat.Outlet)

    def audio_waits(self) -> None:
        self._exchange.wake(self)

    def agent_sends(self, channel: str, content: str | bytes) -> None:
        if self._offer.data is not None and self.session.state is State.ESTABLISHED:
            self._data_channels().send(channel, content)

    def agent_hangs_up(self, reason: str) -> None:
        LOG.info("agent hangs up", extra=self.names.facts(reason=reason))
        self.end(EndReason.AGENT_HUNG_UP)

    def agent_ended(self, problem: str | None) -> None:
        self.end(EndReason.AGENT_RETURNED if problem is None else EndReason.AGENT_FAILED)

    # --- from the data channels (data_channel.ChannelListener)

    def channel_opened(self, label: str) -> None:
        if label == TELEMETRY:
            self._is_telling = True
        else:
            self._seat.tell(ChannelOpened(label))

    def channel_closed(self, label: str) -> None:
        if label == TELEMETRY:
            self._is_telling = False
        else:
            self._seat.tell(ChannelClosed(label))

    def message(self, label: str, content: str | bytes) -> None:
        if label != TELEMETRY:
            self._seat.tell(Message(label, content))

    def closed(self) -> None:
        self._is_telling = False

    # --- telling

    def sample(self, now_s: float) -> None:
        """Once a second: rates are made of two of these; who listens on the telemetry channel is told."""
        self._samples = (self._samples[1], sample(self.session, now_s))
        if self._is_telling and self._channels is not None and self.session.state is State.ESTABLISHED:
            self._channels.send(TELEMETRY, json.dumps(self.statistics()))

    def statistics(self) -> dict[str, Any]:
        """All that can be told of the call, as of now."""
        now_s = self._loop.time()
        told = describe(self.session, now_s, self._samples[0])
        seat = self._seat.statistics()
        return {
            "call_id": self.call_id,
            "way": self.request.way,
            **told,
            "agent_buffer_ms": seat["buffered_ms"],
            "agent": seat,
        }

    def summary(self) -> dict[str, Any]:
        """A short line of facts."""
        session = self.session
        return {
            "call_id": self.call_id,
            "state": session.state.name.lower(),
            "way": self.request.way,
            "uptime_s": round(self._loop.time() - session.phases.opened_s, 1),
        }

    # --- inside

    def _settle(self) -> None:
        """Send what the session wants sent, and act on what it tells, until it has nothing more."""
        session = self.session
        while True:
            outgoing, events = session.take_outgoing(), session.take_events()
            if outgoing:
                self._exchange.post(outgoing)
            if not events:
                return
            for event in events:
                self._act(event)

    def _act(self, event: SessionEvent) -> None:
        match event:
            case Reached(path):
                self.path = path
            case Moved(path):
                self.path = path
                self._seat.tell(AddressChanged())
            case Established():
                self._establish()
            case Heard():
                LOG.info("call heard", extra=self.names.facts())
            case Received(data):
                if self._offer.data is not None:
                    self._data_channels().handle(data)
            case Ended(reason):
                self._finish(reason)

    def _establish(self) -> None:
        # a client that only listens is not heard, one that only speaks is not spoken to (RFC 8829 §5.3.1)
        if self._offer.audio.direction.is_sending:
            self.inbound = self.session.inbound
        if self._offer.audio.direction.is_receiving:
            self.outbound = self.session.outbound
        phases = self.session.phases.since_opened_ms()
        LOG.info("call established", extra=self.names.facts(handshake_ms=phases["handshake_ms"]))
        self._seat.start()

    def _data_channels(self) -> DataChannels:
        if self._channels is None:
            assert self._offer.data is not None, "asked before"
            self._channels = DataChannels(
                is_client=self.role is DtlsRole.ACTIVE,
                remote_port=self._offer.data.sctp_port,
                max_message_bytes=self._offer.data.max_message_size,
                send=self._send_sctp,
                listener=self,
            )
        return self._channels

    def _send_sctp(self, packet: bytes) -> None:
        self.session.send(packet, self._loop.time())
        self._settle()

    def _finish(self, reason: EndReason) -> None:
        self.inbound = self.outbound = None
        self._is_telling = False
        self._seat.end(reason.value)
        self._wake.set()
        told = describe(self.session, self._loop.time(), self._samples[0])
        problem = {"problem": self.session.dtls.detail} if reason is EndReason.HANDSHAKE_FAILED else {}
        LOG.info("call ended", extra=self.names.facts(reason=reason.value, uptime_s=told["uptime_s"], **problem))
