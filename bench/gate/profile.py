"""Reads a callgrind profile: instructions executed, allocations and system calls made inside the collected function.

The format is described in Valgrind's manual, "Callgrind Format Specification". Names are compressed: "(7) malloc" names
number 7, and "(7)" alone means it again.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ALLOCATORS = {"malloc", "calloc", "realloc", "memalign", "posix_memalign", "aligned_alloc", "reallocarray"}
LABEL = re.compile(r"^desc: Trigger: Client Request: (\S+)", re.MULTILINE)
FILE = re.compile(r"^(c)?f[ile]=\((\d+)\)(?: (.+))?$")
NAME = re.compile(r"^c?fn=\((\d+)\)(?: (.+))?$")
CALLS = re.compile(r"^calls=(\d+) ")
COST = re.compile(r"^([+-]?\d+|\*) (\d+)(?: (\d+))?(?: \d+)*$")
TOTALS = re.compile(r"^(?:totals|summary): (\d+)(?: (\d+))?", re.MULTILINE)


class Line(NamedTuple):
    """A line of source, as the compiler's debug information names it."""

    file: str
    number: int


@dataclass(frozen=True)
class Profile:
    """What one phase cost; own instructions only, by function and by line."""

    label: str
    instructions: int
    allocations: int
    system_calls: int
    by_function: Counter[str]
    calls_by_function: Counter[str]
    by_line: Counter[Line]


def read_profiles(stem: Path) -> dict[str, Profile]:
    """The profiles a run has left beside the given name, by the label they were dumped with."""
    profiles = {}
    for path in sorted(stem.parent.glob(f"{stem.name}*")):
        profile = parse_profile(path.read_text())
        if profile is not None:
            profiles[profile.label] = profile
    return profiles


def parse_profile(text: str) -> Profile | None:
    """One dump; None for one that no label asked for (callgrind writes a last one at exit)."""
    label, totals = LABEL.search(text), TOTALS.search(text)
    if label is None or totals is None:
        return None
    reader = Reader()
    for line in text.splitlines():
        reader.read(line)
    return Profile(
        label[1],
        instructions=int(totals[1]),
        allocations=reader.allocations,
        # a count of zero at the end of a line is left out
        system_calls=int(totals[2] or 0),
        by_function=reader.by_function,
        calls_by_function=reader.calls_by_function,
        by_line=reader.by_line,
    )


class Reader:
    """The state that the format carries from line to line."""

    def __init__(self) -> None:
        self.by_function: Counter[str] = Counter()
        self.calls_by_function: Counter[str] = Counter()
        self.by_line: Counter[Line] = Counter()
        self.allocations = 0
        self._files: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._file = self._function = self._called = ""
        self._number = 0
        self._is_call_cost = False

    def read(self, line: str) -> None:
        """Takes in the next line; what is neither a name, a call nor a cost does not matter here."""
        if named := FILE.match(line):
            file = learn(self._files, named[2], named[3])
            self._file = self._file if named[1] else file
        elif named := NAME.match(line):
            name = learn(self._names, named[1], base_name(named[2]) if named[2] else None)
            if line.startswith("c"):
                self._called = name
            else:
                self._function = name
        elif calls := CALLS.match(line):
            self.allocations += int(calls[1]) if self._called in ALLOCATORS else 0
            self._is_call_cost = True
        elif cost := COST.match(line):
            self._take_cost(cost[1], int(cost[2]), int(cost[3] or 0))

    def _take_cost(self, position: str, instructions: int, system_calls: int) -> None:
        if position[0] in "+-":
            self._number += int(position)
        elif position != "*":
            self._number = int(position)
        # the line behind "calls=" is the callee's cost, not this function's own
        if not self._is_call_cost:
            self.by_function[self._function] += instructions
            self.calls_by_function[self._function] += system_calls
            self.by_line[Line(self._file, self._number)] += instructions
        self._is_call_cost = False


def learn(names: dict[str, str], number: str, name: str | None) -> str:
    """What the number stands for, from now on or since it was first named."""
    if name is not None:
        names[number] = name
    return names[number]


def base_name(name: str) -> str:
    """A function without its recursion level ('2) and symbol version (@@GLIBC_2.2.5)."""
    return name.partition("'")[0].partition("@")[0]
