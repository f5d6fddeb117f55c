"""Every way to make a call, with media behind it: keys and secrets, WHIP, a WebSocket; and what the agent knows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.aiortc_client import AiortcCaller, Channel, NotCalled, caller
from tests.e2e.stack import Stack

KEY = "sk-of-the-test-and-long-enough-0123456789"


@pytest.fixture(scope="module")
def guarded_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A transceiver that asks for keys, with an agent that tells what it knows of its call."""
    folder: Path = tmp_path_factory.mktemp("guarded")
    key_file = folder / "api-keys.txt"
    key_file.write_text(f"tests {KEY}\n")
    key_file.chmod(0o600)
    with Stack(folder, agent="tests.e2e.agents:informant", more=("--api-keys", str(key_file))) as running:
        yield running


@pytest.fixture
def guarded(guarded_stack: Stack) -> Iterator[Stack]:
    before = guarded_stack.log.length
    yield guarded_stack
    assert guarded_stack.complaints(before) == []


async def told(events: Channel) -> dict[str, Any]:
    """What the agent knows of this call."""
    answer = await events.ask("what do you know?")
    known: dict[str, Any] = json.loads(answer)
    return known


@pytest.mark.parametrize("key", [None, "sk-another", "ek_forged"], ids=["no key", "another key", "forged secret"])
def test_nobody_calls_without_a_key(guarded: Stack, key: str | None) -> None:
    async def scenario() -> None:
        async with caller(guarded.url) as client:
            with pytest.raises(NotCalled) as caught:
                await client.call(key=key)
            assert caught.value.status == 401

    asyncio.run(scenario())


def test_key_may_call(guarded: Stack) -> None:
    async def scenario() -> None:
        async with caller(guarded.url) as client:
            events = client.open_channel("events")
            await client.call(key=KEY)
            assert await told(events) == {}

    asyncio.run(scenario())


def test_secret_of_a_key_may_call_and_tells_the_agent_what_its_maker_said(guarded: Stack) -> None:
    async def scenario() -> None:
        async with caller(guarded.url) as client:
            secret = await make_secret(client, {"customer": 4711})
            events = client.open_channel("events")
            await client.call(key=secret)
            assert await told(events) == {"customer": 4711}

    asyncio.run(scenario())


async def make_secret(client: AiortcCaller, session: dict[str, Any]) -> str:
    headers = {"Authorization": f"Bearer {KEY}"}
    url = f"{client.url}/v1/realtime/client_secrets"
    async with client.http.post(url, json={"session": session}, headers=headers) as response:
        assert response.status == 200, await response.text()
        value: str = (await response.json())["value"]
        return value


def test_agent_that_hangs_up_ends_the_clients_call(guarded: Stack) -> None:
    async def scenario() -> None:
        async with caller(guarded.url) as client:
            events = client.open_channel("events")
            await client.call(key=KEY)
            await told(events)
            events.channel.send("goodbye")
            await client.over()

    asyncio.run(scenario())


def test_whip_client_that_talks_both_ways_is_answered_in_kind(stack: Stack) -> None:
    async def scenario() -> None:
        async with caller(stack.url) as client:
            await client.call("/whip")
            assert "a=sendrecv" in client.answer
            await client.ear.until(10)
            async with client.http.delete(f"{client.url}{client.location}") as response:
                assert response.status == 200
            await client.over()
            await client.gone()

    asyncio.run(scenario())


def test_whip_client_that_only_listens_is_not_expected_to_speak(stack: Stack) -> None:
    async def scenario() -> None:
        async with caller(stack.url, is_speaking=False) as client:
            events = client.open_channel("events")
            await client.call("/whip")
            assert "a=sendonly" in client.answer
            assert await events.ask("hello") == "hello"

    asyncio.run(scenario())


def test_websocket_carries_offer_and_answer_and_its_end_hangs_up(stack: Stack) -> None:
    async def scenario() -> None:
        async with caller(stack.url) as client:
            async with client.http.ws_connect(f"{client.url}/v1/realtime/ws") as socket:
                await socket.send_json({"type": "offer", "sdp": await client.offer()})
                answer = await socket.receive_json()
                assert answer["type"] == "answer", answer
                client.location = answer["call_id"]
                await client.accept(answer["sdp"])
                await client.ear.until(10)
                assert await client.is_known()
            await client.over()
            await client.gone()

    asyncio.run(scenario())
