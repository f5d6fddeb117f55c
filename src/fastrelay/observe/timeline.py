"""One session in time: what relays have journalled of it, what their logs say, and the flows it has now.

Lives here: bringing those together in one order, and the lines of a log that speak of a session. Must not live here:
asking relays (client), opening files, printing (cli.trace).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fastrelay.observe.answers import Flow
from fastrelay.observe.screen import age, number

_LOG_MEMBERS = ("ts", "level", "msg", "session")
_EVENT_MEMBERS = ("ts", "at_s", "unix_ms", "kind", "session")


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened. `moment_s` is Unix time."""

    moment_s: float
    source: str
    what: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "ts": moment_text(self.moment_s),
            "source": self.source,
            "what": self.what,
            "facts": dict(self.facts),
        }

    def line(self) -> str:
        """As one line without its time and source."""
        facts = "  ".join(f"{name}={_shown(value)}" for name, value in self.facts.items() if value is not None)
        return f"{self.what}  {facts}".rstrip()


def journalled(events: Sequence[Mapping[str, Any]], source: str) -> Iterator[Entry]:
    """Entries of a relay's /events, which has the latest first: what shares a millisecond must not end up backwards."""
    for event in reversed(events):
        facts = {name: value for name, value in event.items() if name not in _EVENT_MEMBERS}
        yield Entry(_moment_of_event(event), source, str(event.get("kind", "event")), facts)


def logged(lines: Iterable[str], session: str, source: str) -> Iterator[Entry]:
    """Lines of a JSON log that name the session, as a fact or in the message. Others are passed over, and so is a log
    for people, whose lines have no date."""
    for text in lines:
        if session not in text:
            continue
        try:
            line = json.loads(text)
        except ValueError:
            continue
        moment_s = parse_moment(line.get("ts")) if isinstance(line, dict) else None
        if moment_s is None or not _speaks_of(line, session):
            continue
        facts = {name: value for name, value in line.items() if name not in _LOG_MEMBERS}
        level = line.get("level", "info")
        what = str(line.get("msg", ""))
        yield Entry(moment_s, source, what if level == "info" else f"{level}: {what}", facts)


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """By time; what happened in one moment keeps the order it came in."""
    return sorted(entries, key=lambda entry: entry.moment_s)


def flow_text(flow: Flow) -> str:
    """What a flow is like now, in a line."""
    parts = [
        f"worker {flow.worker}",
        f"{flow.client} ↔ {flow.transceiver}",
        flow.state + (", one-way" if flow.is_one_way else ""),
        f"up {flow.packets_up:,} down {flow.packets_down:,} packets",
    ]
    if flow.loss_percent is not None:
        parts.append(f"loss {number(flow.loss_percent, ' %')}, jitter {number(flow.jitter_ms, ' ms')}")
    if flow.setup_ms is not None:
        parts.append(f"media after {flow.setup_ms:,.0f} ms")
    parts.append(f"last packet {age(flow.age_of_last_packet_s)} ago")
    return "  ".join(parts)


def moment_text(moment_s: float) -> str:
    """Unix time as RFC 3339 with milliseconds; rounded down, as logs are."""
    whole, rest = divmod(int(moment_s * 1000 + 1e-6), 1000)
    try:
        text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (OverflowError, ValueError, OSError):  # beyond the calendar
        return f"{moment_s:.3f}"
    return f"{text}.{rest:03}Z"


def parse_moment(text: object) -> float | None:
    """Unix time of a log line's `ts`; None for what is no moment."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _moment_of_event(event: Mapping[str, Any]) -> float:
    if isinstance(found := event.get("unix_ms"), (int, float)):
        return found / 1000
    if isinstance(found := event.get("at_s"), (int, float)):
        return float(found)
    return parse_moment(event.get("ts")) or 0.0


def _speaks_of(line: Mapping[str, Any], session: str) -> bool:
    if "session" in line:
        return str(line["session"]).lower() == session
    return any(isinstance(value, str) and session in value.lower() for value in line.values())


def _shown(value: object) -> str:
    return value if isinstance(value, str) and value and " " not in value else json.dumps(value, ensure_ascii=False)
