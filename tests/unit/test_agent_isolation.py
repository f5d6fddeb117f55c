"""What one call's agent does to the frames of others: nothing that a listener could notice."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from fastrelay.agent import AgentHost, Call, LoadedAgent, Seat, load_agent
from fastrelay.agent import performance as performance_module
from fastrelay.media.pace import Pacer
from tests.unit.agent_stage import FRAME, PATIENCE_S, packet

CALLS = 20
SECONDS = 0.6
JITTER_S = 0.005
"""The bar: how late 99 of 100 frames of other calls may leave."""
ATTEMPTS = 5
"""What else runs on this machine comes and goes; what an agent does, it does every time."""


class Line:
    """A call whose client hears an echo, as the worker wires it up."""

    def __init__(self, host: AgentHost, pacer: Pacer, name: str) -> None:
        self.pacer = pacer
        self.endings: list[str | None] = []
        self.seat: Seat = host.seat(name, {}, self, dict)
        self.next_frame = self.seat.next_frame
        self.seat.start()

    def audio_waits(self) -> None:
        self.pacer.wake(self, time.monotonic())

    def agent_sends(self, channel: str, content: str | bytes) -> None: ...

    def agent_hangs_up(self, reason: str) -> None: ...

    def agent_ended(self, problem: str | None) -> None:
        self.endings.append(problem)


async def raise_at_once(call: Call) -> None:
    raise RuntimeError("the agent's own bug")


async def return_at_once(call: Call) -> None: ...


async def block(call: Call) -> None:
    time.sleep(SECONDS * 1.5)  # noqa: ASYNC251 -- what a careless agent does


async def burn(call: Call) -> None:
    until_s = time.monotonic() + SECONDS * 1.5
    while time.monotonic() < until_s:
        sum(range(1000))


async def flood(call: Call) -> None:
    while True:
        await call.play(FRAME)


async def flood_and_flush(call: Call) -> None:
    while not call.is_over:
        await call.play(FRAME)
        call.flush()


async def flood_messages(call: Call) -> None:
    while True:
        await call.send("flood", "x" * 1000)


async def never_listen(call: Call) -> None:
    await asyncio.Event().wait()


async def ignore_cancellation(call: Call) -> None:
    until_s = time.monotonic() + SECONDS * 1.5
    while time.monotonic() < until_s:
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            continue


@pytest.fixture(autouse=True)
def _switch_interval(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(performance_module, "LEAVE_S", 0.1)
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


class Machine:
    """How long this process' threads have been kept from running by others, which is not the agent's doing.

    The scheduler counts it for each thread: the time spent able to run, and waiting for a core (schedstat(5)).
    """

    def __init__(self) -> None:
        self._files: list[int] = []
        for path in Path("/proc/self/task").glob("*/schedstat"):
            with suppress(FileNotFoundError):  # a thread that has just ended
                self._files.append(os.open(path, os.O_RDONLY))
        self._waited_ns = dict.fromkeys(self._files, 0)

    def kept_from_running_s(self) -> float:
        for file in self._files:
            with suppress(ProcessLookupError):  # it has ended meanwhile
                self._waited_ns[file] = int(os.pread(file, 100, 0).split()[1])
        return sum(self._waited_ns.values()) / 1e9

    def close(self) -> None:
        for file in self._files:
            os.close(file)


async def talk(lines: list[Line], pacer: Pacer, machine: Machine) -> list[float]:
    """Have every client speak for SECONDS; return how late each frame left, after its time on the schedule."""
    begun_s = time.monotonic()
    late_s: list[float] = []
    spoken = 0
    while (now_s := time.monotonic()) < begun_s + SECONDS:
        while spoken / (50 * CALLS) < now_s - begun_s:  # spread evenly over the 20 ms
            lines[spoken % CALLS].seat.hear(packet(spoken // CALLS), now_s)
            spoken += 1
        kept_s = machine.kept_from_running_s()
        next_s = pacer.next_due_s
        await asyncio.sleep(0.001 if next_s is None else min(max(next_s - time.monotonic(), 0), 0.001))
        due_s = pacer.next_due_s
        taken = pacer.take_due(time.monotonic())
        if due_s is not None and taken:
            late = time.monotonic() - due_s - (machine.kept_from_running_s() - kept_s)
            late_s += [late for stream, *_ in taken if stream in lines]
    return sorted(late_s)


async def scene(agent: LoadedAgent) -> tuple[list[float], float]:
    """Let others talk beside the agent; return how late their frames left, sorted, and how many of them did."""
    loop = asyncio.get_running_loop()
    pacer = Pacer()
    echoes, others = AgentHost(load_agent("echo"), loop), AgentHost(agent, loop)
    lines = [Line(echoes, pacer, f"echo {number}") for number in range(CALLS)]
    bad = Line(others, pacer, "bad")
    for number in range(200):
        bad.seat.hear(packet(number), 0.0)
    await asyncio.sleep(0)
    with closing(Machine()) as machine:
        late_s = await talk(lines, pacer, machine)
    for line in [*lines, bad]:
        line.seat.end("the test is over")
        pacer.forget(line)
    async with asyncio.timeout(PATIENCE_S):
        await echoes.close()
        await others.close()
        while others.running:  # noqa: ASYNC110 -- those left behind, of whom nobody is told
            await asyncio.sleep(0.01)
    return late_s, len(late_s) / (50 * CALLS * SECONDS)


@pytest.mark.parametrize(
    "agent",
    [
        pytest.param(agent, id=agent.__name__)
        for agent in (
            raise_at_once,
            return_at_once,
            block,
            burn,
            flood,
            flood_and_flush,
            flood_messages,
            never_listen,
            ignore_cancellation,
        )
    ],
)
def test_agent_harms_only_its_own_call(agent: Callable[[Call], Awaitable[None]]) -> None:
    worst_s = []
    for _ in range(ATTEMPTS):
        late_s, share = asyncio.run(scene(LoadedAgent.of(agent)))
        worst_s.append(late_s[int(len(late_s) * 0.99)])
        if worst_s[-1] <= JITTER_S and share > 0.9:  # the rest was still on its way
            return
    pytest.fail(f"99 % of the frames were late by up to {worst_s} s")
