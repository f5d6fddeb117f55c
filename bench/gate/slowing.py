"""A relay slowed down on purpose, to see whether the gate notices: a library preloaded into its process.

Lives here: how large the burden is, and how it gets there. Must not live here: anything the relay is built from.
"""

import ctypes
import time
from dataclasses import dataclass
from pathlib import Path

from bench.load import build

SOURCE = Path(__file__).with_name("slow.c")
CALIBRATION_TURNS = 5_000_000
CALIBRATIONS = 7


@dataclass(frozen=True)
class Slowing:
    """The burden: nanoseconds for each datagram moved, on the way up and down; batches this many times smaller."""

    up_ns: float = 0.0
    down_ns: float = 0.0
    batch_divisor: int = 1

    def prefix(self, *, is_up: bool, turn_ns: float) -> list[str]:
        """What stands before a relay's command."""
        turns = round((self.up_ns if is_up else self.down_ns) / turn_ns)
        return [
            *("env", f"LD_PRELOAD={build.library(SOURCE)}"),
            *(f"FASTRELAY_SLOW_TURNS={turns}", f"FASTRELAY_SLOW_DIVISOR={self.batch_divisor}"),
        ]


def prefix_of(slowing: Slowing | None, *, is_up: bool) -> list[str]:
    """Nothing before the command of a relay as it is."""
    return slowing.prefix(is_up=is_up, turn_ns=nanoseconds_of_a_turn()) if slowing else []


def nanoseconds_of_a_turn() -> float:
    """What one turn of the burden takes here and now; the shortest of several, since other work only adds."""
    burn = ctypes.CDLL(str(build.library(SOURCE))).fr_slow_burn
    burn.argtypes = [ctypes.c_ulong]
    taken = []
    for _ in range(CALIBRATIONS):
        started = time.thread_time_ns()
        burn(CALIBRATION_TURNS)
        taken.append(time.thread_time_ns() - started)
    return min(taken) / CALIBRATION_TURNS
