"""One scenario in a process of its own, so that one that breaks or hangs costs a run that scenario and no other.

Lives here: the process, its messages, its end. Must not live here: what a run is (run), any measurement.

The process is forked: the harness has no thread of Python's when it does that, and nothing is imported twice.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Final

from rich.progress import Progress

from bench.load.failure import BenchFailure
from bench.report.measured import Measured, failed
from bench.scenario import Length, Scenario, Step

LIMIT_S: Final = 900.0
"""No scenario takes half as long: what is not done by then waits for something that will not come."""
PARTING_S: Final = 2.0
"""For leaving after the last word."""
FAREWELL_S: Final = 30.0
"""For ending what it has started."""
LOOK_S: Final = 0.2


def attempt(name: str, scenario: Scenario, length: Length, progress: Progress, limit_s: float = LIMIT_S) -> Measured:
    """What it measured in one sitting; a failed figure in its place when it did not."""
    task = progress.add_task(scenario.what, total=scenario.steps(length))
    ours, its = get_context("fork").Pipe(duplex=False)
    process = get_context("fork").Process(target=_measure, args=(name, scenario, length, its), name=name)
    process.start()
    its.close()
    try:
        measured = _listen(ours, lambda: progress.advance(task), progress.refresh, time.monotonic() + limit_s)
    except EOFError:
        process.join()
        return failed(name, scenario.what, f"broke off with exit code {process.exitcode}; the terminal says where")
    except KeyboardInterrupt:
        # it has heard the same Ctrl-C, and a second one would be in the way of its clearing up
        process.join(FAREWELL_S)
        raise
    finally:
        _end(process)
        ours.close()
    progress.update(task, completed=scenario.steps(length))
    return measured or failed(name, scenario.what, f"was not done after {limit_s:g} s")


def _listen(connection: Connection, step: Step, refresh: Callable[[], None], deadline_s: float) -> Measured | None:
    """None when the time is over. EOFError when the process has ended without a word."""
    while time.monotonic() < deadline_s:
        refresh()
        if connection.poll(LOOK_S):
            message = connection.recv()
            if isinstance(message, Measured):
                return message
            step()
    return None


def _measure(name: str, scenario: Scenario, length: Length, connection: Connection) -> None:
    try:
        measured = scenario.measure(length, lambda: connection.send(None))
    except BenchFailure as failure:
        measured = failed(name, scenario.what, str(failure))
    connection.send(measured)
    connection.close()


def _end(process: BaseProcess) -> None:
    """One that is done ends by itself; others are asked as Ctrl-C asks, so that they end what they have started."""
    process.join(PARTING_S)
    if process.is_alive() and process.pid is not None:
        os.kill(process.pid, signal.SIGINT)
        process.join(FAREWELL_S)
    if process.is_alive():
        process.kill()
        process.join()
