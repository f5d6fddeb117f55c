"""Reads a callgrind profile: instructions executed and allocations made inside the collected function.

The format is described in Valgrind's manual, "Callgrind Format Specification". Names are compressed: "(7) malloc" names
number 7, and "(7)" alone means it again.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ALLOCATORS = {"malloc", "calloc", "realloc", "memalign", "posix_memalign", "aligned_alloc", "reallocarray"}
LABEL = re.compile(r"^desc: Trigger: Client Request: (\S+)", re.MULTILINE)
NAME = re.compile(r"^c?fn=\((\d+)\)(?: (.+))?$")
CALLS = re.compile(r"^calls=(\d+) ")
COST = re.compile(r"^(?:[+-]?\d+|\*) (\d+)$")
TOTALS = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Profile:
    """What one phase cost."""

    label: str
    instructions: int
    allocations: int
    by_function: dict[str, int]


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
    names: dict[str, str] = {}
    own: dict[str, int] = {}
    allocations = 0
    function = called = ""
    is_call_cost = False
    for line in text.splitlines():
        named = NAME.match(line)
        if named:
            number, name = named.groups()
            if name is not None:
                names[number] = base_name(name)
            if line.startswith("c"):
                called = names[number]
            else:
                function = names[number]
        elif calls := CALLS.match(line):
            allocations += int(calls[1]) if called in ALLOCATORS else 0
            is_call_cost = True
        elif cost := COST.match(line):
            # the line behind "calls=" is the callee's cost, not this function's own
            if not is_call_cost:
                own[function] = own.get(function, 0) + int(cost[1])
            is_call_cost = False
    return Profile(label[1], int(totals[1]), allocations, own)


def base_name(name: str) -> str:
    """A function without its recursion level ('2) and symbol version (@@GLIBC_2.2.5)."""
    return name.partition("'")[0].partition("@")[0]
