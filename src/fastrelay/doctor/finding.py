"""What a check says: how bad it is, what was found, why it matters, and the command that fixes it.

Must not live here: the checks, or how findings are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

UNIT: Final = "fastrelay-relay.service"
"""As systemd knows the relay."""


class Level(StrEnum):
    """How bad it is. Only a problem makes the doctor's exit code 1."""

    OK = "ok"
    WARNING = "warning"
    """The relay runs, but not as well as this machine could; or nobody can tell from here."""
    PROBLEM = "problem"
    """Calls will suffer, or the relay will not start."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's. What is not OK has a fix."""

    level: Level
    found: str
    why: str
    """One clause: what it does to calls."""
    fix: str = ""
    """A command, or the option of fastrelay, to copy."""
    check: str = ""
    """The check's name, which run_checks fills in."""

    def build(self) -> dict[str, str]:
        """As JSON values."""
        return {
            "check": self.check,
            "level": self.level.value,
            "found": self.found,
            "why": self.why,
            "fix": self.fix,
        }


def ok(found: str, why: str) -> Finding:
    """Found, and good."""
    return Finding(Level.OK, found, why)


def warning(found: str, why: str, fix: str) -> Finding:
    """Found, and not as good as it could be."""
    return Finding(Level.WARNING, found, why, fix)


def problem(found: str, why: str, fix: str) -> Finding:
    """Found, and bad."""
    return Finding(Level.PROBLEM, found, why, fix)
