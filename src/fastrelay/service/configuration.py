"""From what was read to what runs, as far as a relay and a transceiver go the same way.

Lives here: finding the key ring, and giving an error the place of the value it is about. Must not live here: how a
configuration is read (fastrelay.config), what settings mean together (each process's own).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from fastrelay.config.reading import Configuration, Level, at_place
from fastrelay.config.schema import Schema, Setting
from fastrelay.errors import ConfigError
from fastrelay.routing.keys import KeyRing

PROBLEMS_SHOWN = 4

S = TypeVar("S")
"""A process's settings."""
S_co = TypeVar("S_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Reading(Generic[S_co]):
    """What was read. There are settings exactly when there are no problems."""

    configuration: Configuration
    settings: S_co | None
    problems: tuple[ConfigError, ...]
    keys_problem: ConfigError | None
    """No key ring is named. Whoever runs needs one; a check of the file alone does not."""

    def require(self) -> S_co:
        """The settings, for whoever is to run with them. ConfigError with the first few of the problems."""
        problems = [*self.problems, *([self.keys_problem] if self.keys_problem else [])]
        if self.settings is None or problems:
            raise _joined(problems, self.configuration.file)
        return self.settings


def _joined(problems: list[ConfigError], file: str) -> ConfigError:
    """The first few as one error, a line each."""
    first, *others = problems
    lines = [first.problem, *map(str, others[: PROBLEMS_SHOWN - 1])]
    if len(problems) > PROBLEMS_SHOWN:
        where = f"fastrelay check {file}" if file else "only the first are shown"
        lines.append(f"and {len(problems) - PROBLEMS_SHOWN} more ({where})")
    return ConfigError(first.key, "\n".join(lines))


class Places:
    """Where the values of one schema came from. `shown` is what Configuration.shown() has said of them."""

    def __init__(self, schema: Schema) -> None:
        self._by_flag = {setting.flag: setting for setting in schema.settings if setting.flag is not None}

    def name_of(self, error: ConfigError) -> str:
        """The setting that an error is about, whatever it goes by there."""
        setting = self._by_flag.get(error.key)
        return setting.name if setting is not None else error.key

    def named(self, error: ConfigError, shown: Mapping[str, object]) -> ConfigError:
        """The same error, with the place of the value in place of the option."""
        setting = self._by_flag.get(error.key)
        origin = shown.get(setting.name) if setting is not None else None
        if setting is None or not isinstance(origin, Mapping):
            return error
        return at_place(setting, str(origin["from"]), error.problem)

    @contextmanager
    def naming(self, shown: Mapping[str, object]) -> Iterator[None]:
        """Let an error that names an option name the file and line, or the variable, that gave it its value."""
        try:
            yield
        except ConfigError as error:
            raise self.named(error, shown) from error


def judge(
    configuration: Configuration,
    places: Places,
    needed: Iterable[Setting[Any]],
    ring: tuple[Setting[str], Setting[Path | None]],
    build: Callable[[Configuration, Callable[[], KeyRing]], S],
) -> Reading[S]:
    """Judge what was read together, by making settings of it: `build` does, and is not asked while a needed one lacks.

    `ring` are the settings that the key ring may come from.
    """
    problems = list(configuration.problems)
    load_keys, keys_problem = _ring_reader(configuration, *ring)
    settings = None
    if all(configuration.found(setting).level is not Level.DEFAULT for setting in needed):
        try:
            settings = build(configuration, load_keys)
        except ConfigError as error:
            # a setting that was refused has its default here, which nobody asked for
            if places.name_of(error) not in configuration.refused:
                problems.append(places.named(error, configuration.shown()))
    return Reading(configuration, None if problems else settings, tuple(problems), keys_problem)


def _ring_reader(
    configuration: Configuration, keys: Setting[str], keys_file: Setting[Path | None]
) -> tuple[Callable[[], KeyRing], ConfigError | None]:
    """How to read the ring. The secret stays inside the function, so that no repr of settings can show it."""
    text, path = configuration.found(keys), configuration.found(keys_file)
    named = configuration[keys_file]
    if text.level is path.level is Level.ENVIRONMENT:
        return _refuse(ConfigError(text.place, f"set together with {path.place}; leave one out"))
    if text.level > path.level:
        return lambda: KeyRing.parse(str(text.value), source=text.place), None
    if named is not None:
        return lambda: KeyRing.load(named), None
    error = configuration.missing(keys_file)
    is_told = not configuration.is_whole or configuration.refused & {keys.name, keys_file.name}
    load, problem = _refuse(ConfigError(error.key, f"{error.problem}; make one: fastrelay keys new keys.json"))
    return load, None if is_told else problem


def _refuse(problem: ConfigError) -> tuple[Callable[[], KeyRing], ConfigError]:
    def load() -> KeyRing:
        raise problem

    return load, problem
