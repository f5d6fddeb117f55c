"""aiortc's RTCPeerConnection calls through relay and transceiver: audio and messages both ways, and the end of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from tests.e2e.aiortc_client import HEARD_RMS, TONE_HZ, AiortcCaller, caller
from tests.e2e.stack import Stack

LISTEN_FRAMES = 100
"""Two seconds; the first of them is the codec finding its level."""


@pytest.fixture(scope="module")
def active_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("active"), dtls_role="active") as running:
        yield running


@pytest.fixture(params=["passive", "active"])
def either_stack(request: pytest.FixtureRequest, stack: Stack, active_stack: Stack) -> Iterator[Stack]:
    """A transceiver that waits for the client's DTLS handshake, and one that begins it."""
    chosen = stack if request.param == "passive" else active_stack
    before = chosen.log.length
    yield chosen
    assert chosen.complaints(before) == []


def setup_of(answer: str) -> str:
    return next(line for line in answer.splitlines() if line.startswith("a=setup:")).removeprefix("a=setup:")


def test_caller_hears_itself(either_stack: Stack) -> None:
    async def scenario() -> None:
        async with caller(either_stack.url) as client:
            await client.call()
            assert setup_of(client.answer) == ("active" if either_stack.dtls_role == "active" else "passive")
            await client.ear.until(LISTEN_FRAMES)
            half = LISTEN_FRAMES // 2
            assert client.ear.pitch_hz(half) == pytest.approx(TONE_HZ, abs=3)
            assert client.ear.loudness(half) == pytest.approx(HEARD_RMS, rel=0.1)
            await check_counts(client)

    asyncio.run(scenario())


ON_THEIR_WAY = 25
"""Packets between two looks at the two ends: half a second, for a machine that is busy with other things."""


async def check_counts(client: AiortcCaller) -> None:
    """Compare what the server has counted with what this end has: nothing is lost on this machine's loopback."""
    before = await client.statistics()
    sent, received = await packets(client)
    after = await client.statistics()
    assert after["state"] == "established"
    assert after["incoming"]["lost"] == 0
    assert before["incoming"]["packets"] <= sent <= after["incoming"]["packets"] + ON_THEIR_WAY
    assert before["outgoing"]["packets"] - ON_THEIR_WAY <= received <= after["outgoing"]["packets"]
    echoed = after["outgoing"]["packets"] + after["agent"]["frames_flushed"]  # what came in a burst is not kept waiting
    assert echoed >= before["incoming"]["packets"] - ON_THEIR_WAY


async def packets(client: AiortcCaller) -> tuple[int, int]:
    """Sent and received, as aiortc has counted them."""
    report = (await client.peer.getStats()).values()
    sent = next(each.packetsSent for each in report if each.type == "outbound-rtp")
    received = next(each.packetsReceived for each in report if each.type == "inbound-rtp")
    return sent, received


def test_answer_names_the_relay_and_nothing_else(stack: Stack) -> None:
    async def scenario() -> None:
        async with caller(stack.url) as client:
            await client.call()
            ip, port = stack.relay.clients[0]
            candidates = [line.split() for line in client.answer.splitlines() if line.startswith("a=candidate:")]
            assert {(words[4], int(words[5])) for words in candidates} == {(ip, port)}

    asyncio.run(scenario())


def test_messages_of_every_kind_come_back(either_stack: Stack) -> None:
    async def scenario() -> None:
        async with caller(either_stack.url) as client:
            events = client.open_channel("events")
            await client.call()
            for content in ("text", "grüße 👋", b"\x00binary", "x" * 262_144):
                assert await events.ask(content) == content

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"ordered": False}, id="unordered"),
        pytest.param({"maxRetransmits": 0}, id="not repeated"),
        pytest.param({"ordered": False, "maxPacketLifeTime": 500}, id="limited in time"),
    ],
)
def test_channel_need_not_be_reliable(stack: Stack, options: dict[str, object]) -> None:
    async def scenario() -> None:
        async with caller(stack.url) as client:
            events = client.open_channel("events", **options)
            await client.call()
            assert await events.ask("hello") == "hello"

    asyncio.run(scenario())


def test_telemetry_tells_of_the_call_every_second(stack: Stack) -> None:
    async def scenario() -> None:
        async with caller(stack.url) as client:
            telemetry = client.open_channel("telemetry")
            await client.call()
            first, second = json.loads(await telemetry.hear()), json.loads(await telemetry.hear())
            assert first["call_id"] == second["call_id"] == client.call_id
            assert second["state"] == "established"
            assert 0.5 <= second["uptime_s"] - first["uptime_s"] <= 2
            assert second["incoming"]["packets"] > first["incoming"]["packets"]

    asyncio.run(scenario())


def test_client_that_hangs_up_is_forgotten_at_once(stack: Stack) -> None:
    async def scenario() -> None:
        async with caller(stack.url) as client:
            await client.call()
            await client.ear.until(5)
            await client.close()
            await client.gone()

    asyncio.run(scenario())


@pytest.mark.parametrize("way", ["hangup", "DELETE"])
def test_server_that_hangs_up_ends_the_clients_call(stack: Stack, way: str) -> None:
    async def scenario() -> None:
        async with caller(stack.url) as client:
            events = client.open_channel("events")
            await client.call()
            await events.ask("are you there?")
            url = f"{client.url}/v1/realtime/calls/{client.call_id}"
            request = client.http.post(f"{url}/hangup") if way == "hangup" else client.http.delete(url)
            async with request as response:
                assert response.status == 200
            await client.over()
            await client.gone()

    asyncio.run(scenario())


def test_several_calls_share_one_address(stack: Stack) -> None:
    async def scenario() -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(5):
                tasks.create_task(one_call())

    async def one_call() -> None:
        async with caller(stack.url) as client:
            events = client.open_channel("events")
            await client.call()
            assert await events.ask(client.call_id) == client.call_id
            await client.ear.until(25)

    asyncio.run(scenario())
