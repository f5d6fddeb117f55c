"""The configuration file as it was read: its values, and the line of each.

Lives here: opening the file and refusing what is not TOML. Must not live here: what its keys mean (reading).
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastrelay.config.kinds import shown
from fastrelay.config.locations import KeyPath, Locations, locate
from fastrelay.errors import ConfigError

FILE_BYTES_MAX = 1 << 20
PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Document:
    """One file. Without a name it is the file that was not given, and empty."""

    name: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    locations: Locations = field(default_factory=Locations)
    problems: tuple[ConfigError, ...] = ()

    def place(self, path: KeyPath) -> str:
        """FILE:LINE of a key."""
        return f"{self.name}:{self.locations.line(path)}"


def read_document(path: Path) -> Document:
    """Read a file. What is wrong with it as a whole is among its problems, and then it has no values."""
    name = str(path)
    try:
        text = _text(path)
    except ConfigError as error:
        return Document(name, problems=(error,))
    try:
        values = tomllib.loads(text)
        locations = locate(text)
    except RecursionError:
        return Document(name, problems=(ConfigError(name, "not TOML: too many brackets within each other"),))
    except tomllib.TOMLDecodeError as error:
        return Document(name, problems=_syntax_problems(name, text, error))
    except ValueError:  # Python's own limit
        return Document(name, problems=(ConfigError(name, "not TOML: a number with thousands of digits"),))
    except LookupError as error:  # only if tomllib should come to take a later TOML than the locator knows
        return Document(name, problems=(ConfigError(name, str(error)),))
    problems = tuple(
        ConfigError(
            f"{name}:{line}",
            f"[[{dotted(table)}]] makes a list of tables, which nothing here takes; write [{dotted(table)}]",
        )
        for table, line in locations.listed_tables
    )
    return Document(name, {} if problems else values, locations, problems)


def dotted(path: KeyPath) -> str:
    """The name of a key as a message shows it."""
    bare = re.compile(r"[A-Za-z0-9_-]+")
    return ".".join(str(part) if bare.fullmatch(str(part)) else shown(str(part)) for part in path)


def _text(path: Path) -> str:
    try:
        # Non-blocking, so that a FIFO in its place is refused below instead of waited for.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigError(str(path), "not a regular file")
            # who may write here decides where calls go
            if mode & stat.S_IWOTH:
                raise ConfigError(
                    str(path), f"mode {stat.S_IMODE(mode):04o} lets everyone change it; run: chmod o-w {path}"
                )
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(str(path), error.strerror or str(error)) from error
    if len(content) > FILE_BYTES_MAX:
        raise ConfigError(str(path), f"longer than {FILE_BYTES_MAX} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}", "not UTF-8, which TOML must be") from None


def _syntax_problems(name: str, text: str, error: tomllib.TOMLDecodeError) -> tuple[ConfigError, ...]:
    """tomllib's own message, with our form of its place. It does not say which key is there twice: we do."""
    try:
        found = locate(text)
    except (LookupError, RecursionError):
        found = Locations()
    if found.duplicates:
        return tuple(
            ConfigError(f"{name}:{line}", f"{dotted(path)} is there already, in line {found.line(path)}")
            for path, line in found.duplicates
        )
    message = str(error)
    place = PLACE.search(message)
    line = place.group(1) if place else None
    problem = f"not TOML: {PLACE.sub('', message)}"
    return (ConfigError(f"{name}:{line or text.count(chr(10)) + 1}", problem),)
