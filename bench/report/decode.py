"""Plain JSON values into dataclasses, strictly: what is missing, unknown or of another type is named by its place.

Lives here: the reading of any of the model's types. Must not live here: files and versions (files).
"""

from __future__ import annotations

import dataclasses
import types
import typing
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

Model = TypeVar("Model")


class Malformed(Exception):
    """A value that is not what its place wants; the text names the place."""


def decode(kind: type[Model], value: object, place: str = "") -> Model:
    """`value` as `kind`. Raises Malformed."""
    return typing.cast(Model, _decode(kind, value, place))


def _decode(kind: Any, value: object, place: str) -> object:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _dataclass(kind, value, place)
    origin = typing.get_origin(kind)
    if origin is types.UnionType:
        wanted = next(each for each in typing.get_args(kind) if each is not type(None))
        return None if value is None else _decode(wanted, value, place)
    if origin is tuple:
        item = typing.get_args(kind)[0]
        return tuple(_decode(item, each, f"{place}[{at}]") for at, each in enumerate(_expect(list, value, place)))
    if origin is dict:
        item = typing.get_args(kind)[1]
        return {name: _decode(item, each, f"{place}.{name}") for name, each in _expect(dict, value, place).items()}
    return _scalar(kind, value, place)


def _scalar(kind: Any, value: object, place: str) -> object:
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        if value not in list(kind):
            raise Malformed(f"{place}: {value!r} is none of {', '.join(kind)}")
        return kind(str(value))
    # a whole number is a good float, and True is no number
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return _expect(kind, value, place)


def _expect(kind: Any, value: object, place: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise Malformed(f"{place or 'the file'}: {_NAMES[kind]} is wanted, not {_shortened(value)}")
    return value


def _dataclass(kind: Any, value: object, place: str) -> object:
    content = _expect(dict, value, place)
    hints = _hints(kind)
    prefix = f"{place}." if place else ""
    if unknown := sorted(content.keys() - hints.keys()):
        raise Malformed(f"{prefix}{unknown[0]}: unknown")
    if missing := [name for name in hints if name not in content]:
        raise Malformed(f"{prefix}{missing[0]}: missing")
    return kind(**{name: _decode(hint, content[name], prefix + name) for name, hint in hints.items()})


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {each.name: hints[each.name] for each in dataclasses.fields(kind)}


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


_NAMES = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}
