"""Data channels between two of our own ends: opening, messages of every kind, bounds, closing."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from typing import Any

import pytest

from fastrelay.transceiver.data_channel import (
    CHANNELS_MAX,
    LABEL_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    SEND_BUFFER_BYTES,
    SEND_BUFFER_MESSAGES,
    DataChannels,
)
from tests.unit.channel_ends import Heard, Pair, run

LARGEST_PACKET = 12 + 16 + 1100


@pytest.mark.parametrize("opener", ["client", "server"])
def test_channel_opened_by_either_end_carries_messages_both_ways(opener: str) -> None:
    async def scenario() -> None:
        pair = Pair()
        ends = {"client": pair.client, "server": pair.server}
        assert ends[opener].open("oai-events")
        await pair.until(lambda: pair.client_heard.opened == pair.server_heard.opened == ["oai-events"])
        assert pair.client.send("oai-events", "up")
        assert pair.server.send("oai-events", "down")
        await pair.settle()
        assert pair.server_heard.messages == [("oai-events", "up")]
        assert pair.client_heard.messages == [("oai-events", "down")]
        await pair.close()

    run(scenario())


def test_both_ends_may_open_at_the_same_moment() -> None:
    async def scenario() -> None:
        pair = Pair()
        assert pair.client.open("up")
        assert pair.server.open("down")
        await pair.until(lambda: set(pair.client_heard.opened) == set(pair.server_heard.opened) == {"up", "down"})
        await pair.close()

    run(scenario())


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("text", id="text"),
        pytest.param("", id="empty text"),
        pytest.param("grüße 👋", id="text beyond ASCII"),
        pytest.param(b"\x00\xff", id="binary"),
        pytest.param(b"", id="empty binary"),
        pytest.param(b"x" * 1100, id="one whole chunk"),
        pytest.param(b"x" * 1101, id="one byte more than a chunk"),
        pytest.param("y" * MESSAGE_BYTES_MAX, id="largest text"),
        pytest.param(bytes(range(256)) * (MESSAGE_BYTES_MAX // 256), id="largest binary"),
    ],
)
def test_message_arrives_as_it_was_sent(content: str | bytes) -> None:
    async def scenario() -> None:
        pair = Pair()
        await pair.open()
        assert pair.client.send("events", content)
        await pair.until(lambda: bool(pair.server_heard.messages))
        assert pair.server_heard.messages == [("events", content)]
        assert max(len(packet) for _, packet in pair.sent) <= LARGEST_PACKET
        length = len(content.encode() if isinstance(content, str) else content)
        assert pair.client.statistics.bytes_sent == pair.server.statistics.bytes_received == max(length, 1)
        await pair.close()

    run(scenario())


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="reliable, in order"),
        pytest.param({"is_ordered": False}, id="reliable, unordered"),
        pytest.param({"max_retransmits": 0}, id="never sent again"),
        pytest.param({"is_ordered": False, "max_retransmits": 3}, id="unordered, sent again three times"),
        pytest.param({"max_lifetime_ms": 500}, id="limited in time"),
        pytest.param({"negotiated_id": 7}, id="negotiated"),
    ],
)
def test_every_kind_of_channel_carries_messages(options: dict[str, Any]) -> None:
    async def scenario() -> None:
        pair = Pair()
        assert pair.client.open("events", **options)
        if "negotiated_id" in options:
            assert pair.server.open("events", **options)
        await pair.until(lambda: pair.client_heard.opened == pair.server_heard.opened == ["events"])
        for number in range(20):
            assert pair.client.send("events", str(number))
            assert pair.server.send("events", str(number))
        await pair.settle()
        assert pair.server_heard.contents == pair.client_heard.contents == [str(number) for number in range(20)]
        await pair.close()

    run(scenario())


def test_label_beyond_ascii_arrives_whole() -> None:
    async def scenario() -> None:
        pair = Pair()
        await pair.open("événements", protocol="json·v1")
        await pair.close()

    run(scenario())


def test_of_two_channels_alike_the_latest_is_sent_to() -> None:
    async def scenario() -> None:
        pair = Pair()
        await pair.open("events", max_retransmits=0)
        assert pair.client.open("events")
        await pair.until(lambda: pair.server_heard.opened == ["events", "events"])
        assert pair.server.send("events", "hello")
        await pair.settle()
        assert pair.client_heard.messages == [("events", "hello")]
        await pair.close()

    run(scenario())


def test_nothing_can_be_sent_before_a_channel_is_open_nor_under_another_label() -> None:
    async def scenario() -> None:
        pair = Pair()
        assert not pair.client.send("events", "too early")
        assert pair.client.open("events")
        assert not pair.client.send("events", "still too early")
        await pair.until(lambda: "events" in pair.client_heard.opened)
        assert not pair.client.send("event", "elsewhere")
        assert pair.client.statistics.sends_refused == 3
        await pair.close()

    run(scenario())


@pytest.mark.parametrize(("peer_takes", "length"), [(1000, 1000), (0, MESSAGE_BYTES_MAX), (10**9, MESSAGE_BYTES_MAX)])
def test_message_longer_than_the_peer_takes_is_refused(peer_takes: int, length: int) -> None:
    async def scenario() -> None:
        pair = Pair(max_message_bytes=peer_takes)
        await pair.open()
        assert pair.client.send("events", b"x" * length)
        assert not pair.client.send("events", b"x" * (length + 1))
        assert pair.client.statistics.sends_refused == 1
        await pair.close()

    run(scenario())


def test_send_buffer_is_bounded_in_bytes_and_takes_more_once_it_has_emptied() -> None:
    async def scenario() -> None:
        pair = Pair()
        await pair.open()
        message = b"x" * 100_000
        accepted = 0
        while pair.client.send("events", message):
            accepted += 1
        waiting = accepted - 1  # the first is being sent
        assert waiting * len(message) <= SEND_BUFFER_BYTES < (waiting + 1) * len(message)
        await pair.until(lambda: len(pair.server_heard.messages) == accepted)
        assert pair.client.send("events", message)
        await pair.close()

    run(scenario())


def test_send_buffer_is_bounded_in_messages() -> None:
    async def scenario() -> None:
        pair = Pair()
        await pair.open()
        accepted = 0
        while pair.client.send("events", "x"):
            accepted += 1
        assert SEND_BUFFER_MESSAGES <= accepted < SEND_BUFFER_MESSAGES + 20, "and those in flight"
        await pair.until(lambda: len(pair.server_heard.messages) == accepted)
        await pair.close()

    run(scenario())


def test_channels_are_bounded_at_the_end_that_opens() -> None:
    async def scenario() -> None:
        pair = Pair()
        assert all(pair.client.open(f"channel {number}") for number in range(CHANNELS_MAX))
        assert not pair.client.open("one more")
        await pair.until(lambda: len(pair.client_heard.opened) == CHANNELS_MAX)
        assert not pair.client.open("one more")
        assert pair.server.statistics.channels == CHANNELS_MAX
        await pair.close()

    run(scenario())


def test_label_at_the_bound_is_taken_and_one_beyond_is_the_callers_mistake() -> None:
    async def scenario() -> None:
        pair = Pair()
        await pair.open("l" * LABEL_BYTES_MAX)
        with pytest.raises(ValueError, match="at most 256 bytes"):
            pair.client.open("l" * (LABEL_BYTES_MAX + 1))
        await pair.close()

    run(scenario())


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        pytest.param({"max_retransmits": 1, "max_lifetime_ms": 1}, "not in both", id="two limits"),
        pytest.param({"negotiated_id": 65_535}, "not 0 to 65534", id="no such stream"),
        pytest.param({"negotiated_id": -1}, "not 0 to 65534", id="negative stream"),
        pytest.param({"negotiated_id": 4}, "in use", id="stream in use"),
        pytest.param({"protocol": "p" * 257}, "at most 256 bytes", id="long protocol"),
    ],
)
def test_impossible_channel_is_the_callers_mistake(options: dict[str, Any], problem: str) -> None:
    async def scenario() -> None:
        pair = Pair()
        assert pair.client.open("known", negotiated_id=4)
        with pytest.raises(ValueError, match=problem):
            pair.client.open("events", **options)
        await pair.close()

    run(scenario())


def test_closing_one_end_ends_the_other_and_is_told_there_once() -> None:
    async def scenario() -> None:
        pair = Pair()
        await pair.open()
        await pair.client.close()
        await pair.settle()
        assert pair.server_heard.is_closed
        assert pair.server_heard.ended == ["events"]
        assert not pair.client_heard.is_closed, "who closes is not told"
        assert not pair.server.send("events", "too late")
        assert not pair.server.open("again")
        await pair.close()

    run(scenario())


def test_peer_that_never_answers_is_given_up() -> None:
    async def scenario() -> None:
        heard = Heard()
        sent: list[bytes] = []
        end = DataChannels(is_client=True, remote_port=5000, max_message_bytes=0, send=sent.append, listener=heard)
        assert end.open("events")
        await asyncio.sleep(60)
        assert heard.is_closed
        assert len(sent) == 9, "INIT and eight repetitions"
        await end.close()

    run(scenario())


def test_closing_without_a_peer_leaves_no_timer() -> None:
    async def scenario() -> None:
        pair = Pair()
        assert pair.client.open("events")
        assert pair.server.open("events")
        await pair.close()

    run(scenario())


def test_session_without_channels_holds_no_sctp_and_one_with_little() -> None:
    async def scenario() -> None:
        heard = Heard()
        await asyncio.sleep(0)
        gc.collect()
        tracemalloc.start()
        idle = [
            DataChannels(
                is_client=False, remote_port=5000, max_message_bytes=0, send=heard.contents.append, listener=heard
            )
            for _ in range(100)
        ]
        assert tracemalloc.get_traced_memory()[0] / 100 < 1_500
        for end in idle:
            assert end.open("events")
        assert tracemalloc.get_traced_memory()[0] / 100 < 20_000
        tracemalloc.stop()
        for end in idle:
            await end.close()

    run(scenario())
