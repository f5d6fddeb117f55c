"""What an operator may change about the data plane, with the defaults of ext/limits.h.

Lives here: the names, values and units, and which values can work at all. The reason for each default stands beside it
in ext/limits.h.
Must not live here: limits that are fixed shapes (they are constants of the wire), or reading a configuration.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

SESSION_FLOWS_MAX: Final = 254
"""A session's flows are counted in a byte, which stays at 255 for good once it is there."""
BURST_MAX: Final = 4_000_000
"""A budget is kept in thousandths, in 32 bits."""
MILLISECONDS_MAX: Final = 2**31 - 1
"""Ages are told by a clock of 32 bits, so half its range: 24 days."""
NUMBER_MAX: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Limits:
    """struct fr_limits, and the capacities of the two tables. A test holds names and defaults equal to the header's.

    One that cannot work cannot be made: ValueError names it.
    """

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
    sibling_lookups_per_s: int = 20_000
    sibling_lookups_burst: int = 1000
    token_lifetime_s: int = 86_400
    clock_skew_s: int = 60
    hello_every_ms: int = 1000
    peer_forget_ms: int = 60_000

    def __post_init__(self) -> None:
        """Raises ValueError, naming the limit. What the tables can hold they say themselves, when they are made."""
        for name, value in asdict(self).items():
            if name not in ("flows", "peers") and not 1 <= value <= _most(name):
                raise ValueError(f"limit {name} is {value}, must be 1 to {_most(name)}")


def _most(name: str) -> int:
    if name == "session_flows":
        return SESSION_FLOWS_MAX
    if name.endswith("_burst"):
        return BURST_MAX
    return MILLISECONDS_MAX if name.endswith("_ms") else NUMBER_MAX
