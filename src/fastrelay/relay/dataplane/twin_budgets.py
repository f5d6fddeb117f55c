"""Budgets: how many admissions and re-creations may be tried, as integer token buckets.

Lives here: the bucket, and one bucket per source address.
Must not live here: what is budgeted or which verdict a refusal is.
The compiled loop keeps source buckets in a table of fixed size; here every source has its own for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address

_WHOLE = 1000
_SOURCE_PREFIX_BITS_V6 = 64


@dataclass(slots=True)
class Budget:
    """A bucket of `burst` tries that refills at `per_s`. It starts full. Levels are thousandths of a try."""

    per_s: int
    burst: int
    _level: int = field(init=False)
    _filled_at_ms: int | None = None

    def __post_init__(self) -> None:
        self._level = self.burst * _WHOLE

    def take(self, now_ms: int) -> bool:
        """Spends one try if there is one. Milliseconds times tries a second are thousandths: nothing rounds."""
        if self._filled_at_ms is not None:
            elapsed_ms = now_ms - self._filled_at_ms
            self._level = min(self.burst * _WHOLE, self._level + elapsed_ms * self.per_s)
        self._filled_at_ms = now_ms
        if self._level < _WHOLE:
            return False
        self._level -= _WHOLE
        return True


@dataclass(slots=True)
class SourceBudgets:
    """One budget for each IPv4 address and each IPv6 /64."""

    per_s: int
    burst: int
    _budgets: dict[tuple[int, int], Budget] = field(default_factory=dict)

    def take(self, source_ip: str, now_ms: int) -> bool:
        source = _source_key(source_ip)
        if source not in self._budgets:
            self._budgets[source] = Budget(self.per_s, self.burst)
        return self._budgets[source].take(now_ms)


def _source_key(ip: str) -> tuple[int, int]:
    address = ip_address(ip)
    if isinstance(address, IPv6Address):
        return 6, int(address) >> 128 - _SOURCE_PREFIX_BITS_V6
    return 4, int(address)
