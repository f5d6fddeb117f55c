"""The receiving half of aiortc's SCTP transport, held within bounds.

Lives here: which packets it gets to see, what may wait for missing pieces, and the parts of its work that a peer could
make long. Must not live here: sending, channels, running it (association).

PeerError from within `take` means that the association is to be given up.
"""

from __future__ import annotations

from bisect import insort
from typing import Final

from aiortc import rtcsctptransport as sctp
from aiortc.rtcdtlstransport import RTCDtlsTransport

from fastrelay.errors import PeerError, WireError
from fastrelay.wire.sctp import check_packet

STREAMS_MAX: Final = 128
"""Streams with state, among them those of channels refused and not yet reset. A peer that wants more is cut off."""
MESSAGE_BYTES_MAX: Final = 256 * 1024
REASSEMBLY_BYTES: Final = 2 * MESSAGE_BYTES_MAX
"""What may wait for missing pieces: a largest message, and half as much from beyond a gap."""
REASSEMBLY_CHUNKS: Final = 1024
"""A largest message in chunks of 256 bytes. Each costs some hundred bytes beside what it carries."""
TSN_WINDOW: Final = 512
"""How far ahead of the next TSN a chunk may be: so many gaps still fit one SACK."""
DUPLICATES_MAX: Final = 16
"""Duplicates named in a SACK; nobody acts on them."""

_TSNS = 2**32
_HALF = _TSNS // 2


