"""What a comparison with other relays becomes in the report: bars, those that failed, those that were not run."""

from __future__ import annotations

import pytest

from bench.peers.catalogue import PEERS
from bench.peers.compare import FASTRELAY
from bench.peers.ring import Compared
from bench.peers.scenarios import DOWN_BARS, EFFORTS, UP_BARS, measured_of, words
from bench.report.model import Verdict
from bench.scenario import Length


def compared(go_ns: float = 2500.0) -> Compared:
    return Compared(
        samples={FASTRELAY: [400.0, 410.0], "go-single-flow": [go_ns, go_ns], "uvloop": [9000.0, 9100.0]},
        versions={"go-single-flow": "go1.25"},
        not_run={"coturn": "no package of it on this system"},
        failed={"nginx": "3 of 8,192 packets lost"},
        queued={FASTRELAY: 20, "go-single-flow": 20, "uvloop": 20},
        ended={name: {"arrived": 20, "lost": 0} for name in (FASTRELAY, "go-single-flow", "uvloop")},
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


@pytest.mark.parametrize("short", [FASTRELAY, "uvloop"])
def test_counts_that_do_not_add_up_fail_the_figure(short: str) -> None:
    found = compared()
    found.ended[short] = {"arrived": 19, "lost": 0}
    verdicts = {figure.key: figure.verdict for figure in measured_of("up", "up", found, UP_BARS).figures}
    assert verdicts["up/uvloop"] is Verdict.FAILED
    assert verdicts["up/go-single-flow"] is (Verdict.FAILED if short == FASTRELAY else Verdict.HOLDS)


def test_where_fastrelay_fell_out_every_figure_of_the_group_says_so() -> None:
    found = compared()
    found.forget(FASTRELAY)
    found.failed[FASTRELAY] = "7 packets not handled"
    figures = measured_of("up", "up", found, UP_BARS).figures
    assert {figure.key: figure.problem for figure in figures} == {
        "up/go-single-flow": "7 packets not handled",
        "up/uvloop": "7 packets not handled",
        "up/nginx": "3 of 8,192 packets lost",
    }


def test_every_figure_says_in_words_what_the_peer_is() -> None:
    figures = {figure.key: figure.what for figure in measured_of("up", "up", compared(), UP_BARS).figures}
    assert figures["up/go-single-flow"].endswith("one packet a call, a socket per flow (go1.25)")
    for name in PEERS:
        assert words(name, {}) not in ("", name)


def test_every_bar_is_about_a_peer_and_both_variants_have_the_same() -> None:
    assert {*UP_BARS, *DOWN_BARS} <= set(PEERS)
    for calls in ("single", "batch"):
        assert UP_BARS[f"go-{calls}-shared"] == UP_BARS[f"go-{calls}-flow"]


def test_every_peer_that_can_be_drained_takes_part_in_a_full_run_once() -> None:
    taking_part = [name for group in EFFORTS[Length.FULL].groups for name in group]
    assert sorted(taking_part) == sorted(name for name, make in PEERS.items() if make().has_process)
    assert set(UP_BARS) - {"nginx-js"} <= {name for group in EFFORTS[Length.STANDARD].groups for name in group}
