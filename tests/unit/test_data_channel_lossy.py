"""Data channels over a path that loses, repeats and reorders: nothing is lost, nothing comes twice, nothing is left."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.channel_ends import Pair, Trouble, run

MESSAGES = [("x" * (number * 97 % 3000)) + str(number) for number in range(60)]

TROUBLES = [
    pytest.param(Trouble(lost=0.1), id="a tenth lost"),
    pytest.param(Trouble(lost=0.3, seed=7), id="a third lost"),
    pytest.param(Trouble(repeated=0.3), id="repeated"),
    pytest.param(Trouble(delayed=0.3), id="overtaken"),
    pytest.param(Trouble(lost=0.1, repeated=0.2, delayed=0.3, seed=3), id="all together"),
]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_reliable_channel_in_order_delivers_everything_once_in_order(trouble: Trouble) -> None:
    async def scenario() -> None:
        pair = Pair(trouble)
        await pair.open()
        for message in MESSAGES:
            assert pair.client.send("events", message)
            assert pair.server.send("events", message)
        await pair.until(lambda: len(pair.server_heard.messages) >= len(MESSAGES), within_s=600)
        await pair.until(lambda: len(pair.client_heard.messages) >= len(MESSAGES), within_s=600)
        await pair.settle()
        assert pair.server_heard.contents == pair.client_heard.contents == MESSAGES
        assert pair.client.statistics.faults == pair.server.statistics.faults == 0
        await pair.close()

    run(scenario())


@pytest.mark.parametrize("trouble", TROUBLES)
def test_reliable_channel_without_order_delivers_everything_once(trouble: Trouble) -> None:
    async def scenario() -> None:
        pair = Pair(trouble)
        await pair.open(is_ordered=False)
        for message in MESSAGES:
            assert pair.client.send("events", message)
        await pair.until(lambda: len(pair.server_heard.messages) >= len(MESSAGES), within_s=600)
        await pair.settle()
        assert sorted(map(str, pair.server_heard.contents)) == sorted(MESSAGES)
        await pair.close()

    run(scenario())


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"max_retransmits": 0}, id="in order"),
        pytest.param({"max_retransmits": 0, "is_ordered": False}, id="unordered"),
    ],
)
def test_channel_without_repetition_loses_some_and_carries_on(options: dict[str, Any]) -> None:
    async def scenario() -> None:
        pair = Pair(Trouble(lost=0.2, seed=5))
        await pair.open(**options)
        for message in MESSAGES:
            assert pair.client.send("events", message)
            await pair.settle()
        heard = pair.server_heard.contents
        assert len(MESSAGES) // 4 < len(heard) < len(MESSAGES)
        assert [message for message in MESSAGES if message in heard] == heard, "in order, and none twice"
        assert pair.client.statistics.faults == pair.server.statistics.faults == 0
        await pair.close()

    run(scenario())


SETUP_PACKETS = 7
"""INIT, INIT ACK, COOKIE ECHO, COOKIE ACK, DATA (open), SACK, DATA (ack): what a set-up takes when nothing is lost."""


@pytest.mark.parametrize("opener", ["client", "server"])
@pytest.mark.parametrize("number", range(SETUP_PACKETS + 3))
@pytest.mark.parametrize("what", ["lost", "repeated"])
def test_one_packet_of_the_set_up_may_be_lost_or_repeated(what: str, number: int, opener: str) -> None:
    async def scenario() -> None:
        pair = Pair(Trouble(lose_number=number) if what == "lost" else Trouble(repeat_number=number))
        opening = pair.client if opener == "client" else pair.server
        assert opening.open("events")
        await pair.until(lambda: pair.client_heard.opened == pair.server_heard.opened == ["events"], within_s=2)
        assert pair.client.send("events", "up")
        assert pair.server.send("events", "down")
        await pair.until(lambda: pair.server_heard.contents == ["up"] and pair.client_heard.contents == ["down"])
        await pair.close()

    run(scenario())


@pytest.mark.parametrize("number", range(12))
def test_one_packet_of_a_set_up_from_both_ends_may_be_lost(number: int) -> None:
    async def scenario() -> None:
        pair = Pair(Trouble(lose_number=number))
        assert pair.client.open("up")
        assert pair.server.open("down")
        await pair.until(
            lambda: {*pair.client_heard.opened} == {*pair.server_heard.opened} == {"up", "down"}, within_s=2
        )
        await pair.close()

    run(scenario())
