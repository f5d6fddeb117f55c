"""The data channels of one session: messages under labels, both ways.

Nothing of SCTP exists until the first packet of the peer's or the first channel of ours: most calls never use one.
Lives here: channels by label, the bound on what waits to be sent, counts. Must not live here: chunks, timers, what a
peer may do to an association (association), what a message means (agents).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters

from fastrelay.transceiver.association import CHANNELS_MAX, Association
from fastrelay.transceiver.sctp_receiver import MESSAGE_BYTES_MAX
from fastrelay.wire.dcep import LABEL_BYTES_MAX, build_content

__all__ = [
    "CHANNELS_MAX",
    "LABEL_BYTES_MAX",
    "MESSAGE_BYTES_MAX",
    "ChannelListener",
    "ChannelStatistics",
    "DataChannels",
]

LOCAL_PORT: Final = 5000
"""The SCTP port that our answers name."""
SEND_BUFFER_BYTES: Final = 2 * MESSAGE_BYTES_MAX
"""What may wait behind the message that is being sent."""
SEND_BUFFER_MESSAGES: Final = 1024
STREAM_ID_MAX: Final = 65_534


class ChannelListener(Protocol):
    """Who is told. All calls come on the event loop."""

    def channel_opened(self, label: str) -> None: ...
    def channel_closed(self, label: str) -> None: ...
    def message(self, label: str, content: str | bytes) -> None: ...

    def closed(self) -> None:
        """The peer, or its silence, has ended the association; the session may go on without."""


@dataclass(slots=True)
class ChannelStatistics:
    """What one session's channels have carried and refused."""

    channels: int = 0
    messages_sent: int = 0
    messages_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    sends_refused: int = 0  # no such channel, too long, or too much waits already
    packets_refused: int = 0  # malformed, or not now
    messages_refused: int = 0  # for no open channel, or of no known kind
    channels_refused: int = 0  # too many, or with too long a label
    faults: int = 0  # the association was given up because the library raised


class DataChannels:
    """One session's channels. Labels need not be unique: of two alike, the one opened last is sent to."""

    def __init__(
        self,
        *,
        is_client: bool,
        remote_port: int,
        max_message_bytes: int,
        send: Callable[[bytes], None],
        listener: ChannelListener,
    ) -> None:
        """`is_client` is the DTLS role: it numbers the streams. `max_message_bytes` is what the peer takes, 0: any."""
        self._is_client = is_client
        self._remote_port = remote_port
        self.max_message_bytes = min(max_message_bytes or MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX)
        self._send = send
        self._listener = listener
        self._association: Association | None = None
        self._is_closed = False
        self._channels: dict[str, RTCDataChannel] = {}
        self._counts = ChannelStatistics()

    @property
    def statistics(self) -> ChannelStatistics:
        """The counts as they are now."""
        counts, association = self._counts, self._association
        counts.channels = len(self._channels)
        if association is not None:
            counts.packets_refused = association.refused_packets
            counts.messages_refused = association.refused_messages
            counts.channels_refused = association.refused_channels
            counts.faults = association.faults
        return counts

    def handle(self, packet: bytes) -> None:
        """Take what DTLS has received. Never raises for the peer's bytes; the listener is told before it returns."""
        if not self._is_closed:
            self._begin(initiates=False).receive(packet)

    def open(
        self,
        label: str,
        *,
        is_ordered: bool = True,
        max_retransmits: int | None = None,
        max_lifetime_ms: int | None = None,
        protocol: str = "",
        negotiated_id: int | None = None,
    ) -> bool:
        """Open a channel; `channel_opened` tells when it is. False: there are too many, or the association is over.

        With `negotiated_id` both ends know of the channel already, and nothing is sent for it.
        """
        if max(len(label.encode()), len(protocol.encode())) > LABEL_BYTES_MAX:
            raise ValueError(f"a label or protocol has at most {LABEL_BYTES_MAX} bytes")
        if max_retransmits is not None and max_lifetime_ms is not None:
            raise ValueError("a channel is limited in retransmissions or in time, not in both")
        if negotiated_id is not None and not 0 <= negotiated_id <= STREAM_ID_MAX:
            raise ValueError(f"stream {negotiated_id} is not 0 to {STREAM_ID_MAX}")
        if self._is_closed:
            return False
        association = self._begin(initiates=True)
        if association.channels >= CHANNELS_MAX:
            return False
        if negotiated_id is not None and association.has_stream(negotiated_id):
            raise ValueError(f"stream {negotiated_id} is in use")
        parameters = RTCDataChannelParameters(
            label=label,
            ordered=is_ordered,
            maxRetransmits=max_retransmits,
            maxPacketLifeTime=max_lifetime_ms,
            protocol=protocol,
            negotiated=negotiated_id is not None,
            id=negotiated_id,
        )
        association.create(parameters)
        return True

    def send(self, label: str, content: str | bytes) -> bool:
        """Send a message. False: no open channel has this label, it is too long for the peer, or too much waits."""
        channel, association = self._channels.get(label), self._association
        protocol, data = build_content(content)
        if (
            channel is None
            or association is None
            or channel.readyState != "open"
            or len(data) > self.max_message_bytes
            or association.queued_bytes + len(data) > SEND_BUFFER_BYTES
            or association.queued_messages >= SEND_BUFFER_MESSAGES
        ):
            self._counts.sends_refused += 1
            return False
        self._counts.messages_sent += 1
        self._counts.bytes_sent += len(data)
        association.submit(channel, protocol, data)
        return True

    async def close(self) -> None:
        """Tell the peer that it is over. Nothing is left behind: no timer, no task; nobody is told."""
        self._is_closed = True
        if self._association is not None:
            self._association.shut()
            await asyncio.sleep(0)  # what the library has started ends in its first step

    # what the association tells

    def channel_opened(self, channel: RTCDataChannel) -> None:
        self._channels[channel.label] = channel
        if not self._is_closed:
            self._listener.channel_opened(channel.label)

    def channel_closed(self, channel: RTCDataChannel) -> None:
        if self._channels.get(channel.label) is channel:
            del self._channels[channel.label]
        if not self._is_closed:
            self._listener.channel_closed(channel.label)

    def message(self, channel: RTCDataChannel, content: str | bytes, length_bytes: int) -> None:
        self._counts.messages_received += 1
        self._counts.bytes_received += length_bytes
        if not self._is_closed:
            self._listener.message(channel.label, content)

    def association_closed(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._listener.closed()

    def _begin(self, *, initiates: bool) -> Association:
        if self._association is None:
            self._association = Association(is_client=self._is_client, port=LOCAL_PORT, send=self._send, news=self)
            self._association.begin(self._remote_port, initiates=initiates)
        return self._association
