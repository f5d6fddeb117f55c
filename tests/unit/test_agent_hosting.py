"""How agents end: by themselves, with their call, by force, or not at all."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable

import pytest

from fastrelay.agent import AgentHost, Call, LoadedAgent
from fastrelay.agent import hosting as hosting_module
from fastrelay.agent import performance as performance_module
from fastrelay.agent.hosting import SWITCH_INTERVAL_S
from tests.unit.agent_stage import FRAME, PATIENCE_S, Stage, packet

Agent = Callable[[Call], Awaitable[None]]


@pytest.fixture(params=["inline", "thread"])
def load(request: pytest.FixtureRequest) -> Callable[[Agent], LoadedAgent]:
    """Make an agent of a function, for either place to run."""
    return lambda function: LoadedAgent("agent", function, is_inline=request.param == "inline")


@pytest.fixture(autouse=True)
def _switch_interval() -> object:
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(performance_module, "LEAVE_S", 0.05)
    monkeypatch.setattr(performance_module, "GRACE_S", 0.05)


async def listen(call: Call) -> None:
    async for _ in call.audio():
        pass


def test_agent_that_returns_is_told_of_after_its_last_frame(load: Callable[[Agent], LoadedAgent]) -> None:
    async def agent(call: Call) -> None:
        await call.play(FRAME)

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            await stage.until(lambda: stage.wakes)
            assert stage.endings == []
            assert len(stage.take()) == 1
            await stage.until(lambda: stage.endings)
            assert stage.endings == [None]
        assert stage.host.counts.ended == 1

    asyncio.run(scene())


def fail(_: Call) -> None:
    raise LookupError("no such order")


def leave(_: Call) -> None:
    sys.exit(3)


def interrupt(_: Call) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("fall", "problem"),
    [
        pytest.param(fail, "LookupError: no such order", id="raises"),
        pytest.param(leave, "RuntimeError: the agent called sys.exit(3)", id="exits"),
        pytest.param(interrupt, "it cancelled itself", id="cancels itself"),
    ],
)
def test_agent_that_fails_is_told_of_and_logged_with_its_place(
    load: Callable[[Agent], LoadedAgent], fall: Callable[[Call], None], problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def agent(call: Call) -> None:
        await asyncio.sleep(0)
        fall(call)

    async def scene() -> None:
        async with Stage(load(agent), call_id="rtc_9") as stage:
            await stage.until(lambda: stage.endings)
            assert problem in str(stage.endings[0])
        assert stage.host.counts.failed == 1

    with caplog.at_level(logging.ERROR, "fastrelay.agent"):
        asyncio.run(scene())
    (record,) = [record for record in caplog.records if record.name.startswith("fastrelay")]
    facts = record.__dict__["facts"]
    assert record.message == "agent failed"
    assert facts["call"] == "rtc_9"
    assert problem in facts["problem"]
    if fall is fail:
        assert [place.rpartition(" ")[2] for place in facts["places"]][-2:] == ["agent", "fail"]
        assert "test_agent_hosting.py:" in facts["places"][-1]


def test_failure_in_a_group_of_tasks_is_told_by_its_own_name(load: Callable[[Agent], LoadedAgent]) -> None:
    async def order(call: Call) -> None:
        fail(call)

    async def agent(call: Call) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(order(call))

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            await stage.until(lambda: stage.endings)
            assert stage.endings == ["LookupError: no such order"]

    asyncio.run(scene())


def test_end_of_the_call_is_no_failure(load: Callable[[Agent], LoadedAgent]) -> None:
    async def agent(call: Call) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listen(call))
            while True:
                await call.play(FRAME)  # raises CallEnded, within the group

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            await stage.until(lambda: stage.wakes)
        assert stage.endings == []
        assert (stage.host.counts.ended, stage.host.counts.failed) == (1, 0)

    asyncio.run(scene())


def test_waiting_for_one_more_thing_is_no_failure(load: Callable[[Agent], LoadedAgent]) -> None:
    async def agent(call: Call) -> None:
        await anext(call.messages("orders"))

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            pass
        assert (stage.host.counts.ended, stage.host.counts.failed) == (1, 0)

    asyncio.run(scene())


def test_failure_while_leaving_is_still_one(load: Callable[[Agent], LoadedAgent]) -> None:
    async def agent(call: Call) -> None:
        await listen(call)
        fail(call)

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            pass
        assert stage.endings == []
        assert stage.host.counts.failed == 1

    asyncio.run(scene())


def test_agent_has_time_to_save_what_it_has(load: Callable[[Agent], LoadedAgent]) -> None:
    saved: list[str] = []

    async def agent(call: Call) -> None:
        await listen(call)
        await asyncio.sleep(0.05)
        saved.append(call.id)

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            pass
        assert stage.host.counts.cancelled == 0

    asyncio.run(scene())
    assert saved == ["rtc_test"]


@pytest.mark.usefixtures("_in_a_hurry")
def test_agent_that_waits_for_something_else_is_cancelled(load: Callable[[Agent], LoadedAgent]) -> None:
    seen: list[str] = []

    async def agent(call: Call) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            await asyncio.sleep(0)
        counts = stage.host.counts
        assert (counts.cancelled, counts.ended, counts.failed, counts.abandoned) == (1, 1, 0, 0)

    asyncio.run(scene())
    assert seen == ["cancelled"]


@pytest.mark.usefixtures("_in_a_hurry")
def test_agent_that_will_not_be_cancelled_is_left_behind_and_told_of_once(
    load: Callable[[Agent], LoadedAgent], caplog: pytest.LogCaptureFixture
) -> None:
    may_leave = threading.Event()

    async def agent(call: Call) -> None:
        while not may_leave.is_set():
            try:
                await asyncio.sleep(0.002)
            except asyncio.CancelledError:
                continue
            except SystemExit:
                continue

    async def scene() -> None:
        async with Stage(load(agent)) as stage:
            pass
        assert stage.host.counts.abandoned == 1
        assert stage.host.running == 1
        may_leave.set()
        await stage.emptied()
        assert stage.host.counts.abandoned == 0

    with caplog.at_level(logging.WARNING, "fastrelay.agent"):
        asyncio.run(scene())
    assert [record.message for record in caplog.records].count("agent does not end, it is left behind") == 1


@pytest.mark.usefixtures("_in_a_hurry")
def test_thread_that_blocks_is_left_behind_and_ends_when_it_runs_again() -> None:
    release = threading.Event()

    async def agent(call: Call) -> None:
        release.wait(PATIENCE_S)
        raise AssertionError("nothing of the agent runs after it was left behind")

    async def scene() -> None:
        async with Stage(LoadedAgent.of(agent)) as stage:
            pass
        assert stage.host.counts.abandoned == 1
        release.set()
        await stage.emptied()
        counts = stage.host.counts
        assert (counts.abandoned, counts.ended, counts.failed) == (0, 1, 0)

    asyncio.run(scene())


@pytest.mark.usefixtures("_in_a_hurry")
def test_thread_that_computes_without_end_is_ended() -> None:
    async def agent(call: Call) -> None:
        while True:
            pass

    async def scene() -> None:
        async with Stage(LoadedAgent.of(agent)) as stage:
            pass
        await stage.emptied()
        assert stage.host.counts.abandoned == 0

    asyncio.run(scene())


@pytest.mark.usefixtures("_in_a_hurry")
def test_tasks_that_an_agent_leaves_end_with_it(load: Callable[[Agent], LoadedAgent]) -> None:
    ended = threading.Event()

    async def linger() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def agent(call: Call) -> None:
        task = asyncio.create_task(linger())
        try:
            await listen(call)
        finally:
            task.cancel()

    async def scene() -> None:
        async with Stage(load(agent)):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        assert ended.wait(PATIENCE_S)

    asyncio.run(scene())


def test_too_many_left_behind_and_no_more_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosting_module, "ABANDONED_MAX", 0)

    async def scene() -> None:
        async with Stage(LoadedAgent.of(listen)) as stage:
            await stage.until(lambda: stage.endings)
            assert stage.endings == ["too many agents that do not end run in this process"]
        assert stage.host.counts.refused == 1
        assert stage.host.running == 0

    asyncio.run(scene())


def test_system_that_allows_no_more_threads_costs_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def scene() -> None:
        async with Stage(LoadedAgent.of(listen)) as stage:
            await stage.until(lambda: stage.endings)
            assert stage.endings == ["can't start new thread"]
        assert (stage.host.counts.failed, stage.host.running) == (1, 0)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    asyncio.run(scene())


def test_process_without_descriptors_for_a_loop_costs_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> asyncio.AbstractEventLoop:
        raise OSError(errno.EMFILE, "Too many open files")

    async def scene() -> None:
        monkeypatch.setattr(asyncio.events, "new_event_loop", refuse)
        async with Stage(LoadedAgent.of(listen)) as stage:
            await stage.until(lambda: stage.endings)
            assert stage.endings == ["OSError: [Errno 24] Too many open files"]
        assert (stage.host.counts.failed, stage.host.running) == (1, 0)

    asyncio.run(scene())


def test_agent_does_not_begin_before_its_call_or_after_it(load: Callable[[Agent], LoadedAgent]) -> None:
    begun: list[str] = []

    async def agent(call: Call) -> None:
        begun.append(call.id)
        await listen(call)

    async def scene() -> None:
        host = AgentHost(load(agent), asyncio.get_running_loop())
        early = Stage(host.agent, call_id="early", host=host)
        early.hear(packet(1))
        early.seat.end("it never came to be")
        early.seat.end("again")
        early.seat.start()
        assert early.seat.next_frame(0.0) is None
        async with Stage(host.agent, call_id="begun", host=host) as stage:
            stage.seat.start()
            await asyncio.sleep(0.01)
        assert host.counts.started == 1

    asyncio.run(scene())
    assert begun == ["begun"]


def test_many_agents_end_with_their_calls(load: Callable[[Agent], LoadedAgent]) -> None:
    async def scene() -> None:
        host = AgentHost(load(listen), asyncio.get_running_loop())
        stages = [Stage(host.agent, call_id=f"rtc_{number}", host=host) for number in range(50)]
        for stage in stages:
            stage.seat.start()
        assert host.running == 50
        for stage in stages:
            stage.seat.end("all over")
        await asyncio.wait_for(host.close(), PATIENCE_S)
        assert (host.running, host.counts.ended) == (0, 50)

    asyncio.run(scene())


def test_nothing_of_a_call_stays_in_memory(load: Callable[[Agent], LoadedAgent]) -> None:
    async def scene() -> list[weakref.ref[object]]:
        async with Stage(load(listen)) as stage:
            stage.hear(packet(1))
        return [weakref.ref(stage.seat)]

    left = asyncio.run(scene())
    for thread in threading.enumerate():
        if thread.name.startswith("agent "):  # on its last lines
            thread.join(PATIENCE_S)
    gc.collect()
    assert [reference() for reference in left] == [None]


def test_threads_give_the_interpreter_back_soon_where_agents_have_some() -> None:
    async def scene(agent: LoadedAgent) -> float:
        AgentHost(agent, asyncio.get_running_loop())
        return sys.getswitchinterval()

    sys.setswitchinterval(0.005)
    assert asyncio.run(scene(LoadedAgent("inline", listen, is_inline=True))) == 0.005
    assert asyncio.run(scene(LoadedAgent.of(listen))) == pytest.approx(SWITCH_INTERVAL_S)


def test_starting_a_seat_returns_at_once() -> None:
    async def agent(call: Call) -> None:
        time.sleep(0.2)  # noqa: ASYNC251 -- what a careless agent does

    async def scene() -> None:
        async with Stage(LoadedAgent.of(agent)):
            begun_s = time.monotonic()
            await asyncio.sleep(0)
            assert time.monotonic() - begun_s < 0.1

    asyncio.run(scene())
