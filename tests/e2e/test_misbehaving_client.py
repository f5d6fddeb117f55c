"""A client that sends nonsense, inside its own DTLS or beside it, harms neither another's call nor the log."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Awaitable, Callable

import pytest
from google_crc32c import value as crc32c

from fastrelay.wire.sctp import HEARTBEAT
from tests.e2e.aiortc_client import AiortcCaller, caller
from tests.e2e.stack import Stack

FIRST_BYTES = [
    pytest.param((0, 1), id="STUN"),
    pytest.param((20, 21, 22, 23, 63), id="DTLS"),
    pytest.param((128, 144), id="RTP and RTCP"),
    pytest.param(tuple(range(256)), id="anything"),
]
DATAGRAMS = 300
STEADY_FRAMES = 25
"""Half a second that the other call is listened to afterwards."""


def sealed(packet: bytes) -> bytes:
    """The packet with its checksum."""
    return packet[:8] + struct.pack("<L", crc32c(packet)) + packet[12:]


async def beside_another(stack: Stack, misbehave: Callable[[AiortcCaller], Awaitable[None]]) -> None:
    """Let a client misbehave while another talks; the other hears itself as before, and is answered."""
    async with caller(stack.url) as other, caller(stack.url) as client:
        events, ours = other.open_channel("events"), client.open_channel("events")
        await other.call()
        await client.call()
        await events.ask("before")
        await ours.ask("before")
        await misbehave(client)
        await other.ear.until(len(other.ear.frames) + STEADY_FRAMES)
        assert await events.ask("after") == "after"
        assert (await other.statistics())["incoming"]["lost"] == 0


@pytest.mark.parametrize("first_bytes", FIRST_BYTES)
def test_datagrams_of_noise_are_dropped(stack: Stack, first_bytes: tuple[int, ...]) -> None:
    dice = random.Random(len(first_bytes))

    async def misbehave(client: AiortcCaller) -> None:
        ice = client.sctp.transport.transport
        for _ in range(DATAGRAMS):
            noise = bytes([dice.choice(first_bytes)]) + dice.randbytes(dice.randrange(1400))
            await ice._send(noise)
        assert (await client.statistics())["state"] == "established"

    asyncio.run(beside_another(stack, misbehave))


def test_sctp_of_noise_is_dropped(stack: Stack) -> None:
    dice = random.Random(9)

    async def misbehave(client: AiortcCaller) -> None:
        for _ in range(DATAGRAMS):
            await client.sctp.transport._send_data(dice.randbytes(dice.randrange(1, 1150)))
        assert (await client.statistics())["state"] == "established"

    asyncio.run(beside_another(stack, misbehave))


def test_sctp_under_a_right_tag_and_checksum_may_say_anything(stack: Stack) -> None:
    dice = random.Random(10)

    async def misbehave(client: AiortcCaller) -> None:
        transport = client.sctp
        for _ in range(DATAGRAMS):
            kind = dice.choice([0, 1, 2, 3, 4, 6, 7, 9, 10, 130, 192])
            body = bytes(dice.choice((0, 1, 4, 255, dice.randrange(256))) for _ in range(4 * dice.randrange(12)))
            head = struct.pack("!HHLL", 5000, 5000, 0 if kind == 1 else transport._remote_verification_tag, 0)
            packet = head + struct.pack("!BBH", kind, dice.randrange(8), 4 + len(body)) + body
            await transport.transport._send_data(sealed(packet))
        assert (await client.statistics())["state"] == "established"

    asyncio.run(beside_another(stack, misbehave))


def test_parameter_that_would_keep_aiortc_busy_for_ever_does_not_keep_us(stack: Stack) -> None:
    async def misbehave(client: AiortcCaller) -> None:
        transport = client.sctp
        head = struct.pack("!HHLL", 5000, 5000, transport._remote_verification_tag, 0)
        packet = sealed(head + struct.pack("!BBHHH", HEARTBEAT, 0, 8, 1, 0))
        await transport.transport._send_data(packet)

    asyncio.run(beside_another(stack, misbehave))
