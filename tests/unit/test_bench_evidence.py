"""What is published: two runs that say the same or do not, files that belong together, documents that claim no more."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.catalogue import CHAPTERS
from bench.report.__main__ import main
from bench.report.agreement import IN_TURNS, Basis, Pair, build_agreement, outcome_of, pairs_of
from bench.report.claims import ClaimError, claims_of, refreshed
from bench.report.evidence import FILES, NotPublishable, contradictions, publish, why_not
from bench.report.files import RUN, write_run
from bench.report.model import Better, Figure, Run, Series, Spread
from bench.report.wording import anchor
from bench.scenario import Length
from tests.unit.bench_runs import CARD, a_run


def full(seed: int, minute: int, *, slower: float = 1.0) -> Run:
    card = replace(CARD, measured_at=f"2026-11-21T09:{minute:02}:00Z")
    return replace(a_run(seed, slower=slower, card=card), length=Length.FULL)


FIRST, SECOND = full(1, 0), full(2, 30)


def pair(first: Spread | None, second: Spread | None, basis: Basis = Basis.RATIO) -> Pair:
    return Pair("k", "w", "ns", basis, first, second)


WIDE, NARROW = Spread(1.0, 0.8, 1.2), Spread(1.15, 1.14, 1.16)


@pytest.mark.parametrize(
    ("both", "agrees"),
    [
        pytest.param(pair(WIDE, NARROW), True, id="within the first's spread"),
        pytest.param(pair(NARROW, WIDE), True, id="within the second's spread"),
        pytest.param(pair(Spread(1, 1, 1.1), Spread(1.2, 1.1, 1.3)), False, id="spreads touch, middles lie outside"),
        pytest.param(pair(Spread(1, 1, 1), Spread(1.049, 1.049, 1.049)), True, id="within the margin"),
        pytest.param(pair(Spread(1, 1, 1), Spread(1.06, 1.06, 1.06)), False, id="beyond the margin"),
        pytest.param(pair(Spread(1, 1, 1), Spread(0.94, 0.94, 0.94)), False, id="beyond it downwards"),
        pytest.param(pair(Spread(1, 1, 1), Spread(1.2, 1.2, 1.2), Basis.VALUE), True, id="a value alone may move"),
        pytest.param(pair(Spread(212, 212, 212), Spread(216, 216, 216), Basis.COUNT), False, id="a count may not"),
        pytest.param(pair(WIDE, None), False, id="failed in the second"),
        pytest.param(pair(None, None), False, id="failed in both"),
    ],
)
def test_runs_agree_within_the_spread_they_state(both: Pair, agrees: bool) -> None:
    assert both.agrees is agrees
    assert both.word() == ("agree" if agrees else "**differ**")


def test_two_runs_of_one_relay_agree_but_for_the_figure_that_failed() -> None:
    assert [each.key for each in pairs_of(FIRST, SECOND) if not each.agrees] == ["loss/missing"]


def test_a_ratio_of_no_pairs_has_the_spread_that_both_sides_allow() -> None:
    ours, theirs = Series("fastrelay", (90.0, 100.0, 110.0)), Series("aiortc", (2.0, 2.5, 4.0))
    alone = Figure(key="k", what="w", unit="calls", value=ours, floor=theirs)
    run = replace(FIRST, sections=(replace(FIRST.sections[0], figures=(alone,)),))
    (both,) = pairs_of(run, run)
    assert both.first == Spread(40.0, 22.5, 55.0)


def test_a_floor_of_zero_leaves_the_value_to_agree_on() -> None:
    lost = Figure(key="k", what="w", unit="packets", value=Series("us", (3.0, 4.0)), floor=Series("quiet", (0.0, 0.0)))
    run = replace(FIRST, sections=(replace(FIRST.sections[0], figures=(lost,)),))
    (both,) = pairs_of(run, run)
    assert (both.basis, both.agrees) == (Basis.VALUE, True)


def test_a_slower_relay_does_not_agree() -> None:
    apart = [each for each in pairs_of(FIRST, full(2, 30, slower=1.3)) if not each.agrees]
    assert len([each for each in apart if each.basis is Basis.RATIO]) == 3


def test_the_page_names_every_figure_and_what_differs() -> None:
    text = build_agreement(FIRST, SECOND)
    assert text.startswith(f"# {outcome_of(pairs_of(FIRST, SECOND))}\n")
    assert "# Two runs agree on 4 of 4 ratios, 1 of 2 values, 1 of 1 counts" in text
    for figure in FIRST.figures():
        assert f"(summary.md#{anchor(figure.key)})" in text
    assert "| failed | failed |  | **differ** |" in text


@pytest.mark.parametrize(("minute", "took_turns"), [(2, True), (10, True), (11, False)])
def test_the_page_says_whether_the_runs_took_turns(minute: int, took_turns: bool) -> None:
    assert FIRST.elapsed_s == pytest.approx(10.2 * 60, abs=1)
    assert (IN_TURNS in build_agreement(FIRST, full(2, minute))) is took_turns


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (replace(FIRST, length=Length.STANDARD), SECOND, "first run is a standard one"),
        (FIRST, replace(SECOND, length=Length.STANDARD), "second run is a standard one, it has to be a full one"),
        (FIRST, replace(SECOND, length=Length.SHORT), "second run is a short one"),
        (FIRST, replace(SECOND, card=replace(SECOND.card, is_dirty=True)), "second run is of no commit"),
        (FIRST, replace(SECOND, card=replace(SECOND.card, commit="1f3c55ab9e01")), "of two commits"),
        (FIRST, replace(SECOND, card=replace(SECOND.card, kernel="6.1")), "of two machines"),
        (FIRST, FIRST, "one and the same run"),
    ],
)
def test_runs_that_say_nothing_about_a_commit_are_not_published(
    first: Run, second: Run, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(NotPublishable, match=reason):
        publish(first, second, tmp_path / "evidence")
    assert not (tmp_path / "evidence").exists()


def test_a_run_of_some_chapters_is_not_published(tmp_path: Path) -> None:
    chapters = [section.key for section in FIRST.sections]
    with pytest.raises(NotPublishable, match="the run of 2026-11-21T09:00:00Z has not hop, peers; the run of"):
        publish(FIRST, SECOND, tmp_path / "evidence", [*chapters, "peers", "hop"])
    publish(FIRST, SECOND, tmp_path / "evidence", chapters)


def test_two_full_runs_are_published_without_a_reason_against_it() -> None:
    assert why_not(FIRST, SECOND) == []


def test_a_second_full_run_is_asked_for_everything_and_a_shorter_one_that_is_compared_for_what_it_has() -> None:
    fewer = replace(SECOND, sections=SECOND.sections[:1])
    assert len(pairs_of(FIRST, fewer)) == len(list(FIRST.figures()))
    shorter = replace(fewer, length=Length.STANDARD)
    assert [pair.key for pair in pairs_of(FIRST, shorter)] == [figure.key for figure in fewer.figures()]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("evidence")
    publish(FIRST, SECOND, folder)
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def evidence(published: dict[str, str], tmp_path: Path) -> Path:
    (tmp_path / "charts").mkdir()
    for name, text in published.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_what_is_published_belongs_together(evidence: Path) -> None:
    assert sorted(path.name for path in evidence.iterdir()) == sorted([*FILES, "charts"])
    assert contradictions(evidence) == []


def other_run(folder: Path) -> None:
    write_run(full(3, 45), folder / RUN)


def edited(name: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return edit


CHART = "charts/beside-up-ns.svg"


@pytest.mark.parametrize(
    ("spoil", "complaints"),
    [
        pytest.param(other_run, 3, id="another run"),
        pytest.param(edited("summary.md", "holds", "wins"), 1, id="summary edited"),
        pytest.param(edited("agreement.md", "agree", "differ"), 1, id="agreement edited"),
        pytest.param(edited("report.html", "json;base64,", "json;base64,AAAA"), 1, id="raw data of the page edited"),
        pytest.param(edited("report.html", ">missed<", ">holds<"), 1, id="what the page says edited"),
        pytest.param(edited("run-again.json", '"verdict": "failed"', '"verdict": "holds"'), 1, id="second run edited"),
        pytest.param(lambda folder: (folder / "run-again.json").unlink(), 1, id="second run gone"),
        pytest.param(edited("report.html", "<figcaption>", "<figcaption>Not "), 1, id="words below a picture edited"),
        pytest.param(lambda folder: (folder / CHART).unlink(), 1, id="a chart gone"),
        pytest.param(lambda folder: (folder / CHART).rename(folder / "charts" / "old.svg"), 2, id="a chart renamed"),
        pytest.param(lambda folder: (folder / "charts" / "old.svg").touch(), 1, id="a chart that nothing shows"),
        pytest.param(lambda folder: shutil.rmtree(folder / "charts"), 5, id="no charts at all"),
    ],
)
def test_what_does_not_belong_is_found(evidence: Path, spoil: Callable[[Path], None], complaints: int) -> None:
    spoil(evidence)
    assert len(contradictions(evidence)) == complaints


def test_charts_that_another_library_draws_otherwise_belong_to_the_rest(evidence: Path) -> None:
    edited(CHART, "translate(", "translate( ")(evidence)
    edited("report.html", "<path ", "<path  ")(evidence)
    assert contradictions(evidence) == []


def test_what_is_drawn_again_belongs_together_again(evidence: Path) -> None:
    (evidence / CHART).rename(evidence / "charts" / "old.svg")
    (evidence / "summary.md").write_text("")
    assert CliRunner().invoke(main, ["redraw", "--out", str(evidence)]).exit_code == 0
    assert contradictions(evidence) == []


LINK = 'It costs [{}](docs/evidence/summary.md#fig-up-256-forwarder "{}") of it.\n'


@pytest.mark.parametrize(
    ("form", "should_be"), [("ratio", "0.294 ×"), ("value", "952 ns"), ("floor", "3,225 ns"), ("times", "3.4 times")]
)
def test_a_claim_says_what_its_figure_says(form: str, should_be: str) -> None:
    (claim,) = claims_of(LINK.format("nothing", form), FIRST)
    assert (claim.should_be, claim.is_true) == (should_be, False)
    told = refreshed(LINK.format("nothing", form), FIRST)
    assert told == LINK.format(should_be, form)
    assert claims_of(told, FIRST)[0].is_true


def test_whoever_is_worse_is_not_told_as_times_better() -> None:
    ours, theirs = Series("fastrelay", (90.0,)), Series("peer", (100.0,))
    worse = Figure(key="k", what="w", unit="packets/CPU ms", better=Better.HIGHER, value=ours, floor=theirs)
    for better, should_be in ((Better.HIGHER, "0.9 times"), (Better.LOWER, "1.1 times")):
        run = replace(FIRST, sections=(replace(FIRST.sections[0], figures=(replace(worse, better=better),)),))
        (claim,) = claims_of('[1](docs/evidence/summary.md#fig-k "times")', run)
        assert claim.should_be == should_be


@pytest.mark.parametrize(
    ("link", "complaint"),
    [
        ('[1](docs/evidence/summary.md#fig-none "ratio")', "line 1: the run has no figure #fig-none"),
        ("\n[1](docs/evidence/summary.md#fig-up-256-forwarder)", "line 2: .* says None"),
        ('[1](docs/evidence/summary.md#fig-instructions-up-160 "times")', "has no ratio"),
        ('[1](docs/evidence/summary.md#fig-instructions-up-160 "ratio")', "has no ratio"),
        ('[1](docs/evidence/summary.md#fig-instructions-up-160 "floor")', "has no floor"),
    ],
)
def test_a_claim_that_nothing_bears_out_is_refused(link: str, complaint: str) -> None:
    with pytest.raises(ClaimError, match=complaint):
        claims_of(link, FIRST)


def test_a_figure_that_failed_is_claimed_as_such() -> None:
    (claim,) = claims_of('[0](docs/evidence/summary.md#fig-loss-missing "value")', FIRST)
    assert claim.should_be == "failed to measure"


def test_the_outcome_can_be_claimed() -> None:
    (claim,) = claims_of("[all](docs/evidence/summary.md#outcome)", FIRST)
    assert claim.should_be == "5 of 7 bars hold, 1 missed, 1 failed to measure"


def test_documents_are_checked_and_written_by_command(evidence: Path) -> None:
    document = evidence / "README.md"
    document.write_text(LINK.format("0.1 ×", "ratio"))
    arguments = ["claims", "--run", str(evidence / RUN), str(document)]
    stale = CliRunner().invoke(main, arguments)
    assert stale.exit_code == 1
    assert "README.md:1: 0.1 ×  ->  0.294 ×  #fig-up-256-forwarder" in stale.output
    assert CliRunner().invoke(main, [*arguments, "--write"]).exit_code == 0
    assert document.read_text() == LINK.format("0.294 ×", "ratio")
    assert CliRunner().invoke(main, arguments).exit_code == 0


def test_runs_are_published_by_command(evidence: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    has = {section.key for section in FIRST.sections}
    monkeypatch.setattr("bench.report.__main__.CHAPTERS", [each for each in CHAPTERS if each.key in has])
    runs = [str(evidence / RUN), str(evidence / "run-again.json")]
    folder = tmp_path / "again"
    done = CliRunner().invoke(main, ["publish", *runs, "--out", str(folder)])
    assert done.exit_code == 0
    assert contradictions(folder) == []
    refused = CliRunner().invoke(main, ["publish", runs[0], runs[0], "--out", str(tmp_path / "none")])
    assert refused.exit_code == 2
    assert "one and the same run" in refused.output


def test_comparison_says_what_agrees(evidence: Path) -> None:
    done = CliRunner().invoke(main, ["compare", str(evidence / RUN), str(evidence / "run-again.json")])
    assert done.exit_code == 0
    assert "Two runs agree on 4 of 4 ratios" in done.output
