"""Where a key stands: whatever tomllib reads, the locator finds on a line that contains it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrelay.config.locations import KeyPath, locate

KEYS = st.sampled_from(["a", "b-1", "C_2", "7", "", "two words", "é", "#", "a.b", "]", "=", '"', "'", "\\", "\t"])
STRINGS = st.text(alphabet="ab\"'\\#[]{}=,\n é", max_size=8)
SCALARS = st.one_of(
    st.integers(-99, 99).map(str),
    st.sampled_from(["true", "1.5", "-inf", "1979-05-27T07:32:00Z", "1979-05-27 07:32:00", "07:32:00", "0xf"]),
)


def paths(value: object, here: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key and array place of a document."""
    members: list[tuple[str | int, object]] = []
    if isinstance(value, Mapping):
        members = list(value.items())
    elif isinstance(value, list):
        members = list(enumerate(value))
    for part, member in members:
        yield (*here, part)
        yield from paths(member, (*here, part))


class Writer:
    """Writes a document in one of the many ways TOML allows, as hypothesis draws them."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data
        self.lines: list[str] = []

    def pick(self, *options: str) -> str:
        return self._data.draw(st.sampled_from(options))

    def table(self, table: dict[str, Any], here: list[str]) -> None:
        below: list[tuple[str, dict[str, Any]]] = []
        for key, value in table.items():
            style = self.pick("header", "dotted", "inline")
            if not isinstance(value, dict):
                self.pair([key], value)
            elif style == "header":
                below.append((key, value))
            elif style == "dotted" and value:
                for inner, member in value.items():
                    self.pair([key, inner], member)
            else:
                self.pair([key], value)
        for key, value in below:
            path = [*here, key]
            self.emit(f"{self.space()}[{self.space()}{self.keys(path)}{self.space()}]")
            self.table(value, path)

    def pair(self, path: list[str], value: object) -> None:
        self.emit(f"{self.space()}{self.keys(path)}{self.space()}={self.space()}{self.value(value)}")

    def emit(self, text: str) -> None:
        self.lines.append(f"{text}{self.space()}{self.pick('', '# [a] b = 1', '#')}")
        self.lines += [""] * self._data.draw(st.integers(0, 1))

    def space(self) -> str:
        return self.pick("", " ", "\t")

    def keys(self, path: list[str]) -> str:
        return self.pick(".", " . ").join(self.key(part) for part in path)

    def key(self, part: str) -> str:
        is_bare = bool(part) and part.isascii() and part.replace("-", "").replace("_", "").isalnum()
        forms = [json.dumps(part, ensure_ascii=False), *([part] if is_bare else [])]
        return self.pick(*forms, *([] if "'" in part else [f"'{part}'"]))

    def value(self, value: object, *, may_break: bool = True) -> str:
        if isinstance(value, list):
            rest = "\n" if may_break and value and self._data.draw(st.booleans()) else " "
            comment = f" # ] }}{rest}" if rest == "\n" else ""
            items = [self.value(item, may_break=may_break) for item in value]
            return "[" + rest + f",{comment or rest}".join(items) + rest + "]"
        if isinstance(value, dict):
            members = [f"{self.key(key)} = {self.value(member, may_break=False)}" for key, member in value.items()]
            return "{" + self.space() + ", ".join(members) + self.space() + "}"
        text = str(value)
        return text[1:] if text.startswith("=") else self.string(text)

    def string(self, text: str) -> str:
        forms = [json.dumps(text, ensure_ascii=False)]
        escaped = text.replace("\\", "\\\\")
        if '"""' not in text and not text.startswith('"'):
            forms.append(f'"""{escaped}"""')
        if "'''" not in text and not text.startswith("'"):
            forms.append(f"'''{text}'''")
        if not {"'", "\n"} & set(text):
            forms.append(f"'{text}'")
        return self.pick(*forms)


# A scalar goes in marked, so that it is not written as a string.
LEAVES = st.one_of(SCALARS.map(lambda text: f"={text}"), STRINGS.filter(lambda text: not text.startswith("=")))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.data())
def test_every_key_is_found_on_a_line_that_contains_it(document: dict[str, Any], data: st.DataObject) -> None:
    writer = Writer(data)
    writer.table(document, [])
    text = data.draw(st.sampled_from(["\n", "\r\n"])).join(writer.lines)
    found = locate(text)
    lines = text.split("\n")
    expected = set(paths(tomllib.loads(text)))
    assert set(found.lines) == expected
    assert found.duplicates == []
    for path in expected:
        name = path[-1]
        if isinstance(name, str):
            written = {json.dumps(name, ensure_ascii=False), f"'{name}'", name}
            assert any(form in lines[found.line(path) - 1] for form in written), (path, text)


