"""How cost grows with the work: the curves as everyone runs them, and for how long.

Lives here: the scenarios, where each curve is measured, efforts. Must not live here: measuring (curves_drained,
curves_workers, curves_storm, curves_changes).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

from bench.load.callers.curves_changes import ChangesEffort, measure_changes
from bench.load.callers.curves_drained import (
    DrainEffort,
    Names,
    drain_curve,
    memory_of,
    places_of_flows,
    places_of_sizes,
    places_of_transceivers,
)
from bench.load.callers.curves_storm import StormEffort, measure_storm
from bench.load.callers.curves_workers import measure_workers
from bench.report.measured import Measured
from bench.scenario import Length, Scenario, Step

CLIENTS: Final = 4096
"""Of the curves along which their number does not grow."""
SMALL_DRAIN: Final = 2048
"""Packets of 1,200 bytes that the smallest receive buffer worth having holds."""

FLOWS: Final = Names("curve-flows", "cost by number of flows", "flows")
SIZES: Final = Names("curve-sizes", "cost by packet size", "bytes")
TRANSCEIVERS: Final = Names("curve-transceivers", "cost by number of transceivers", "transceivers")

FLOW_COUNTS: Final = {
    Length.SHORT: (100, 1_000),
    Length.STANDARD: (100, 1_000, 10_000, 100_000),
    Length.FULL: (100, 1_000, 10_000, 100_000, 1_000_000),
}
PACKET_SIZES: Final = {
    Length.SHORT: (60, 1_200),
    Length.STANDARD: (60, 240, 480, 1_200),
    Length.FULL: (60, 120, 240, 480, 960, 1_200),
}
TRANSCEIVER_COUNTS: Final = {
    Length.SHORT: (1, 256),
    Length.STANDARD: (1, 16, 256),
    Length.FULL: (1, 4, 16, 64, 256),
}
DRAINS: Final = {Length.SHORT: DrainEffort(5, 1), Length.STANDARD: DrainEffort(5, 2), Length.FULL: DrainEffort(5, 3)}
SMALL_DRAINS: Final = {
    length: DrainEffort(effort.rounds, 2 * effort.drains, SMALL_DRAIN) for length, effort in DRAINS.items()
}
TEAM_ROUNDS: Final = {Length.SHORT: 5, Length.STANDARD: 15, Length.FULL: 11}
STORMS: Final = {
    Length.SHORT: StormEffort(1, 50),
    Length.STANDARD: StormEffort(5, 60),
    Length.FULL: StormEffort(3, 120),
}
CHANGES: Final = {
    Length.SHORT: ChangesEffort(1, 100, (1_000,)),
    Length.STANDARD: ChangesEffort(5, 200, (1_000, 20_000)),
    Length.FULL: ChangesEffort(9, 300, (100, 1_000, 5_000, 20_000)),
}


def measure_flows(length: Length, step: Step, counts: Sequence[int]) -> Measured:
    """Cost, and the memory of the same processes."""
    places = places_of_flows(counts)
    cost = drain_curve(FLOWS, places, DRAINS[length], step)
    memory = memory_of(FLOWS, places)
    return Measured([*cost.figures, *memory.figures], cost.data, [*cost.curves, *memory.curves])


SCENARIOS: Final[Mapping[str, Scenario]] = {
    FLOWS.key: Scenario(
        "cost and memory, ever more flows",
        lambda length: DRAINS[length].rounds,
        lambda length, step: measure_flows(length, step, FLOW_COUNTS[length]),
        sits_again=True,
    ),
    SIZES.key: Scenario(
        "cost, ever larger packets",
        lambda length: SMALL_DRAINS[length].rounds,
        lambda length, step: drain_curve(
            SIZES, places_of_sizes(PACKET_SIZES[length], CLIENTS), SMALL_DRAINS[length], step
        ),
        sits_again=True,
    ),
    TRANSCEIVERS.key: Scenario(
        "cost, ever more transceivers",
        lambda length: DRAINS[length].rounds,
        lambda length, step: drain_curve(
            TRANSCEIVERS, places_of_transceivers(TRANSCEIVER_COUNTS[length], CLIENTS), DRAINS[length], step
        ),
        sits_again=True,
    ),
    "curve-workers": Scenario(
        "packets carried by ever more workers",
        lambda length: TEAM_ROUNDS[length],
        lambda length, step: measure_workers(TEAM_ROUNDS[length], step, sorted(os.sched_getaffinity(0))),
        sits_again=True,
    ),
    "curve-storm": Scenario(
        "token storms",
        lambda length: STORMS[length].rounds,
        lambda length, step: measure_storm(STORMS[length], step),
        sits_again=True,
    ),
    "curve-changes": Scenario(
        "calls that come, go and move",
        lambda length: CHANGES[length].rounds,
        lambda length, step: measure_changes(CHANGES[length], step),
    ),
}
