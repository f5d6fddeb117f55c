"""The micro benchmarks' baseline: what is compared, and when something counts as slower."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from bench.micro.baseline import (
    MARGIN,
    MARGIN_ELSEWHERE,
    Baseline,
    middle_of,
    python_version,
    ratios_of,
    read_baseline,
    slower,
    write_baseline,
)

SEAL = "test_token.py::test_seal_in_c"
OPEN = "test_token.py::test_open_in_c"
BASELINE = Baseline("AMD EPYC", python_version(), {SEAL: 0.1, OPEN: 0.2})


@pytest.mark.parametrize(
    ("fastest_s", "calls", "ratio"),
    [
        pytest.param(2e-6, 3, 0.25, id="many calls a round"),
        pytest.param(8e-5, 1, 10.0, id="one long call a round"),
        pytest.param(1.8e-7, 1, math.inf, id="one short call a round"),
    ],
)
def test_ratio_is_the_fastest_round_to_the_fastest_reference(
    fastest_s: float, calls: int, ratio: float, tmp_path: Path
) -> None:
    stats = {"min": fastest_s, "iterations": calls}
    found = {"fullname": f"bench/micro/{SEAL}", "stats": stats, "extra_info": {"reference_ns": 8000}}
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"benchmarks": [found]}))
    assert ratios_of(report) == {SEAL: pytest.approx(ratio)}


def test_baseline_is_the_median_of_the_runs() -> None:
    assert middle_of([{SEAL: 0.1}, {SEAL: 0.4}, {SEAL: 0.12}]) == {SEAL: 0.12}


@pytest.mark.parametrize(
    ("share", "is_slower"), [(1.0, False), (1.19, False), (1.21, True)], ids=["same", "within", "above"]
)
def test_benchmark_is_slower_beyond_the_margin(share: float, is_slower: bool) -> None:
    found = slower({SEAL: 0.1 * share, OPEN: 0.2}, BASELINE, MARGIN)
    assert found == ({SEAL: pytest.approx(share - 1)} if is_slower else {})


@pytest.mark.parametrize(
    ("ratios", "named"),
    [
        pytest.param({SEAL: 0.1, OPEN: 0.2, "test_token.py::test_new": 0.1}, "test_new", id="without a baseline"),
        pytest.param({SEAL: 0.1}, "test_open_in_c", id="not run"),
    ],
)
def test_benchmark_that_run_and_baseline_do_not_share_is_refused(ratios: dict[str, float], named: str) -> None:
    with pytest.raises(KeyError, match=named):
        slower(ratios, BASELINE, MARGIN)


@pytest.mark.parametrize(
    ("processor", "python", "margin"),
    [
        pytest.param("AMD EPYC", python_version(), MARGIN, id="same"),
        pytest.param("Intel Xeon", python_version(), MARGIN_ELSEWHERE, id="another processor"),
        pytest.param("AMD EPYC", "3.99", MARGIN_ELSEWHERE, id="another Python"),
    ],
)
def test_margin_is_narrow_only_where_the_baseline_was_made(processor: str, python: str, margin: float) -> None:
    assert Baseline("AMD EPYC", python, {}).margin_on(processor) == margin


def test_baseline_comes_back_from_its_file(tmp_path: Path) -> None:
    write_baseline(BASELINE, tmp_path / "baseline.json")
    assert read_baseline(tmp_path / "baseline.json") == BASELINE


def test_committed_baseline_knows_every_micro_benchmark_file() -> None:
    folder = Path(__file__).parents[2] / "bench" / "micro"
    known = {name.partition("::")[0] for name in read_baseline().ratios}
    assert known == {path.name for path in folder.glob("test_*.py")}
