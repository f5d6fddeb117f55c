"""The numbers of chunks (TSNs), as a peer may choose them: every SACK can be built, and says what has come."""

from __future__ import annotations

import pytest
from aiortc import rtcsctptransport as sctp

from fastrelay.transceiver.association import CHUNK_BYTES
from fastrelay.transceiver.data_channel import DataChannels
from fastrelay.transceiver.sctp_receiver import DUPLICATES_MAX, TSN_WINDOW
from fastrelay.wire.sctp import HEADER_LENGTH, check_packet
from tests.unit.channel_ends import Heard, run
from tests.unit.stock_peer import StockPeer, init, with_peer

HALF = 2**31


@pytest.fixture(
    autouse=True,
    params=[pytest.param(1000, id="numbers go on"), pytest.param(2**32 - 6, id="numbers begin anew")],
)
def first(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The first number of either end; the announcement of a channel has it."""
    number: int = request.param
    monkeypatch.setattr(sctp, "random32", lambda: number)
    return number


def numbered(tsn: int, content: bytes = b"x") -> sctp.DataChunk:
    """A message of its own, unordered."""
    chunk = sctp.DataChunk(sctp.SCTP_DATA_FIRST_FRAG | sctp.SCTP_DATA_LAST_FRAG | sctp.SCTP_DATA_UNORDERED)
    chunk.tsn, chunk.stream_id, chunk.protocol, chunk.user_data = tsn % 2**32, 0, 51, content
    return chunk


def last_sack(peer: StockPeer) -> sctp.SackChunk:
    check_packet(peer.received[-1])
    return peer.received_chunks(sctp.SackChunk)[-1]


@pytest.mark.parametrize(
    ("ahead", "gaps", "is_refused"),
    [
        pytest.param(0, [], False, id="has come"),
        pytest.param(2, [(2, 2)], False, id="behind a gap"),
        pytest.param(TSN_WINDOW, [(TSN_WINDOW, TSN_WINDOW)], False, id="last of the window"),
        pytest.param(TSN_WINDOW + 1, [], True, id="first beyond the window"),
        pytest.param(HALF - 1, [], True, id="furthest ahead"),
        pytest.param(HALF, [], False, id="neither ahead nor behind"),
        pytest.param(HALF + 1, [], False, id="furthest behind"),
        pytest.param(-1, [], False, id="before all"),
    ],
)
def test_chunk_of_any_number_is_answered(first: int, ahead: int, gaps: list[tuple[int, int]], is_refused: bool) -> None:
    async def scenario(peer: StockPeer) -> None:
        peer.is_deaf = True  # aiortc would stumble over answers to what it has not sent
        await peer.send_chunk(numbered(first + ahead))
        sack = last_sack(peer)
        assert (sack.cumulative_tsn, sack.gaps) == (first, gaps)
        assert sack.duplicates == ([] if gaps or is_refused else [(first + ahead) % 2**32])
        assert peer.server.statistics.packets_refused == is_refused
        await peer.send_chunk(numbered(first + 1, b"what was due"))
        assert peer.heard.contents[-1] == "what was due"

    with_peer(scenario)


WAITING = (3, 5, 6, 7, TSN_WINDOW)
"""Ahead of what has come. Where numbers begin anew, 6 is the first of the new ones."""
GAPS = [(3, 3), (5, 7), (TSN_WINDOW, TSN_WINDOW)]


@pytest.mark.parametrize(
    ("forward", "cumulative", "gaps"),
    [
        pytest.param(-1, 0, GAPS, id="backwards"),
        pytest.param(HALF + 1, 0, GAPS, id="furthest backwards"),
        pytest.param(HALF, 0, GAPS, id="neither forwards nor backwards"),
        pytest.param(0, 0, GAPS, id="nowhere"),
        pytest.param(1, 1, [(2, 2), (4, 6), (TSN_WINDOW - 1, TSN_WINDOW - 1)], id="by one"),
        pytest.param(2, 3, [(2, 4), (TSN_WINDOW - 3, TSN_WINDOW - 3)], id="over what has come"),
        pytest.param(4, 7, [(TSN_WINDOW - 7, TSN_WINDOW - 7)], id="over the last number of all"),
        pytest.param(TSN_WINDOW - 1, TSN_WINDOW, [], id="up to the last that waits"),
        pytest.param(TSN_WINDOW + 1, TSN_WINDOW + 1, [], id="beyond the window"),
        pytest.param(70_000, 70_000, [], id="further than a gap block reaches"),
        pytest.param(HALF - 1, HALF - 1, [], id="furthest"),
    ],
)
def test_forward_tsn_moves_on_and_never_back(
    first: int, forward: int, cumulative: int, gaps: list[tuple[int, int]]
) -> None:
    async def scenario(peer: StockPeer) -> None:
        peer.is_deaf = True
        for ahead in WAITING:
            await peer.send_chunk(numbered(first + ahead))
        assert last_sack(peer).gaps == GAPS
        chunk = sctp.ForwardTsnChunk()
        chunk.cumulative_tsn = (first + forward) % 2**32
        await peer.send_chunk(chunk)
        sack = last_sack(peer)
        assert (sack.cumulative_tsn, sack.gaps) == ((first + cumulative) % 2**32, gaps)
        await peer.send_chunk(numbered(first + cumulative + 1, b"what was due"))
        assert peer.heard.contents[-1] == "what was due"

    with_peer(scenario)


@pytest.mark.parametrize("kind", [sctp.InitChunk, sctp.InitAckChunk], ids=["INIT", "INIT-ACK"])
@pytest.mark.parametrize("elsewhere", [0, 1, -600, 70_000, HALF, -70_000])
def test_association_begins_once_wherever_a_later_chunk_lets_it_begin(
    first: int, kind: type[sctp.BaseInitChunk], elsewhere: int
) -> None:
    """Our end has sent INIT too, so that it acts on either kind when it has heard the other's."""

    async def scenario() -> None:
        sent: list[bytes] = []
        end = DataChannels(is_client=False, remote_port=5000, max_message_bytes=0, send=sent.append, listener=Heard())
        assert end.open("events")
        (_, _, _, (ours,)) = sctp.parse_packet(sent[0])
        assert isinstance(ours, sctp.InitChunk)

        def give(chunk: sctp.Chunk) -> sctp.Chunk:
            tag = 0 if isinstance(chunk, sctp.InitChunk) else ours.initiate_tag
            end.handle(sctp.serialize_packet(5000, 5000, tag, chunk))
            return sctp.parse_packet(sent[-1])[3][0]

        assert isinstance(give(init(initial_tsn=first)), sctp.InitAckChunk)
        assert isinstance(give(numbered(first + 2)), sctp.SackChunk)
        answer = give(kind(body=init(initial_tsn=(first + elsewhere) % 2**32).body))
        assert isinstance(answer, sctp.InitAckChunk if kind is sctp.InitChunk else sctp.CookieEchoChunk)
        sack = give(numbered(first))
        assert end.statistics.faults == 0
        assert isinstance(sack, sctp.SackChunk)
        assert (sack.cumulative_tsn, sack.gaps) == (first, [(2, 2)])
        await end.close()

    run(scenario())


def test_longest_sack_is_no_longer_than_a_packet_of_data(first: int) -> None:
    async def scenario(peer: StockPeer) -> None:
        peer.is_deaf = True
        for ahead in range(2, TSN_WINDOW + 1, 2):
            await peer.send_chunk(numbered(first + ahead))
        await peer.send_chunks([bytes(numbered(first - number)) for number in range(DUPLICATES_MAX + 5)])
        sack = last_sack(peer)
        assert (len(sack.gaps), len(sack.duplicates)) == (TSN_WINDOW // 2, DUPLICATES_MAX)
        assert len(peer.received[-1]) <= HEADER_LENGTH + sctp.SCTP_DATA_CHUNK_HEADER_LENGTH + CHUNK_BYTES

    with_peer(scenario)
