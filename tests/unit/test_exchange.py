"""The exchange of a worker: each datagram finds its call by its token or its address, and audio leaves on time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from fastrelay.transceiver.session.session import Session
from fastrelay.transceiver.trunk_port import Path
from fastrelay.transceiver.worker.exchange import PATHS_PER_CALL_MAX
from fastrelay.wire.demux import PacketClass, classify
from fastrelay.wire.stun import build_check
from tests.emulator.browser import Browser, Remote
from tests.emulator.network import Datagram
from tests.unit.exchange_stage import (
    CERTIFICATE,
    CONTEXTS,
    FRAGMENT,
    HOME,
    OPUS_FRAME,
    OTHER_RELAY,
    RELAY,
    Stage,
    connected,
    echo_of,
    on_stage,
)


def test_call_goes_from_check_to_echo() -> None:
    async def play(stage: Stage, offer: str) -> None:
        call_id, browser = await connected(stage, offer)
        assert await echo_of(stage, browser) == OPUS_FRAME
        told = stage.desk.statistics(call_id)
        assert told["state"] == "established"
        assert told["incoming"]["packets"] == told["outgoing"]["packets"] == 1
        steps = list(told["setup"].values())
        assert steps == sorted(steps)

    on_stage(play)


def test_calls_do_not_hear_each_other() -> None:
    async def play(stage: Stage, offer: str) -> None:
        browsers = [(await connected(stage, offer, (f"203.0.113.{n}", 50_000)))[1] for n in range(5)]
        for n, browser in enumerate(browsers):
            browser.speak(OPUS_FRAME + bytes([n]))
        heard: list[list[bytes]] = [[] for _ in browsers]

        def all_heard() -> bool:
            for each, browser in zip(heard, browsers, strict=True):
                each += [packet.payload for packet in browser.take_heard()]
            return all(heard)

        await stage.until(all_heard, *browsers)
        assert heard == [[OPUS_FRAME + bytes([n])] for n in range(5)]

    on_stage(play)


def test_reloaded_page_takes_its_address_to_the_new_call() -> None:
    async def play(stage: Stage, offer: str) -> None:
        first_id, _ = await connected(stage, offer)
        second_id, second = await stage.open(offer)
        await stage.until(lambda: second.is_connected, second)
        assert await echo_of(stage, second) == OPUS_FRAME
        assert stage.desk.statistics(first_id)["incoming"]["packets"] == 0
        await stage.desk.end_call(first_id)
        await asyncio.sleep(0.01)
        assert stage.port.closed == [], "the address is the new call's, and its flow must stay"
        assert await echo_of(stage, second) == OPUS_FRAME
        assert stage.desk.statistics(second_id)["state"] == "established"

    on_stage(play)


def test_client_that_another_relay_carries_is_answered_through_it() -> None:
    async def play(stage: Stage, offer: str) -> None:
        _, browser = await connected(stage, offer)
        assert await echo_of(stage, browser) == OPUS_FRAME
        stage.carried.clear()
        assert await echo_of(stage, browser, relay=OTHER_RELAY) == OPUS_FRAME
        assert {path.relay for path, _ in stage.carried} == {OTHER_RELAY}

    on_stage(play)


def test_client_that_moves_is_followed_by_its_check() -> None:
    async def play(stage: Stage, offer: str) -> None:
        call_id, browser = await connected(stage, offer)
        browser.move(("198.51.100.1", 1234))
        browser.speak(OPUS_FRAME)
        await stage.turn(browser)
        assert stage.exchange.counts.unknown_client == 1, "no audio of an address that has shown no check"
        browser.restart_ice(browser.remote, browser.ufrag, asyncio.get_running_loop().time())
        await stage.until(lambda: browser.is_connected, browser)
        assert await echo_of(stage, browser) == OPUS_FRAME
        assert stage.desk.statistics(call_id)["state"] == "established"

    on_stage(play)


def test_tokens_that_ice_restarts_replace_are_retired() -> None:
    async def play(stage: Stage, offer: str) -> None:
        call_id, browser = await connected(stage, offer)
        for n in range(3):
            restarted = await stage.desk.restart_ice(call_id, FRAGMENT.format(n))
            said = dict(
                line.removeprefix("a=").split(":", 1) for line in restarted.fragment.split("\r\n") if ":" in line
            )
            remote = Remote(said["ice-ufrag"], said["ice-pwd"], browser.remote.fingerprint)
            browser.restart_ice(remote, f"new{n}", asyncio.get_running_loop().time())
            await stage.until(lambda: browser.is_connected, browser)
        assert stage.exchange.tokens_known == 1
        assert await echo_of(stage, browser) == OPUS_FRAME

    on_stage(play)


def test_restarts_that_are_never_used_leave_no_tokens() -> None:
    async def play(stage: Stage, offer: str) -> None:
        call_id, browser = await connected(stage, offer)
        for n in range(5):
            await stage.desk.restart_ice(call_id, FRAGMENT.format(n))
        assert stage.exchange.tokens_known == 2
        assert await echo_of(stage, browser) == OPUS_FRAME

    on_stage(play)


def test_address_that_a_call_is_answered_at_outlasts_those_it_is_heard_from_later() -> None:
    async def play(stage: Stage, offer: str) -> None:
        _, browser = await connected(stage, offer)
        for n in range(2 * PATHS_PER_CALL_MAX):
            check = build_check(f"{browser.remote.ufrag}:{browser.ufrag}", browser.remote.password)
            stage.deliver([Datagram(("203.0.113.8", 40_000 + n), check)])
            stage.exchange.turn()
        assert await echo_of(stage, browser) == OPUS_FRAME
        assert stage.exchange.counts.unknown_client == 0

    on_stage(play)


def test_call_is_known_by_a_bounded_number_of_paths() -> None:
    async def play(stage: Stage, offer: str) -> None:
        _, browser = await connected(stage, offer)
        for n in range(3 * PATHS_PER_CALL_MAX):
            assert await echo_of(stage, browser, relay=(f"10.0.1.{n}", 4000)) == OPUS_FRAME
        assert stage.exchange.paths_known <= PATHS_PER_CALL_MAX
        assert await echo_of(stage, browser) == OPUS_FRAME

    on_stage(play)


def test_ended_call_leaves_nothing_and_is_closed_at_the_relay() -> None:
    async def play(stage: Stage, offer: str) -> None:
        call_id, browser = await connected(stage, offer)
        await stage.desk.end_call(call_id)
        await asyncio.wait_for(stage.desk.wait_empty(), 5)
        assert stage.port.closed == [stage.path(HOME, RELAY)]
        assert stage.exchange.paths_known == 0
        browser.speak(OPUS_FRAME)
        await stage.turn(browser)
        assert stage.exchange.counts.unknown_client == 1

    on_stage(play)


def test_call_that_a_fault_ends_leaves_no_agent_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(session: Session) -> float:
        raise ArithmeticError("a fault of ours")

    async def play(stage: Stage, offer: str) -> None:
        call_id, _ = await connected(stage, offer)
        (task,) = (each for each in asyncio.all_tasks() if each.get_name() == call_id)
        monkeypatch.setattr(Session, "next_timer_s", fail)
        with pytest.raises(ArithmeticError):
            async with asyncio.timeout(5):
                await task
        await asyncio.wait_for(stage.desk.wait_empty(), 5)
        assert (stage.exchange.tokens_known, stage.exchange.paths_known) == (0, 0)

    on_stage(play)  # which waits for all agents to end


def test_send_that_fails_stops_no_audio(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(stage: Stage, offer: str) -> None:
        _, browser = await connected(stage, offer)
        sends = 0
        has_gone_on = asyncio.Event()

        def send(frames: Iterable[tuple[Path, bytes]]) -> None:
            nonlocal sends
            if any(classify(payload) is PacketClass.SRTP for _, payload in frames):
                sends += 1
                if sends == 1:
                    raise OSError("no room for another relay")
                has_gone_on.set()

        faults: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault["exception"]))
        monkeypatch.setattr(stage.port, "send", send)
        browser.speak(OPUS_FRAME)
        browser.speak(OPUS_FRAME)
        stage.deliver(browser.take_outgoing())
        stage.exchange.turn()  # nothing comes in from here on
        await asyncio.wait_for(has_gone_on.wait(), 5)
        assert [str(fault) for fault in faults] == ["no room for another relay"]

    on_stage(play)


def test_client_that_closes_ends_its_call() -> None:
    async def play(stage: Stage, offer: str) -> None:
        _, browser = await connected(stage, offer)
        browser.close(asyncio.get_running_loop().time())
        await stage.until(lambda: stage.desk.snapshot()["calls"] == 0, browser)
        assert stage.desk.snapshot()["ended"] == {"client_hung_up": 1}

    on_stage(play)


def test_what_belongs_to_nobody_is_counted() -> None:
    async def play(stage: Stage, offer: str) -> None:
        _, browser = await stage.open(offer)
        stranger = Browser(Remote("x" * 50, browser.remote.password, CERTIFICATE.fingerprint), CONTEXTS)
        await stage.turn(stranger)
        payloads = [b"\x00\x01short", b"\x16dtls", b"\x80\x6fno such call", b"\x80\xc8\x00\x00", b"\xff", b"\x40turn"]
        stage.deliver(Datagram(("203.0.113.9", 9), payload) for payload in payloads)
        stage.exchange.turn()
        counts = stage.exchange.counts
        assert (counts.unknown_session, counts.unknown_client, counts.malformed) == (1, 3, 3)
        assert stage.port.sent == []

    on_stage(play)


def test_forged_audio_of_a_known_client_is_counted_and_the_call_goes_on() -> None:
    async def play(stage: Stage, offer: str) -> None:
        _, browser = await connected(stage, offer)
        assert await echo_of(stage, browser) == OPUS_FRAME
        stage.deliver([Datagram(HOME, b"\x80\x6f" + bytes(60)), Datagram(HOME, b"\x80\x6f")])
        stage.exchange.turn()
        assert (stage.exchange.counts.audio, stage.exchange.counts.audio_refused) == (1, 2)
        assert await echo_of(stage, browser) == OPUS_FRAME

    on_stage(play)
