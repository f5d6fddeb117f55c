"""What a run leaves behind: raw data that can be read again and checked, a page that needs nothing else, a summary."""

from __future__ import annotations

import io
import json
import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console
from rich.progress import Progress

from bench.__main__ import main
from bench.attempt import attempt
from bench.catalogue import ALL, CHAPTERS, Chapter, wanted
from bench.load.failure import BenchFailure
from bench.report.files import PAGE, SUMMARY, RunFileError, build, read_run, write_run
from bench.report.folder import misplaced_charts, show_in
from bench.report.gallery import gallery_of
from bench.report.measured import Measured
from bench.report.model import Account, Bar, Better, Figure, Of, Run, Series, Verdict
from bench.report.summary import build_summary
from bench.report.table import show
from bench.report.wording import number, outcome
from bench.run import folder_of, leave, measure
from bench.scenario import Length, Scenario, Step
from tests.unit.bench_runs import a_run

GOLDEN = Path(__file__).parents[1] / "data" / "bench"
VOID_ELEMENTS = {"meta", "br", "img", "hr", "link", "input"}


@pytest.fixture(scope="module")
def golden() -> Run:
    return read_run(GOLDEN / "run.json")


def page_of(run: Run, folder: Path) -> str:
    show_in(folder, run)
    return (folder / PAGE).read_text()


