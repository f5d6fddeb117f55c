"""Log lines for people and for machines, on standard error.

Lives here: the two forms, and what may stand in a line. Must not live here: what is worth a line (who logs it), how
many lines alike are too many (throttle).

A line is a constant message and facts:  LOG.info("worker started", extra=facts(worker=0, pid=4711))
The message is also the line's event word, `worker_started`: the same from release to release, for machines to look for.
Facts are plain values. A client's address goes in as `remote` and comes out as its network. Anything else, a key ring
for example, is shown as the name of its type: no mistake elsewhere can put a secret into a log.
"""

from __future__ import annotations

import json
import logging
import os
import re
import select
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TextIO

from fastrelay.observe.throttle import WINDOW_S, Suppressed, Throttle
from fastrelay.wire.address import redact

FORMS = ("console", "json")
EVENT_LENGTH_MAX = 64
_ATTRIBUTE = "facts"
_OWN = frozenset({"ts", "level", "msg", "event"})
_NOT_IN_A_WORD = re.compile(r"[^a-z0-9]+")


def facts(**values: object) -> dict[str, dict[str, object]]:
    """What stands beside a message, as `extra` of a logging call. ValueError for a name that each line has itself."""
    if taken := _OWN & values.keys():
        raise ValueError(f"{', '.join(sorted(taken))}: no names for facts, every line has its own")
    return {_ATTRIBUTE: {name: _shown(name, value) for name, value in values.items()}}


def configure(form: str, stream: TextIO | None = None, *, clock_s: Callable[[], float] = time.monotonic) -> None:
    """Send everything fastrelay logs to `stream`, or to whatever standard error is when a line is written."""
    handler = LineHandler(stream, clock_s=clock_s)
    handler.setFormatter(JsonLines() if form == "json" else ConsoleLines())
    logger = logging.getLogger("fastrelay")
    for before in logger.handlers:
        before.close()
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def tell_suppressed() -> None:
    """Write what is owed of lines held back, where their time is over. For a loop that may log nothing for long."""
    for handler in logging.getLogger("fastrelay").handlers:
        if isinstance(handler, LineHandler):
            handler.tell_suppressed()


def event_word(message: str) -> str:
    """The stable word of a constant message.

    >>> event_word("key ring refused, the old one stays")
    'key_ring_refused_the_old_one_stays'
    """
    return _NOT_IN_A_WORD.sub("_", message.lower()).strip("_")[:EVENT_LENGTH_MAX].rstrip("_")


class JsonLines(logging.Formatter):
    """One JSON object a line: ts, level, msg, event, then the facts."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": _moment(record),
            "level": record.levelname.lower(),
            "msg": record.getMessage(),
            "event": event_word(str(record.msg)),
        }
        return json.dumps({**line, **_facts_of(record)}, ensure_ascii=False)


class ConsoleLines(logging.Formatter):
    """Time, level, message, then name=value."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_moment(record)[11:23]} {record.levelname.lower():7} {record.getMessage()}"
        return " ".join([line, *(f"{name}={_quoted(value)}" for name, value in _facts_of(record).items())])


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines, but not the same message without end: those beyond the throttle are counted and told once.

    It starts no thread, so what is owed is told with the next line, by tell_suppressed(), or at the end. Without a
    stream it looks sys.stderr up for each line: a live view puts its own in that place while it is on the screen.

    The process's own standard error is never waited for: a collector of logs that stands still must not stand in the
    way of calls. Lines that find no room are lost, and counted in the first one that does.
    """

    def __init__(self, stream: TextIO | None, *, clock_s: Callable[[], float]) -> None:
        super().__init__(stream)
        self._follows_stderr = stream is None
        self._clock_s = clock_s
        self._throttle = Throttle()
        self._pid = os.getpid()
        self._lost = 0
        self._is_cut = False
        """The last line that was written is not whole."""

    def emit(self, record: logging.LogRecord) -> None:
        throttle = self._own_throttle()
        now_s = self._clock_s()
        is_admitted = throttle.admit(str(record.msg), record.levelno, now_s)
        self._tell(throttle.owed(now_s))
        if is_admitted:
            self._write(record)

    def tell_suppressed(self) -> None:
        """Write what is owed by now."""
        self.acquire()
        try:
            self._tell(self._own_throttle().owed(self._clock_s()))
        finally:
            self.release()

    def close(self) -> None:
        """Write all that is owed: nobody comes after."""
        self.acquire()
        try:
            self._tell(self._own_throttle().settle())
        finally:
            self.release()
        super().close()

    def _own_throttle(self) -> Throttle:
        """What a forked child has inherited is its parent's to tell."""
        if self._pid != os.getpid():
            self._pid, self._throttle = os.getpid(), Throttle()
        return self._throttle

    def _tell(self, owed: list[Suppressed]) -> None:
        for message, level, count in owed:
            self._write(_own_line(level, "lines suppressed", like=message, count=count, within_s=WINDOW_S))

    def _write(self, record: logging.LogRecord) -> None:
        if self._follows_stderr:
            self.stream = sys.stderr
        if sys.__stderr__ is None or self.stream is not sys.__stderr__:
            super().emit(record)
            return
        if self._lost:
            told = _own_line(logging.WARNING, "lines lost, nobody read them", count=self._lost)
            if self._write_at_once(told):
                self._lost = 0
        self._lost += not self._write_at_once(record)

    def _write_at_once(self, record: logging.LogRecord) -> bool:
        """Whether there was room for the whole line."""
        # past the stream: whoever prints to it, and waits, holds its lock
        descriptor = self.stream.fileno()
        text = self.terminator * self._is_cut + self.format(record) + self.terminator
        line = text.encode(errors="backslashreplace")
        ready = select.poll()
        ready.register(descriptor, select.POLLOUT)
        for at in range(0, len(line), select.PIPE_BUF):
            if not ready.poll(0):
                return False
            try:
                os.write(descriptor, line[at : at + select.PIPE_BUF])
            except OSError:  # its reader has gone
                return False
            self._is_cut = at + select.PIPE_BUF < len(line)
        return True


def _own_line(level: int, message: str, **values: object) -> logging.LogRecord:
    line = logging.LogRecord("fastrelay", level, __file__, 0, message, None, None)
    line.__dict__.update(facts(**values))
    return line


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
