"""Restart gaps as the report has them: a relay killed, replaced, or lost with its host.

Lives here: the scenarios' names, and what becomes of a machine that cannot run them. Must not live here: measuring.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from bench.report.measured import Measured
from bench.restart.cases import EFFORTS, Effort
from bench.restart.network import NoNetwork
from bench.restart.replaced import measure_replaced
from bench.restart.unknown import measure_unknown
from bench.scenario import Length, Scenario, Step


def scenario(key: str, what: str, measure: Callable[[Effort, Step], Measured]) -> Scenario:
    """With the efforts of this package; named as not run where networks cannot be made."""

    def measured(length: Length, step: Step) -> Measured:
        try:
            return measure(EFFORTS[length], step)
        except NoNetwork as problem:
            return Measured([], not_run={key: str(problem)})

    return Scenario(what, lambda length: EFFORTS[length].rounds, measured, sits_again=True)


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "restart": scenario("restart", "relay killed, upgraded, restarted", measure_replaced),
    "restart-unknown": scenario("restart-unknown", "flows lost, host lost, until the next check", measure_unknown),
}
