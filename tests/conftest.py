"""What holds for every test: it leaves nothing running or open behind, and in CI it is not skipped.

Fixtures of single areas do not live here; they stand beside their tests.
"""

import asyncio
import gc
import os
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

IN_CI = bool(os.environ.get("CI"))
SETTLE_S = 2.0  # how long a thread that has been told to stop may take
WATCHED_DESCRIPTORS = ("socket:", "pipe:", "/memfd:", "anon_inode:[eventpoll]", "anon_inode:[eventfd]")

# A shell starts background jobs with SIGINT ignored, and what we start would inherit that: it must be interruptible.
signal.signal(signal.SIGINT, signal.default_int_handler)

_tasks: "weakref.WeakSet[asyncio.Task[Any]]" = weakref.WeakSet()


@pytest.fixture(scope="session", autouse=True)
def _every_task_is_seen() -> Iterator[None]:
    """Remember each asyncio task of any loop: a closed loop no longer tells of its own."""
    original = asyncio.BaseEventLoop.create_task

    def create_task(loop: asyncio.BaseEventLoop, *args: Any, **kwargs: Any) -> "asyncio.Task[Any]":
        task = original(loop, *args, **kwargs)
        _tasks.add(task)
        return task

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio.BaseEventLoop, "create_task", create_task)
        yield


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(_every_task_is_seen: None) -> Iterator[None]:
    """Fail a test that leaves a descriptor, thread, child process or task behind.

    Fixtures of a wider scope are set up before this one and torn down after it, so what they hold is not the test's.
    """
    watches: list[tuple[str, Callable[[], set[Any]]]] = [
        ("thread", lambda: set(threading.enumerate())),
        ("task", _pending_tasks),
        ("child process", _children),
        ("descriptor", _descriptors),
    ]
    before = [watch() for _, watch in watches]
    yield
    left = []
    for (what, watch), known in zip(watches, before, strict=True):
        remaining = watch() - known
        if what == "thread":
            for thread in remaining:
                thread.join(SETTLE_S)  # one that has been told to stop may be on its way out
            remaining = {thread for thread in remaining if thread.is_alive()}
        elif remaining and what == "descriptor":
            gc.collect()  # an unreferenced cycle is closed, and warned of, by Python itself
            remaining = watch() - known
        left += [f"{what}: {thing}" for thing in sorted(remaining, key=str)]
    if left:
        pytest.fail("left behind by this test:\n  " + "\n  ".join(left), pytrace=False)


def _pending_tasks() -> set[Any]:
    return {task for task in _tasks if not task.done()}


def _children() -> set[str]:
    """Return the processes started by any of our threads and not yet waited for, as `pid name`."""
    found = set()
    for pid in _child_pids():
        try:
            name = (Path("/proc") / pid / "comm").read_text().strip()
        except FileNotFoundError:
            continue
        found.add(f"{pid} {name}")
    return found


def _child_pids() -> set[str]:
    while True:
        try:
            return {pid for task in Path("/proc/self/task").iterdir() for pid in _children_of(task)}
        except (FileNotFoundError, ProcessLookupError):
            continue  # a thread ended meanwhile; its children now belong to another, which may have been read already


def _children_of(task: Path) -> list[str]:
    return (task / "children").read_text().split()


def _descriptors() -> set[str]:
    """Return the open descriptors that stand for kernel objects, as `number target`."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:
            continue  # the listing's own descriptor
        if target.startswith(WATCHED_DESCRIPTORS):
            found.add(f"{entry.name} {target}")
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Any:
    """In CI a skipped test is a failed one: nobody reads the skips of a green run."""
    report = yield
    return _refuse_skip(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Any:
    """Refuse a whole module's skip just the same."""
    report = yield
    return _refuse_skip(report)


def _refuse_skip(report: Any) -> Any:
    if IN_CI and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not accept: {report.longrepr}"
    return report
