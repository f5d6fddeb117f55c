"""Our end of a data channel with aiortc, as it is shipped, at the other."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.channel_ends import run
from tests.unit.stock_peer import StockPeer

KINDS = [
    pytest.param({}, id="reliable"),
    pytest.param({"ordered": False}, id="unordered"),
    pytest.param({"maxRetransmits": 0}, id="not repeated"),
    pytest.param({"maxPacketLifeTime": 500, "ordered": False}, id="limited in time"),
]


@pytest.mark.parametrize("options", KINDS)
def test_channel_of_an_aiortc_client_carries_messages_both_ways(options: dict[str, Any]) -> None:
    async def scenario() -> None:
        peer = StockPeer()
        await peer.connect()
        channel = peer.open("oai-events", **options)
        await peer.settle()
        assert (channel.readyState, peer.heard.opened) == ("open", ["oai-events"])
        for content in ("text", b"binary", "", b"", "x" * 262_144):
            channel.send(content)
            assert peer.server.send("oai-events", content)
            await peer.settle()
        assert peer.messages == peer.heard.messages
        assert peer.heard.contents == ["text", b"binary", "", b"", "x" * 262_144]
        await peer.close()

    run(scenario())


def test_channel_of_ours_reaches_an_aiortc_client() -> None:
    async def scenario() -> None:
        peer = StockPeer()
        await peer.connect()
        assert peer.server.open("events", is_ordered=False, max_retransmits=2, protocol="json")
        await peer.settle()
        channel = peer.channels["events"]
        assert (channel.ordered, channel.maxRetransmits, channel.protocol) == (False, 2, "json")
        assert channel.id is not None
        assert channel.id % 2 == 1, "the DTLS server's streams are odd (RFC 8832 §6)"
        assert peer.server.send("events", "hello")
        await peer.settle()
        assert peer.messages == [("events", "hello")]
        await peer.close()

    run(scenario())


def test_negotiated_channel_needs_no_announcement() -> None:
    async def scenario() -> None:
        peer = StockPeer()
        assert peer.server.open("telemetry", negotiated_id=100)
        channel = peer.open("telemetry", negotiated=True, id=100)
        await peer.connect()
        assert (channel.readyState, peer.heard.opened) == ("open", ["telemetry"])
        channel.send("up")
        assert peer.server.send("telemetry", "down")
        await peer.settle()
        assert (peer.heard.contents, peer.messages) == (["up"], [("telemetry", "down")])
        await peer.close()

    run(scenario())


def test_channel_negotiated_after_the_association_opens_at_once() -> None:
    async def scenario() -> None:
        peer = StockPeer()
        await peer.connect()
        assert peer.server.open("telemetry", negotiated_id=100)
        assert peer.heard.opened == ["telemetry"]
        await peer.close()

    run(scenario())


def test_client_closes_a_channel_and_opens_it_again_on_the_same_stream() -> None:
    async def scenario() -> None:
        peer = StockPeer()
        await peer.connect()
        for _ in range(3):
            channel = peer.open("events")
            await peer.settle()
            channel.send("last words")
            channel.close()
            await peer.settle()
            assert channel.readyState == "closed"
            assert peer.server.statistics.channels == 0
            assert not peer.server.send("events", "too late")
        assert peer.heard.opened == peer.heard.ended == ["events"] * 3
        assert peer.heard.contents == ["last words"] * 3
        assert not peer.heard.is_closed
        await peer.close()

    run(scenario())


def test_client_that_goes_takes_its_channels_along() -> None:
    async def scenario() -> None:
        peer = StockPeer()
        await peer.connect()
        peer.open("events")
        await peer.settle()
        await peer.transport.stop()
        await peer.settle()
        assert peer.heard.ended == ["events"]
        assert peer.heard.is_closed
        await peer.close()

    run(scenario())
