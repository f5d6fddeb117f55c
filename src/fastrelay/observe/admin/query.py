"""What may be asked of /flows and /events, and how it is written in a URL.

Lives here: reading parameters, and every refusal of one. Must not live here: answering (routes).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from fastrelay.errors import ConfigError
from fastrelay.wire.address import format_endpoint, parse_endpoint

FLOWS_LIMIT_MAX: Final = 1000
FLOWS_LIMIT_DEFAULT: Final = 100
EVENTS_LIMIT_MAX: Final = 2048
EVENTS_LIMIT_DEFAULT: Final = 100
WORKER_MAX: Final = 255
SLOT_MAX: Final = (1 << 24) - 1
_SESSION = re.compile(r"[0-9a-fA-F]{16}")
_CURSOR = re.compile(r"([0-9]{1,3})-([0-9]{1,8})")
_SHOWN_MAX = 64


class QueryError(Exception):
    """The asker's: a parameter that cannot be used."""

    def __init__(self, parameter: str, problem: str) -> None:
        super().__init__(f"{parameter}: {problem}")
        self.parameter = parameter
        self.problem = problem


class FlowState(StrEnum):
    """Flows that a reader can ask for by their state."""

    CONFIRMED = "confirmed"
    UNCONFIRMED = "unconfirmed"
    ONE_WAY = "one_way"


class Sort(StrEnum):
    """Orders beside that of the slots."""

    WORST = "worst"


@dataclass(frozen=True, slots=True)
class FlowsQuery:
    """Which flows, and how many. `after` is the (worker, slot) of the last one seen."""

    limit: int = FLOWS_LIMIT_DEFAULT
    after: tuple[int, int] | None = None
    session: str | None = None
    worker: int | None = None
    transceiver: str | None = None
    state: FlowState | None = None
    sort: Sort | None = None

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> FlowsQuery:
        """QueryError names the first parameter that cannot be used."""
        _refuse_unknown(parameters, cls.__dataclass_fields__)
        query = cls(
            limit=_number(parameters, "limit", 1, FLOWS_LIMIT_MAX, FLOWS_LIMIT_DEFAULT),
            after=_cursor(parameters),
            session=_session(parameters),
            worker=_number(parameters, "worker", 0, WORKER_MAX, -1) if "worker" in parameters else None,
            transceiver=_transceiver(parameters),
            state=_word(parameters, "state", FlowState),
            sort=_word(parameters, "sort", Sort),
        )
        if query.sort is not None and query.after is not None:
            raise QueryError("after", "does not go together with sort: the worst calls have one page")
        return query


@dataclass(frozen=True, slots=True)
class EventsQuery:
    """Which events; the latest when there are more."""

    limit: int = EVENTS_LIMIT_DEFAULT
    session: str | None = None

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> EventsQuery:
        """QueryError names the first parameter that cannot be used."""
        _refuse_unknown(parameters, cls.__dataclass_fields__)
        return cls(_number(parameters, "limit", 1, EVENTS_LIMIT_MAX, EVENTS_LIMIT_DEFAULT), _session(parameters))


def format_cursor(worker: int, slot: int) -> str:
    return f"{worker}-{slot}"


def _refuse_unknown(parameters: Mapping[str, str], known: Mapping[str, object]) -> None:
    for name in parameters:
        if name not in known:
            raise QueryError(name[:_SHOWN_MAX], f"is not one of {', '.join(known)}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "…")


def _number(parameters: Mapping[str, str], name: str, least: int, most: int, default: int) -> int:
    text = parameters.get(name)
    if text is None:
        return default
    # int() alone would take signs, spaces, underscores and other scripts' digits, and any length
    is_digits = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not is_digits or not least <= int(text) <= most:
        raise QueryError(name, f"{_shown(text)} is not a number from {least} to {most}")
    return int(text)


def _cursor(parameters: Mapping[str, str]) -> tuple[int, int] | None:
    text = parameters.get("after")
    if text is None:
        return None
    found = _CURSOR.fullmatch(text)
    if found is None or int(found[1]) > WORKER_MAX or int(found[2]) > SLOT_MAX:
        raise QueryError("after", f"{_shown(text)} is not the `next` of an earlier answer")
    return int(found[1]), int(found[2])


def _session(parameters: Mapping[str, str]) -> str | None:
    text = parameters.get("session")
    if text is not None and _SESSION.fullmatch(text) is None:
        raise QueryError("session", f"{_shown(text)} is not a session id of 16 hexadecimal digits")
    return None if text is None else text.lower()


def _transceiver(parameters: Mapping[str, str]) -> str | None:
    text = parameters.get("transceiver")
    if text is None:
        return None
    try:
        return format_endpoint(*parse_endpoint(text[: 2 * _SHOWN_MAX], key="transceiver"))
    except ConfigError as error:
        raise QueryError("transceiver", error.problem) from None


WordT = TypeVar("WordT", FlowState, Sort)


def _word(parameters: Mapping[str, str], name: str, words: type[WordT]) -> WordT | None:
    text = parameters.get(name)
    if text is None:
        return None
    try:
        return words(text)
    except ValueError:
        raise QueryError(name, f"{_shown(text)} is not one of {', '.join(words)}") from None
