"""Log lines: their two forms, and what never stands in one."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Iterator

import pytest

from fastrelay.observe.logs import configure, facts
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


def test_configuring_again_does_not_double_lines() -> None:
    configure("json", io.StringIO())
    assert written("console", "once").count("once") == 1
