"""Log lines: their two forms, and what never stands in one."""

from __future__ import annotations

import fcntl
import io
import json
import logging
import os
import re
import select
import sys
from collections.abc import Iterator
from typing import BinaryIO

import pytest

from fastrelay.observe.logs import EVENT_LENGTH_MAX, LineHandler, configure, event_word, facts, tell_suppressed
from fastrelay.observe.throttle import ERRORS_MAX, LINES_MAX, WINDOW_S
from fastrelay.routing.keys import Key, KeyRing

LOG = logging.getLogger("fastrelay.test")
SECRET = bytes(range(32))


@pytest.fixture(autouse=True)
def _logging_is_put_back() -> Iterator[None]:
    logger = logging.getLogger("fastrelay")
    kept = (logger.handlers[:], logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.level, logger.propagate = kept


def written(form: str, message: str, **values: object) -> str:
    stream = io.StringIO()
    configure(form, stream)
    LOG.warning(message, extra=facts(**values))
    return stream.getvalue()


def test_json_line_has_its_members() -> None:
    line = json.loads(written("json", "worker started", worker=3, is_new=True, cpus=[0, 2], problem=None))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("ts"))
    assert line == {
        "level": "warning",
        "msg": "worker started",
        "event": "worker_started",
        "worker": 3,
        "is_new": True,
        "cpus": [0, 2],
        "problem": None,
    }


def test_console_line_reads_well() -> None:
    line = written("console", "key ring refused", problem="ring.json: not JSON", worker=3)
    assert re.fullmatch(
        r'\d\d:\d\d:\d\d\.\d{3} warning key ring refused problem="ring\.json: not JSON" worker=3\n', line
    )


@pytest.mark.parametrize("form", ["json", "console"])
def test_one_event_is_one_line(form: str) -> None:
    assert written(form, "two", text="a\nb").count("\n") == 1


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(("remote", "shown"), [("192.0.2.77", "192.0.2.0/24"), ("2001:db8::77", "2001:db8::/48")])
def test_client_is_named_by_its_network(form: str, remote: str, shown: str) -> None:
    line = written(form, "flow", remote=remote)
    assert shown in line
    assert remote not in line


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param(KeyRing((Key(0, SECRET, 0),)), "<KeyRing>", id="ring"),
        pytest.param(SECRET, "<bytes>", id="bytes"),
        pytest.param([SECRET], "<bytes>", id="bytes in a list"),
        pytest.param({"secret": SECRET}, "<dict>", id="dict"),
    ],
)
def test_what_is_no_plain_value_is_named_by_its_type(form: str, value: object, shown: str) -> None:
    line = written(form, "careless", value=value)
    assert shown in line
    assert "secret" not in line


