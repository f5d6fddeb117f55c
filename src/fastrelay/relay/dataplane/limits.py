"""What an operator may change about the data plane, with the defaults of ext/limits.h.

Lives here: the names, values and units. The reason for each value stands beside it in ext/limits.h.
Must not live here: limits that are fixed shapes (they are constants of the wire), or reading a configuration.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """struct fr_limits, and the capacities of the two tables. A test holds names and defaults equal to the header's."""

    flows: int = 131_072
    peers: int = 1024
    unconfirmed_after_ms: int = 5000
    idle_after_ms: int = 60_000
    sweep_period_ms: int = 4000
    session_flows: int = 16
    source_admissions_per_s: int = 200
    source_admissions_burst: int = 400
    admissions_per_s: int = 20_000
    admissions_burst: int = 256
    recreations_per_s: int = 50_000
    recreations_burst: int = 5000
    token_lifetime_s: int = 86_400
    clock_skew_s: int = 60
    hello_every_ms: int = 1000
    peer_forget_ms: int = 60_000
