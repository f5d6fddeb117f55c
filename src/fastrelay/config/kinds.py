"""Kinds of values: what a setting takes, how its text reads in an environment variable or a flag, and how it is shown.

Lives here: kinds that any process may need. A kind judges one value by itself; what several settings mean together is
their process's to judge. Must not live here: where a value came from.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from fastrelay.errors import ConfigError

T = TypeVar("T")
S = TypeVar("S", bound=str)

WHOLE = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
TEXT_SHOWN_MAX = 60


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a value. A claim reads on after "NAME is"; anything else stands after a colon."""

    text: str
    is_claim: bool = True
    item: int | None = None
    """Which entry of a list."""

    def about(self, name: str) -> str:
        """As a sentence that names its setting."""
        return f"{name} is {self.text}" if self.is_claim else f"{name}: {self.text}"


class Unfit(ValueError):
    """A value that its setting does not take. Readers make a ConfigError of each fault."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(fault.text for fault in faults))
        self.faults = faults


class Kind(ABC, Generic[T]):
    """How one setting's values look. `parse` takes what TOML holds; `read` turns a text into that."""

    @property
    @abstractmethod
    def allowed(self) -> str:
        """What may stand there, in words that follow "must be"."""

    @abstractmethod
    def parse(self, value: object) -> T:
        """The value as the program wants it, or Unfit."""

    @abstractmethod
    def json_schema(self) -> dict[str, Any]:
        """The same in JSON Schema's words."""

    def read(self, text: str) -> object:
        """What TOML would hold for this text of a variable or a flag; nonsense is left for `parse` to refuse."""
        return text

    def build(self, value: T) -> object:
        """The value in JSON's types, for people to look at."""
        return value

    def beside(self, value: T, folder: Path) -> T:
        """The value when it was written in a file of this folder."""
        return value

    def _unfit(self, value: object) -> Unfit:
        return Unfit(Fault(f"{shown(value)}, must be {self.allowed}"))


@dataclass(frozen=True)
class Whole(Kind[int]):
    """A whole number within bounds."""

    least: int
    most: int

    @property
    def allowed(self) -> str:
        return f"a whole number from {self.least} to {self.most}"

    def parse(self, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._unfit(value)
        if not self.least <= value <= self.most:
            raise Unfit(Fault(f"{value}, must be {self.least} to {self.most}"))
        return value

    def read(self, text: str) -> object:
        return int(text) if WHOLE.fullmatch(text) else text

    def json_schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True)
class Switch(Kind[bool]):
    """On or off."""

    @property
    def allowed(self) -> str:
        return "true or false"

    def parse(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise self._unfit(value)
        return value

    def read(self, text: str) -> object:
        return {"true": True, "false": False}.get(text, text)

    def json_schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True)
class Choice(Kind[S]):
    """One of a few words."""

    words: tuple[S, ...]

    @property
    def allowed(self) -> str:
        *first, last = map(str, self.words)
        return f"{', '.join(first)} or {last}"

    def parse(self, value: object) -> S:
        for word in self.words:
            if word == value:
                return word
        raise self._unfit(value)

    def build(self, value: S) -> object:
        return str(value)

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": [*map(str, self.words)]}


@dataclass(frozen=True)
class Text(Kind[T]):
    """A text that `make` turns into a value; its ConfigError or ValueError says what is wrong with it."""

    make: Callable[[str], T]
    what: str
    show: Callable[[T], object]

    @property
    def allowed(self) -> str:
        return self.what

    def parse(self, value: object) -> T:
        if not isinstance(value, str):
            raise self._unfit(value)
        if not value:
            raise Unfit(Fault(f"empty, must be {self.what}"))
        try:
            return self.make(value)
        except ConfigError as error:
            raise Unfit(Fault(error.problem, is_claim=False)) from None

    def build(self, value: T) -> object:
        return self.show(value)

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1}


class FilePath(Text[Path]):
    """The name of a file or a folder. In a configuration file it counts from that file's folder."""

    def __init__(self, what: str) -> None:
        super().__init__(_path, what, str)

    def beside(self, value: Path, folder: Path) -> Path:
        return folder / value


@dataclass(frozen=True)
class Listing(Kind[tuple[T, ...]]):
    """Several values of one kind: an array in TOML, commas in a variable, a flag given several times."""

    item: Kind[T]
    what: str
    least: int
    most: int

    @property
    def allowed(self) -> str:
        return f"a list of {self.least} to {self.most} {self.what}, each {self.item.allowed}"

    def parse(self, value: object) -> tuple[T, ...]:
        if not isinstance(value, (list, tuple)):
            raise self._unfit(value)
        if not self.least <= len(value) <= self.most:
            raise Unfit(Fault(f"{len(value)} {self.what}, must be {self.least} to {self.most}", is_claim=False))
        parsed: list[T] = []
        faults: list[Fault] = []
        for index, each in enumerate(cast("Iterable[object]", value)):
            try:
                parsed.append(self.item.parse(each))
            except Unfit as unfit:
                faults += [replace(fault, item=index) for fault in unfit.faults]
        if faults:
            raise Unfit(*faults)
        return tuple(parsed)

    def read(self, text: str) -> object:
        return [self.item.read(part.strip()) for part in text.split(",")]

    def build(self, value: tuple[T, ...]) -> object:
        return [self.item.build(each) for each in value]

    def json_schema(self) -> dict[str, Any]:
        items = self.item.json_schema()
        return {"type": "array", "items": items, "minItems": self.least, "maxItems": self.most}


@dataclass(frozen=True)
class OrNone(Kind[T | None]):
    """A value that may be absent; it cannot be written, only left out."""

    kind: Kind[T]

    @property
    def allowed(self) -> str:
        return self.kind.allowed

    def parse(self, value: object) -> T | None:
        return self.kind.parse(value)

    def read(self, text: str) -> object:
        return self.kind.read(text)

    def build(self, value: T | None) -> object:
        return None if value is None else self.kind.build(value)

    def beside(self, value: T | None, folder: Path) -> T | None:
        return None if value is None else self.kind.beside(value, folder)

    def json_schema(self) -> dict[str, Any]:
        return self.kind.json_schema()


def shown(value: object) -> str:
    """A value as an operator wrote it, short enough for a line. Texts keep their quotation marks."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return repr(value if len(value) <= TEXT_SHOWN_MAX else f"{value[:TEXT_SHOWN_MAX]}…")
    if isinstance(value, (int, float)):
        return str(value)
    names: list[tuple[type[Any], str]] = [(list, "a list"), (tuple, "a list"), (dict, "a table")]
    return next((name for each, name in names if isinstance(value, each)), "a date or time")


def _path(text: str) -> Path:
    if "\0" in text:
        raise ConfigError("path", f"{text!r} cannot be the name of a file")
    return Path(text)
