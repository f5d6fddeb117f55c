"""A client that speaks SCTP as aiortc ships it, joined to our end in memory: well-behaved, or made to misbehave.

Lives here: the joint, and packets under the client's name that aiortc would not send. Must not live here: what is
expected, but that our end does not falter.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from aiortc import rtcsctptransport as sctp
from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcdtlstransport import RTCDtlsTransport
from google_crc32c import value as crc32c

from fastrelay.transceiver.data_channel import DataChannels
from tests.unit.channel_ends import Heard, VirtualLoop, run

Kind = TypeVar("Kind", bound=sctp.Chunk)


class _Carrier:
    state = "connected"
    _role = "client"

    def __init__(self, peer: StockPeer) -> None:
        self._peer = peer

    async def _send_data(self, data: bytes) -> None:
        asyncio.get_running_loop().call_soon(self._peer.server.handle, data)

    def _register_data_receiver(self, receiver: object) -> None: ...

    def _unregister_data_receiver(self, receiver: object) -> None: ...


class StockPeer:
    """aiortc's transport, and our `server` that it talks to."""

    def __init__(self) -> None:
        self.heard = Heard()
        self.transport = sctp.RTCSctpTransport(cast(RTCDtlsTransport, _Carrier(self)), 5000)
        self.transport.on("datachannel", self._take_channel)
        self.channels: dict[str, RTCDataChannel] = {}
        self.messages: list[tuple[str, str | bytes]] = []
        self.server = DataChannels(
            is_client=False, remote_port=5000, max_message_bytes=0, send=self._receive, listener=self.heard
        )
        self.received: list[bytes] = []
        self.is_deaf = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        """Set the association up."""
        await self.transport.start(sctp.RTCSctpCapabilities(maxMessageSize=0), 5000)
        await self.settle()
        assert self.transport.state == "connected"

    def open(self, label: str, **options: Any) -> RTCDataChannel:
        """Open a channel as an application of aiortc does."""
        channel = RTCDataChannel(self.transport, RTCDataChannelParameters(label=label, **options))
        self._take_channel(channel)
        return channel

    def received_chunks(self, kind: type[Kind]) -> list[Kind]:
        """What our end has sent, of this kind."""
        chunks = [chunk for packet in self.received for chunk in sctp.parse_packet(packet)[3]]
        return [chunk for chunk in chunks if isinstance(chunk, kind)]

    async def send_chunk(self, chunk: sctp.Chunk) -> None:
        """Send a chunk of the test's making in a packet of its own."""
        await self.transport._send_chunk(chunk)
        await asyncio.sleep(0.001)

    async def send_chunks(self, chunks: list[bytes]) -> None:
        """Send several chunks in one packet."""
        head = struct.pack("!HHLL", 5000, 5000, self.transport._remote_verification_tag, 0)
        packet = head + b"".join(chunks)
        await self.transport.transport._send_data(packet[:8] + struct.pack("<L", crc32c(packet)) + packet[12:])
        await asyncio.sleep(0.001)

    def data(
        self, stream_id: int, content: bytes, *, protocol: int = 51, flags: int = 3, ahead: int = 0
    ) -> sctp.DataChunk:
        """Make a DATA chunk with the TSN that is due, after which the next one is, or one `ahead` of it."""
        chunk = sctp.DataChunk(flags)
        chunk.tsn = (self.transport._local_tsn + ahead) % 2**32
        chunk.stream_id, chunk.protocol, chunk.user_data = stream_id, protocol, content
        chunk.stream_seq = self.transport._outbound_stream_seq.get(stream_id, 0)
        if ahead == 0:
            self.transport._local_tsn = (self.transport._local_tsn + 1) % 2**32
        if flags & sctp.SCTP_DATA_LAST_FRAG:
            self.transport._outbound_stream_seq[stream_id] = chunk.stream_seq + 1
        return chunk

    async def settle(self) -> None:
        """Let what is on its way arrive, and be answered."""
        await asyncio.sleep(0.1)

    async def close(self) -> None:
        """Close both ends and see that nothing of ours is left."""
        await self.server.close()
        await self.transport.stop()
        await self.settle()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        assert not loop.timers(), loop.timers()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    def _receive(self, packet: bytes) -> None:
        self.received.append(packet)
        if self.is_deaf:
            return
        task = asyncio.get_running_loop().create_task(self.transport._handle_data(packet))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _take_channel(self, channel: RTCDataChannel) -> None:
        self.channels[channel.label] = channel
        channel.on("message", lambda content: self.messages.append((channel.label, content)))


def with_peer(scenario: Callable[[StockPeer], Coroutine[None, None, None]]) -> None:
    """Run a scenario with a client that is connected and has a channel on stream 0; our end must not have faltered."""

    async def whole() -> None:
        peer = StockPeer()
        await peer.connect()
        peer.open("events")
        await peer.settle()
        await scenario(peer)
        await peer.settle()
        assert peer.server.statistics.faults == 0
        await peer.close()

    run(whole())


def init(**changes: int) -> sctp.InitChunk:
    """An INIT that could work, but for these changes."""
    chunk = sctp.InitChunk()
    chunk.initiate_tag, chunk.advertised_rwnd, chunk.initial_tsn = 1, 1000, 5
    chunk.outbound_streams = chunk.inbound_streams = 10
    for name, value in changes.items():
        setattr(chunk, name, value)
    return chunk
