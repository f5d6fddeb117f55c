"""Log lines for people and for machines, on standard error.

Lives here: the two forms, and what may stand in a line. Must not live here: what is worth a line (who logs it).

A line is a message and facts:  LOG.info("worker started", extra=facts(worker=0, pid=4711))
Facts are plain values. A client's address goes in as `remote` and comes out as its network. Anything else, a key ring
for example, is shown as the name of its type: no mistake elsewhere can put a secret into a log.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

from fastrelay.wire.address import redact

FORMS = ("console", "json")
_ATTRIBUTE = "facts"


def facts(**values: object) -> dict[str, dict[str, object]]:
    """What stands beside a message, as `extra` of a logging call."""
    return {_ATTRIBUTE: {name: _shown(name, value) for name, value in values.items()}}


def configure(form: str, stream: TextIO | None = None) -> None:
    """Send everything fastrelay logs to `stream`, or to whatever standard error is when a line is written."""
    handler = _StandardError() if stream is None else logging.StreamHandler(stream)
    handler.setFormatter(JsonLines() if form == "json" else ConsoleLines())
    logger = logging.getLogger("fastrelay")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


class JsonLines(logging.Formatter):
    """One JSON object a line: ts, level, msg, then the facts."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {"ts": _moment(record), "level": record.levelname.lower(), "msg": record.getMessage()}
        return json.dumps({**line, **_facts_of(record)}, ensure_ascii=False)


class ConsoleLines(logging.Formatter):
    """Time, level, message, then name=value."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_moment(record)[11:23]} {record.levelname.lower():7} {record.getMessage()}"
        return " ".join([line, *(f"{name}={_quoted(value)}" for name, value in _facts_of(record).items())])


class _StandardError(logging.StreamHandler[TextIO]):
    """Looks sys.stderr up for each line: a live view puts its own in that place while it is on the screen."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def _shown(name: str, value: object) -> object:
    if name == "remote":
        return redact(str(value))
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return [_shown(name, item) for item in value]
    return f"<{type(value).__name__}>"


def _facts_of(record: logging.LogRecord) -> Mapping[str, object]:
    found: Mapping[str, object] = getattr(record, _ATTRIBUTE, {})
    return found


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")[:-4] + "Z"


def _quoted(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return json.dumps(text, ensure_ascii=False) if not text or any(mark in text for mark in ' "=\n') else text
