"""What top and status show, at any size of terminal."""

from __future__ import annotations

from typing import Any

import pytest
from rich.text import Text

from fastrelay.observe.answers import Snapshot
from fastrelay.observe.report import report
from fastrelay.observe.screen import Column, Row, Table, age, number, percent, rate, running, stacked
from fastrelay.observe.top import SORTS, View, line, screen
from tests.unit.relay_stand_in import NOW_S, flow, status_document


def shown(width: int = 200, height: int | None = None, view: View | None = None, **changes: Any) -> list[str]:
    lines = screen(Snapshot.parse(status_document(**changes)), view or View(), width, height)
    return [text.plain for text in lines]


def cells(lines: list[str], first: str) -> list[str]:
    """The words of the line that begins with this."""
    (found,) = [each for each in lines if each.split()[:1] == [first]]
    return found.split()


def table(rows: int, columns: int = 3) -> Table:
    return Table(
        tuple(Column(f"title {at}", rank=at) for at in range(columns)),
        tuple(Row(tuple(str(row) for _ in range(columns))) for row in range(rows)),
        more="more rows",
    )


def test_screen_has_the_relay_its_workers_transceivers_calls_and_drops() -> None:
    lines = shown()
    assert lines[0] == "fastrelay 0.2.0 · serving · up 2:03:04 · 203.0.113.5:3478"
    assert lines[1] == (
        "210 calls, 214 flows · 1 one-way · up 10,700/s · down 10,601/s · dropped 4.0/s · last packet 0.0 s ago"
    )
    assert cells(lines, "0") == (
        "0 serving 0 5,350 5,300 107 0.1% 42% 2.0 0 14.2 us 211 us - - 2.5 3.2 on".split()  # noqa: SIM905
    )
    assert cells(lines, "10.0.0.7:4000") == [
        "10.0.0.7:4000",
        "214",
        "0.41",
        "ms",
        "0.1%",
        "2",
        "1,998",
        "0",
        "0.3",
        "s",
    ]
    assert cells(lines, "192.0.1.0/24")[-1] == "one-way"
    assert cells(lines, "TOKEN_EXPIRED") == ["TOKEN_EXPIRED", "1.5", "40"]


@pytest.mark.parametrize("width", [1, 10, 40, 80, 132, 300])
@pytest.mark.parametrize("height", [1, 2, 3, 5, 8, 13, 24, 60])
def test_screen_fits_the_terminal(width: int, height: int) -> None:
    view = View(place="/run/fastrelay", has_keys=True, problem="nobody listens at /run/fastrelay")
    lines = shown(width, height, view, worst_calls=[flow(at) for at in range(10)])
    assert len(lines) <= height
    assert max(len(each) for each in lines) <= width


def test_narrow_screen_keeps_packets_and_flows() -> None:
    lines = shown(width=50)
    titles = next(each for each in lines if each.startswith("worker")).split()
    assert titles[:2] == ["worker", "state"]
    assert {"up/s", "down/s", "flows"} <= set(titles)
    assert "offload" not in titles


def test_low_screen_says_how_much_is_hidden() -> None:
    many = [{**status_document()["workers"][0], "index": at} for at in range(40)]
    lines = shown(height=24, workers=many)
    assert len(lines) == 24
    hidden = next(each for each in lines if each.endswith("more workers"))
    visible = sum(" serving " in each for each in lines[2:])
    assert hidden == f"… {40 - visible} more workers"
    assert "TOKEN_EXPIRED" in "".join(lines), "every table keeps a line"


def test_what_is_wrong_is_marked() -> None:
    document = status_document()
    stalled, busy = document["workers"]
    stalled["alive_age_s"], busy["busy_ratio"] = 2.5, 0.93
    silent = {**document["transceivers"][0], "silent_s": 4.0}
    lines = screen(
        Snapshot.parse({**document, "workers": [stalled, busy], "transceivers": [silent]}), View(problem="gone"), 200
    )
    styles = {text.plain.split()[0]: text.style for text in lines if text.plain}
    assert "stalled 2.5 s" in next(text.plain for text in lines if text.plain.lstrip().startswith("0"))
    assert (styles["0"], styles["1"], styles["10.0.0.7:4000"]) == ("red", "yellow", "red")
    assert styles["192.0.1.0/24"] == "yellow", "one-way"
    assert styles["192.0.0.0/24"] == ""
    assert styles["gone"] == "bold red"


def test_draining_relay_tells_its_deadline_and_its_problem() -> None:
    relay = {"state": "draining", "drain_deadline_s": NOW_S + 90.0, "last_problem": "reload refused: no key mints"}
    lines = shown(relay=relay)
    assert "draining" in lines[0]
    assert lines[0].endswith("drains for another 90 s")
    assert lines[2] == "last problem: reload refused: no key mints"


def test_without_an_answer_only_the_problem_is_shown() -> None:
    lines = screen(None, View(place="/run/fastrelay", problem="nobody listens"), 80, 24)
    assert [text.plain for text in lines] == ["fastrelay · /run/fastrelay", "nobody listens (trying again)"]


def test_keys_are_named_where_they_are_heard() -> None:
    assert shown(view=View(has_keys=True, sort="loss"))[-1] == "q quit   s sort calls: loss   p pause"
    paused = shown(view=View(has_keys=True, is_paused=True))
    assert paused[-1].endswith("p go on")
    assert paused[0].endswith("· paused")


