"""What is measured with simulated calls, but for the curves: the generator itself, hops, hops beside other relays.

Lives here: the scenarios' names and words. Must not live here: how anything is measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bench.load.callers import beside_peers, hop, proof
from bench.load.callers.before import Fastrelay
from bench.scenario import Scenario

SCENARIOS: Final[Mapping[str, Scenario]] = {
    "generator": Scenario(
        "the load generator, measured by itself",
        lambda length: 2 * proof.EFFORTS[length].rounds,
        lambda length, step: proof.prove_generator(proof.EFFORTS[length], step),
        sits_again=True,
    ),
    "hop": Scenario(
        "hop latency at a quarter, half and four fifths of the highest rate",
        lambda length: 1 + len(hop.SHARES) * hop.EFFORTS[length].rounds,
        lambda length, step: hop.measure_hop(Fastrelay(), hop.EFFORTS[length], step),
    ),
    "hop-peers": Scenario(
        "hop latency beside other relays",
        lambda length: beside_peers.steps(beside_peers.EFFORTS[length]),
        lambda length, step: beside_peers.measure_beside_peers(beside_peers.EFFORTS[length], step),
        is_only_full=True,
    ),
}
