"""One stretch of calls, in the middle of which something happens.

Lives here: letting calls talk and check while it happens, what makes the stretch void, and when a round is made again.
Must not live here: what happens (cases), figures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from bench.load.callers.crowd import Crowd
from bench.load.callers.result import Result
from bench.load.callers.shape import FRAME_US, Shape, Talk, Target
from bench.load.failure import BenchFailure
from bench.restart.heard import Hearing, read_hearing

CHECK_EVERY_MS: Final = 2500
"""A browser checks a pair that works so often (Chromium: STABLE_WRITABLE_CONNECTION_PING_INTERVAL)."""
HAPPENS_AFTER_S: Final = 0.2
LATE_MAX_US: Final = FRAME_US / 4
"""A generator later than this at p99 has made gaps of its own."""
LATE_MAX_TOGETHER_US: Final = FRAME_US
"""Where several share a processor and look for gaps of seconds."""
ROUND_TRIES: Final = 3
"""A round has up to ten stretches, and one pause of the machine in any of them spoils it."""

Happening = Callable[[], None]


def nothing() -> None:
    """Happens in a stretch that is a floor."""


@dataclass(frozen=True)
class Trial:
    """What was heard, and why it might not count."""

    hearing: Hearing
    refused: int
    """Lost packets that a relay refused and counted."""
    misdelivered: int
    """Lost packets that came to another call's client."""
    problem: str
    is_held_up: bool = False
    """The machine did not let the generator do its work: that is the problem, and another try may have none."""
    rounds_before: int = 0
    """Rounds that were held up and made again before this one."""

    @property
    def gone(self) -> int:
        """Lost packets that no relay counted: sent while there was none, or gone with its process or host."""
        return self.hearing.lost - self.refused - self.misdelivered


@dataclass(frozen=True)
class Round:
    """Each case once, and beside it the stretch in which nothing happened."""

    trials: Mapping[str, Trial]
    floors: Mapping[str, Trial]

    @property
    def is_held_up(self) -> bool:
        """In any of its stretches."""
        return any(trial.is_held_up for trial in (*self.trials.values(), *self.floors.values()))

    def after(self, rounds: int) -> Round:
        """Says of each trial that so many rounds were made before it."""
        trials = {key: replace(trial, rounds_before=rounds) for key, trial in self.trials.items()}
        return replace(self, trials=trials)


class Callers:
    """Calls that stand, whose silence is told. A context: they are hung up with it."""

    def __init__(self, shape: Shape, target: Target) -> None:
        if shape.heard is None:
            raise BenchFailure("nobody would hear a silence")
        self._heard: Path = shape.heard
        self._heard.parent.mkdir(parents=True, exist_ok=True)
        self._heard.unlink(missing_ok=True)
        self.name = target.name
        self._crowd = Crowd(shape, target)

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self.close)
            self._crowd.open_all()
            self._crowd.warm()
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hangs up."""
        self._crowd.stop()
        self._heard.unlink(missing_ok=True)

    def renew(self) -> None:
        """Other clients, whom no relay has seen: each call is opened from a new address."""
        self._crowd.renew()
        self._crowd.open_all()
        self._crowd.warm()

    def talk(self, duration_ms: int) -> tuple[Hearing, Result]:
        """Media both ways and checks, open loop; blocks until what arrives has arrived."""
        calls = self._crowd.shape.calls
        result = self._crowd.talk(Talk(calls, duration_ms, check_every_ms=CHECK_EVERY_MS))
        return read_hearing(self._heard, calls), result


def stretch(
    callers: Callers,
    thread: ThreadPoolExecutor,
    duration_ms: int,
    happening: Happening,
    refused: Callable[[], int],
    late_max_us: float = LATE_MAX_US,
) -> Trial:
    """The calls talk; shortly after they began, it happens. `refused` says what relays have counted until then."""
    before = refused()
    happened = thread.submit(after, HAPPENS_AFTER_S, happening)
    hearing, result = callers.talk(duration_ms)
    held_up = problem_of(result, late_max_us)
    problem = held_up if happened.done() else "the calls had ended before it was over"
    happened.result()
    return Trial(hearing, refused() - before, result.down.misdelivered, problem, is_held_up=bool(held_up))


def sound_round(make: Callable[[], Round]) -> Round:
    """The first round in which the generator was never held up; the last one where it always was.

    Only the generator's own schedule and sockets say so. What the calls heard is not looked at, so that nothing is
    chosen by its result.
    """
    for before in range(ROUND_TRIES - 1):
        made = make()
        if not made.is_held_up:
            return made.after(before)
    return make().after(ROUND_TRIES - 1)


def after(seconds: float, happening: Happening) -> None:
    """Waits, then lets it happen."""
    time.sleep(seconds)
    happening()


def problem_of(result: Result, late_max_us: float) -> str:
    """Why what was heard says nothing of a relay; empty when it does. Loss is no such reason, nor is a generator that
    was a little late: the floor has the same."""
    late_us = max(way.late.percentile_us(99) for way in (result.up, result.down))
    counts = {
        "dropped at the generator's own sockets": result.own_drops,
        "not taken by the kernel": result.refused,
        "never left": sum(way.due - way.sent - way.unready for way in (result.up, result.down)) - result.refused,
        "due while nobody had said where to": result.down.unready + result.up.unready,
    }
    found = [f"{count:,} packets {what}" for what, count in counts.items() if count]
    if late_us > late_max_us:
        found.append(f"the generator was {late_us / 1000:.1f} ms behind its schedule at p99")
    return "; ".join(found)
