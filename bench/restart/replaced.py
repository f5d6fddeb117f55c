"""One relay, to which one thing happens after another: worker killed, upgraded, stopped and started, killed whole.

Lives here: the turns. Must not live here: relays and calls (before), silence (heard).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from bench.load.callers.shape import Shape
from bench.report.measured import Measured
from bench.restart.before import FOLDER, supervised
from bench.restart.cases import QUIET, RELAY, SHORT_CASES, STOP_START, UPGRADE, WORKER, Effort
from bench.restart.figures import curve_of, figures_of
from bench.restart.network import own_network
from bench.restart.relay import Setup, SupervisedRelay
from bench.restart.trial import Happening, Round, Trial, nothing, sound_round, stretch
from bench.scenario import Step


def happenings(relay: SupervisedRelay) -> Mapping[str, Happening]:
    """What happens in each of the short cases. A worker's death comes first: a relay started since has seen none."""

    def stop_start() -> None:
        relay.stop()
        relay.start()

    def kill_start() -> None:
        relay.kill()
        relay.start()

    return {
        WORKER.key: relay.kill_worker,
        UPGRADE.key: relay.upgrade,
        STOP_START.key: stop_start,
        RELAY.key: kill_start,
    }


def measure_replaced(effort: Effort, step: Step) -> Measured:
    """A stretch in which nothing happens, then each case, round by round."""
    rounds: list[Round] = []
    shape = Shape(effort.calls, heard=FOLDER / "replaced.heard")
    with own_network(), ThreadPoolExecutor(1) as thread, supervised("replaced", shape, Setup()) as standing:
        actions = {QUIET.key: nothing, **happenings(standing.relay)}

        def each_once() -> Round:
            refused = standing.relay.refused
            heard = {
                case.key: stretch(standing.callers, thread, case.duration_ms, actions[case.key], refused)
                for case in (QUIET, *SHORT_CASES)
            }
            quiet = heard.pop(QUIET.key)
            return Round(heard, dict.fromkeys(heard, quiet))

        for _ in range(effort.rounds):
            rounds.append(sound_round(each_once))
            step()
    figures = [figure for case in SHORT_CASES for figure in figures_of("restart", case, rounds)]
    curve = curve_of("restart", "Silence by call, relay killed or replaced", lines_of(rounds))
    return Measured(figures, curves=[curve])


def lines_of(rounds: Sequence[Round]) -> dict[str, list[Trial]]:
    """Of the curve: what is heard when nothing happens, and in each case."""
    quiet = [each.floors[WORKER.key] for each in rounds]
    return {QUIET.key: quiet} | {case.key: [each.trials[case.key] for each in rounds] for case in SHORT_CASES}
