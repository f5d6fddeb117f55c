"""A client that misbehaves on its data channels harms its own call, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Callable, Iterator

import pytest
from aiortc import rtcsctptransport as sctp
from google_crc32c import value as crc32c

from fastrelay.transceiver.data_channel import CHANNELS_MAX, LABEL_BYTES_MAX, MESSAGE_BYTES_MAX
from fastrelay.transceiver.sctp_receiver import REASSEMBLY_BYTES, REASSEMBLY_CHUNKS, STREAMS_MAX, TSN_WINDOW
from fastrelay.wire.dcep import DCEP, Opening, build_opening
from tests.unit.channel_ends import DELAY_S, Pair, run
from tests.unit.stock_peer import StockPeer, init, with_peer


def with_checksum(packet: bytes) -> bytes:
    blank = packet[:8] + b"\0\0\0\0" + packet[12:]
    return packet[:8] + struct.pack("<L", crc32c(blank)) + packet[12:] if len(packet) >= 12 else packet


async def converse(meddle: Callable[[int, bytes], list[bytes]]) -> None:
    """Talk a while, with packets of `meddle`'s making before each of the client's; see that nothing bad comes of it."""
    pair = Pair()
    loop = asyncio.get_running_loop()
    carry = pair.client._send

    def interfere(packet: bytes) -> None:
        for number, forged in enumerate(meddle(len(pair.sent), packet)):
            loop.call_later(DELAY_S / 2 + number * 1e-9, pair.server.handle, forged)
        carry(packet)

    pair.client._send = interfere
    assert pair.client.open("events", max_retransmits=0)
    await asyncio.sleep(2)
    pair.client.send("events", "x" * 1500)
    pair.server.send("events", "y" * 1500)
    await asyncio.sleep(2)
    pair.client.send("events", "again")
    await asyncio.sleep(2)
    assert pair.server.statistics.faults == 0, "check_packet and the checks of the association know every packet"
    await pair.close()


CONVERSATION_PACKETS = 14


@pytest.mark.parametrize("number", range(CONVERSATION_PACKETS))
def test_packet_with_any_byte_changed_does_no_harm(number: int) -> None:
    for at in range(60):  # headers, and some of the data behind them
        for change in (0x01, 0xFF):

            def meddle(current: int, packet: bytes, at: int = at, change: int = change) -> list[bytes]:
                if current != number or at >= len(packet):
                    return []
                return [with_checksum(packet[:at] + bytes([packet[at] ^ change]) + packet[at + 1 :])]

            run(converse(meddle))


def test_packets_cut_anywhere_do_no_harm() -> None:
    run(converse(lambda _, packet: [with_checksum(packet[:length]) for length in range(len(packet))]))


@pytest.mark.parametrize("seed", range(20))
def test_packets_with_many_bytes_changed_do_no_harm(seed: int) -> None:
    dice = random.Random(seed)

    def meddle(_: int, packet: bytes) -> list[bytes]:
        forged = []
        for _ in range(50):
            body = bytearray(packet)
            for _ in range(dice.randint(1, 8)):
                body[dice.randrange(12, len(body))] = dice.choice((0, 1, 2, 4, 255, dice.randrange(256)))
            forged.append(with_checksum(bytes(body)))
        return forged

    run(converse(meddle))


def test_packets_of_noise_are_counted_and_dropped() -> None:
    async def scenario() -> None:
        pair = Pair()
        dice = random.Random(4)
        for length in range(200):
            pair.server.handle(dice.randbytes(length))
        assert pair.server.statistics.packets_refused == 200
        await pair.open()
        await pair.close()

    run(scenario())


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"initiate_tag": 0}, id="no tag"),
        pytest.param({"outbound_streams": 0}, id="no streams out"),
        pytest.param({"inbound_streams": 0}, id="no streams in"),
    ],
)
def test_init_that_could_not_work_is_dropped(changes: dict[str, int]) -> None:
    async def scenario() -> None:
        pair = Pair()
        pair.server.handle(sctp.serialize_packet(5000, 5000, 0, init(**changes)))
        assert pair.server.statistics.packets_refused == 1
        await pair.open()
        await pair.close()

    run(scenario())


def test_second_association_cannot_take_the_place_of_the_first() -> None:
    async def scenario(peer: StockPeer) -> None:
        peer.server.handle(sctp.serialize_packet(5000, 5000, 0, init()))
        assert peer.server.statistics.packets_refused == 1
        peer.channels["events"].send("still here")
        await peer.settle()
        assert peer.heard.contents == ["still here"]

    with_peer(scenario)


def test_init_that_comes_again_late_is_answered_and_loses_nothing() -> None:
    async def scenario(peer: StockPeer) -> None:
        peer.channels["events"].send("before")
        await peer.settle()
        transport = peer.transport
        again = init(initiate_tag=transport._local_verification_tag, initial_tsn=transport._local_tsn - 2)
        peer.server.handle(sctp.serialize_packet(5000, 5000, 0, again))
        peer.channels["events"].send("after")
        await peer.settle()
        assert peer.heard.contents == ["before", "after"]

    with_peer(scenario)


@pytest.mark.parametrize("size", [1, 100, 1100])
def test_message_without_an_end_is_given_up_within_bounds(size: int) -> None:
    async def scenario(peer: StockPeer) -> None:
        sent = 0
        while not peer.heard.is_closed:
            flags = sctp.SCTP_DATA_FIRST_FRAG if sent == 0 else 0
            await peer.send_chunk(peer.data(0, b"x" * size, flags=flags))
            sent += 1
            assert sent <= REASSEMBLY_CHUNKS + 1
            assert sent * size <= REASSEMBLY_BYTES + 2 * size

    with_peer(scenario)


def test_init_that_comes_again_while_pieces_fill_all_room_is_answered() -> None:
    async def scenario(peer: StockPeer) -> None:
        peer.is_deaf = True
        size = 1100
        for number in range(REASSEMBLY_BYTES // size + 1):
            await peer.send_chunk(peer.data(0, b"x" * size, flags=sctp.SCTP_DATA_FIRST_FRAG if number == 0 else 0))
        again = init(initiate_tag=peer.transport._local_verification_tag)
        peer.server.handle(sctp.serialize_packet(5000, 5000, 0, again))
        (answer,) = peer.received_chunks(sctp.InitAckChunk)[-1:]
        assert answer.advertised_rwnd == 0

    with_peer(scenario)


def test_pieces_behind_a_gap_are_kept_within_bounds_until_the_gap_is_filled() -> None:
    async def scenario(peer: StockPeer) -> None:
        first = peer.transport._outbound_stream_seq[0]
        for ahead in range(1, TSN_WINDOW + 100):
            chunk = peer.data(0, b"x" * 1100, ahead=ahead)
            chunk.stream_seq = first + ahead
            await peer.send_chunk(chunk)
        kept = TSN_WINDOW + 99 - peer.server.statistics.packets_refused
        assert REASSEMBLY_BYTES // 2 <= kept * 1100 <= REASSEMBLY_BYTES // 2 + 1100
        chunk = peer.data(0, b"first")
        chunk.stream_seq = first
        await peer.send_chunk(chunk)
        assert len(peer.heard.messages) == kept + 1

    with_peer(scenario)


def test_message_longer_than_the_bound_is_not_handed_on() -> None:
    async def scenario(peer: StockPeer) -> None:
        peer.channels["events"].send(b"x" * (MESSAGE_BYTES_MAX + 1))
        peer.channels["events"].send("short")
        await peer.settle()
        assert peer.heard.contents == ["short"]
        assert peer.server.statistics.messages_refused == 1

    with_peer(scenario)


@pytest.mark.parametrize(
    ("stream_id", "protocol", "content"),
    [
        pytest.param(0, 51, b"\xff\xfe", id="text that is not UTF-8"),
        pytest.param(0, 99, b"x", id="unknown protocol"),
        pytest.param(8, 51, b"x", id="stream without a channel"),
        pytest.param(8, DCEP, b"\x02", id="acknowledgement of nothing"),
        pytest.param(8, DCEP, b"\x09", id="unknown announcement"),
        pytest.param(0, DCEP, build_opening(Opening("again")), id="channel opened twice"),
    ],
)
def test_message_that_means_nothing_is_counted(stream_id: int, protocol: int, content: bytes) -> None:
    async def scenario(peer: StockPeer) -> None:
        await peer.send_chunk(peer.data(stream_id, content, protocol=protocol))
        assert peer.server.statistics.messages_refused == 1
        assert peer.heard.messages == []
        assert not peer.heard.is_closed

    with_peer(scenario)


@pytest.mark.parametrize(
    "announcement",
    [
        pytest.param(build_opening(Opening("l" * (LABEL_BYTES_MAX + 1))), id="label too long"),
        pytest.param(b"\x03\x00", id="cut off"),
        pytest.param(build_opening(Opening("x"))[:-1] + b"\xff", id="not UTF-8"),
    ],
)
def test_channel_that_cannot_be_accepted_is_closed_and_its_stream_is_free_again(announcement: bytes) -> None:
    async def scenario(peer: StockPeer) -> None:
        channel = peer.open("placeholder", negotiated=True, id=8)
        await peer.send_chunk(peer.data(8, announcement, protocol=DCEP))
        await peer.settle()
        assert peer.server.statistics.channels_refused == 1
        assert channel.readyState == "closed"
        peer.open("good", id=8)
        await peer.settle()
        assert peer.heard.opened == ["events", "good"]

    with_peer(scenario)


def test_channels_beyond_the_bound_are_closed() -> None:
    async def scenario(peer: StockPeer) -> None:
        channels = [peer.open(f"channel {number}") for number in range(CHANNELS_MAX + 5)]
        await asyncio.sleep(5)
        assert peer.server.statistics.channels == CHANNELS_MAX
        assert sum(channel.readyState == "open" for channel in channels) == CHANNELS_MAX - 1
        assert peer.server.statistics.channels_refused == 6
        assert not peer.heard.is_closed

    with_peer(scenario)


@pytest.mark.parametrize("protocol", [51, DCEP])
def test_peer_that_uses_ever_more_streams_is_cut_off(protocol: int) -> None:
    async def scenario(peer: StockPeer) -> None:
        peer.is_deaf = True  # aiortc would stumble over answers to what it has not sent
        for stream_id in range(1, STREAMS_MAX + 2):
            await peer.send_chunk(peer.data(stream_id, build_opening(Opening("x")), protocol=protocol))
        assert peer.heard.is_closed

    with_peer(scenario)


def sack(*, cumulative: int, gaps: list[tuple[int, int]]) -> sctp.SackChunk:
    chunk = sctp.SackChunk()
    chunk.cumulative_tsn, chunk.advertised_rwnd, chunk.gaps = cumulative % 2**32, 100_000, gaps
    return chunk


@pytest.mark.parametrize(
    ("ahead", "gaps"),
    [
        pytest.param(1, [], id="of what comes next"),
        pytest.param(1000, [], id="far ahead"),
        pytest.param(2**31, [], id="half of all numbers ahead"),
        pytest.param(0, [(1, 1)], id="in a gap block"),
        pytest.param(0, [(1, 65_535)], id="in the longest gap block"),
    ],
)
def test_acknowledgement_of_what_was_not_sent_is_dropped(ahead: int, gaps: list[tuple[int, int]]) -> None:
    async def scenario(peer: StockPeer) -> None:
        last = peer.transport._last_received_tsn
        assert last is not None
        await peer.send_chunk(sack(cumulative=last + ahead, gaps=gaps))
        assert peer.server.statistics.packets_refused == 1
        assert peer.server.send("events", "still works")
        await peer.settle()
        assert peer.messages == [("events", "still works")]

    with_peer(scenario)


def test_stream_is_looked_through_once_however_often_a_packet_mentions_it(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    look = sctp.InboundStream.pop_messages

    def count(stream: sctp.InboundStream) -> Iterator[tuple[int, int, bytes]]:
        nonlocal looks
        looks += 1
        return look(stream)

    async def scenario(peer: StockPeer) -> None:
        peer.is_deaf = True
        monkeypatch.setattr(sctp.InboundStream, "pop_messages", count)
        forward = sctp.ForwardTsnChunk()
        forward.cumulative_tsn = peer.transport._local_tsn
        forward.streams = [(0, number) for number in range(300)]
        await peer.send_chunk(forward)
        assert looks == 1
        peer.transport._local_tsn += 1
        pieces = [bytes(peer.data(0, b"x", flags=0)) for _ in range(60)]
        await peer.send_chunks(pieces)
        assert looks == 2

    with_peer(scenario)


def test_message_before_a_reset_in_one_packet_is_heard() -> None:
    async def scenario(peer: StockPeer) -> None:
        message = peer.data(0, b"last words")
        reset = sctp.StreamResetOutgoingParam(peer.transport._reconfig_request_seq, 0, message.tsn, [0])
        reconfig = sctp.ReconfigChunk()
        reconfig.params = [(13, bytes(reset))]
        peer.is_deaf = True
        await peer.send_chunks([bytes(message), bytes(reconfig)])
        assert peer.heard.contents == ["last words"]

    with_peer(scenario)


def test_chunks_before_the_handshake_are_dropped() -> None:
    async def scenario() -> None:
        pair = Pair()
        assert pair.server.open("events")
        tag = struct.unpack_from("!L", pair.sent[0][1], 16)[0]
        for chunk in (sctp.DataChunk(3), sack(cumulative=0, gaps=[]), sctp.ForwardTsnChunk(), sctp.HeartbeatChunk()):
            if isinstance(chunk, sctp.DataChunk):
                chunk.user_data = b"x"
            pair.server.handle(sctp.serialize_packet(5000, 5000, tag, chunk))
        assert pair.server.statistics.packets_refused == 4
        assert pair.server.statistics.faults == 0
        await pair.close()

    run(scenario())
