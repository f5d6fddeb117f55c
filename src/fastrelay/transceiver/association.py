"""One SCTP association as aiortc speaks it, with its channels, run without tasks of its own.

Lives here: driving aiortc's SCTP transport, what it sends, and channels opened by either end. Whatever it raises ends
the association, and nothing else. Timers are the event loop's.
Must not live here: what a peer's packets may make it hold (sctp_receiver), channels by label (data_channel), DTLS.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, Protocol, TypeAlias, cast

from aiortc import rtcsctptransport as sctp
from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcdtlstransport import RTCDtlsTransport

from fastrelay.errors import PeerError, WireError
from fastrelay.transceiver.sctp_receiver import MESSAGE_BYTES_MAX, STREAMS_MAX, Receiver
from fastrelay.wire.dcep import ACK, ACK_MESSAGE, DCEP, OPEN, Opening, build_opening, parse_content, parse_opening

CHUNK_BYTES: Final = 1100
"""User data of one DATA chunk: with the headers of SCTP, DTLS, UDP and IPv6, links of 1,280 bytes still have room."""
CHANNELS_MAX: Final = STREAMS_MAX // 2
FLIGHT_BYTES: Final = 128 * 1024
"""Sent and not acknowledged. aiortc's window would grow for as long as nothing is lost."""
CHUNK_COST_BYTES: Final = 256
"""What even the shortest chunk counts in flight: no more are out than a peer with our own TSN_WINDOW takes."""
RTO_INITIAL_S: Final = 0.5
RTO_MIN_S: Final = 0.4
"""As browsers do; RFC 9260's 3 s and 1 s are heard as a pause. Above the 200 ms by which peers delay a SACK."""

Send: TypeAlias = Callable[[bytes], None]

_TSNS = 2**32
# What Python raises when a program meets values it was not written for: the library's answer to a packet that the
# checks here should have known. Of ours, nothing runs meanwhile but the overrides below.
_ACCIDENTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    TypeError,
    ValueError,
    struct.error,
)


class News(Protocol):
    """Who is told of what happens in an association. Never called while a packet is being worked through."""

    def channel_opened(self, channel: RTCDataChannel) -> None: ...
    def channel_closed(self, channel: RTCDataChannel) -> None: ...
    def message(self, channel: RTCDataChannel, content: str | bytes, length_bytes: int) -> None: ...
    def association_closed(self) -> None: ...


class _Carrier:
    """What an association asks of a DTLS transport: to take packets, and to say which end it is."""

    state = "connected"

    def __init__(self, is_client: bool, post: Callable[[Callable[[], None]], None], send: Send) -> None:
        self._role = "client" if is_client else "server"
        self._post = post
        self._send = send

    async def _send_data(self, data: bytes) -> None:
        self._post(partial(self._send, data))

    def _register_data_receiver(self, receiver: object) -> None:
        """Packets are handed over by receive()."""

    def _unregister_data_receiver(self, receiver: object) -> None:
        """Packets are handed over by receive()."""


