"""What is measured with the load generator, at its smallest: each function returns samples beside a floor, and accounts
that add up. The figures themselves mean nothing here, since other tests share the machine.
"""

from __future__ import annotations

from bench.load.callers.before import Fastrelay
from bench.load.callers.beside_peers import measure_beside_peers
from bench.load.callers.hop import PERCENTILES, SHARES, HopEffort, measure_hop
from bench.load.callers.proof import ProofEffort, prove_generator
from bench.load.callers.shape import Shape
from bench.peers.peer import NotRun
from bench.peers.recipes import PythonRelay
from bench.peers.running import free_port
from bench.report.measured import Measured


class Absent(PythonRelay):
    """A relay that this machine cannot run."""

    name = "absent"

    def prepare(self) -> str:
        raise NotRun("no package of it")


def nothing() -> None: ...


def shape(calls: int) -> Shape:
    return Shape(calls, client_port=free_port(23000, 23400), transceiver_port=free_port(23500, 23900))


def assert_accounts_add_up(measured: Measured) -> None:
    for figure in measured.figures:
        assert all(account.adds_up for account in figure.accounts), figure.key


def test_generator_is_measured_beside_a_bare_loop() -> None:
    measured = prove_generator(ProofEffort(rounds=2, packets=640, talk_ms=50), nothing, shape(200))
    figures = {figure.key: figure for figure in measured.figures}
    assert set(figures) == {f"generator/{part}" for part in ("rate", "rate-cpu", "late-p99", "error-p99", "direct-p99")}
    ratios = figures["generator/rate"].ratios()
    assert len(ratios) == 2
    assert all(ratio > 0 for ratio in ratios)
    assert_accounts_add_up(measured)


def test_hop_has_every_percentile_at_every_load_beside_no_relay() -> None:
    measured = measure_hop(Fastrelay(), HopEffort(rounds=2, talk_ms=50, trial_ms=50), nothing, shape(100))
    _, *hops = measured.figures
    assert len(hops) == len(SHARES) * len(PERCENTILES)
    assert measured.data["saturation_pps"][0] == 0 or all(len(hop.value.samples) == 2 for hop in hops if hop.value)
    assert all(len(hop.ratios()) == 2 for hop in hops if hop.floor)
    assert_accounts_add_up(measured)


def test_hop_stands_beside_each_peer_at_two_rates_and_one_that_is_missing_is_named() -> None:
    measured = measure_beside_peers(HopEffort(rounds=2, talk_ms=50, trial_ms=50), nothing, [PythonRelay(), Absent()])
    figures = {figure.key.removeprefix("hop-peers/"): figure for figure in measured.figures}
    assert measured.not_run == {"absent": "no package of it"}
    assert set(figures) == {
        *("saturation-fastrelay", "saturation-fastrelay-up", "saturation-asyncio"),
        *("own-asyncio", "same-asyncio"),
    }
    for name in ("own-asyncio", "same-asyncio"):
        assert len(figures[name].ratios()) == 2
    assert_accounts_add_up(measured)