@given(st.text(alphabet="ab.=[]{}\"'\n ,1#\\", max_size=24))
def test_what_tomllib_reads_is_located_and_the_rest_is_refused_or_ignored(text: str) -> None:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        values = None
    try:
        found = locate(text)
    except LookupError:
        assert values is None
        return
    if values is not None and not found.listed_tables:
        assert set(found.lines) == set(paths(values))


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        pytest.param("\n[a]\nb = 1", ("a", "b"), 3, id="table"),
        pytest.param("\n[a]\nb = 1", ("a",), 2, id="header"),
        pytest.param("a.b = 1\na.c = 2", ("a", "c"), 2, id="dotted"),
        pytest.param("a.b = 1\na.c = 2", ("a",), 1, id="first mention"),
        pytest.param("a = { b = 1, c = 2 }", ("a", "c"), 1, id="inline"),
        pytest.param('a = [\n  "x",  # one\n\n  "y",\n]', ("a", 1), 4, id="array over lines"),
        pytest.param("a = [\n 1,\n {b = 1}]", ("a", 1, "b"), 3, id="table in an array"),
        pytest.param('a = """\nb = 1\n"""\nb = 2', ("b",), 4, id="key in a text"),
        pytest.param("a = '''\nb = 1\n'''\nb = 2", ("b",), 4, id="key in a literal text"),
        pytest.param('a = """x"""""\nb = 2', ("b",), 2, id="quotes before the end"),
        pytest.param('"a.b" = 1\n[c]\n"d e" = 2', ("c", "d e"), 3, id="quoted"),
        pytest.param('"\\u0061" = 1', ("a",), 1, id="escaped"),
        pytest.param("[a.b]\nc = 1\n[a]\nd = 1", ("a",), 1, id="child before parent"),
        pytest.param("a = 1 # b = 2\nb = 3", ("b",), 2, id="comment"),
        pytest.param("a = 1\r\n\r\nb = 3", ("b",), 3, id="CRLF"),
        pytest.param("a = 1979-05-27 07:32:00\nb = 1", ("b",), 2, id="date with a space"),
        pytest.param("[a]\nb = 1", ("a", "absent"), 1, id="nearest around it"),
        pytest.param("", ("a",), 1, id="empty"),
    ],
)
def test_key_is_found_on_its_line(text: str, path: KeyPath, line: int) -> None:
    assert locate(text).line(path) == line


@pytest.mark.parametrize(
    ("text", "duplicates"),
    [
        ("[a]\nb = 1\nc = 1\nb = 2", [(("a", "b"), 4)]),
        ("[a]\n[b]\n[a]", [(("a",), 3)]),
        ("a.b = 1\na.b = 2\n", [(("a", "b"), 2)]),
        ("a = {b = 1, b = 2}", [(("a", "b"), 1)]),
        ("a = [{b = 1}, {b = 2}]\n[c]\nb = 1\n[d]\nb = 1", []),
    ],
    ids=["key", "table", "dotted", "inline", "none"],
)
def test_a_key_given_twice_is_told_with_its_second_line(text: str, duplicates: list[tuple[KeyPath, int]]) -> None:
    assert locate(text).duplicates == duplicates


def test_lists_of_tables_are_told_and_not_gone_into() -> None:
    found = locate("[[a]]\nb = 1\n[a.c]\nd = 1\n[[a]]\nb = 1\n[e]\nf = 1")
    assert found.listed_tables == [(("a",), 1), (("a",), 5)]
    assert found.lines == {("e",): 7, ("e", "f"): 8}
    assert found.duplicates == []


@pytest.mark.parametrize(
    "text",
    ["a", "a =", "a = \n", "= 1", "[a", "[a]]", "a = [1", "a = {b = 1", 'a = "x', "a = '''x", "[a] b = 1", "é = 1"],
)
def test_what_is_not_toml_is_told_by_its_line(text: str) -> None:
    with pytest.raises(LookupError, match=r"^line \d+: no TOML where"):
        locate(text)