class Receiver(sctp.RTCSctpTransport):
    """aiortc's transport, as far as it receives."""

    def __init__(self, transport: RTCDtlsTransport, port: int) -> None:
        super().__init__(transport, port)
        self._advertised_rwnd = REASSEMBLY_BYTES
        self._touched: dict[int, None] = {}
        """Streams that may have whole messages, in the order of their chunks."""
        self._held_chunks = 0
        self.refused_packets = 0

    def read(self, packet: bytes) -> list[sctp.Chunk]:
        """The chunks of a packet; none, and it is counted, when it must not be worked through."""
        try:
            check_packet(packet)
            _, _, tag, chunks = sctp.parse_packet(packet)
            self._check_place(chunks, tag)
        except (WireError, PeerError, ValueError):  # ValueError: the checksum
            self.refused_packets += 1
            return []
        return chunks

    async def take(self, chunks: list[sctp.Chunk]) -> None:
        """Work through the chunks of a packet."""
        for chunk in chunks:
            if self.state == "closed":
                return
            if isinstance(chunk, sctp.DataChunk):
                self._keep(chunk)
            else:
                await self._deliver()  # a reset that follows data takes only what was not complete
                await self._receive_control(chunk)
        await self._deliver()
        if self._sack_needed and self.state != "closed":
            await self._send_sack()

    async def _receive_control(self, chunk: sctp.Chunk) -> None:
        before = self._last_received_tsn, self._reconfig_response_seq
        # INIT again, or INIT-ACK where both ends sent INIT: acted on, but what has come since the first INIT stays
        # (RFC 9260 §5.2.1, §5.2.2). Were numbers to begin elsewhere, no SACK could name the gap up to what is ahead.
        is_repeated = isinstance(chunk, sctp.BaseInitChunk) and self._remote_verification_tag == chunk.initiate_tag
        await self._receive_chunk(chunk)
        if is_repeated:
            self._last_received_tsn, self._reconfig_response_seq = before
        elif isinstance(chunk, (sctp.ReconfigChunk, sctp.ForwardTsnChunk)):
            self._count_held()  # a stream that is reset takes its pieces along

    def _keep(self, chunk: sctp.DataChunk) -> None:
        """Put a chunk where it belongs, once. The library would look for whole messages after each."""
        self._sack_needed = True
        if not self._has_room(chunk):
            self.refused_packets += 1  # the peer sends it again
            return
        if self._mark_received(chunk.tsn):
            return
        base = chunk.tsn - _HALF
        stream = self._get_inbound_stream(chunk.stream_id)
        insort(stream.reassembly, chunk, key=lambda held: (held.tsn - base) % _TSNS)
        self._touched[chunk.stream_id] = None
        self._held_chunks += 1
        self._advertised_rwnd = max(0, self._advertised_rwnd - len(chunk.user_data))  # an INIT-ACK says it as it is

    def _ahead(self, tsn: int) -> int:
        """How far it is beyond all that has come without a gap; 0 and below: it has come, or will not be waited for.

        Half of all numbers away is neither ahead nor behind (RFC 1982 §3.2). All who ask must hear the same: behind.
        """
        assert self._last_received_tsn is not None, "a chunk before INIT"
        return (tsn - self._last_received_tsn + _HALF) % _TSNS - _HALF

    def _has_room(self, chunk: sctp.DataChunk) -> bool:
        ahead = self._ahead(chunk.tsn)
        if ahead <= 0:
            return True  # a duplicate: acknowledged, not kept
        held_bytes = REASSEMBLY_BYTES - self._advertised_rwnd
        if ahead > 1:
            is_roomy = self._held_chunks < REASSEMBLY_CHUNKS // 2 and held_bytes < REASSEMBLY_BYTES // 2
            return ahead <= TSN_WINDOW and is_roomy
        if self._held_chunks >= REASSEMBLY_CHUNKS or held_bytes >= REASSEMBLY_BYTES:
            raise PeerError("a message without an end")
        return True

    async def _deliver(self) -> None:
        """Hand on the messages that have become whole."""
        if not self._touched:
            return
        touched, self._touched = self._touched, {}
        for stream_id in touched:
            for message in self._inbound_streams[stream_id].pop_messages():
                await self._receive(*message)
        self._count_held()
        await self._reset_deferred_streams()

    def _count_held(self) -> None:
        held = [chunk for stream in self._inbound_streams.values() for chunk in stream.reassembly]
        self._held_chunks = len(held)
        self._advertised_rwnd = max(0, REASSEMBLY_BYTES - sum(len(chunk.user_data) for chunk in held))

    def _check_place(self, chunks: list[sctp.Chunk], tag: int) -> None:
        """PeerError for a packet that is not for this association, or not now (RFC 9260 §8.5)."""
        for chunk in chunks:
            if isinstance(chunk, sctp.InitChunk):
                if tag:
                    raise PeerError("INIT with a verification tag")
                self._check_init(chunk)
                continue
            if tag != self._local_verification_tag:
                raise PeerError("another verification tag")
            if isinstance(chunk, sctp.InitAckChunk):
                self._check_init(chunk)
            elif not self._remote_verification_tag:
                raise PeerError("a chunk before INIT")
            elif isinstance(chunk, sctp.SackChunk):
                self._check_sack(chunk)

    def _check_init(self, chunk: sctp.BaseInitChunk) -> None:
        if not (chunk.initiate_tag and chunk.outbound_streams and chunk.inbound_streams):
            raise PeerError("INIT without a tag or streams")  # RFC 9260 §3.3.2
        if self._remote_verification_tag not in {0, chunk.initiate_tag}:
            raise PeerError("INIT of another association")

    def _check_sack(self, chunk: sctp.SackChunk) -> None:
        """Only what was sent can be acknowledged; the library would work through whatever is claimed."""
        sent = (self._local_tsn - 1 - self._last_sacked_tsn) % _TSNS
        newly = (chunk.cumulative_tsn - self._last_sacked_tsn) % _TSNS
        if newly > _HALF:
            return  # an old one: ignored. The library acts on one of exactly half of all numbers ahead
        if newly + (chunk.gaps[-1][1] if chunk.gaps else 0) > sent:
            raise PeerError("SACK of what was not sent")

    # what the library calls; the names are its own

    def _mark_received(self, tsn: int) -> bool:
        """Whether it had come before. The library would sort all that is ahead at each."""
        if self._ahead(tsn) <= 0 or tsn in self._sack_misordered:
            self._sack_duplicates.append(tsn)
            return True
        self._sack_misordered.add(tsn)
        assert self._last_received_tsn is not None, "_ahead has said so"
        while (due := sctp.tsn_plus_one(self._last_received_tsn)) in self._sack_misordered:
            self._sack_misordered.remove(due)
            self._last_received_tsn = due
        return False

    async def _receive_forward_tsn_chunk(self, chunk: sctp.ForwardTsnChunk) -> None:
        self._sack_needed = True
        if self._ahead(chunk.cumulative_tsn) <= 0:
            return
        # the last word on each stream: the library would go through all that the stream holds at every mention
        chunk.streams = list(dict(chunk.streams).items())
        # RFC 3758 §3.6: and on over what has come; the library would stop where numbers begin anew
        while (due := sctp.tsn_plus_one(chunk.cumulative_tsn)) in self._sack_misordered:
            chunk.cumulative_tsn = due
        await super()._receive_forward_tsn_chunk(chunk)

    async def _send_sack(self) -> None:
        """Name gaps in ascending order (RFC 9260 §3.3.4). The library would take them by number, and numbers wrap."""
        gaps: list[tuple[int, int]] = []
        for ahead in sorted(map(self._ahead, self._sack_misordered)):
            if gaps and gaps[-1][1] == ahead - 1:
                gaps[-1] = gaps[-1][0], ahead
            else:
                gaps.append((ahead, ahead))
        sack = sctp.SackChunk()
        sack.cumulative_tsn, sack.advertised_rwnd = self._last_received_tsn, self._advertised_rwnd
        sack.gaps, sack.duplicates = gaps, self._sack_duplicates[:DUPLICATES_MAX]
        self._sack_duplicates.clear()
        self._sack_needed = False
        await self._send_chunk(sack)

    def _get_inbound_stream(self, stream_id: int) -> sctp.InboundStream:
        if stream_id not in self._inbound_streams and len(self._inbound_streams) >= STREAMS_MAX:
            raise PeerError("too many streams")
        return super()._get_inbound_stream(stream_id)
