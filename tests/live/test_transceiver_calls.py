"""Operations on a transceiver while somebody talks on it, over a relay, with audio both ways."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest

from fastrelay.routing import KeyRing
from fastrelay.transceiver.worker.desk import slot_of
from fastrelay.wire.address import format_endpoint
from tests.e2e.aiortc_client import AiortcCaller, caller
from tests.live.ends import eventually
from tests.live.process import RelayProcess, is_running
from tests.live.transceiver import TransceiverProcess, options

FRAMES = 50
"""A second of speech."""


@contextmanager
def tiers(
    ring_file: Path, local: list[str], tmp_path: Path, *more: str
) -> Iterator[tuple[RelayProcess, TransceiverProcess]]:
    """A relay and a transceiver of two workers behind it."""
    with RelayProcess(*local) as relay:
        where = format_endpoint(*relay.clients[0])
        arguments = options(ring_file, tmp_path / "run", workers=2, relay=where)
        with TransceiverProcess(*arguments, *more) as transceiver:
            yield relay, transceiver


async def talk(made: AiortcCaller, frames: int = FRAMES) -> None:
    """Until so many more frames have come back, and they are loud."""
    await made.ear.until(len(made.ear.frames) + frames)
    assert made.ear.loudness(last=frames // 2) > 500


def test_call_goes_on_while_its_worker_is_replaced(ring_file: Path, local: list[str], tmp_path: Path) -> None:
    async def run(transceiver: TransceiverProcess) -> None:
        before = transceiver.workers
        async with caller(transceiver.url) as made:
            await made.call()
            await talk(made)
            transceiver.process.send_signal(signal.SIGUSR2)
            replaced = asyncio.create_task(
                asyncio.to_thread(
                    transceiver.until, lambda told: told["transceiver"]["upgrades"] == 1, "all are replaced"
                )
            )
            while not replaced.done():
                await talk(made, frames=5)
            await replaced
            await talk(made)
            found = await made.statistics()  # asked of a new worker, answered by the old
            assert (found["state"], found["incoming"]["lost"]) == ("established", 0)
            assert len(set(transceiver.workers) - set(before)) == 2
        await asyncio.to_thread(
            eventually, lambda: not set(before) & set(transceiver.workers), "the old ones have ended"
        )

    with tiers(ring_file, local, tmp_path) as (_, transceiver):
        asyncio.run(run(transceiver))


def test_call_is_finished_before_a_drain_ends(ring_file: Path, local: list[str], tmp_path: Path) -> None:
    async def run(transceiver: TransceiverProcess) -> None:
        async with caller(transceiver.url) as made:
            await made.call()
            await talk(made)
            transceiver.process.send_signal(signal.SIGTERM)
            draining = asyncio.to_thread(
                transceiver.until, lambda told: told["transceiver"]["state"] == "draining", "it drains"
            )
            await asyncio.gather(draining, talk(made))
            assert (await asyncio.to_thread(transceiver.offer)).status == 503
            await talk(made)
        assert await asyncio.to_thread(transceiver.process.wait, 30) == 0

    with tiers(ring_file, local, tmp_path) as (_, transceiver):
        asyncio.run(run(transceiver))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["deadline of a drain", "end at once"])
def test_client_is_told_goodbye(ring_file: Path, local: list[str], tmp_path: Path, number: signal.Signals) -> None:
    async def run(transceiver: TransceiverProcess) -> None:
        async with caller(transceiver.url) as made:
            await made.call()
            await talk(made)
            transceiver.process.send_signal(number)
            await made.over()  # by DTLS: consent would take half a minute

    with tiers(ring_file, local, tmp_path, "--drain-timeout", "1") as (_, transceiver):
        asyncio.run(run(transceiver))
        assert transceiver.process.wait(30) == 0


def test_reloaded_keys_count_on_the_trunk_and_the_call_goes_on(
    ring_file: Path, local: list[str], tmp_path: Path
) -> None:
    async def run(relay: RelayProcess, transceiver: TransceiverProcess) -> None:
        async with caller(transceiver.url) as made:
            await made.call()
            await talk(made)
            KeyRing.load(ring_file).rotate(now_s=1, delay_s=0).save(ring_file)
            relay.process.send_signal(signal.SIGHUP)  # relays first: they open what is minted
            transceiver.process.send_signal(signal.SIGHUP)
            reloaded = asyncio.to_thread(
                transceiver.until, lambda told: told["transceiver"]["reloads"] == 1, "reloaded"
            )
            await asyncio.gather(reloaded, talk(made))
            async with caller(transceiver.url) as another:
                await another.call()
                await asyncio.gather(talk(made), talk(another))

    with tiers(ring_file, local, tmp_path) as (relay, transceiver):
        asyncio.run(run(relay, transceiver))


def test_death_of_a_worker_ends_its_own_calls_alone(ring_file: Path, local: list[str], tmp_path: Path) -> None:
    async def run(transceiver: TransceiverProcess) -> None:
        async with AsyncExitStack() as stack:
            calls: dict[int, AiortcCaller] = {}
            while len(calls) < 2:  # a connection goes to whichever worker is idle
                made = await stack.enter_async_context(caller(transceiver.url))
                await made.call()
                calls[slot_of(made.call_id) or 0] = made
            await asyncio.gather(*(talk(made) for made in calls.values()))
            victim = transceiver.status["workers"][0]["pid"]
            os.kill(victim, signal.SIGKILL)
            await talk(calls[1])
            assert not is_running(victim)
            await calls[0].gone()
            assert await calls[1].is_known()

    with tiers(ring_file, local, tmp_path) as (_, transceiver):
        asyncio.run(run(transceiver))
