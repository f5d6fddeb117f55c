"""Reading a configuration: flag before environment before file before default, and nothing that is not understood.

Lives here: precedence, strictness, and where each value came from. Every problem is collected; a reader decides how
many to show. Must not live here: a particular setting, or what several settings mean together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeVar, cast

from fastrelay.config.document import Document, dotted, read_document
from fastrelay.config.kinds import Unfit, shown
from fastrelay.config.schema import BETWEEN, PREFIX, Schema, Setting, hint
from fastrelay.errors import ConfigError

T = TypeVar("T")


class Level(IntEnum):
    """Where a value came from; the highest one counts."""

    DEFAULT = 0
    FILE = 1
    ENVIRONMENT = 2
    FLAG = 3


@dataclass(frozen=True, slots=True)
class Found:
    """A setting's value, and the file and line, the variable or the flag that gave it."""

    value: object
    level: Level = Level.DEFAULT
    place: str = "default"


class Configuration:
    """What the settings are. Only one without problems may be used; the others are for showing."""

    def __init__(
        self, schema: Schema, document: Document, found: Mapping[str, Found], problems: list[ConfigError]
    ) -> None:
        self._found = found
        self._document = document
        self.schema = schema
        self.problems = problems
        self.refused: frozenset[str] = frozenset()
        """Names of settings that were given and not understood. They have another value here than was meant."""

    @property
    def file(self) -> str:
        """The name of the configuration file; empty without one."""
        return self._document.name

    @property
    def is_whole(self) -> bool:
        """Whether all of the file was read. What is missing may have been in the rest."""
        return not self._document.problems

    def __getitem__(self, setting: Setting[T]) -> T:
        return cast("T", self.found(setting).value)

    def found(self, setting: Setting[Any]) -> Found:
        """The value with its origin."""
        return self._found.get(setting.name) or Found(setting.default)

    def problem(self, setting: Setting[Any], text: str) -> ConfigError:
        """An error about a setting, at the place its value came from."""
        return at_place(setting, self.found(setting).place, text)

    def missing(self, setting: Setting[Any]) -> ConfigError:
        """An error about a setting that nothing gives: it names every way to give it."""
        variable, flag = setting.variables[0], setting.flag
        if self.file:
            others = f", {variable} or {flag}" if flag else f" or {variable}"
            place = self._document.place((setting.section,))
            return ConfigError(place, f"{setting.name} is missing; give it there{others}")
        ways = f"{variable} or {setting.key} in [{setting.section}] of a configuration file"
        return ConfigError(flag or setting.name, f"missing; give {'it, ' if flag else ''}{ways}")

    def shown(self) -> dict[str, dict[str, object]]:
        """Every setting with its value and origin. Secrets are left out, and that they are set is told."""
        return {setting.name: self._shown(setting) for setting in self.schema.settings}

    def _shown(self, setting: Setting[Any]) -> dict[str, object]:
        found = self.found(setting)
        if found.value is None:
            return {"value": None, "from": found.place}
        return {"value": "(secret)" if setting.is_secret else setting.kind.build(found.value), "from": found.place}


def at_place(setting: Setting[Any], place: str, text: str) -> ConfigError:
    """An error about a setting: a flag or a variable names it already, a line of a file does not."""
    if place == "default":
        return ConfigError(setting.flag or setting.name, text)
    return ConfigError(place, f"{setting.name}: {text}" if ":" in place else text)


def read_configuration(
    schema: Schema, file: Path | None, flags: Mapping[str, object], environ: Mapping[str, str]
) -> Configuration:
    """Read everything there is. `flags` has a setting's name for each flag given: texts, lists of them, or true."""
    document = read_document(file) if file is not None else Document()
    reader = _Reader(schema, document)
    reader.read_file()
    reader.read_environment(environ)
    reader.read_flags(flags)
    configuration = Configuration(schema, document, reader.found, reader.problems)
    configuration.refused = frozenset(reader.refused)
    if configuration.is_whole:
        wanted = [setting for setting in schema.settings if setting.is_required]
        reader.problems += [configuration.missing(each) for each in wanted if each.name not in reader.attempted]
    return configuration


