"""What issue and README promise of a transceiver, measured: one function for each row, or few, of the table.

Lives here: the figures' names, bars and circumstances. Must not live here: how calls are made and watched (ensemble).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.calls.browser_setup import measure_browser_setup
from bench.calls.capacity import ON_TIME_MIN, Capacity, Search
from bench.calls.ensemble import TRIES, Ensemble, Opened
from bench.calls.punctuality import Punctuality
from bench.calls.servers import Aiortc, Server, Transceiver, resident_kib
from bench.load.failure import BenchFailure
from bench.report.measured import Measured, series
from bench.report.model import Account, Bar, Better, Figure, Of

ECHO = "echo"
PCM = "bench.calls.agents:pcm_echo"
MOODY = "bench.calls.agents:moody"

ECHO_RATIO = 40
PCM_RATIO = 5
IDLE_KIB = 150
BROWSER_MS = 20
BURST_CALLS = 500
BURST_S = 5.0
BURST_SETUP_MS = 1000
JITTER_MS = 5

AIORTC_FIRST, AIORTC_LIMIT = 10, 200
LIMIT = 3000
WARM_CALLS = 100
"""Opened before memory is looked at: the first calls also pay for what all share."""
OPEN_PER_S = 100
OTHER_CALLS = 50
"""Whose frames must not suffer."""

Step = Callable[[], None]


@dataclass(frozen=True)
class Effort:
    """How much is done for a figure."""

    window_s: float
    idle_calls: int
    trouble_s: float
    browser_calls: int


FULL = Effort(window_s=8.0, idle_calls=300, trouble_s=20.0, browser_calls=24)
SHORT = Effort(window_s=3.0, idle_calls=100, trouble_s=5.0, browser_calls=8)


def capacity(effort: Effort, step: Step) -> Measured:
    """Calls on one core: aiortc, ours passing Opus through, ours with PCM for the agent, in one run."""
    floor = _capacity_of(Aiortc(), AIORTC_FIRST, AIORTC_LIMIT, effort, step)
    if not floor.calls:
        raise BenchFailure("aiortc carries no call in time here: there is nothing to compare with")
    echo = _capacity_of(Transceiver(ECHO), ECHO_RATIO * floor.calls, LIMIT, effort, step)
    pcm = _capacity_of(Transceiver(PCM), PCM_RATIO * floor.calls, LIMIT, effort, step)
    figures = [
        _capacity_figure("capacity/echo", "echo calls on one core, Opus passed through", echo, floor, ECHO_RATIO),
        _capacity_figure("capacity/pcm", "echo calls on one core, PCM for the agent", pcm, floor, PCM_RATIO),
    ]
    tried = {"aiortc": floor.tried, "echo": echo.tried, "pcm": pcm.tried}
    return Measured(figures, {f"{name} calls": [calls for calls, _, _ in each] for name, each in tried.items()})


def _capacity_of(server: Server, first: int, limit: int, effort: Effort, step: Step) -> Capacity:
    with server, Ensemble(server) as ensemble:
        return Search(ensemble, effort.window_s, step).run(first, limit)


def _capacity_figure(key: str, what: str, ours: Capacity, floor: Capacity, bar: int) -> Figure:
    note = ""
    if ours.window is not None and floor.window is not None:
        window, theirs = ours.window, floor.window
        note = (
            f"at {ours.calls} calls {window.punctuality.share:.3%} of frames on time, {window.busy:.0%} of the core, "
            f"jitter p99 {window.punctuality.jitter_ms['p99']:.1f} ms; aiortc at {floor.calls} calls "
            f"{theirs.punctuality.share:.3%}, {theirs.busy:.0%}, {theirs.punctuality.jitter_ms['p99']:.1f} ms"
        )
    if ours.is_bounded_by_callers:
        note += "; the callers themselves could not play more"
    return Figure(
        key=key,
        what=what,
        unit="calls",
        better=Better.HIGHER,
        value=series("fastrelay", [ours.calls]),
        floor=series("aiortc", [floor.calls]),
        bar=Bar(bar, Of.RATIO),
        note=note,
        is_headline=True,
    )


def browser(effort: Effort, step: Step) -> Measured:
    """How soon a real browser is connected after the answer, at us and at aiortc in turns."""
    ours, theirs = Transceiver(ECHO), Aiortc()
    with ours, theirs:
        found = measure_browser_setup({ours.name: ours.url, theirs.name: theirs.url}, calls=effort.browser_calls)
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


def memory(effort: Effort, step: Step) -> Measured:
    """What an established session takes while nobody speaks."""
    with Transceiver(ECHO) as server, Ensemble(server) as ensemble:
        ensemble.open_all(WARM_CALLS, OPEN_PER_S, speaks=False)
        before_kib = resident_kib(server.pid)
        step()
        ensemble.open_all(effort.idle_calls, OPEN_PER_S, speaks=False)
        per_call_kib = (resident_kib(server.pid) - before_kib) / effort.idle_calls
        step()
    figure = Figure(
        key="memory/idle",
        what="memory of an established idle call",
        unit="KiB",
        value=series("fastrelay", [per_call_kib]),
        bar=Bar(IDLE_KIB),
        note=f"resident memory of the worker, from {WARM_CALLS} to {WARM_CALLS + effort.idle_calls} calls",
    )
    return Measured([figure])


def burst(effort: Effort, step: Step) -> Measured:
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
    median = f"from the offer's leaving to keys at the client; median {opened.setup_percentile_ms(50):.1f} ms"
    jitter = f"jitter p99 {watched.jitter_ms['p99']:.1f} ms, the worst frame {watched.jitter_ms['max']:.1f} ms"
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


def trouble(effort: Effort, step: Step) -> Measured:
    """Agents that misbehave, each beside calls whose agents do not: some talk, some echo, each on its own thread."""
    figures = []
    jitters = {}
    with Transceiver(MOODY) as server, Ensemble(server) as ensemble:
        ensemble.open_all(OTHER_CALLS // 2, OPEN_PER_S, group="talks", session={"behave": "talks"})
        ensemble.open_all(OTHER_CALLS // 2, OPEN_PER_S, group="echoes")
        for behave, what in (("", "no agent misbehaves"), ("blocks", "an agent blocks"), ("burns", "an agent burns")):
            if behave:
                ensemble.open_all(1, 1, group=behave, session={"behave": behave})
            talking = ensemble.watch_soundly(effort.trouble_s, "talks").punctuality
            echoing = ensemble.watch_soundly(effort.trouble_s, "echoes").punctuality
            ensemble.close(group=behave)
            figures.append(_jitter_figure(behave, what, talking, echoing))
            for kind, each in (("talking", talking), ("echoing", echoing)):
                jitters[f"{what}, {kind}: p50 p99 p99.9 max ms"] = list(each.jitter_ms.values())
            step()
    return Measured(figures, jitters)


def _jitter_figure(behave: str, what: str, talking: Punctuality, echoing: Punctuality) -> Figure:
    return Figure(
        key=f"trouble/{behave or 'none'}",
        what=f"{what}: frames of others, jitter p99",
        unit="ms",
        value=series("fastrelay", [talking.jitter_ms["p99"]]),
        bar=Bar(JITTER_MS) if behave else None,
        note=f"{talking.calls} agents that talk: {talking.share:.3%} on time, worst {talking.jitter_ms['max']:.1f} ms; "
        f"{echoing.calls} that echo: p99 {echoing.jitter_ms['p99']:.1f} ms",
    )


@dataclass(frozen=True)
class Scenario:
    """A name for the command line, words for the progress, and about how many steps it takes."""

    what: str
    steps: int
    measure: Callable[[Effort, Step], Measured]


SCENARIOS = {
    "calls-browser": Scenario("a browser's set-up", 1, browser),
    "calls-capacity": Scenario("calls on one core, beside aiortc", 24, capacity),
    "calls-memory": Scenario("memory of idle calls", 2, memory),
    "calls-burst": Scenario("500 calls within 5 s", 2, burst),
    "calls-trouble": Scenario("agents that misbehave", 3, trouble),
}
