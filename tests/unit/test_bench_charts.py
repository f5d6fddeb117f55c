"""What a report draws: the same bytes each time, bars as long as what they are named for, nothing twice, files that
stand alone."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.report.charts import draw
from bench.report.colours import DARK, LETTERS, LIGHT, STYLE, letters, palettes
from bench.report.folder import misplaced_charts, show_in
from bench.report.gallery import GROWTH_CAPTION, Chart, gallery_of
from bench.report.model import Curve, Figure, Line, Run, Series
from bench.report.summary import build_summary
from bench.report.svg import VARIABLES, alone
from bench.report.wording import capital, outcome, plain, sentence, slug
from tests.unit.bench_runs import a_run

GOLDEN = a_run(1)
SVG = "{http://www.w3.org/2000/svg}"


def run_of(*figures: Figure) -> Run:
    return replace(GOLDEN, sections=(replace(GOLDEN.sections[0], figures=figures),))


def charts(*figures: Figure) -> list[Chart]:
    return gallery_of(run_of(*figures)).sections["up"]


def drawn(*figures: Figure) -> str:
    (drawing,) = draw(charts(*figures)).values()
    return drawing.content


def figure(what: str, samples: tuple[float, ...], *, percent: float = 50.0, floor: Series | None = None) -> Figure:
    return Figure(key=what, what=what, unit="ns", value=Series("us", samples), percent=percent, floor=floor)


@pytest.mark.parametrize("run", [GOLDEN, replace(GOLDEN, sections=())], ids=["figures", "nothing measured"])
def test_charts_are_the_same_bytes_each_time(run: Run) -> None:
    assert draw(gallery_of(run)) == draw(gallery_of(run))


def test_nothing_lost_beside_nothing_lost_is_no_picture() -> None:
    nothing = figure("lost", (0.0, 0.0), floor=Series("quiet", (0.0, 0.0)))
    assert charts(nothing) == []
    assert outcome(run_of(nothing)) == "Measured; no bar was set for any of this"


def test_a_bar_of_a_percentile_is_as_long_as_that() -> None:
    text = drawn(figure("at worst", (4.0, 5.0, 77.0), percent=100.0, floor=Series("floor", (1.0, 1.0))))
    assert ">77<" in text
    assert ">5<" not in text


def test_what_has_the_same_floor_as_another_has_it_below_its_own_bar() -> None:
    floor = Series("the other", (1.0,))
    assert drawn(figure("one", (2.0,), floor=floor), figure("two", (3.0,), floor=floor)).count(">the other<") == 2


def test_scenarios_that_do_not_fit_into_one_chart_have_one_each() -> None:
    floor = Series("floor", (1.0,))
    many = [
        Figure(key=f"{part}/{at}", what=f"{part} {at}", unit="ms", value=Series(str(at), (1.0,)), floor=floor)
        for part in ("up-set-up", "silence")
        for at in range(9)
    ]
    # by name, and without the section's own key in it
    assert [chart.title for chart in charts(*many)] == ["The way up: silence, ms", "The way up: set-up, ms"]
    assert [chart.key for chart in charts(*many)] == ["beside-silence-ms", "beside-up-set-up-ms"]
    assert [chart.key for chart in charts(*many[6:12])] == ["beside-up-ms"]


def test_percentiles_of_the_same_samples_are_one_distribution() -> None:
    many = tuple(float(each) for each in range(50))
    found = charts(figure("p50", many), figure("p99", many, percent=99.0), figure("other", many[1:]))
    assert [chart.title for chart in found] == ["P50", "Other"]


def ticks(text: str) -> list[str]:
    """The numbers below a drawing."""
    axis, _, _ = text.partition('id="matplotlib.axis_2"')
    return re.findall(r">([\d.,]+)</text>", axis)


@pytest.mark.parametrize(
    ("factor", "numbers"),
    [
        (1, ["0", "20", "40"]),
        (1_800, ["0", "20,000", "40,000", "60,000", "80,000"]),
        (36_000, ["0", "500,000", "1,000,000", "1,500,000"]),
    ],
)
def test_long_numbers_below_a_distribution_are_fewer(factor: int, numbers: list[str]) -> None:
    assert ticks(drawn(figure("many", tuple(float(each * factor) for each in range(51))))) == numbers


def drawn_curve(*names: str, x: tuple[float, ...] = (1.0, 2.0)) -> str:
    lines = tuple(Line(name, x, tuple((10.0,) for _ in x)) for name in names)
    run = replace(
        GOLDEN, sections=(replace(GOLDEN.sections[0], figures=(), curves=(Curve("k", "t", "x", "y", lines),)),)
    )
    (drawing,) = draw(gallery_of(run)).values()
    return drawing.content


def test_there_is_no_half_a_worker() -> None:
    assert ticks(drawn_curve("a")) == ["1", "2"]
    assert len(ticks(drawn_curve("a", x=(1.0, 1.5)))) > 2


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        (("fastrelay", "C forwarder", "C receiver"), 2),
        (("n" * 20, "m" * 20), 1),
        (("n" * 20, "m" * 21), 2),
        (("relay + transceiver: relay worker", "relay + transceiver", "single port (pion)"), 3),
    ],
)
def test_long_names_stand_one_below_the_other(names: tuple[str, ...], rows: int) -> None:
    text = drawn_curve(*names)
    heights = {re.findall(rf'y="([\d.]+)"[^>]*>{re.escape(name)}</text>', text)[-1] for name in names}
    assert len(heights) == rows


KEYS = ["glance-1", "beside-up-ns", "beside-calls-calls", "samples-burst-setup-p99", "flows"]


def test_a_chart_has_its_key_from_run_to_run_whatever_is_measured_or_said() -> None:
    assert [chart.key for chart in gallery_of(GOLDEN)] == KEYS
    assert [chart.key for chart in gallery_of(a_run(7, slower=1.3))] == KEYS
    renamed = [
        replace(
            section,
            title=f"New: {section.title}",
            figures=tuple(replace(each, what=f"new {each.what}", note="new") for each in section.figures),
            curves=tuple(replace(each, title=f"new {each.title}", note="new") for each in section.curves),
        )
        for section in GOLDEN.sections
    ]
    assert [chart.key for chart in gallery_of(replace(GOLDEN, sections=tuple(renamed)))] == KEYS


def test_units_that_are_no_letters_have_names_of_their_own() -> None:
    floor, units = Series("floor", (1.0,)), ("%", "ms", "s", "µs", "packets", "packets/s", "packets/CPU ms")
    figures = [replace(figure(f"a/{at}", (2.0,), floor=floor), unit=unit) for at, unit in enumerate(units)]
    keys = [chart.key for chart in charts(*figures)]
    assert sorted(keys) == sorted(
        f"beside-up-{name}"
        for name in ("percent", "ms", "s", "us", "packets", "packets-s", "packets-cpu-ms")
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "name"),
    [("designs-curve/cpu", "designs-curve-cpu"), ("hop/25-p99.9", "hop-25-p99-9"), ("%", "percent"), ("a_B", "a-b")],
)
def test_a_key_is_a_name_of_plain_letters(text: str, name: str) -> None:
    assert slug(text) == name


@pytest.mark.parametrize(
    ("note", "text"),
    [
        ("paced, so batches are small", "Paced, so batches are small."),
        ("A bound: it is less.", "A bound: it is less."),
        ("50 calls", "50 calls."),
        ("", ""),
    ],
)
def test_a_note_is_a_sentence_before_others(note: str, text: str) -> None:
    assert sentence(note) == text
    curve = replace(GOLDEN.sections[2].curves[0], note=note)
    run = replace(GOLDEN, sections=(replace(GOLDEN.sections[2], curves=(curve,)),))
    assert gallery_of(run).sections["calls"][-1].caption == f"{text} {GROWTH_CAPTION}".strip()


def test_a_title_begins_large() -> None:
    assert [capital(text) for text in ("cost by flows", "CPU", "")] == ["Cost by flows", "CPU", ""]


HOSTILE = "<script>alert(1)</script> & [b](c) *d*"


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - our own


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    titles = [chart.title for chart in gallery_of(GOLDEN)]
    drawings = draw(gallery_of(GOLDEN)).values()
    return {title: alone(drawing, title) for title, drawing in zip([*titles[:-1], HOSTILE], drawings, strict=True)}


def test_a_chart_as_a_file_needs_nothing_else(files: dict[str, str]) -> None:
    for title, text in files.items():
        root = parsed(text)
        assert (root.tag, root.get("aria-label")) == (f"{SVG}svg", title)
        assert not any(element.tag == f"{SVG}script" for element in root.iter())
        references = re.findall(r'\b(?:href|src)="([^"]*)"|url\(([^)]*)\)', text)
        assert [each for pair in references for each in pair if each and not each.startswith("#")] == []
        assert "var(" not in text
        assert "@import" not in text


def test_a_chart_as_a_file_bears_its_title(files: dict[str, str]) -> None:
    for title, text in files.items():
        shown = [element.text or "" for element in parsed(text).findall(f"{SVG}text")]
        assert " ".join(shown) == title


def test_a_chart_as_a_file_is_as_large_as_what_is_in_it() -> None:
    drawing = replace(next(iter(draw(gallery_of(GOLDEN)).values())), width=100.0, height=50.0, content="")
    short, long = (parsed(alone(drawing, title)) for title in ("Short", "Not as short, " * 5))
    assert short.get("viewBox") == "0 0 128 93"
    assert long.get("viewBox") == "0 0 128 108"
    assert (short.get("width"), short.get("height")) == ("171", "124")


def test_a_chart_as_a_file_has_the_colours_of_the_page_for_light_and_dark(files: dict[str, str]) -> None:
    for text in files.values():
        style, _, picture = text.partition("</style>")
        head, _, dark = style.partition("@media (prefers-color-scheme: dark)")
        assert LETTERS.replace('"', "'") in head
        assert not [stand_in for stand_in in VARIABLES if stand_in in text]
        used = set(re.findall(r"\b(fill|stroke): (#[0-9a-f]{6})", picture))
        assert used
        names = {LIGHT[name]: name for name in VARIABLES.values()}
        for use, colour in used:
            assert f'[style*="{use}: {colour}"] {{ {use}: {DARK[names[colour]]} !important }}' in dark
        assert picture.index("<rect") < picture.index("<text")


def test_light_colours_of_pictures_can_be_told_apart_by_the_rules_for_dark() -> None:
    assert Counter(LIGHT[name] for name in VARIABLES.values()).most_common(1)[0][1] == 1


def test_colours_and_letters_are_read_from_the_style_of_the_page() -> None:
    style = ':root {\n  --ink: #123456;\n  --line: #e4e2dc;\n  --sans: "Geist", serif;\n}\n'
    style += "@media (prefers-color-scheme: dark) {\n  :root {\n    --ink: #abcdef;\n  }\n}\n"
    assert palettes(style) == (
        {"--ink": "#123456", "--line": "#e4e2dc"},
        {"--ink": "#abcdef", "--line": "#e4e2dc"},
    )
    assert letters(style) == '"Geist", serif'
    assert palettes(STYLE) == (LIGHT, DARK)


def shown(summary: str) -> list[str]:
    return re.findall(r"^!\[.*\]\(charts/(.*)\.svg\)$", summary, re.MULTILINE)


def test_the_summary_shows_every_chart_in_its_section_with_its_caption() -> None:
    text = build_summary(GOLDEN)
    assert shown(text) == KEYS
    top, *sections = text.split("\n## ")
    assert shown(top) == KEYS[:1]
    assert [shown(part) for part in sections[:3]] == [KEYS[1:2], [], KEYS[2:]]
    for chart in gallery_of(GOLDEN):
        assert plain(chart.caption) in text


def test_what_charts_say_alike_is_said_once_below_them() -> None:
    many = tuple(float(each) for each in range(50))
    text = build_summary(run_of(figure("one", many), figure("two", many[::-1]), figure("three", many[1:])))
    assert "![One](charts/samples-one.svg)\n![Two](charts/samples-two.svg)\n\nThe share of 50 samples" in text
    assert text.count("The share of 50 samples") == 1
    assert "The share of 49 samples" in text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a [b](c) d", r"a \[b\](c) d"),
        ("![x]", r"\!\[x\]"),
        ("go_single *fast* `now`", r"go\_single \*fast\* \`now\`"),
        ("<b> & |", r"\<b\> \& \|"),
        ("a\\]", r"a\\\]"),
        ("two\n\nlines", "two  lines"),
        ("set-up: p99.9, 50 % (of µs)", "set-up: p99.9, 50 % (of µs)"),
    ],
)
def test_a_title_is_no_markup(text: str, escaped: str) -> None:
    assert plain(text) == escaped
    curve = Curve("k", f"A {text}", "x", "y", GOLDEN.sections[2].curves[0].lines, note="")
    run = replace(GOLDEN, sections=(replace(GOLDEN.sections[2], curves=(curve,)),))
    assert f"![A {escaped}](charts/k.svg)" in build_summary(run)


def test_a_run_that_is_shown_again_leaves_no_chart_of_the_one_before(tmp_path: Path) -> None:
    show_in(tmp_path, GOLDEN)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "charts" / "notes.txt").write_text("mine")
    (tmp_path / "other.svg").write_text("mine")
    fewer = replace(GOLDEN, sections=GOLDEN.sections[:1])
    show_in(tmp_path, fewer)
    mine = {"notes.txt", "charts/notes.txt", "other.svg"}
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"report.html", "summary.md", "charts/glance-1.svg", "charts/beside-up-ns.svg"} | mine
    assert all((tmp_path / name).read_text() == "mine" for name in mine)


def test_two_charts_of_one_name_are_seen(tmp_path: Path) -> None:
    section = GOLDEN.sections[2]
    twice = replace(GOLDEN, sections=(replace(section, curves=section.curves * 2),))
    show_in(tmp_path, twice)
    assert misplaced_charts(tmp_path, gallery_of(twice)) == ["charts/flows.svg is two charts"]


def test_every_run_that_is_fabricated_has_a_name_for_each_chart(tmp_path: Path) -> None:
    show_in(tmp_path, GOLDEN)
    assert misplaced_charts(tmp_path, gallery_of(GOLDEN)) == []
    assert len(set(KEYS)) == len(KEYS)
