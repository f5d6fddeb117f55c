"""What became of a stretch of media, and whether it may be believed.

Lives here: counts, where packets stayed, complaints. Must not live here: processes (crowd).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.load.callers.histogram import Histogram
from bench.report.model import Account

# a generator whose 99th percentile lies further behind its schedule has not made the load it was asked for
LATE_P99_US = 1000.0
# and so has one that left out more than this share
UNSENT_SHARE = 1e-4


@dataclass(frozen=True)
class Way:
    """One direction of a stretch."""

    due: int
    sent: int
    unready: int
    first: int
    overtaken: int
    again: int
    stray: int
    foreign: int
    misdelivered: int
    latest_ns: int
    latency: Histogram
    late: Histogram

    @property
    def missing(self) -> int:
        """Sent and never seen."""
        return self.sent - self.first


@dataclass(frozen=True)
class Result:
    """Both directions, openings, and what the kernel dropped at whose sockets."""

    elapsed_s: float
    up: Way
    down: Way
    openings: int
    answers: int
    refusals: int
    checks: int
    calls_changed: int
    addresses_changed: int
    refused: int
    backwards: int
    held_s: float
    """How long the machine kept the generator from running, as far as it noticed."""
    opening: Histogram
    less_held: Histogram
    """Latency both ways, less what the machine held the sender up after a packet was due."""
    own_drops: int
    """At the generator's own sockets: it could not receive, which says nothing about a relay."""
    target_drops: int

    @property
    def sent(self) -> int:
        """Packets of media, both ways."""
        return self.up.sent + self.down.sent

    @property
    def missing(self) -> int:
        """Of these, never seen."""
        return self.up.missing + self.down.missing

    @property
    def loss(self) -> float:
        """As a share of what was sent."""
        return self.missing / self.sent if self.sent else 0.0

    @property
    def rate(self) -> float:
        """Packets a second that really left."""
        return self.sent / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def latency(self) -> Histogram:
        """From when a packet was due until it was there, both ways."""
        return self.up.latency + self.down.latency

    @property
    def due(self) -> int:
        """Packets the schedule asked for, both ways."""
        return self.up.due + self.down.due

    @property
    def unready(self) -> int:
        """Of these, those for which nobody had said where to."""
        return self.up.unready + self.down.unready

    @property
    def unsent(self) -> int:
        """Those that a generator which gave up has left out."""
        return self.due - self.sent - self.unready - self.refused

    def lateness(self) -> str:
        """Why the generator is called late; empty when it kept its schedule."""
        p99 = max(way.late.percentile_us(99) for way in (self.up, self.down))
        if p99 > LATE_P99_US:
            return f"the generator was late: {p99 / 1000:.1f} ms behind its schedule at p99"
        if self.unsent > UNSENT_SHARE * self.due:
            return f"the generator was late: {self.unsent:,} of {self.due:,} packets never left"
        return ""

    @property
    def is_behind(self) -> bool:
        """Whether the rate was more than the generator could send. One that was held up for some milliseconds by other
        work and caught up was not: half of its packets left in time."""
        is_slow = any(way.late.percentile_us(50) > LATE_P99_US for way in (self.up, self.down))
        return is_slow or self.unsent > UNSENT_SHARE * self.due

    def problems(self) -> list[str]:
        """Why this says nothing about whoever stands between; loss is no such reason."""
        found = [self.lateness()] if self.lateness() else []
        counts = {
            "dropped at the generator's own sockets": self.own_drops,
            "not taken by the kernel": self.refused,
            "stamped before they were due": self.backwards,
            "due while nobody had said where to": self.unready,
            "arrived again": self.up.again + self.down.again,
            "arrived at the address of another call": 0 if self.has_changes else self.down.misdelivered,
        }
        return found + [f"{count:,} packets {what}" for what, count in counts.items() if count]

    @property
    def has_changes(self) -> bool:
        """Whether calls began anew or moved: packets under way then arrive where nobody is any more."""
        return bool(self.calls_changed or self.addresses_changed)

    def accounts(self) -> tuple[Account, ...]:
        """What was due and what became of it; what was sent and where it stayed."""
        arrived = self.up.first + self.down.first
        elsewhere = self.sent - arrived - self.own_drops - self.target_drops
        left = {
            "sent": self.sent,
            "nowhere to send": self.unready,
            "refused": self.refused,
            "never left": self.unsent,
        }
        ended = {
            "arrived": arrived,
            "dropped at the candidate": self.target_drops,
            "dropped at the generator": self.own_drops,
            "lost elsewhere": elsewhere,
        }
        return Account("packets due", self.due, left), Account("packets sent", self.sent, ended)


def add_accounts(results: Iterable[Result]) -> tuple[Account, ...]:
    """The accounts of several stretches as one of each kind."""
    kinds: dict[str, list[Account]] = {}
    for result in results:
        for account in result.accounts():
            kinds.setdefault(account.what, []).append(account)
    return tuple(
        Account(
            what,
            sum(each.put_in for each in same),
            {end: sum(each.ended[end] for each in same) for end in same[0].ended},
        )
        for what, same in kinds.items()
    )


def first_problem(results: Iterable[Result]) -> str:
    """Why these stretches say nothing; empty when they do."""
    return next((problem for result in results for problem in result.problems()), "")