def test_lines_go_to_what_standard_error_is_at_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    configure("console")
    for _ in range(2):
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        LOG.info("here")
        assert stream.getvalue().endswith("here\n")


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> Iterator[BinaryIO]:
    """Standard error is a pipe with room for one page; its other end."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream, os.fdopen(reader, "rb", buffering=0) as end:
        monkeypatch.setattr(sys, "__stderr__", stream)
        configure("json", stream)
        size = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4 * select.PIPE_BUF)
        os.write(writer, b"." * (size - select.PIPE_BUF))
        yield end


@pytest.mark.parametrize("length", [10, 900, 6000], ids=["short", "long", "longer than a page"])
def test_collector_that_stands_still_holds_nobody_up(unread: BinaryIO, length: int) -> None:
    for number in range(logging.INFO, logging.INFO + 1000):
        LOG.log(number, "x" * length)  # of another level each, or the throttle would take them
    unread.read(1 << 20)
    LOG.info("read again")
    *_, told, line = (text for text in unread.read(1 << 20).splitlines() if text)
    assert json.loads(line)["msg"] == "read again"
    found = json.loads(told)
    assert (found["level"], found["msg"]) == ("warning", "lines lost, nobody read them")
    assert 900 < found["count"] <= 1000


def test_reader_that_has_gone_is_no_error(unread: BinaryIO, capfd: pytest.CaptureFixture[str]) -> None:
    unread.close()
    LOG.error("nobody hears this")
    assert capfd.readouterr() == ("", "")


def test_configuring_again_does_not_double_lines() -> None:
    configure("json", io.StringIO())
    assert written("console", "once").count("once") == 1


@pytest.mark.parametrize(
    ("message", "word"),
    [
        pytest.param("worker started", "worker_started", id="words"),
        pytest.param("key ring refused, the old one stays", "key_ring_refused_the_old_one_stays", id="comma"),
        pytest.param("UDP_SEGMENT failed", "udp_segment_failed", id="capitals"),
        pytest.param("  (stopping)  ", "stopping", id="edges"),
        pytest.param("x" * 200, "x" * EVENT_LENGTH_MAX, id="long"),
        pytest.param("x" * (EVENT_LENGTH_MAX - 1) + " y", "x" * (EVENT_LENGTH_MAX - 1), id="cut between words"),
    ],
)
def test_event_word_is_the_message_in_snake_case(message: str, word: str) -> None:
    assert event_word(message) == word


def test_event_word_does_not_change_with_what_is_filled_in() -> None:
    stream = io.StringIO()
    configure("json", stream)
    for cpu in range(2):
        LOG.info("worker on %d", cpu)
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["msg"], second["msg"]) == ("worker on 0", "worker on 1")
    assert first["event"] == second["event"] == "worker_on_d"


@pytest.mark.parametrize("name", ["ts", "level", "msg", "event"])
def test_a_fact_cannot_take_the_place_of_what_each_line_has(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        facts(**{name: 1})


class Log:
    """JSON lines under a clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.stream = io.StringIO()
        configure("json", self.stream, clock_s=lambda: self.now_s)

    def say(self, message: str, times: int = 1, level: int = logging.WARNING) -> None:
        for at in range(times):
            LOG.log(level, message, extra=facts(at=at))

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def told(self) -> list[tuple[object, object, object]]:
        """What was said of lines held back: the message, how many, and at which level."""
        return [(line["like"], line["count"], line["level"]) for line in self.lines() if "like" in line]


def test_lines_alike_are_held_back_and_told_once_when_the_window_ends() -> None:
    log = Log()
    log.say("trunk silent", times=LINES_MAX + 214)
    assert [line["at"] for line in log.lines()] == list(range(LINES_MAX)), "the first ones are written"
    log.now_s += WINDOW_S
    log.say("stopping")
    assert log.told() == [("trunk silent", 214, "warning")]
    assert log.lines()[-2]["event"] == "lines_suppressed"
    assert log.lines()[-1]["msg"] == "stopping"
    log.now_s += WINDOW_S
    log.say("stopping")
    assert len(log.told()) == 1


@pytest.mark.parametrize(
    ("level", "budget"),
    [(logging.INFO, LINES_MAX), (logging.WARNING, LINES_MAX), (logging.ERROR, ERRORS_MAX)],
    ids=["info", "warning", "error has a larger budget"],
)
def test_budget_of_a_message(level: int, budget: int) -> None:
    log = Log()
    log.say("again", times=budget, level=level)
    assert len(log.lines()) == budget
    log.say("again", level=level)
    assert len(log.lines()) == budget
    log.now_s += WINDOW_S
    log.say("again", level=level)
    assert [line["msg"] for line in log.lines()[budget:]] == ["lines suppressed", "again"]


def test_other_messages_pass_while_one_is_held_back() -> None:
    log = Log()
    log.say("noise", times=1000)
    log.say("worker died", level=logging.ERROR)
    assert log.lines()[-1]["event"] == "worker_died"


def test_what_is_owed_can_be_told_without_another_line() -> None:
    log = Log()
    log.say("noise", times=LINES_MAX + 3)
    log.now_s += WINDOW_S - 1
    tell_suppressed()
    assert log.told() == []
    log.now_s += 1
    tell_suppressed()
    assert log.told() == [("noise", 3, "warning")]


def test_what_is_owed_is_told_at_the_end() -> None:
    log = Log()
    log.say("noise", times=LINES_MAX + 3)
    (handler,) = logging.getLogger("fastrelay").handlers
    assert isinstance(handler, LineHandler)
    handler.close()
    assert log.told() == [("noise", 3, "warning")]


def test_forked_child_neither_tells_nor_holds_back_for_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    log.say("noise", times=LINES_MAX + 3)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    log.say("noise")
    assert len(log.lines()) == LINES_MAX + 1
    log.now_s += WINDOW_S
    tell_suppressed()
    assert log.told() == []
