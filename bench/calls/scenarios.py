"""What issue and README promise of a transceiver, measured: one function for each row, or few, of the table.

Lives here: the figures' names, bars and circumstances. Must not live here: how calls are made and watched (ensemble).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from bench.calls.browser_setup import measure_browser_setup
from bench.calls.capacity import ON_TIME_MIN, Capacity, Search
from bench.calls.ensemble import TRIES, Ensemble, Opened
from bench.calls.punctuality import Punctuality
from bench.calls.servers import Aiortc, Server, Transceiver, resident_kib
from bench.load.failure import BenchFailure
from bench.load.report import Measured, Row, Verdict

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
    rows = [
        _capacity_row("echo calls on one core, Opus passed through", echo, floor, ECHO_RATIO),
        _capacity_row("echo calls on one core, PCM for the agent", pcm, floor, PCM_RATIO),
    ]
    tried = {"aiortc": floor.tried, "echo": echo.tried, "pcm": pcm.tried}
    return Measured(rows, {f"{name} calls": [float(calls) for calls, _, _ in each] for name, each in tried.items()})


def _capacity_of(server: Server, first: int, limit: int, effort: Effort, step: Step) -> Capacity:
    with server, Ensemble(server) as ensemble:
        return Search(ensemble, effort.window_s, step).run(first, limit)


def _capacity_row(what: str, ours: Capacity, floor: Capacity, bar: int) -> Row:
    ratio = ours.calls / floor.calls
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
    return Row(
        what,
        f"{ours.calls} calls",
        f"aiortc {floor.calls}",
        f"{ratio:.1f} ×",
        f"≥ {bar} ×",
        Verdict.HOLDS if ratio >= bar else Verdict.MISSED,
        note,
    )


def browser(effort: Effort, step: Step) -> Measured:
    """How soon a real browser is connected after the answer, at us and at aiortc in turns."""
    ours, theirs = Transceiver(ECHO), Aiortc()
    with ours, theirs:
        found = measure_browser_setup({ours.name: ours.url, theirs.name: theirs.url}, calls=effort.browser_calls)
    step()
    median_ms, floor_ms = found[ours.name].median_ms, found[theirs.name].median_ms
    row = Row(
        "answer → connected, headless Chromium, median",
        f"{median_ms:.1f} ms",
        f"aiortc {floor_ms:.1f} ms",
        f"{median_ms / floor_ms:.2f}",
        f"≤ {BROWSER_MS} ms",
        Verdict.HOLDS if median_ms <= BROWSER_MS else Verdict.MISSED,
    )
    return Measured([row], {f"{name} ms": list(each.connected_ms) for name, each in found.items()})


def memory(effort: Effort, step: Step) -> Measured:
    """What an established session takes while nobody speaks."""
    with Transceiver(ECHO) as server, Ensemble(server) as ensemble:
        ensemble.open_all(WARM_CALLS, OPEN_PER_S, speaks=False)
        before_kib = resident_kib(server.pid)
        step()
        ensemble.open_all(effort.idle_calls, OPEN_PER_S, speaks=False)
        per_call_kib = (resident_kib(server.pid) - before_kib) / effort.idle_calls
        step()
    row = _row(
        "memory of an established idle call",
        f"{per_call_kib:.0f} KB",
        f"≤ {IDLE_KIB} KB",
        per_call_kib <= IDLE_KIB,
        f"resident memory of the worker, from {WARM_CALLS} to {WARM_CALLS + effort.idle_calls} calls",
    )
    return Measured([row], {"KiB per idle call": [per_call_kib]})


def burst(effort: Effort, step: Step) -> Measured:
    """Many calls at once, beside some that talk."""
    with Transceiver(ECHO) as server, Ensemble(server) as ensemble:
        ensemble.open_all(OTHER_CALLS, OPEN_PER_S)
        for _ in range(TRIES):
            opened = ensemble.open(BURST_CALLS, BURST_S, group="burst", watches="main")
            step()
            if opened.is_sound:
                return _burst_rows(opened)
            ensemble.close(group="burst")
    raise BenchFailure("the callers were late themselves each time: this machine is too busy")


def _burst_rows(opened: Opened) -> Measured:
    watched = opened.watched
    if watched is None:
        raise BenchFailure("nobody was watched")
    what = f"{BURST_CALLS} calls within {BURST_S:.0f} s"
    p99_ms = opened.setup_percentile_ms(99)
    problems = f"not connected: {', '.join(opened.problems)}" if opened.problems else ""
    median = f"from the offer's leaving to keys at the client; median {opened.setup_percentile_ms(50):.1f} ms"
    jitter = f"jitter p99 {watched.jitter_ms['p99']:.1f} ms, the worst frame {watched.jitter_ms['max']:.1f} ms"
    others = f"{what}: frames of {OTHER_CALLS} others on time"
    rows = [
        _row(f"{what}: connected", f"{opened.up}", "all", opened.up == BURST_CALLS, problems),
        _row(f"{what}: set-up, p99", f"{p99_ms:.0f} ms", f"≤ {BURST_SETUP_MS} ms", p99_ms <= BURST_SETUP_MS, median),
        _row(others, f"{watched.share:.3%}", f"≥ {ON_TIME_MIN:.1%}", watched.share >= ON_TIME_MIN, jitter),
    ]
    return Measured(rows, {"setup ms": opened.setup_ms, "connect ms": opened.connect_ms})


def trouble(effort: Effort, step: Step) -> Measured:
    """Agents that misbehave, each beside calls whose agents do not: some talk, some echo, each on its own thread."""
    rows = []
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
            row = _jitter_row(what, talking, echoing)
            rows.append(row if behave else replace(row, bar="", verdict=Verdict.REPORTED))
            for kind, each in (("talking", talking), ("echoing", echoing)):
                jitters[f"{what}, {kind}: p50 p99 p99.9 max ms"] = list(each.jitter_ms.values())
            step()
    return Measured(rows, jitters)


def _jitter_row(what: str, talking: Punctuality, echoing: Punctuality) -> Row:
    p99_ms = talking.jitter_ms["p99"]
    return _row(
        f"{what}: frames of others, jitter p99",
        f"{p99_ms:.1f} ms",
        f"≤ {JITTER_MS} ms",
        p99_ms <= JITTER_MS,
        f"{talking.calls} agents that talk: {talking.share:.3%} on time, worst {talking.jitter_ms['max']:.1f} ms; "
        f"{echoing.calls} that echo: p99 {echoing.jitter_ms['p99']:.1f} ms",
    )


def _row(what: str, value: str, bar: str, holds: bool, note: str = "") -> Row:
    return Row(what, value, "", "", bar, Verdict.HOLDS if holds else Verdict.MISSED, note)


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
