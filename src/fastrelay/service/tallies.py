"""What a supervisor remembers beside its workers, and its successor after an upgrade goes on with.

Lives here: those numbers, and a key ring and its changes as they may be shown. Must not live here: what is done with
them (supervisor).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from fastrelay.observe.status import KeyStatus
from fastrelay.routing.keys import KeyRing


@dataclass(slots=True)
class Tallies:
    """What a supervisor counts, and its successor goes on counting."""

    started_at_s: float
    reloads: int = 0
    reloads_refused: int = 0
    upgrades: int = 0
    upgrades_refused: int = 0
    adoptions: int = 0
    draining_since_s: float | None = None
    last_problem: str | None = None

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """From JSON values of this release or a neighbouring one."""
        return cls(**{name: value for name, value in values.items() if name in cls.__slots__})

    def build(self) -> dict[str, Any]:
        """As JSON values, under the names that ServiceStatus has for them."""
        return {name: getattr(self, name) for name in self.__slots__}


def key_statuses(ring: KeyRing, now_s: int) -> tuple[KeyStatus, ...]:
    """Each key and its times, without its secret."""
    minting = ring.minting_key(now_s).id if any(key.is_minting(now_s) for key in ring.keys) else None
    statuses = [KeyStatus(key.id, key.mint_from_s, key.open_until_s, key.id == minting) for key in ring.keys]
    return tuple(statuses)


def ring_changes(old: KeyRing, new: KeyRing) -> dict[str, list[int]]:
    """Which key ids came, went, or have other times. An id with another secret came and went."""
    before = {(key.id, key.secret): key for key in old.keys}
    after = {(key.id, key.secret): key for key in new.keys}
    return {
        "added": [key.id for name, key in after.items() if name not in before],
        "dropped": [key.id for name, key in before.items() if name not in after],
        "changed": [key.id for name, key in after.items() if name in before and key != before[name]],
    }
