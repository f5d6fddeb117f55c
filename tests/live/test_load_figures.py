"""What is measured with the load generator, at its smallest: each function returns samples beside a floor, and accounts
that add up. The figures themselves mean nothing here, since other tests share the machine.
"""

from __future__ import annotations

from dataclasses import replace

from bench.load.callers.before import Direct, Fastrelay, Forwarder
from bench.load.callers.curves import CurveEffort, flows_curve, storm, transceivers_curve
from bench.load.callers.hop import PERCENTILES, SHARES, HopEffort, measure_hop
from bench.load.callers.proof import ProofEffort, prove_generator
from bench.load.callers.shape import Shape
from bench.peers.running import free_port
from bench.report.measured import Measured

EFFORT = CurveEffort(rounds=2, talk_ms=50, rate=2000)


def nothing() -> None: ...


def shape(calls: int) -> Shape:
    return Shape(calls, client_port=free_port(23000, 23400), transceiver_port=free_port(23500, 23900))


def assert_accounts_add_up(measured: Measured) -> None:
    for figure in measured.figures:
        assert all(account.adds_up for account in figure.accounts), figure.key


def test_generator_is_measured_beside_a_bare_loop() -> None:
    measured = prove_generator(ProofEffort(rounds=2, packets=640, talk_ms=50), nothing, shape(200))
    figures = {figure.key: figure for figure in measured.figures}
    assert set(figures) == {"generator-rate", "generator-late-p99", "generator-error-p99"}
    ratios = figures["generator-rate"].ratios()
    assert len(ratios) == 2
    assert all(ratio > 0 for ratio in ratios)
    assert_accounts_add_up(measured)


def test_hop_has_every_percentile_at_every_load_beside_no_relay() -> None:
    measured = measure_hop(Fastrelay(), HopEffort(rounds=2, talk_ms=50, trial_ms=50), nothing, shape(100))
    hops = [figure for figure in measured.figures if figure.key.startswith("hop-")]
    assert len(hops) == len(SHARES) * len(PERCENTILES)
    assert measured.data["saturation_pps"][0] == 0 or all(len(hop.ratios()) == 2 for hop in hops)
    assert_accounts_add_up(measured)


def test_flows_cost_memory_and_every_point_has_its_floor() -> None:
    measured = flows_curve(Fastrelay, Forwarder, EFFORT, nothing, (10, 1000))
    *points, memory = measured.figures
    assert [len(point.ratios()) for point in points] == [2, 2]
    assert [line.x for line in measured.curves[0].lines] == [(10, 1000)] * 2
    spread = memory.spread()
    assert spread is not None
    assert 0 < spread.middle < 4096
    assert_accounts_add_up(measured)


def test_transceivers_have_addresses_beyond_one_byte() -> None:
    measured = transceivers_curve(Fastrelay, Forwarder, replace(EFFORT, rate=20_000), nothing, (256,))
    sent = next(account for account in measured.figures[0].accounts if account.what == "packets sent")
    assert 0 < sent.put_in == sent.ended["arrived"]


def test_storm_finds_a_rate_with_and_without_a_relay() -> None:
    measured = storm(Fastrelay, CurveEffort(rounds=1, talk_ms=0, rate=0), nothing, calls=400)
    (figure,) = measured.figures
    assert figure.value is not None
    assert figure.floor is not None
    assert figure.floor.name == Direct.name
