"""Reading a configuration of any process: precedence, strictness, and one line for each thing that is wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastrelay.config.kinds import Choice, FilePath, Listing, OrNone, Switch, Text, Whole
from fastrelay.config.reading import Configuration, Level, read_configuration
from fastrelay.config.schema import Schema, Setting
from fastrelay.errors import ConfigError


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


def even(text: str) -> int:
    if not text.isdigit() or int(text) % 2:
        raise ConfigError("ignored", f"{text!r} is not even")
    return int(text)


EVENS: Setting[tuple[int, ...]] = Setting(
    "shop.evens", Listing(Text(even, "an even number", str), "numbers", 1, 3), "r", flag="--even", is_required=True
)
NAME: Setting[str] = Setting("shop.name", Text(str, "a name", str), "r", is_required=True)
COUNT: Setting[int] = Setting("shop.count", Whole(1, 9), "r", default=5, flag="--count")
COLOUR: Setting[Colour] = Setting("paint.colour", Choice(tuple(Colour)), "r", default=Colour.RED)
IS_WET: Setting[bool] = Setting("paint.wet", Switch(), "r", default=False, flag="--wet")
SECRET: Setting[str] = Setting("paint.secret", Text(str, "a word", str), "r", is_secret=True)
SECRET_FILE: Setting[Path | None] = Setting(
    "paint.secret_file", OrNone(FilePath("a file")), "r", other_variables=("FASTRELAY_SECRET_FILE",)
)
SCHEMA = Schema((EVENS, NAME, COUNT, COLOUR, IS_WET, SECRET, SECRET_FILE))
ENOUGH = '[shop]\nname = "x"\nevens = ["2"]\n'

Read = Callable[..., Configuration]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    monkeypatch.chdir(tmp_path)

    def read(
        text: str | None = ENOUGH, flags: dict[str, object] | None = None, environ: dict[str, str] | None = None
    ) -> Configuration:
        if text is not None:
            Path("shop.toml").write_text(text)
        return read_configuration(SCHEMA, None if text is None else Path("shop.toml"), flags or {}, environ or {})

    return read


def told(configuration: Configuration) -> list[str]:
    return [str(problem) for problem in configuration.problems]


@pytest.mark.parametrize(
    ("text", "environ", "flags", "value", "place"),
    [
        pytest.param(ENOUGH, {}, {}, 5, "default", id="default"),
        pytest.param(f"{ENOUGH}count = 6", {}, {}, 6, "shop.toml:4", id="file"),
        pytest.param(
            f"{ENOUGH}count = 6", {"FASTRELAY_SHOP__COUNT": "7"}, {}, 7, "FASTRELAY_SHOP__COUNT", id="variable"
        ),
        pytest.param(
            f"{ENOUGH}count = 6", {"FASTRELAY_SHOP__COUNT": "7"}, {"shop.count": "8"}, 8, "--count", id="flag"
        ),
        pytest.param(f"{ENOUGH}count = 6", {"FASTRELAY_SHOP__COUNT": ""}, {}, 6, "shop.toml:4", id="empty variable"),
    ],
)
def test_the_nearest_source_counts(
    read: Read, text: str, environ: dict[str, str], flags: dict[str, object], value: int, place: str
) -> None:
    configuration = read(text, flags, environ)
    assert told(configuration) == []
    assert configuration[COUNT] == value
    assert configuration.found(COUNT).place == place
    assert configuration.shown()["shop.count"] == {"value": value, "from": place}


def test_every_kind_is_read_from_every_source(read: Read) -> None:
    from_file = read(f'{ENOUGH}[paint]\ncolour = "blue"\nwet = true\nsecret_file = "s.txt"')
    from_environment = read(
        None,
        {},
        {
            "FASTRELAY_SHOP__EVENS": "2, 4",
            "FASTRELAY_SHOP__NAME": "x",
            "FASTRELAY_PAINT__COLOUR": "blue",
            "FASTRELAY_PAINT__WET": "true",
            "FASTRELAY_PAINT__SECRET": "hush",
        },
    )
    from_flags = read(None, {"shop.evens": ("2", "4"), "shop.name": "x", "paint.wet": True, "paint.colour": "blue"})
    for configuration in (from_file, from_environment, from_flags):
        assert told(configuration) == []
        assert configuration[COLOUR] is Colour.BLUE
        assert configuration[IS_WET] is True
    assert from_file[EVENS] == (2,)
    assert from_environment[EVENS] == from_flags[EVENS] == (2, 4)
    assert from_environment[SECRET] == "hush"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        pytest.param("count = 0", "shop.count is 0, must be 1 to 9", id="below"),
        pytest.param("count = 10", "shop.count is 10, must be 1 to 9", id="above"),
        pytest.param('count = "5"', "shop.count is '5', must be a whole number from 1 to 9", id="text for number"),
        pytest.param("count = true", "shop.count is true, must be a whole number from 1 to 9", id="bool for number"),
        pytest.param("count = 5.0", "shop.count is 5.0, must be a whole number from 1 to 9", id="fraction"),
        pytest.param("count = []", "shop.count is a list, must be a whole number from 1 to 9", id="list for number"),
        pytest.param("count = {}", "shop.count is a table, must be a whole number from 1 to 9", id="table for number"),
        pytest.param("count = 07:32:00", "shop.count is a date or time, must be a whole number from 1 to 9", id="time"),
        pytest.param("name = 5", "shop.name is 5, must be a name", id="number for text"),
        pytest.param('name = ""', "shop.name is empty, must be a name", id="empty text"),
        pytest.param('evens = "2"', "shop.evens is '2', must be a list of 1 to 3 numbers, each an even number", id="1"),
        pytest.param("evens = []", "shop.evens: 0 numbers, must be 1 to 3", id="too few"),
        pytest.param('evens = ["2","2","2","2"]', "shop.evens: 4 numbers, must be 1 to 3", id="too many"),
        pytest.param('evens = ["2", "3"]', "shop.evens: '3' is not even", id="item"),
        pytest.param('cuont = "x"', "shop.cuont is unknown; did you mean count?", id="near key"),
        pytest.param("zzz = 1", "shop.zzz is unknown; [shop] has evens, name, count", id="far key"),
        pytest.param("wet = true", "shop.wet is unknown; wet belongs in [paint]", id="other section"),
        pytest.param('"a b" = 1', "shop.'a b' is unknown; [shop] has evens, name, count", id="quoted key"),
    ],
)
def test_wrong_line_of_the_file_is_told_in_one_line(read: Read, line: str, problem: str) -> None:
    rest = [each for each in ('name = "x"', 'evens = ["2"]') if each.partition(" ")[0] != line.partition(" ")[0]]
    assert told(read("\n".join(["[shop]", "", line, *rest]))) == [f"shop.toml:3: {problem}"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(f"{ENOUGH}[pant]", "shop.toml:4: [pant] is unknown; did you mean [paint]?", id="near section"),
        pytest.param(f"{ENOUGH}[zz]", "shop.toml:4: [zz] is unknown; the sections are [shop], [paint]", id="section"),
        pytest.param(
            f"count = 1\n{ENOUGH}", "shop.toml:1: count stands outside any section, must be in [shop]", id="o"
        ),
        pytest.param(f"paint = 5\n{ENOUGH}", "shop.toml:1: paint is 5, must be a section: [paint]", id="no section"),
        pytest.param(
            f"{ENOUGH}[[paint]]",
            "shop.toml:4: [[paint]] makes a list of tables, which nothing here takes; write [paint]",
            id="list of tables",
        ),
        pytest.param(f"{ENOUGH}name = 'y'", "shop.toml:4: shop.name is there already, in line 2", id="duplicate key"),
        pytest.param(f"{ENOUGH}\n[shop]", "shop.toml:5: shop is there already, in line 1", id="duplicate section"),
        pytest.param(f"{ENOUGH}\ncount = ", "shop.toml:5: not TOML: Invalid value", id="not TOML"),
        pytest.param(f"{ENOUGH}count = '", 'shop.toml:4: not TOML: Expected "\'"', id="not TOML at its end"),
        pytest.param(
            f"{ENOUGH}count = {'9' * 5000}", "shop.toml: not TOML: a number with thousands", id="endless number"
        ),
        pytest.param(f"{ENOUGH}count = {'[' * 5000}", "shop.toml: not TOML: too many brackets", id="nested too deeply"),
        pytest.param(f"{ENOUGH}[paint]\nsecret = 'hush'", "shop.toml:5: paint.secret is a secret, which", id="secret"),
    ],
)
def test_wrong_structure_of_the_file_is_told_in_one_line(read: Read, text: str, problem: str) -> None:
    (line,) = told(read(text))
    assert line.startswith(problem)
    assert "hush" not in line


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                ["[shop]", "[paint]", 'name = "x"', "count = 5", "wet = true", 'evens = ["2",\n"3"]', "[[b]]"]
            ),
            st.text(alphabet="ab.=[]{}\"'\n ,1#\\\x00é", max_size=12),
        ),
        max_size=6,
    )
)
def test_whatever_stands_in_the_file_each_problem_is_one_line_with_its_place(read: Read, lines: list[str]) -> None:
    text = "\n".join(lines)
    for problem in told(read(text)):
        assert "\n" not in problem
        place = re.match(r"shop\.toml:(\d+): ", problem)
        assert place is not None
        assert 1 <= int(place[1]) <= text.count("\n") + 1


def test_wrong_item_of_a_list_is_told_with_its_own_line(read: Read) -> None:
    text = '[shop]\nname = "x"\nevens = [\n  "2",\n  "3",\n  7,\n]'
    assert told(read(text)) == [
        "shop.toml:5: shop.evens: '3' is not even",
        "shop.toml:6: shop.evens is 7, must be an even number",
    ]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("FASTRELAY_SHOP__COUNT", "10", "10, must be 1 to 9"),
        ("FASTRELAY_SHOP__COUNT", "5x", "'5x', must be a whole number from 1 to 9"),
        ("FASTRELAY_SHOP__COUNT", "٥", "'٥', must be a whole number from 1 to 9"),
        ("FASTRELAY_PAINT__WET", "yes", "'yes', must be true or false"),
        ("FASTRELAY_SHOP__EVENS", "2,3", "'3' is not even"),
        ("FASTRELAY_SHOP__EVENS", "2,", "empty, must be an even number"),
        ("FASTRELAY_SHOP__CUONT", "5", "unknown; did you mean FASTRELAY_SHOP__COUNT?"),
        ("FASTRELAY_SHOP_COUNT", "5", "unknown; did you mean FASTRELAY_SHOP__COUNT?"),
        ("FASTRELAY_QQQQ__QQQQQQQQ", "5", "unknown"),
    ],
)
def test_wrong_variable_is_told_by_its_name(read: Read, name: str, text: str, problem: str) -> None:
    assert told(read(ENOUGH, {}, {name: text})) == [f"{name}: {problem}"]


@pytest.mark.parametrize("name", ["FASTRELAY_BUILD", "FASTRELAY_FLOOD_S", "SHOP__CUONT"])
def test_variable_of_something_else_is_left_alone(read: Read, name: str) -> None:
    assert told(read(ENOUGH, {}, {name: "5"})) == []


def test_two_variables_for_one_setting_are_refused(read: Read) -> None:
    environ = {"FASTRELAY_SECRET_FILE": "a", "FASTRELAY_PAINT__SECRET_FILE": "b"}
    assert told(read(ENOUGH, {}, environ)) == [
        "FASTRELAY_SECRET_FILE: set together with FASTRELAY_PAINT__SECRET_FILE; leave one out"
    ]


def test_wrong_flag_is_told_by_its_name(read: Read) -> None:
    assert told(read(ENOUGH, {"shop.count": "ten", "shop.evens": ("2", "5")})) == [
        "--count: 'ten', must be a whole number from 1 to 9",
        "--even: '5' is not even",
    ]


def test_everything_wrong_is_told_at_once_in_the_order_of_lines(read: Read) -> None:
    configuration = read(
        "[paint]\ncolour = 5\n[shop]\ncount = 0\n[paint.more]\n[pant]\n",
        {"shop.count": "x"},
        {"FASTRELAY_SHOP__COUNT": "y"},
    )
    assert [line.split(": ")[0] for line in told(configuration)] == [
        "shop.toml:2",
        "shop.toml:4",
        "shop.toml:5",
        "shop.toml:6",
        "FASTRELAY_SHOP__COUNT",
        "--count",
        "shop.toml:3",
        "shop.toml:3",
    ]
    assert configuration.refused == {"paint.colour", "shop.count"}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            None,
            [
                "--even: missing; give it, FASTRELAY_SHOP__EVENS or evens in [shop] of a configuration file",
                "shop.name: missing; give FASTRELAY_SHOP__NAME or name in [shop] of a configuration file",
            ],
        ),
        (
            "\n[shop]",
            [
                "shop.toml:2: shop.evens is missing; give it there, FASTRELAY_SHOP__EVENS or --even",
                "shop.toml:2: shop.name is missing; give it there or FASTRELAY_SHOP__NAME",
            ],
        ),
    ],
    ids=["without a file", "in a file"],
)
def test_missing_setting_is_told_with_every_way_to_give_it(read: Read, text: str | None, lines: list[str]) -> None:
    assert told(read(text)) == lines


def test_what_is_given_wrongly_is_not_missing_too(read: Read) -> None:
    assert len(told(read("[shop]\nname = 5\nevens = 5"))) == 2


def test_paths_of_the_file_count_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(f"{ENOUGH}[paint]\nsecret_file = 'secrets/s'")
    file = tmp_path / "shop.toml"
    assert read_configuration(SCHEMA, file, {}, {})[SECRET_FILE] == tmp_path / "secrets/s"
    by_variable = read_configuration(SCHEMA, file, {}, {"FASTRELAY_SECRET_FILE": "s"})
    assert by_variable[SECRET_FILE] == Path("s")
    assert by_variable.found(SECRET_FILE).level is Level.ENVIRONMENT


def test_secrets_are_not_shown(read: Read) -> None:
    configuration = read(ENOUGH, {}, {"FASTRELAY_PAINT__SECRET": "hush"})
    assert configuration.shown()["paint.secret"] == {"value": "(secret)", "from": "FASTRELAY_PAINT__SECRET"}
    assert read(ENOUGH).shown()["paint.secret"] == {"value": None, "from": "default"}


def test_problem_is_told_where_the_value_came_from(read: Read) -> None:
    configuration = read(ENOUGH, {"paint.wet": True}, {"FASTRELAY_SHOP__COUNT": "7"})
    assert str(configuration.problem(NAME, "taken")) == "shop.toml:2: shop.name: taken"
    assert str(configuration.problem(COUNT, "taken")) == "FASTRELAY_SHOP__COUNT: taken"
    assert str(configuration.problem(IS_WET, "taken")) == "--wet: taken"
    assert str(configuration.problem(COLOUR, "taken")) == "paint.colour: taken"


def test_file_that_is_not_there_is_told_and_nothing_else_is_missed(tmp_path: Path) -> None:
    absent = tmp_path / "absent.toml"
    configuration = read_configuration(SCHEMA, absent, {}, {})
    assert told(configuration) == [f"{absent}: No such file or directory"]
    assert not configuration.is_whole


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664])
def test_file_that_only_owner_and_group_may_write_is_read(read: Read, mode: int) -> None:
    Path("shop.toml").write_text(ENOUGH)
    Path("shop.toml").chmod(mode)
    assert told(read_configuration(SCHEMA, Path("shop.toml"), {}, {})) == []


def test_file_that_everyone_may_write_is_refused(read: Read) -> None:
    Path("shop.toml").write_text(ENOUGH)
    Path("shop.toml").chmod(0o666)
    configuration = read_configuration(SCHEMA, Path("shop.toml"), {}, {})
    assert told(configuration) == ["shop.toml: mode 0666 lets everyone change it; run: chmod o-w shop.toml"]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        pytest.param(lambda path: path.mkdir(), "Is a directory", id="folder"),
        pytest.param(os.mkfifo, "not a regular file", id="FIFO"),
        pytest.param(lambda path: path.write_bytes(b"a = 1\n# \xff"), "not UTF-8", id="not UTF-8"),
        pytest.param(lambda path: path.write_bytes(b"#" * (1 << 20) + b"\n"), "longer than 1048576 bytes", id="long"),
    ],
)
def test_what_is_no_configuration_file_is_refused(tmp_path: Path, make: Callable[[Path], None], problem: str) -> None:
    path = tmp_path / "shop.toml"
    make(path)
    (line,) = told(read_configuration(SCHEMA, path, {}, {}))
    assert problem in line
