"""What a comparison with other relays becomes in the report: bars, those that failed, those that were not run."""

from __future__ import annotations

import pytest

from bench.load.failure import BenchFailure
from bench.peers.catalogue import PEERS
from bench.peers.compare import FASTRELAY
from bench.peers.ring import Compared
from bench.peers.scenarios import DOWN_BARS, UP_BARS, measured_of
from bench.report.model import Verdict


def compared(go_ns: float = 2500.0) -> Compared:
    return Compared(
        samples={FASTRELAY: [400.0, 410.0], "go-single-flow": [go_ns, go_ns], "uvloop": [9000.0, 9100.0]},
        versions={"go-single-flow": "go1.25"},
        not_run={"coturn": "no package of it on this system"},
        failed={"nginx": "3 of 8,192 packets lost"},
    )


@pytest.mark.parametrize(
    ("go_ns", "verdict"), [(2500.0, Verdict.HOLDS), (1900.0, Verdict.MISSED)], ids=["six times", "less than five times"]
)
def test_the_bar_is_how_many_times_a_peers_packets_we_carry(go_ns: float, verdict: Verdict) -> None:
    figures = {figure.key: figure for figure in measured_of("up", "up", compared(go_ns), UP_BARS).figures}
    assert figures["up/go-single-flow"].verdict is verdict
    assert figures["up/uvloop"].verdict is Verdict.REPORTED


def test_a_peer_that_failed_is_failed_and_one_that_is_missing_is_named() -> None:
    measured = measured_of("up", "up", compared(), UP_BARS)
    assert {figure.key: figure.verdict for figure in measured.figures}["up/nginx"] is Verdict.FAILED
    assert measured.not_run == {"coturn": "no package of it on this system"}
    assert measured.versions == {"go-single-flow": "go1.25"}


def test_without_fastrelay_there_is_nothing_to_say() -> None:
    with pytest.raises(BenchFailure, match="no part"):
        measured_of("up", "up", Compared(), UP_BARS)


def test_every_bar_is_about_a_peer() -> None:
    assert {*UP_BARS, *DOWN_BARS} <= set(PEERS)
