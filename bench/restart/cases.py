"""What happens to calls, in words, and how often.

Lives here: the cases of the report, the efforts. Must not live here: how it is brought about (replaced, unknown).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bench.scenario import Length

FLOOR: Final = "nothing killed"


@dataclass(frozen=True)
class Case:
    """Something that happens to calls."""

    key: str
    what: str
    duration_ms: int
    note: str = ""
    is_lossless: bool = False
    """It is promised that no packet is lost."""
    is_headline: bool = False
    is_ours: bool = True
    """From a peer, packets at another call's client are a finding; from us they are a failure."""
    ends: bool = True
    """Whether silence can end within the stretch. Where it cannot, a gap would say how long was measured."""


@dataclass(frozen=True)
class Effort:
    """How often everything happens in one sitting, and to how many calls."""

    rounds: int
    calls: int
    calls_beside: int
    """Of each of those that are measured at the same time."""


EFFORTS: Final = {
    Length.SHORT: Effort(rounds=1, calls=50, calls_beside=20),
    Length.STANDARD: Effort(rounds=5, calls=500, calls_beside=100),
    Length.FULL: Effort(rounds=3, calls=500, calls_beside=100),
}

UNTIL_CHECK = "calls come back with their next check, which browsers send every 2.5 s"
QUIET: Final = Case(FLOOR, FLOOR, 400)
WORKER: Final = Case(
    "kill-worker",
    "relay worker killed",
    500,
    note="the supervisor holds sockets and flow table, and its successor takes them",
    is_headline=True,
)
UPGRADE: Final = Case(
    "upgrade", "relay upgraded by SIGUSR2", 5000, note="sockets and flow table are kept", is_lossless=True
)
COLD_START_MS: Final = 2500
"""A third of a second on a quiet machine, above one on a busy one."""
FROM_TRUNK = "flows come back from the trunk"
STOP_START: Final = Case("stop-start", "relay stopped and started", COLD_START_MS, note=f"no upgrade; {FROM_TRUNK}")
RELAY: Final = Case("kill-relay", "whole relay killed", COLD_START_MS, note=f"and started at once; {FROM_TRUNK}")
UNTIL_CHECK_MS: Final = 3300
RELAY_CHECK: Final = Case(
    "kill-relay-no-trunk",
    "whole relay killed, checks alone",
    UNTIL_CHECK_MS,
    note=UNTIL_CHECK,
)
PEER: Final = Case("kill-{name}", "{name} killed", UNTIL_CHECK_MS, note=UNTIL_CHECK, is_ours=False)
HOST: Final = Case(
    "host-lost",
    "host lost, another takes over",
    UNTIL_CHECK_MS,
    note=f"its relay has never seen the call; {UNTIL_CHECK}; routing changes at once here: add what BFD or BGP takes",
)
ALONE: Final = Case(
    "host-alone",
    "host lost, no other",
    UNTIL_CHECK_MS,
    note="silence lasts until the host is back: no gap is stated, since it would be the length of the trial",
    ends=False,
)
SHORT_CASES: Final = (WORKER, UPGRADE, STOP_START, RELAY)
