"""From nanoseconds per packet to calls, and the traffic that they are measured with."""

from __future__ import annotations

import math

import pytest

from fastrelay.doctor.capacity import Capacity, Sample, Spread, calls
from fastrelay.doctor.parties import FLOWS, TRANSCEIVERS
from fastrelay.doctor.traffic import CHUNK, turns


@pytest.mark.parametrize(
    ("up_ns", "down_ns", "cores", "expected"),
    [
        pytest.param(500, 700, 1, 10_000, id="one core"),
        pytest.param(500, 700, 8, 80_000, id="eight cores"),
        pytest.param(1000, 1400, 1, 5_000, id="packets twice as dear"),
        pytest.param(500, 700, 0.5, 5_000, id="half a core, by quota"),
    ],
)
def test_calls_by_the_formula(up_ns: float, down_ns: float, cores: float, expected: float) -> None:
    assert math.isclose(calls(up_ns, down_ns, cores), expected)


def test_capacity_keeps_every_figure() -> None:
    samples = (Sample(300, 500, 700, 100), Sample(310, 1000, 1400, 100), Sample(290, 400, 500, 100))
    report = Capacity(samples, 2, is_offloading=True, seconds=3.0).build()
    assert report["up_ns"] == {"median": 500, "lowest": 400, "highest": 1000}
    assert report["calls"] == {"median": 20_000.0, "lowest": 10_000.0, "highest": 26_666.7}
    assert report["samples"] == [
        {"floor_ns": sample.floor_ns, "up_ns": sample.up_ns, "down_ns": sample.down_ns, "packets": 100}
        for sample in samples
    ]


def test_spread_is_the_middle_and_the_extremes() -> None:
    assert Spread.of([3, 1, 8]) == Spread(3, 1, 8)


def test_every_client_gets_its_packets_from_its_own_transceiver() -> None:
    order = turns(range(FLOWS))
    assert sorted(flow for _, flows in order for flow in flows) == list(range(FLOWS))
    assert all(flow % TRANSCEIVERS == at for at, flows in order for flow in flows)
    assert all(len(flows) <= CHUNK for _, flows in order)