class _Reader:
    def __init__(self, schema: Schema, document: Document) -> None:
        self._schema = schema
        self._document = document
        self.attempted: set[str] = set()
        self.refused: set[str] = set()
        self.problems = list(document.problems)
        self.found: dict[str, Found] = {}

    # --- the file

    def read_file(self) -> None:
        before = len(self.problems)
        for section, content in self._document.values.items():
            if section not in self._schema.sections:
                self._refuse((section,), self._unknown_section(section, content))
            elif not isinstance(content, dict):
                self._refuse((section,), f"{section} is {shown(content)}, must be a section: [{section}]")
            else:
                for key, value in content.items():
                    self._read_key(section, key, value)
        self.problems[before:] = sorted(self.problems[before:], key=_line)

    def _unknown_section(self, section: str, content: object) -> str:
        name = f"[{dotted((section,))}]" if isinstance(content, dict) else dotted((section,))
        belongs = self._schema.sections_with(section)
        if belongs and not isinstance(content, dict):
            return f"{name} stands outside any section, must be in [{belongs[0]}]"
        known = [f"[{each}]" for each in self._schema.sections]
        return f"{name} is unknown" + (hint(f"[{section}]", known) or f"; the sections are {', '.join(known)}")

    def _read_key(self, section: str, key: str, value: object) -> None:
        setting = self._schema.by_name.get(f"{section}.{key}")
        if setting is None:
            self._refuse((section, key), self._unknown_key(section, key))
            return
        if setting.is_secret:
            self.refused.add(setting.name)
            advice = f"put it in a file that only its owner may read, and name that file in {setting.name}_file"
            self._refuse((section, key), f"{setting.name} is a secret, which must not stand here: {advice}")
            return

        def refuse(text: str, *, is_claim: bool, item: int | None) -> None:
            path = (section, key) if item is None else (section, key, item)
            self._refuse(path, f"{setting.name} is {text}" if is_claim else f"{setting.name}: {text}")

        self._take(setting, value, Level.FILE, self._document.place((section, key)), refuse)

    def _unknown_key(self, section: str, key: str) -> str:
        name = dotted((section, key))
        if elsewhere := self._schema.sections_with(key):
            return f"{name} is unknown; {key} belongs in [{elsewhere[0]}]"
        known = [setting.key for setting in self._schema.of_section(section)]
        return f"{name} is unknown" + (hint(key, known) or f"; [{section}] has {', '.join(known)}")

    def _refuse(self, path: tuple[str | int, ...], text: str) -> None:
        self.problems.append(ConfigError(self._document.place(path), text))

    # --- environment and flags

    def read_environment(self, environ: Mapping[str, str]) -> None:
        """An empty variable counts as none, as everywhere in a shell."""
        given: dict[str, str] = {}
        for name in sorted(name for name, text in environ.items() if name.startswith(PREFIX) and text):
            setting = self._schema.by_variable.get(name)
            if setting is None:
                self._judge_unknown_variable(name)
            elif setting.name in given:
                self.problems.append(ConfigError(name, f"set together with {given[setting.name]}; leave one out"))
            else:
                given[setting.name] = name
                self._take_text(setting, setting.kind.read(environ[name]), Level.ENVIRONMENT, name)

    def _judge_unknown_variable(self, name: str) -> None:
        """A name with two underscores in the middle is meant for us; one that only lacks them must be a slip."""
        joined = {known.replace(BETWEEN, "_"): known for known in self._schema.by_variable}
        slip = joined.get(name.replace(BETWEEN, "_"))
        if slip is not None:
            self.problems.append(ConfigError(name, f"unknown; did you mean {slip}?"))
        elif BETWEEN in name.removeprefix(PREFIX):
            self.problems.append(ConfigError(name, f"unknown{hint(name, self._schema.by_variable)}"))

    def read_flags(self, flags: Mapping[str, object]) -> None:
        for name, value in flags.items():
            setting = self._schema.by_name[name]
            raw = setting.kind.read(value) if isinstance(value, str) else value
            self._take_text(setting, raw, Level.FLAG, setting.flag or name)

    def _take_text(self, setting: Setting[Any], raw: object, level: Level, place: str) -> None:
        def refuse(text: str, *, is_claim: bool, item: int | None) -> None:
            self.problems.append(ConfigError(place, text))

        self._take(setting, raw, level, place, refuse)

    # --- all of them

    def _take(self, setting: Setting[Any], raw: object, level: Level, place: str, refuse: Callable[..., None]) -> None:
        self.attempted.add(setting.name)
        try:
            value = setting.kind.parse(raw)
        except Unfit as unfit:
            self.refused.add(setting.name)
            for fault in unfit.faults:
                refuse(fault.text, is_claim=fault.is_claim, item=fault.item)
            return
        if level is Level.FILE:
            value = setting.kind.beside(value, Path(self._document.name).parent)
        self.found[setting.name] = Found(value, level, place)


def _line(error: ConfigError) -> int:
    return int(error.key.rpartition(":")[2])