@pytest.mark.parametrize(
    ("sort", "first"), [("worst", "192.0.0.0/24"), ("loss", "192.0.2.0/24"), ("jitter", "192.0.0.0/24")]
)
def test_calls_are_sorted_as_asked(sort: str, first: str) -> None:
    lines = shown(view=View(sort=sort))
    title = next(at for at, each in enumerate(lines) if each.startswith("worst calls"))
    assert lines[title + 1].split()[0] == first


@pytest.mark.parametrize("sort", SORTS)
def test_calls_that_were_never_heard_sort_too(sort: str) -> None:
    silent = flow(0, loss_percent=None, jitter_ms=None, setup_ms=None, age_of_last_packet_s=None)
    assert any(each.startswith("192.0.0.0/24") for each in shown(view=View(sort=sort), worst_calls=[silent]))


def test_line_is_one_line() -> None:
    assert line(Snapshot.parse(status_document())) == (
        "serving  calls 210  flows 214  up 10,700/s  down 10,601/s  dropped 4.0/s  kernel drops 0  one-way 1"
        "  workers 2  busiest 42%"
    )


def test_report_tells_state_keys_and_workers() -> None:
    relay = {"last_problem": "worker 1 was killed"}
    lines = [text.plain for text in report(Snapshot.parse(status_document(relay=relay)), [], 200)]
    facts = {each[:10].strip(): each[10:] for each in lines if each[:1].isalpha()}
    assert facts["state"] == "serving, ready"
    assert facts["release"] == "0.2.0, pid 4000000, up 2:03:04"
    assert facts["keys"] == "3 mints for 10 min; 2 opens until 2027-01-15T09:00:00Z"
    assert facts["changes"] == "2 reloads (1 refused), 1 upgrade, 0 adoptions"
    assert facts["problem"] == "worker 1 was killed"
    assert lines[-1].split()[:6] == ["1", "serving", "4000002", "1", "0:01:40", "107"]
    assert lines[-1].endswith("killed by signal 9")


def test_report_says_why_a_relay_is_not_ready() -> None:
    lines = report(Snapshot.parse(status_document()), ["no key mints", "no worker serves"], 200)
    assert lines[0].plain == "state     serving, not ready: no key mints; no worker serves"


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ({"id": 1, "mint_from_s": int(NOW_S) + 60}, "1 mints from 2027-01-15T08:01:00Z"),
        ({"id": 1, "mint_from_s": 0, "open_until_s": int(NOW_S)}, "1 has ended"),
        ({"id": 1, "mint_from_s": 0, "open_until_s": int(NOW_S) + 1}, "1 opens until 2027-01-15T08:00:01Z"),
        ({"id": 1, "mint_from_s": 2**53 - 1}, f"1 mints from {2**53 - 1} s"),
    ],
    ids=["waits", "ended", "opens", "beyond the calendar"],
)
def test_report_tells_what_a_key_does(key: dict[str, Any], text: str) -> None:
    lines = report(Snapshot.parse(status_document(relay={"keys": [key]})), [], 200)
    assert next(each.plain for each in lines if each.plain.startswith("keys")) == f"keys      {text}"


@pytest.mark.parametrize("width", [5, 30, 80])
def test_a_table_gives_up_its_highest_ranks_first(width: int) -> None:
    lines = table(rows=2).lines(width)
    titles = lines[0].plain
    assert all(text.cell_len <= width for text in lines)
    assert ("title 2" in titles) is (width >= 25)
    assert titles.startswith("titl")


@pytest.mark.parametrize(
    ("rows_max", "expected"),
    [(3, ["0", "1", "2"]), (2, ["0", "… 2 more rows"]), (1, ["… 3 more rows"]), (None, ["0", "1", "2"])],
)
def test_a_table_tells_what_it_hides(rows_max: int | None, expected: list[str]) -> None:
    assert [text.plain.strip() for text in table(rows=3, columns=1).lines(20, rows_max)[1:]] == expected


@pytest.mark.parametrize("height", range(20))
def test_stacked_tables_fill_the_height_and_no_more(height: int) -> None:
    lines = stacked([table(5), table(0), table(2), table(9)], 40, height)
    wanted = (2 + 5) + (2 + 2) + (2 + 9)
    assert len(lines) <= height
    assert len(lines) >= min(height, wanted) - 2, "what is left over is too little for a table"
    assert not lines or lines[0] == Text("")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rate(0.0), "0"),
        (rate(0.04), "0.0"),
        (rate(9.94), "9.9"),
        (rate(9.96), "10"),
        (rate(12_345.6), "12,346"),
        (number(1.25, " ms", 2), "1.25 ms"),
        (percent(0.0), "0%"),
        (percent(0.004), "0.4%"),
        (percent(0.995), "100%"),
        (age(-0.1), "0.0 s"),
        (age(9.94), "9.9 s"),
        (age(9.96), "10 s"),
        (age(119.4), "119 s"),
        (age(120), "2 min"),
        (age(7200), "2 h"),
        (age(172_800), "2 days"),
        (running(-5), "0:00:00"),
        (running(90_061), "1 d 1:01:01"),
    ],
)
def test_numbers_are_short_to_read(text: str, expected: str) -> None:
    assert text == expected


def test_what_was_not_measured_is_a_dash() -> None:
    assert {number(None, " ms"), percent(None), age(None)} == {"-"}
