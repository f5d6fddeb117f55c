"""What can be set: each setting with its kind, default and reason, and the names it goes by.

Lives here: declaring settings and finding them by any of their names. Must not live here: reading values (reading).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from fastrelay.config.kinds import Kind

T = TypeVar("T")

PREFIX = "FASTRELAY_"
BETWEEN = "__"


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """One thing an operator may decide. `name` is SECTION.KEY of the file."""

    name: str
    kind: Kind[T]
    reason: str
    """One line for an operator: what it does."""
    default: T | None = None
    unit: str = ""
    flag: str | None = None
    other_variables: tuple[str, ...] = ()
    """Variables that mean the same as `variable`, and stand for it in what is shown."""
    is_required: bool = False
    is_secret: bool = False
    """Comes from the environment alone, and is never shown. A setting with `_file` after its name takes a file."""

    @property
    def section(self) -> str:
        return self.name.partition(".")[0]

    @property
    def key(self) -> str:
        return self.name.partition(".")[2]

    @property
    def variables(self) -> tuple[str, ...]:
        """Its environment variables; the first is the one to name to an operator."""
        return (*self.other_variables, f"{PREFIX}{self.section.upper()}{BETWEEN}{self.key.upper()}")


class Schema:
    """The settings of one process, in the order they are shown."""

    def __init__(self, settings: Iterable[Setting[Any]]) -> None:
        self.settings = tuple(settings)
        self.by_name = {setting.name: setting for setting in self.settings}
        self.by_variable = {name: setting for setting in self.settings for name in setting.variables}
        self.sections = tuple(dict.fromkeys(setting.section for setting in self.settings))

    def of_section(self, section: str) -> list[Setting[Any]]:
        return [setting for setting in self.settings if setting.section == section]

    def sections_with(self, key: str) -> list[str]:
        """Where a key belongs that stands in the wrong section."""
        return [setting.section for setting in self.settings if setting.key == key]


def hint(name: str, known: Iterable[str]) -> str:
    """What an unknown name may have been meant to be, as the end of a message."""
    near = get_close_matches(name.lower(), {each.lower(): each for each in known}, n=1)
    return f"; did you mean {next(each for each in known if each.lower() == near[0])}?" if near else ""