@pytest.fixture(scope="module")
def page(golden: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    return page_of(golden, tmp_path_factory.mktemp("golden"))


class Reader(HTMLParser):
    """Elements that are opened and closed in order, what they refer to, and their names."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "xlink:href", "action", "poster"}:
                self.references.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID_ELEMENTS:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


def test_the_golden_run_is_what_is_built_today(golden: Run) -> None:
    assert golden == a_run(1)
    assert json.loads((GOLDEN / "run.json").read_text()) == json.loads(json.dumps(build(golden)))


def test_the_golden_run_gives_its_summary(golden: Run) -> None:
    assert build_summary(golden) == (GOLDEN / "summary.md").read_text()


def test_the_page_is_well_formed(read: Reader) -> None:
    assert read.open == []
    assert len(read.ids) == len(set(read.ids))


def test_the_page_needs_nothing_else(page: str, read: Reader) -> None:
    assert [each for each in read.references if not each.startswith(("#", "data:"))] == []
    assert re.findall(r'url\((?!"data:|#)', page) == []
    assert "@import" not in page
    assert "<script" not in page


def test_what_could_not_be_run_is_named(golden: Run, read: Reader) -> None:
    assert "no package of it on this system" in "\n".join(read.text)
    assert "- rtpengine: not run here, no package of it on this system" in build_summary(golden).splitlines()


def test_every_link_of_the_page_leads_somewhere(read: Reader) -> None:
    assert {each[1:] for each in read.references if each.startswith("#")} <= set(read.ids)


def test_the_page_shows_every_figure_with_its_verdict(golden: Run, read: Reader) -> None:
    text = "\n".join(read.text)
    for figure in golden.figures():
        assert figure.what in text
    assert text.count("missed") >= 2
    assert "1,000 ≠ 988 arrived + 2 lost at the relay" in text


def test_the_page_shows_every_sample(golden: Run, read: Reader) -> None:
    shown = set("\n".join(read.text).split())
    for figure in golden.figures():
        for series in (figure.value, figure.floor):
            assert {number(sample) for sample in (series.samples if series else ())} <= shown


def test_a_failed_figure_shows_no_number(golden: Run) -> None:
    (line,) = (line for line in build_summary(golden).splitlines() if "loss at 70 %" in line and "|" in line)
    assert line == '| <a id="fig-loss-missing"></a>loss at 70 % of saturation |  |  |  | ≤ 0 packets | **failed** |'


def test_a_failed_figure_counts_among_the_bars(golden: Run) -> None:
    assert outcome(golden) == "5 of 7 bars hold, 1 missed, 1 failed to measure"


def test_text_of_a_run_is_no_markup(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    run = a_run(1)
    section = replace(run.sections[0], title=hostile, lead=hostile, key="a&b")
    figure = replace(section.figures[0], what=hostile, note=hostile)
    run = replace(run, sections=(replace(section, figures=(figure,)),), card=replace(run.card, processor=hostile))
    assert "<script" not in page_of(run, tmp_path)


def test_a_short_or_dirty_run_says_so(tmp_path: Path) -> None:
    run = replace(a_run(1), length=Length.SHORT, card=replace(a_run(1).card, is_dirty=True))
    text = page_of(run, tmp_path)
    assert "its figures are no result" in text
    assert "differed from the commit" in text
    assert "no result" in build_summary(run)


def test_a_run_survives_its_file(tmp_path: Path) -> None:
    write_run(a_run(3), tmp_path / "run.json")
    assert read_run(tmp_path / "run.json") == a_run(3)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_floor_of_zero_in_one_round_costs_no_other_figure(tmp_path: Path) -> None:
    nothing = figure(floor=Series("quiet", (2.0, 0.0, 3.0)), is_paired=True)
    run = replace(a_run(1), sections=(replace(a_run(1).sections[0], figures=(nothing,)),))
    write_run(run, tmp_path / "run.json")
    assert read_run(tmp_path / "run.json").figures()[0].ratio() is None


def edited(change: Callable[[Any], object]) -> str:
    content = json.loads((GOLDEN / "run.json").read_text())
    change(content)
    return json.dumps(content)


def first(content: Any) -> Any:
    return content["sections"][0]["figures"][0]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("", "is no JSON", id="empty"),
        pytest.param("{", "is no JSON", id="cut"),
        pytest.param("[" * 100_000, "is no JSON", id="deep"),
        pytest.param('{"kind": NaN}', "NaN is no number", id="not a number"),
        pytest.param("[]", "not a run of these benchmarks", id="a list"),
        pytest.param('{"card": {}, "rows": []}', "not a run of these benchmarks", id="the format before"),
        pytest.param(edited(lambda run: run.update(schema=2)), "schema 2, and this harness reads 1", id="newer"),
        pytest.param(edited(lambda run: run.pop("card")), "card: missing", id="without a card"),
        pytest.param(edited(lambda run: run.update(more=1)), "more: unknown", id="unknown key"),
        pytest.param(edited(lambda run: run.update(sections={})), "sections: a list is wanted", id="no list"),
        pytest.param(edited(lambda run: run["sections"].append(1)), "sections[3]: an object", id="no section"),
        pytest.param(
            edited(lambda run: first(run)["value"].update(samples=["a"])),
            "sections[0].figures[0].value.samples[0]: a number is wanted, not 'a'",
            id="a sample is text",
        ),
        pytest.param(edited(lambda run: first(run).update(is_exact=1)), "true or false is wanted", id="1 for true"),
        pytest.param(edited(lambda run: first(run).update(better="worse")), "is none of lower, higher", id="enum"),
        pytest.param(
            edited(lambda run: first(run)["floor"]["samples"].pop()), "9 samples beside 8", id="a pair torn apart"
        ),
        pytest.param(
            edited(lambda run: run["sections"][2]["figures"][2]["derived"].update(verdict="holds")),
            "its samples do not say",
            id="a verdict that the counts deny",
        ),
        pytest.param(edited(lambda run: first(run)["value"]["samples"].reverse()), "do not say", id="samples edited"),
        pytest.param(edited(lambda run: run.update(verdict="holds")), "the figures say 'failed'", id="run's verdict"),
        pytest.param(
            edited(lambda run: run["sections"][0]["figures"].append(first(run))), "two figures", id="a key twice"
        ),
    ],
)
def test_a_file_that_is_no_run_is_refused_by_name(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "odd.json"
    path.write_text(text)
    with pytest.raises(RunFileError, match=re.escape(complaint)) as caught:
        read_run(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(RunFileError, match=r"none\.json: No such file"):
        read_run(tmp_path / "none.json")


def figure(**changes: Any) -> Figure:
    return replace(Figure(key="k", what="w", unit="ns", value=Series("us", (4.0, 5.0, 9.0))), **changes)


@pytest.mark.parametrize(
    ("judged", "verdict"),
    [
        pytest.param(figure(), Verdict.REPORTED, id="without a bar"),
        pytest.param(figure(bar=Bar(5)), Verdict.HOLDS, id="at the bar"),
        pytest.param(figure(bar=Bar(4.9)), Verdict.MISSED, id="above"),
        pytest.param(figure(bar=Bar(5), better=Better.HIGHER), Verdict.HOLDS, id="high enough"),
        pytest.param(figure(bar=Bar(5.1), better=Better.HIGHER), Verdict.MISSED, id="not high enough"),
        pytest.param(figure(bar=Bar(8.9), percent=100), Verdict.MISSED, id="another percentile"),
        pytest.param(figure(bar=Bar(2, Of.RATIO), floor=Series("c", (2.0, 5.0, 3.0)), is_paired=True), Verdict.HOLDS,
                     id="median of the pairs' ratios"),
        pytest.param(figure(bar=Bar(2, Of.RATIO)), Verdict.FAILED, id="no floor to stand beside"),
        pytest.param(figure(value=None), Verdict.FAILED, id="nothing measured"),
        pytest.param(figure(value=Series("us", ())), Verdict.FAILED, id="no sample"),
        pytest.param(figure(bar=Bar(5), problem="no root"), Verdict.FAILED, id="a problem"),
        pytest.param(figure(accounts=(Account("sent", 3, {"arrived": 2}),)), Verdict.FAILED, id="one packet gone"),
        pytest.param(figure(accounts=(Account("sent", 3, {"arrived": 4, "lost": -1}),)), Verdict.FAILED, id="negative"),
        pytest.param(figure(accounts=(Account("sent", 3, {"arrived": 2, "lost": 1}),)), Verdict.REPORTED, id="adds up"),
    ],
)  # fmt: skip
def test_the_verdict_follows_from_samples_bar_and_accounts(judged: Figure, verdict: Verdict) -> None:
    assert judged.verdict is verdict


def test_every_scenario_is_in_one_chapter_of_the_report() -> None:
    assert len(ALL) == len(set(ALL))
    assert len({chapter.key for chapter in CHAPTERS}) == len(CHAPTERS)


def chapter(*scenarios: Callable[[], Measured]) -> Chapter:
    def scenario(given: Callable[[], Measured]) -> Scenario:
        def stepped(_: Length, step: Step) -> Measured:
            step()
            return given()

        return Scenario("what", lambda _: 1, stepped)

    named = {f"s{at}": scenario(each) for at, each in enumerate(scenarios)}
    return Chapter("relay", "up", "The way up", "Packets.", "Much.", "More.", (1, 1), named)


def breaks() -> Measured:
    raise BenchFailure("no receive buffer")


def test_a_scenario_that_fails_leaves_its_place_and_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = chapter(breaks, lambda: Measured([figure(bar=Bar(5))], {"along": [1]}))
    monkeypatch.setattr("bench.run.CHAPTERS", (given,))
    with Progress(console=Console(quiet=True)) as progress:
        (run,) = measure(given.scenarios, Length.SHORT, progress)
    assert [each.verdict for each in run.figures()] == [Verdict.FAILED, Verdict.HOLDS]
    assert run.figures()[0].failures() == ["no receive buffer"]
    assert run.verdict is Verdict.FAILED
    left = leave(run, tmp_path)
    assert read_run(left.run) == run
    assert "no receive buffer" in left.page.read_text()
    assert "no receive buffer" in left.summary.read_text()
    assert (tmp_path / "charts" / "glance-1.svg").is_file()


def crashes() -> Measured:
    raise KeyError("a mistake of the harness")


def hangs() -> Measured:
    signal.pause()
    raise AssertionError


def leaves_without_a_word() -> Measured:
    os._exit(7)


@pytest.mark.parametrize(
    ("scenario", "complaint"),
    [(crashes, "exit code 1;"), (leaves_without_a_word, "exit code 7;"), (hangs, "not done after 0.3 s")],
)
def test_a_scenario_that_breaks_or_hangs_costs_a_run_that_scenario(
    scenario: Callable[[], Measured], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.attempt.PARTING_S", 0.0)
    (stepped,) = chapter(scenario).scenarios.values()
    with Progress(console=Console(quiet=True), auto_refresh=False) as progress:
        measured = attempt("s", stepped, Length.SHORT, progress, limit_s=0.3)
    (left,) = measured.figures
    assert left.verdict is Verdict.FAILED
    assert complaint in left.problem


def test_a_standard_run_has_what_is_only_in_a_full_run_when_asked_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    quick, rare = (Scenario(name, lambda _: 1, lambda *_: Measured([])) for name in ("quick", "rare"))
    of_relay = replace(chapter(), scenarios={"quick": quick, "rare": replace(rare, is_only_full=True)})
    monkeypatch.setattr(
        "bench.catalogue.CHAPTERS", (of_relay, replace(of_relay, part="calls", scenarios={"call": quick}))
    )
    assert wanted(Length.STANDARD, [], []) == ["quick", "call"]
    assert wanted(Length.FULL, [], []) == ["quick", "rare", "call"]
    assert wanted(Length.STANDARD, ["relay"], []) == ["quick"]
    assert wanted(Length.STANDARD, ["calls"], ["rare"]) == ["rare", "call"]


def test_what_was_left_out_is_named_in_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    scenarios = {"s": Scenario("common", lambda _: 1, lambda *_: Measured([figure()]))}
    scenarios["r"] = Scenario("every curve", lambda _: 1, lambda *_: Measured([]), is_only_full=True)
    monkeypatch.setattr("bench.run.CHAPTERS", (replace(chapter(), scenarios=scenarios),))
    with Progress(console=Console(quiet=True), auto_refresh=False) as progress:
        (run,) = measure(["s"], Length.STANDARD, progress)
    assert run.sections[0].not_run == {"every curve": "only in make bench-full"}


def test_a_second_run_of_a_commit_does_not_take_the_place_of_the_first(tmp_path: Path) -> None:
    card = a_run(1).card
    folders = []
    for _ in range(3):
        folders.append(folder_of(card, tmp_path))
        folders[-1].mkdir()
        (folders[-1] / "run.json").touch()
    assert [folder.name for folder in folders] == [card.commit, f"{card.commit}-2", f"{card.commit}-3"]
    assert folder_of(replace(card, is_dirty=True), tmp_path).name == f"{card.commit}-dirty"


def test_scenarios_can_be_listed() -> None:
    listed = CliRunner().invoke(main, ["--list"]).output
    assert set(ALL) <= set(listed.split())


def test_a_run_is_shown_again_from_its_file(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--from", str(GOLDEN / "run.json"), "--out", str(tmp_path)])
    assert done.exit_code == 2  # its counts do not add up
    assert "up, 4,096 flows" in done.output
    assert (tmp_path / SUMMARY).read_text() == (GOLDEN / "summary.md").read_text()
    assert (tmp_path / PAGE).stat().st_size > 50_000
    assert misplaced_charts(tmp_path, gallery_of(a_run(1))) == []


def test_a_missed_bar_is_told_from_a_crash_by_its_exit_code(tmp_path: Path) -> None:
    write_run(replace(a_run(1), sections=a_run(1).sections[:1]), tmp_path / "run.json")
    assert CliRunner().invoke(main, ["--from", str(tmp_path / "run.json")]).exit_code == 3


def test_a_file_that_cannot_be_shown_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--from", str(tmp_path / "none.json")])
    assert done.exit_code == 2
    assert "No such file" in done.output


def test_the_terminal_names_every_figure(golden: Run) -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    show(golden, console)
    text = console.export_text()
    for each in golden.figures():
        assert each.what in text
    assert "12 packets" not in text  # of a figure that has failed
