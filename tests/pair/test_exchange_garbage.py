"""A worker's exchange and bytes that are not what they should be: no call is harmed, least of all another's."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests import golden
from tests.emulator.browser import Browser
from tests.emulator.network import Datagram
from tests.unit.exchange_stage import HOME, OPUS_FRAME, OTHER_RELAY, RELAY, Stage, connected, echo_of, on_stage

NEIGHBOUR = ("203.0.113.8", 50_000)
STRANGER = ("198.51.100.66", 6_666)
ENDED_CALL = ("203.0.113.9", 50_000)


def garbage(seed: int, sent: list[bytes]) -> list[bytes]:
    """Random bytes of every protocol, damaged copies of what a browser has sent, and other calls' datagrams."""
    chance = random.Random(seed)
    thrown = [bytes([chance.randrange(256)]) + chance.randbytes(chance.randrange(200)) for _ in range(300)]
    for payload in chance.choices(sent, k=200):
        at = chance.randrange(len(payload))
        thrown.append(payload[:at] + bytes([payload[at] ^ chance.randrange(1, 256)]) + payload[at + 1 :])
        thrown.append(payload[: at + 1])
    thrown += [packet.payload for name in golden.NAMES for packet in golden.load(name)[:100]]
    return [payload for payload in thrown if payload not in sent]


async def pair_of_calls(stage: Stage, offer: str) -> tuple[str, Browser, list[bytes], str, Browser]:
    """A call, all that its browser sends, and its neighbour."""
    call_id, browser = await connected(stage, offer)
    sent: list[bytes] = []
    await echo_of(stage, browser)
    for _ in range(3):
        browser.speak(OPUS_FRAME)
        datagrams = browser.take_outgoing()
        sent += [datagram.payload for datagram in datagrams]
        stage.deliver(datagrams)
    await stage.turn(browser)
    neighbour_id, neighbour = await connected(stage, offer, NEIGHBOUR)
    return call_id, browser, sent, neighbour_id, neighbour


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("relay", [RELAY, OTHER_RELAY], ids=["its own relay", "another relay"])
@pytest.mark.parametrize("client", [HOME, STRANGER], ids=["the client", "a stranger"])
def test_garbage_harms_neither_its_call_nor_the_neighbour(
    client: tuple[str, int], relay: tuple[str, int], seed: int
) -> None:
    async def play(stage: Stage, offer: str) -> None:
        call_id, browser, sent, neighbour_id, neighbour = await pair_of_calls(stage, offer)
        stage.carried.clear()
        stage.deliver([Datagram(client, payload) for payload in garbage(seed, sent)], relay)
        await stage.turn()
        assert STRANGER not in {path.client[:2] for path, _ in stage.carried}
        for each in (browser, neighbour):
            assert await echo_of(stage, each) == OPUS_FRAME
        for each_id in (call_id, neighbour_id):
            assert stage.desk.statistics(each_id)["state"] == "established"
        assert stage.exchange.tokens_known == 2

    on_stage(play)


def test_audio_in_the_midst_of_garbage_is_heard() -> None:
    async def play(stage: Stage, offer: str) -> None:
        _, browser, sent, neighbour_id, neighbour = await pair_of_calls(stage, offer)
        thrown = [Datagram(HOME, payload) for payload in garbage(1, sent)]
        neighbour.speak(OPUS_FRAME)
        (spoken,) = neighbour.take_outgoing()
        stage.deliver([*thrown[::2], spoken, *thrown[1::2]])
        stage.exchange.turn()
        assert stage.desk.statistics(neighbour_id)["incoming"]["packets"] == 1
        assert await echo_of(stage, browser) == OPUS_FRAME

    on_stage(play)


def test_datagrams_of_a_call_that_has_ended_are_nobodys() -> None:
    async def play(stage: Stage, offer: str) -> None:
        call_id, ended = await connected(stage, offer, ENDED_CALL)
        ended.speak(OPUS_FRAME)
        late = ended.take_outgoing()
        await stage.desk.end_call(call_id)
        await asyncio.sleep(0.01)
        assert ENDED_CALL in {path.client[:2] for path in stage.port.closed}
        await stage.turn()
        before = len(stage.carried)
        ended.restart_ice(ended.remote, "chk", 0.0)
        ended.handle_timer(0.0)
        stage.deliver([*late, *ended.take_outgoing()])
        await stage.turn()
        assert len(stage.carried) == before
        counts = stage.exchange.counts
        assert (counts.unknown_client, counts.unknown_session) == (1, 1)
        assert (stage.exchange.paths_known, stage.exchange.tokens_known) == (0, 0)

    on_stage(play)


def test_goodbye_and_audio_in_one_batch_end_the_call_quietly() -> None:
    async def play(stage: Stage, offer: str) -> None:
        _, browser, _, neighbour_id, neighbour = await pair_of_calls(stage, offer)
        browser.speak(OPUS_FRAME)
        browser.close(0.0)
        browser.speak(OPUS_FRAME)
        neighbour.speak(OPUS_FRAME)
        stage.deliver([*browser.take_outgoing(), *neighbour.take_outgoing()])
        await stage.turn()
        await asyncio.sleep(0.01)
        assert stage.exchange.tokens_known == 1
        assert await echo_of(stage, neighbour) == OPUS_FRAME
        assert stage.desk.statistics(neighbour_id)["state"] == "established"

    on_stage(play)