class Association(Receiver):
    """An association with one peer. It has a running event loop for its timers.

    Whom it sends through and whom it tells may call it in turn: they are called when the library has returned.
    """

    def __init__(self, *, is_client: bool, port: int, send: Send, news: News) -> None:
        super().__init__(cast(RTCDtlsTransport, _Carrier(is_client, self._post, send)), port)
        self._rto = RTO_INITIAL_S
        self._news = news
        self._outward: deque[Callable[[], None]] = deque()
        """Packets and news of the present call, in their order."""
        self._is_inside = False
        self._initiates = False
        self.refused_channels = 0
        self.refused_messages = 0
        self.faults = 0
        """Times the library raised: each would be a packet that the checks here should know."""

    def begin(self, remote_port: int, *, initiates: bool) -> None:
        """Be ready for packets; with `initiates`, send the first one."""
        self._initiates = initiates
        self._work(self.start(None, remote_port))

    def receive(self, packet: bytes) -> None:
        """Take a packet of the peer's. Never raises for what is in it."""
        chunks = self.read(packet)
        if chunks:
            self._work(self.take(chunks))

    def create(self, parameters: RTCDataChannelParameters) -> RTCDataChannel:
        """Make a channel and announce it to the peer, unless it was negotiated: then it opens with the association."""
        channel = RTCDataChannel(self, parameters)
        self._watch(channel)
        if channel.readyState == "open":
            self._outward.append(partial(self._news.channel_opened, channel))
        self._work(self._data_channel_flush())
        return channel

    def submit(self, channel: RTCDataChannel, protocol: int, data: bytes) -> None:
        """Queue a message for sending."""
        channel._addBufferedAmount(len(data))
        self._data_channel_queue.append((channel, protocol, data))
        self._work(self._data_channel_flush())

    def shut(self) -> None:
        """Tell the peer that it is over, and cancel every timer."""
        self._work(self.stop())

    @property
    def is_closed(self) -> bool:
        """Whether it is over, whoever has ended it."""
        return self.state == "closed"

    @property
    def queued_bytes(self) -> int:
        """What waits behind the message that is being sent."""
        return sum(channel.bufferedAmount for channel in self._data_channels.values())

    @property
    def queued_messages(self) -> int:
        """Messages that wait."""
        return len(self._data_channel_queue)

    @property
    def channels(self) -> int:
        """Channels that have a stream, or wait for the association to be given one."""
        return len(self._data_channels) + sum(channel.id is None for channel, _, _ in self._data_channel_queue)

    def has_stream(self, stream_id: int) -> bool:
        """Whether a channel has this number."""
        return stream_id in self._data_channels

    def _work(self, work: Coroutine[Any, Any, None]) -> None:
        """Run the library to its end; it has nothing to wait for. Then let out what it sends, and the news."""
        self._is_inside = True
        try:
            _run(work)
        except PeerError:
            _run(self.stop())
        except _ACCIDENTS:
            self.faults += 1
            _run(self.stop())
        finally:
            self._is_inside = False
        self._let_out()

    def _post(self, outward: Callable[[], None]) -> None:
        self._outward.append(outward)
        if not self._is_inside:  # a timer of the library's
            self._let_out()

    def _let_out(self) -> None:
        while self._outward:
            self._outward.popleft()()

    # what the library calls; the names are its own

    async def _init(self) -> None:
        """Both ends may send INIT (RFC 8841 §9.3). Whoever has heard one already answers it, which is enough."""
        if self._initiates:
            await super()._init()

    async def _receive_sack_chunk(self, chunk: sctp.SackChunk) -> None:
        await super()._receive_sack_chunk(chunk)
        self._cwnd = min(self._cwnd, FLIGHT_BYTES)

    def _update_rto(self, measured_s: float) -> None:
        super()._update_rto(measured_s)
        if self._srtt is not None and self._rttvar is not None:
            self._rto = min(max(self._srtt + 4 * self._rttvar, RTO_MIN_S), sctp.SCTP_RTO_MAX)

    async def _send(
        self,
        stream_id: int,
        pp_id: int,
        user_data: bytes,
        expiry: float | None = None,
        max_retransmits: int | None = None,
        ordered: bool = True,
    ) -> None:
        """Cut a message into chunks of CHUNK_BYTES, which the library would make longer."""
        sequence = self._outbound_stream_seq.get(stream_id, 0) if ordered else 0
        for at in range(0, len(user_data), CHUNK_BYTES):
            chunk = sctp.DataChunk(0 if ordered else sctp.SCTP_DATA_UNORDERED)
            if at == 0:
                chunk.flags |= sctp.SCTP_DATA_FIRST_FRAG
            if at + CHUNK_BYTES >= len(user_data):
                chunk.flags |= sctp.SCTP_DATA_LAST_FRAG
            chunk.tsn, self._local_tsn = self._local_tsn, sctp.tsn_plus_one(self._local_tsn)
            chunk.stream_id, chunk.stream_seq, chunk.protocol = stream_id, sequence, pp_id
            chunk.user_data = user_data[at : at + CHUNK_BYTES]
            chunk._book_size = max(len(chunk.user_data), CHUNK_COST_BYTES)
            chunk._abandoned = chunk._acked = chunk._in_flight = chunk._retransmit = False
            chunk._misses = chunk._sent_count = 0
            chunk._expiry, chunk._max_retransmits, chunk._sent_time = expiry, max_retransmits, None
            self._outbound_queue.append(chunk)
        if ordered:
            self._outbound_stream_seq[stream_id] = (sequence + 1) & 0xFFFF
        await self._transmit()

    def _set_state(self, state: sctp.RTCSctpTransport.State) -> None:
        was_closed = self.is_closed
        super()._set_state(state)
        if self.is_closed and not was_closed:
            for channel in [entry[0] for entry in self._data_channel_queue]:
                channel._setReadyState("closed")  # announced to nobody yet, so the library has forgotten it
            self._data_channel_queue.clear()
            self._outbound_queue.clear()
            self._sent_queue.clear()
            self._forward_tsn_chunk = None  # would be sent once more, and start a timer
            self._inbound_streams.clear()
            self._post(self._news.association_closed)

    def _data_channel_open(self, channel: RTCDataChannel) -> None:
        """Announce a channel of ours; the library would count characters where bytes are meant."""
        opening = Opening(
            channel.label,
            channel.protocol,
            is_ordered=channel.ordered,
            max_retransmits=channel.maxRetransmits,
            max_lifetime_ms=channel.maxPacketLifeTime,
        )
        self._data_channel_queue.append((channel, DCEP, build_opening(opening)))

    async def _data_channel_receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        channel = self._data_channels.get(stream_id)
        if pp_id == DCEP:
            await self._receive_announcement(stream_id, channel, data)
            return
        content = parse_content(pp_id, data) if len(data) <= MESSAGE_BYTES_MAX else None
        if channel is not None and channel.readyState == "connecting":
            channel._setReadyState("open")  # who uses it has accepted it; the ACK may come later (RFC 8832 §6)
        if content is None or channel is None or channel.readyState != "open":
            self.refused_messages += 1
            return
        self._post(partial(self._news.message, channel, content, len(data)))

    async def _receive_announcement(self, stream_id: int, channel: RTCDataChannel | None, data: bytes) -> None:
        if data[0] == ACK and channel is not None:
            if channel.readyState == "connecting":
                channel._setReadyState("open")
            return
        if data[0] != OPEN or channel is not None:
            self.refused_messages += 1
            return
        if len(self._data_channels) >= STREAMS_MAX:
            raise PeerError("too many channels")
        try:
            opening = parse_opening(data)
        except WireError:
            opening = None
        channel = RTCDataChannel(self, _parameters(stream_id, opening or Opening("")), False)
        self._data_channels[stream_id] = channel
        if opening is None or len(self._data_channels) > CHANNELS_MAX:
            self.refused_channels += 1
            self._data_channel_close(channel)
            return
        self._watch(channel)
        channel._setReadyState("open")
        self._data_channel_queue.append((channel, DCEP, ACK_MESSAGE))
        await self._data_channel_flush()

    def _watch(self, channel: RTCDataChannel) -> None:
        channel.on("open", partial(self._post, partial(self._news.channel_opened, channel)))
        channel.on("close", partial(self._post, partial(self._news.channel_closed, channel)))


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        work.send(None)
    except StopIteration:
        return
    work.close()
    raise RuntimeError("SCTP waits for something that nobody will bring")


def _parameters(stream_id: int, opening: Opening) -> RTCDataChannelParameters:
    return RTCDataChannelParameters(
        label=opening.label,
        protocol=opening.protocol,
        ordered=opening.is_ordered,
        maxRetransmits=opening.max_retransmits,
        maxPacketLifeTime=opening.max_lifetime_ms,
        id=stream_id,
    )
