"""The call as an agent sees it, on a thread and on the media loop: the same promises hold on both."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from fastrelay.agent import (
    AddressChanged,
    Call,
    CallEnded,
    CallEvent,
    ChannelClosed,
    ChannelOpened,
    LoadedAgent,
    Message,
)
from fastrelay.agent.border import CHANNELS_MAX
from fastrelay.agent.ear import AUDIO_PACKETS, EVENTS, MESSAGE_BYTES, MESSAGES
from fastrelay.agent.mouth import QUEUED_SAMPLES_MAX
from tests.unit.agent_stage import FRAME, Stage, packet, payloads

Agent = Callable[[Call], Awaitable[None]]
QUEUED_FRAMES_MAX = QUEUED_SAMPLES_MAX // 960


@pytest.fixture(params=["inline", "thread"])
def load(request: pytest.FixtureRequest) -> Callable[[Agent], LoadedAgent]:
    """Make an agent of a function, for either place to run."""
    return lambda function: LoadedAgent("agent", function, is_inline=request.param == "inline")


def test_audio_comes_in_order_and_ends_with_the_call(load: Callable[[Agent], LoadedAgent]) -> None:
    heard: list[bytes] = []

    async def agent(call: Call) -> None:
        async for frame in call.audio():
            heard.append(frame)
            await call.send("heard", str(len(heard)))
        await asyncio.sleep(0)
        heard.append(b"over")

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            stage.hear(*(packet(number, FRAME + bytes([number])) for number in (1, 3, 2, 4)))
            await stage.told("4")

    asyncio.run(scene())
    assert heard == [FRAME + bytes([number]) for number in (1, 2, 3, 4)] + [b"over"]


def test_packets_bring_their_time(load: Callable[[Agent], LoadedAgent]) -> None:
    async def agent(call: Call) -> None:
        async for heard in call.packets():
            await call.send("heard", f"{heard.extended_sequence} {heard.timestamp}")

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            stage.hear(packet(1, timestamp=5), packet(2, timestamp=99))
            await stage.told("2 99")

    asyncio.run(scene())


def test_agent_that_listens_too_late_hears_the_last_two_seconds(load: Callable[[Agent], LoadedAgent]) -> None:
    async def agent(call: Call) -> None:
        await anext(call.messages("go"))
        first = await anext(call.audio())
        await call.send("first", str(first[-1]))
        await anext(call.messages("go"))

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            stage.hear(*(packet(number, FRAME + bytes([number])) for number in range(AUDIO_PACKETS + 5)))
            assert stage.seat.statistics()["dropped"] == 5
            stage.seat.tell(Message("go", "now"))
            await stage.told("5")

    asyncio.run(scene())


def test_bytes_that_are_no_opus_never_reach_the_agent(load: Callable[[Agent], LoadedAgent]) -> None:
    async def agent(call: Call) -> None:
        async for frame in call.audio():
            await call.send("heard", frame)

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            stage.hear(packet(1, b""), packet(2, b"\xff"), packet(3, bytes(2000)), packet(4))
            await stage.until(lambda: stage.sent)
            assert stage.sent == [("heard", FRAME)]
            assert stage.seat.statistics()["packets_malformed"] == 3

    asyncio.run(scene())


def test_frames_wait_for_the_pacer_which_is_woken_once(load: Callable[[Agent], LoadedAgent]) -> None:
    async def agent(call: Call) -> None:
        for number in range(3):
            await call.play(FRAME + bytes([number]))
        await call.send("at", f"queued {call.queued_s}")
        await call.played()
        await call.play(FRAME + b"later")
        await call.played()

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            await stage.told("queued 0.06")
            assert stage.wakes == 1
            assert stage.seat.statistics()["buffered_ms"] == 60
            assert stage.take() == [(FRAME + bytes([number]), 960) for number in range(3)]
            await stage.until(lambda: stage.wakes == 2)
            assert payloads(stage.take()) == [FRAME + b"later"]
            await stage.until(lambda: stage.endings)
            assert stage.endings == [None]

    asyncio.run(scene())


def test_what_is_no_frame_cannot_be_played(load: Callable[[Agent], LoadedAgent]) -> None:
    async def agent(call: Call) -> None:
        for wrong in (b"", b"\xff", bytes(1201)):
            with pytest.raises(ValueError, match=f"{len(wrong)} bytes that are no Opus frame"):
                await call.play(wrong)

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            await stage.until(lambda: stage.endings)
            assert stage.endings == [None]

    asyncio.run(scene())


def test_flooding_agent_waits_while_ten_seconds_are_queued(load: Callable[[Agent], LoadedAgent]) -> None:
    played = 0

    async def agent(call: Call) -> None:
        nonlocal played
        while True:
            await call.play(FRAME)
            played += 1
            if played in {QUEUED_FRAMES_MAX, QUEUED_FRAMES_MAX + 25}:
                await call.send("at", str(played))

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            await stage.told(str(QUEUED_FRAMES_MAX))
            assert len(stage.take(24)) == 24  # not yet half a second of room: nobody is woken for each frame
            await asyncio.sleep(0)
            assert played == QUEUED_FRAMES_MAX
            stage.take(1)
            await stage.told(str(QUEUED_FRAMES_MAX + 25))
            assert stage.seat.statistics()["buffered_ms"] == 10_000

    asyncio.run(scene())


def test_flush_empties_what_is_queued_and_what_waits_to_be(load: Callable[[Agent], LoadedAgent]) -> None:
    async def speak(call: Call) -> None:
        for _ in range(QUEUED_FRAMES_MAX):
            await call.play(FRAME + b"sentence")
        await call.send("at", "full")
        await call.play(FRAME + b"waits for room, and is not to be heard")
        await call.play(FRAME + b"next")
        await call.send("at", "next")
        await anext(call.audio())

    async def agent(call: Call) -> None:
        speaking = asyncio.create_task(speak(call))
        await anext(call.messages("interrupt"))
        call.flush()
        await speaking

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            await stage.told("full")
            stage.seat.tell(Message("interrupt", "stop"))
            await stage.told("next")
            assert payloads(stage.take()) == [FRAME + b"next"]
            assert stage.seat.statistics()["frames_flushed"] == QUEUED_FRAMES_MAX

    asyncio.run(scene())


def test_flush_may_be_called_on_any_thread(load: Callable[[Agent], LoadedAgent]) -> None:
    async def agent(call: Call) -> None:
        for _ in range(10):
            await call.play(FRAME)
        thread = threading.Thread(target=call.flush)
        thread.start()
        thread.join()
        assert call.queued_s == 0
        await call.play(FRAME + b"after")
        await call.played()

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            while not stage.endings:
                await stage.until(lambda: stage.wakes or stage.endings)
                assert set(payloads(stage.take())) <= {FRAME, FRAME + b"after"}
                await asyncio.sleep(0)
            assert stage.endings == [None]

    asyncio.run(scene())


def test_events_come_as_they_happen_and_end(load: Callable[[Agent], LoadedAgent]) -> None:
    happened: list[CallEvent] = [ChannelOpened("chat"), AddressChanged(), ChannelClosed("chat")]
    seen: list[object] = []

    async def agent(call: Call) -> None:
        async for event in call.events():
            seen.append(event)
            await call.send("seen", str(len(seen)))
        seen.append("over")

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            for event in happened:
                stage.seat.tell(event)
            await stage.told("3")

    asyncio.run(scene())
    assert seen == [*happened, "over"]


def test_messages_are_kept_by_channel_until_they_are_asked_for(load: Callable[[Agent], LoadedAgent]) -> None:
    async def agent(call: Call) -> None:
        await anext(call.messages("go"))
        async for content in call.messages("b"):
            await call.send("b", content)

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            for message in (Message("a", "x"), Message("b", "text"), Message("b", b"bytes"), Message("go", "")):
                stage.seat.tell(message)
            await stage.until(lambda: len(stage.sent) == 2)
            assert stage.sent == [("b", "text"), ("b", b"bytes")]

    asyncio.run(scene())


@pytest.mark.parametrize(
    "content", [pytest.param(b"text".hex, id="a method"), pytest.param("\ud800", id="half a character")]
)
def test_what_is_no_message_is_its_agents_own_fault(load: Callable[[Agent], LoadedAgent], content: Any) -> None:
    async def agent(call: Call) -> None:
        try:
            await call.send("b", content)
        except (TypeError, ValueError) as error:
            await call.send("b", type(error).__name__)

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            await stage.until(lambda: bool(stage.sent))
            assert stage.sent in ([("b", "TypeError")], [("b", "UnicodeEncodeError")])

    asyncio.run(scene())


def test_unread_messages_events_and_channels_are_bounded_and_counted(load: Callable[[Agent], LoadedAgent]) -> None:
    async def agent(call: Call) -> None:
        await anext(call.audio())

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            tell = stage.seat.tell

            def dropped() -> int:
                return int(stage.seat.statistics()["dropped"])

            for _ in range(MESSAGES + 3):
                tell(Message("many", "x"))
            assert dropped() == 3
            for _ in range(6):
                tell(Message("big", b"x" * (MESSAGE_BYTES // 4)))
            assert dropped() == 5
            for _ in range(EVENTS + 1):
                tell(AddressChanged())
            assert dropped() == 6
            for number in range(CHANNELS_MAX):
                tell(Message(f"channel {number}", "x"))
            assert dropped() == 6 + 2  # `many` and `big` are two of them

    asyncio.run(scene())


def test_agent_that_writes_without_end_waits(load: Callable[[Agent], LoadedAgent]) -> None:
    async def agent(call: Call) -> None:
        number = 0
        while True:
            await call.send("flood", str(number))
            number += 1

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        async with Stage(load(agent)) as stage:
            await stage.until(lambda: len(stage.sent) >= 200)
            assert loop.time() - begun_s >= 0.2  # 8 each 10 ms
            assert [content for _, content in stage.sent] == [str(number) for number in range(len(stage.sent))]

    asyncio.run(scene())


def test_facts_of_the_call(load: Callable[[Agent], LoadedAgent]) -> None:
    async def agent(call: Call) -> None:
        assert (call.id, repr(call), call.is_over) == ("rtc_7", "<Call rtc_7>", False)
        assert call.metadata["voice"] == "marin"
        with pytest.raises(TypeError):
            cast("dict[str, str]", call.metadata)["voice"] = "cedar"
        assert await call.statistics() == {"rtt_ms": 12, "thread": loop_thread}

    async def scene() -> None:
        statistics = lambda: {"rtt_ms": 12, "thread": threading.get_ident()}  # noqa: E731
        async with Stage(load(agent), call_id="rtc_7", metadata={"voice": "marin"}, statistics=statistics) as stage:
            await stage.until(lambda: stage.endings)
            assert stage.endings == [None]

    loop_thread = threading.get_ident()
    asyncio.run(scene())


def test_statistics_are_read_once_however_many_ask(load: Callable[[Agent], LoadedAgent]) -> None:
    reads = 0

    def read() -> dict[str, int]:
        nonlocal reads
        reads += 1
        return {"reads": reads}

    async def agent(call: Call) -> None:
        answers = await asyncio.gather(*(call.statistics() for _ in range(50)))
        answers += [await call.statistics() for _ in range(50)]
        assert {answer["reads"] for answer in answers} == {1}

    async def scene() -> None:
        async with Stage(load(agent), statistics=read) as stage:
            await stage.until(lambda: stage.endings)
            assert stage.endings == [None]

    asyncio.run(scene())


def test_hanging_up_tells_the_session_why(load: Callable[[Agent], LoadedAgent]) -> None:
    async def agent(call: Call) -> None:
        call.hang_up("the caller has said goodbye")
        call.hang_up("again")
        async for _ in call.audio():
            raise AssertionError("nobody speaks")

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            await stage.until(lambda: stage.hang_ups)
            assert stage.hang_ups == ["the caller has said goodbye"]

    asyncio.run(scene())


@pytest.mark.parametrize(
    "speak",
    [
        pytest.param(lambda call: call.play(FRAME), id="play"),
        pytest.param(lambda call: call.play_pcm(bytes(96_000)), id="play PCM"),
        pytest.param(lambda call: call.send("channel", "text"), id="send"),
    ],
)
def test_speaking_ends_with_the_call(
    load: Callable[[Agent], LoadedAgent], speak: Callable[[Call], Awaitable[None]]
) -> None:
    outcome: list[str] = []

    async def agent(call: Call) -> None:
        try:
            while True:
                await speak(call)
                await call.send("at", "work")
        except CallEnded as ended:
            outcome.append(str(ended))
        await call.played()  # returns: there is nothing to wait for
        call.hang_up()
        outcome.append(repr(call))

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            await stage.told("work")
        assert stage.hang_ups == []
        assert stage.endings == []

    asyncio.run(scene())
    assert outcome == ["the call is over: the test is over", "<Call rtc_test over>"]
