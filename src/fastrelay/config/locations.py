"""Where each key of a TOML text stands: the line that an error should name.

Lives here: finding lines. tomllib decides what is TOML and what it means; it keeps no lines, so the text is walked a
second time. What it accepts is located; what is not TOML gets a LookupError rather than a guess.
Must not live here: values, or what a key is for.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]
"""Keys from the root down; a number is a place in an array."""

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
BASIC = re.compile(r'"(?:[^"\\\n]|\\.)*"')
LITERAL = re.compile(r"'[^'\n]*'")
# Up to two quotation marks may stand directly before the three that end it.
MULTILINE_BASIC = re.compile(r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})', re.DOTALL)
MULTILINE_LITERAL = re.compile(r"'''.*?'''(?:'{0,2})", re.DOTALL)
SCALAR = re.compile(r"[^,\]}#\n]+")
SPACE = re.compile(r"[ \t]*")
BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")


@dataclass(frozen=True, slots=True)
class Locations:
    """Lines count from 1."""

    lines: dict[KeyPath, int] = field(default_factory=dict)
    duplicates: list[tuple[KeyPath, int]] = field(default_factory=list)
    """Keys and tables that were there already, with the line of the later one. tomllib refuses such a text."""
    listed_tables: list[tuple[KeyPath, int]] = field(default_factory=list)
    """Each [[table]]; what stands below it is not located."""

    def line(self, path: KeyPath) -> int:
        """The line of this key, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def locate(text: str) -> Locations:
    """Find every key of a TOML text. LookupError where it is not TOML."""
    walk = _Walk(text.replace("\r\n", "\n"))
    walk.document()
    return walk.found


class _Walk:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._defined: set[KeyPath] = set()
        self._listed: KeyPath | None = None
        self.found = Locations()

    def document(self) -> None:
        table: KeyPath = ()
        while True:
            self._skip(BLANK)
            if self._at == len(self._text):
                return
            if self._is_next("["):
                table = self._header()
            else:
                self._pair(table)
            self._skip(SPACE)
            if not self._ends_line():
                raise self._lost("the end of the line")

    def _ends_line(self) -> bool:
        return self._at == len(self._text) or self._text[self._at] in "#\n"

    def _header(self) -> KeyPath:
        line = self._line()
        is_listed = self._is_next("[[")
        self._expect("[[" if is_listed else "[")
        path = self._key()
        self._expect("]]" if is_listed else "]")
        if is_listed:
            self._listed = path
            self.found.listed_tables.append((path, line))
        elif self._listed is not None and path[: len(self._listed)] != self._listed:
            self._listed = None
        self._note((), path, line, is_definition=not is_listed)
        return path

    def _pair(self, table: KeyPath) -> None:
        self._skip(SPACE)
        line = self._line()
        path = self._key()
        self._expect("=")
        self._note(table, path, line, is_definition=True)
        self._value(table + path)

    def _note(self, table: KeyPath, path: KeyPath, line: int, *, is_definition: bool) -> None:
        if self._listed is not None and (table + path)[: len(self._listed)] == self._listed:
            return
        for length in range(1, len(path) + 1):
            self.found.lines.setdefault(table + path[:length], line)
        if not is_definition:
            return
        if table + path in self._defined:
            self.found.duplicates.append((table + path, line))
        self._defined.add(table + path)

    def _key(self) -> KeyPath:
        parts: list[str] = []
        while True:
            self._skip(SPACE)
            parts.append(self._key_part())
            self._skip(SPACE)
            if not self._is_next("."):
                return tuple(parts)
            self._at += 1

    def _key_part(self) -> str:
        if (bare := BARE_KEY.match(self._text, self._at)) is not None:
            self._at = bare.end()
            return bare.group()
        pattern = BASIC if self._is_next('"') else LITERAL
        quoted = self._match(pattern, "a key")
        try:
            part = tomllib.loads(f"key = {quoted}")["key"]
        except tomllib.TOMLDecodeError:
            raise self._lost("a key") from None
        return str(part)

    def _value(self, path: KeyPath) -> None:
        self._skip(SPACE)
        if self._is_next("["):
            self._array(path)
        elif self._is_next("{"):
            self._inline_table(path)
        elif self._is_next('"""'):
            self._match(MULTILINE_BASIC, "the end of a text")
        elif self._is_next("'''"):
            self._match(MULTILINE_LITERAL, "the end of a text")
        elif self._is_next('"'):
            self._match(BASIC, "the end of a text")
        elif self._is_next("'"):
            self._match(LITERAL, "the end of a text")
        else:
            self._match(SCALAR, "a value")

    def _array(self, path: KeyPath) -> None:
        self._expect("[")
        for index in range(len(self._text)):
            self._skip(BLANK)
            if self._is_next("]"):
                break
            self._note(path, (index,), self._line(), is_definition=False)
            self._value((*path, index))
            self._skip(BLANK)
            if not self._is_next(","):
                break
            self._at += 1
        self._expect("]")

    def _inline_table(self, path: KeyPath) -> None:
        self._expect("{")
        self._skip(SPACE)
        while not self._is_next("}"):
            self._pair(path)
            self._skip(SPACE)
            if not self._is_next(","):
                break
            self._at += 1
        self._expect("}")

    def _line(self) -> int:
        return bisect_right(self._line_starts, self._at)

    def _is_next(self, mark: str) -> bool:
        return self._text.startswith(mark, self._at)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _match(self, pattern: re.Pattern[str], what: str) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise self._lost(what)
        self._at = match.end()
        return match.group()

    def _expect(self, mark: str) -> None:
        self._skip(SPACE)
        if not self._is_next(mark):
            raise self._lost(repr(mark))
        self._at += len(mark)

    def _lost(self, what: str) -> LookupError:
        return LookupError(f"line {self._line()}: no TOML where {what} should be")
