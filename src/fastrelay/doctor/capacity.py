"""How many calls: from nanoseconds per packet to a number, and how sure it is.

Lives here: the formula and its constants. Must not live here: measuring (measure), words for a terminal (cli.doctor).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

CALL_PACKETS_PER_S: Final = 50
"""Each way: voice in frames of 20 ms."""
BUSY_SHARE: Final = 0.6
"""Of a core: above it, bursts wait for one another."""
FORMULA: Final = "calls = cores x 0.6 x 1e9 / (50 x (up_ns + down_ns))"


@dataclass(frozen=True, slots=True)
class Sample:
    """CPU nanoseconds per packet, all three measured within a fraction of a second."""

    floor_ns: float
    """Only received."""
    up_ns: float
    """Received from a client, forwarded in a bundle."""
    down_ns: float
    """Received in a bundle, sent to a client."""
    packets: int
    """Behind the three figures."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle, and the extremes around it."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(median(values), min(values), max(values))

    def build(self) -> dict[str, float]:
        """As JSON values."""
        return {"median": round(self.median, 1), "lowest": round(self.lowest, 1), "highest": round(self.highest, 1)}


@dataclass(frozen=True, slots=True)
class Capacity:
    """What this machine carries, by at least one sample."""

    samples: tuple[Sample, ...]
    cores: float
    is_offloading: bool
    seconds: float
    """How long it was measured for."""

    @property
    def calls(self) -> Spread:
        return Spread.of([calls(sample.up_ns, sample.down_ns, self.cores) for sample in self.samples])

    @property
    def floor_ns(self) -> Spread:
        return Spread.of([sample.floor_ns for sample in self.samples])

    @property
    def up_ns(self) -> Spread:
        return Spread.of([sample.up_ns for sample in self.samples])

    @property
    def down_ns(self) -> Spread:
        return Spread.of([sample.down_ns for sample in self.samples])

    def build(self) -> dict[str, object]:
        """As JSON values, with every raw figure."""
        return {
            "calls": self.calls.build(),
            "cores": self.cores,
            "floor_ns": self.floor_ns.build(),
            "up_ns": self.up_ns.build(),
            "down_ns": self.down_ns.build(),
            "formula": FORMULA,
            "call_packets_per_s": CALL_PACKETS_PER_S,
            "busy_share": BUSY_SHARE,
            "is_offloading": self.is_offloading,
            "seconds": round(self.seconds, 3),
            "samples": [
                {
                    "floor_ns": round(sample.floor_ns, 1),
                    "up_ns": round(sample.up_ns, 1),
                    "down_ns": round(sample.down_ns, 1),
                    "packets": sample.packets,
                }
                for sample in self.samples
            ],
        }


def calls(up_ns: float, down_ns: float, cores: float) -> float:
    """Calls that keep this many cores busy for BUSY_SHARE of their time."""
    return cores * BUSY_SHARE * 1e9 / (CALL_PACKETS_PER_S * (up_ns + down_ns))
