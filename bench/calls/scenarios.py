"""What issue and README promise of a transceiver, measured: one function for each row, or few, of the table.

Lives here: the figures' names, bars and circumstances. Must not live here: how calls are made and watched (ensemble).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.calls.browser_setup import measure_browser_setup
from bench.calls.capacities import ECHO, measure_capacities
from bench.calls.capacity import ON_TIME_MIN, Thoroughness
from bench.calls.ensemble import TRIES, Ensemble, Opened
from bench.calls.punctuality import Punctuality
from bench.calls.servers import Aiortc, Transceiver, resident_kib
from bench.load.failure import BenchFailure
from bench.report.measured import Measured, series
from bench.report.model import Account, Bar, Better, Figure, spread_of
from bench.scenario import Length, Scenario, Step

MOODY = "bench.calls.agents:moody"
IDLE_KIB = 150
BROWSER_MS = 20
BURST_CALLS = 500
BURST_S = 5.0
BURST_SETUP_MS = 1000
JITTER_MS = 5
BEHAVIOURS = {"": "no agent misbehaves", "blocks": "an agent blocks", "burns": "an agent burns"}
TROUBLE_WINDOW_S = 1.0
WARM_CALLS = 100
"""Opened before memory is looked at: the first calls also pay for what all share."""
IDLE_BATCHES = 5
"""Each says once what a call takes."""
OPEN_PER_S = 100
OTHER_CALLS = 50
"""Whose frames must not suffer."""


@dataclass(frozen=True)
class Effort:
    """How much is done for a figure, in one sitting where there are several."""

    capacity: Thoroughness
    idle_calls: int
    """In each of IDLE_BATCHES."""
    trouble_windows: int
    browser_calls: int


EFFORTS: Final[Mapping[Length, Effort]] = {
    Length.SHORT: Effort(Thoroughness(window_s=1.0, step=0.5, halvings=1), 20, 2, 8),
    Length.STANDARD: Effort(Thoroughness(window_s=1.5, step=0.25, halvings=1), 60, 5, 24),
    Length.FULL: Effort(Thoroughness(window_s=1.5, step=0.2, halvings=2), 60, 9, 8),
}


def capacity(length: Length, step: Step) -> Measured:
    """Calls on one core: aiortc, ours passing Opus through, ours with PCM for the agent."""
    return measure_capacities(EFFORTS[length].capacity, step)


def browser(length: Length, step: Step) -> Measured:
    """How soon a real browser is connected after the answer, at us and at aiortc in turns."""
    ours, theirs = Transceiver(ECHO), Aiortc()
    with ours, theirs:
        found = measure_browser_setup(
            {ours.name: ours.url, theirs.name: theirs.url}, calls=EFFORTS[length].browser_calls
        )
    step()
    figure = Figure(
        key="browser/connected",
        what="answer → connected, headless Chromium, median",
        unit="ms",
        value=series(ours.name, found[ours.name].connected_ms),
        floor=series(theirs.name, found[theirs.name].connected_ms),
        is_paired=True,
        bar=Bar(BROWSER_MS),
    )
    return Measured([figure])


def memory(length: Length, step: Step) -> Measured:
    """What an established session takes while nobody speaks."""
    calls = EFFORTS[length].idle_calls
    per_call_kib = []
    with Transceiver(ECHO) as server, Ensemble(server) as ensemble:
        ensemble.open_all(WARM_CALLS, OPEN_PER_S, speaks=False)
        for _ in range(IDLE_BATCHES):
            before_kib = resident_kib(server.pid)
            ensemble.open_all(calls, OPEN_PER_S, speaks=False)
            per_call_kib.append((resident_kib(server.pid) - before_kib) / calls)
            step()
    figure = Figure(
        key="memory/idle",
        what="memory of an established idle call",
        unit="KiB",
        value=series("fastrelay", per_call_kib),
        bar=Bar(IDLE_KIB),
        note=f"resident memory of the worker, from {WARM_CALLS} to {WARM_CALLS + IDLE_BATCHES * calls} calls",
    )
    return Measured([figure])


def burst(length: Length, step: Step) -> Measured:
    """Many calls at once, beside some that talk."""
    with Transceiver(ECHO) as server, Ensemble(server) as ensemble:
        ensemble.open_all(OTHER_CALLS, OPEN_PER_S)
        for _ in range(TRIES):
            opened = ensemble.open(BURST_CALLS, BURST_S, group="burst", watches="main")
            step()
            if opened.is_sound:
                return _burst_figures(opened)
            ensemble.close(group="burst")
    raise BenchFailure("the callers were late themselves each time: this machine is too busy")


def _burst_figures(opened: Opened) -> Measured:
    watched = opened.watched
    if watched is None:
        raise BenchFailure("nobody was watched")
    what = f"{BURST_CALLS} calls within {BURST_S:.0f} s"
    middle = spread_of(tuple(opened.setup_ms))
    median = f"from the offer's leaving to keys at the client; median {middle.middle:.1f} ms" if middle else ""
    jitter = f"jitter p99 {watched.jitter('p99'):.1f} ms, the worst frame {watched.jitter('max'):.1f} ms"
    figures = [
        Figure(
            key="burst/connected",
            what=f"{what}: connected",
            unit="calls",
            better=Better.HIGHER,
            value=series("fastrelay", [opened.up]),
            bar=Bar(BURST_CALLS),
            note=f"not connected: {', '.join(opened.problems)}" if opened.problems else "",
        ),
        Figure(
            key="burst/setup-p99",
            what=f"{what}: set-up, p99",
            unit="ms",
            value=series("fastrelay", opened.setup_ms),
            percent=99,
            bar=Bar(BURST_SETUP_MS),
            accounts=(Account("calls that are up", opened.up, {"timed": len(opened.setup_ms)}),),
            note=median,
        ),
        Figure(
            key="burst/others",
            what=f"{what}: frames of {OTHER_CALLS} others on time",
            unit="%",
            better=Better.HIGHER,
            value=series("fastrelay", [100 * watched.share]),
            bar=Bar(100 * ON_TIME_MIN),
            note=jitter,
        ),
    ]
    return Measured(figures, {"connect ms": opened.connect_ms})


def trouble(length: Length, step: Step) -> Measured:
    """Agents that misbehave, each beside calls whose agents do not: some talk, some echo, each on its own thread."""
    windows = EFFORTS[length].trouble_windows
    figures = []
    jitters = {}
    with Transceiver(MOODY) as server, Ensemble(server) as ensemble:
        ensemble.open_all(OTHER_CALLS // 2, OPEN_PER_S, group="talks", session={"behave": "talks"})
        ensemble.open_all(OTHER_CALLS // 2, OPEN_PER_S, group="echoes")
        for behave, what in BEHAVIOURS.items():
            if behave:
                ensemble.open_all(1, 1, group=behave, session={"behave": behave})
            talking = [ensemble.watch_soundly(TROUBLE_WINDOW_S, "talks").punctuality for _ in range(windows)]
            echoing = ensemble.watch_soundly(TROUBLE_WINDOW_S, "echoes").punctuality
            ensemble.close(group=behave)
            figures.append(_jitter_figure(behave, what, talking, echoing))
            jitters[f"{what}, echoing: p50 p99 p99.9 max ms"] = list(echoing.jitter_ms.values())
            step()
    return Measured(figures, jitters)


def _jitter_figure(behave: str, what: str, talking: Sequence[Punctuality], echoing: Punctuality) -> Figure:
    share = sum(each.on_time for each in talking) / sum(each.expected for each in talking)
    worst_ms = max(each.jitter("max") for each in talking)
    return Figure(
        key=f"trouble/{behave or 'none'}",
        what=f"{what}: frames of others, jitter p99",
        unit="ms",
        value=series("fastrelay", (each.jitter("p99") for each in talking)),
        bar=Bar(JITTER_MS) if behave else None,
        note=f"{talking[0].calls} agents that talk: {share:.3%} on time, worst {worst_ms:.1f} ms; "
        f"{echoing.calls} that echo: p99 {echoing.jitter('p99'):.1f} ms",
    )


def _steps(count: int) -> Callable[[Length], int]:
    return lambda _: count


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "calls-browser": Scenario("a browser's set-up", _steps(1), browser, sits_again=True),
    "calls-capacity": Scenario("calls on one core, beside aiortc", _steps(20), capacity, sits_again=True),
    "calls-memory": Scenario("memory of idle calls", _steps(IDLE_BATCHES), memory),
    "calls-burst": Scenario("500 calls within 5 s", _steps(1), burst),
    "calls-trouble": Scenario("agents that misbehave", _steps(len(BEHAVIOURS)), trouble),
}
