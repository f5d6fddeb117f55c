"""`fastrelay trace SESSION`: journal, logs and flows of one session, in one order of time."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fastrelay.cli.main import run
from fastrelay.observe.timeline import Entry, in_order, journalled, logged, moment_text, parse_moment
from fastrelay.routing.keys import Key, KeyRing
from fastrelay.routing.token import mint_token
from tests.unit.relay_stand_in import SESSION, Answers, flow, served

MOMENT_MS = 1_800_000_000_250


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def trace(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    for name in ("FASTRELAY_AT", "FASTRELAY_KEYS", "FASTRELAY_KEYS_FILE"):
        monkeypatch.delenv(name, raising=False)

    def run_trace(*arguments: str) -> Outcome:
        code = run(["trace", *arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run_trace


def event(kind: str, after_ms: int = 0) -> dict[str, Any]:
    return {
        "unix_ms": MOMENT_MS + after_ms,
        "kind": kind,
        "session": SESSION,
        "client": "192.0.2.0/24",
        "transceiver": "10.0.0.7:4000",
        "worker": 1,
    }


def relay(*events: dict[str, Any], flows: tuple[dict[str, Any], ...] = ()) -> Answers:
    """Answers only the question that should be asked."""

    def of_this_session(name: str, found: list[Any]) -> Callable[[dict[str, str]], Any]:
        return lambda query: {name: found if query["session"] == SESSION else []}

    return {"/events": of_this_session("events", list(events)), "/flows": of_this_session("flows", list(flows))}


def log_line(after_ms: int, **facts: Any) -> str:
    return json.dumps({"ts": moment_text((MOMENT_MS + after_ms) / 1000), "level": "info", "msg": "said", **facts})


def test_journal_log_and_flows_are_one_story(trace: Callable[..., Outcome], tmp_path: Path) -> None:
    log = tmp_path / "transceiver.log"
    log.write_text("\n".join([log_line(1, session=SESSION, codec="opus"), log_line(2, session="ff" * 8), "no json"]))
    with served(relay(event("confirmed", 2), event("created"), flows=(flow(0),))) as where:
        told = trace(SESSION.upper(), "--at", where, "--log", str(log))
    assert (told.code, told.err) == (0, "")
    width = max(len(where), len(log.name))
    at, logged_by = where.ljust(width), log.name.ljust(width)
    who = "client=192.0.2.0/24  transceiver=10.0.0.7:4000  worker=1"
    sound = "loss 0.0 %, jitter 10.0 ms  media after 312 ms  last packet 0.0 s ago"
    assert told.out.splitlines() == [
        f"session  {SESSION}",
        f"2027-01-15T08:00:00.250Z  {at}  created  {who}",
        f"2027-01-15T08:00:00.251Z  {logged_by}  said  codec=opus",
        f"2027-01-15T08:00:00.252Z  {at}  confirmed  {who}",
        f"{'now':24}  {at}  worker 0  192.0.0.0/24 ↔ 10.0.0.7:4000  confirmed  up 500 down 480 packets  {sound}",
    ]


def test_json_has_the_same(trace: Callable[..., Outcome]) -> None:
    with served(relay(event("created"), flows=(flow(1),))) as where:
        document = json.loads(trace(SESSION, "--at", where, "--json").out)
    assert document["session"] == SESSION
    assert [(entry["what"], entry["ts"]) for entry in document["entries"]] == [("created", "2027-01-15T08:00:00.250Z")]
    assert document["flows"][0]["at"] == where
    assert document["flows"][0]["is_one_way"] is True


def test_several_relays_are_asked_and_one_may_be_silent(trace: Callable[..., Outcome], tmp_path: Path) -> None:
    with served(relay(event("created"))) as one, served(relay(event("adopted", 5))) as other:
        told = trace(SESSION, "--at", other, "--at", str(tmp_path), "--at", one)
    assert told.code == 0
    assert [line.split()[1:3] for line in told.out.splitlines()[1:]] == [[one, "created"], [other, "adopted"]]
    assert "admin.sock is not there" in told.err


def test_no_relay_that_answers_is_a_failure(trace: Callable[..., Outcome], tmp_path: Path) -> None:
    assert trace(SESSION, "--at", str(tmp_path)).code == 1


def test_logs_alone_need_no_relay(trace: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(log_line(0, session=SESSION) + "\n"))
    told = trace(SESSION, "--log", "-")
    assert (told.code, told.err) == (0, "")
    assert told.out.splitlines()[1].endswith("log  said")


def test_a_relay_that_was_named_must_answer_beside_logs_too(trace: Callable[..., Outcome], tmp_path: Path) -> None:
    (tmp_path / "log").write_text(log_line(0, session=SESSION))
    assert trace(SESSION, "--at", str(tmp_path), "--log", str(tmp_path / "log")).code == 1


def test_nothing_known_is_said_clearly(trace: Callable[..., Outcome]) -> None:
    with served(relay()) as where:
        told = trace("ff" * 8, "--at", where)
    assert told.code == 1
    assert f"nothing is known of session {'ff' * 8}" in told.err
    assert "no --log was given" in told.err


@pytest.mark.parametrize("what", ["token", "user name"])
def test_a_token_is_opened_for_its_session(trace: Callable[..., Outcome], tmp_path: Path, what: str) -> None:
    long_ago_s = int(time.time()) - 200_000  # older than its lifetime: it still says whose it was
    ring = KeyRing.new(now_s=long_ago_s)
    ring.save(tmp_path / "keys.json")
    minted = mint_token(ring, to=("10.0.0.7", 4000), now_s=long_ago_s, session_id=bytes.fromhex(SESSION))
    text = minted.ufrag if what == "token" else f"{minted.ufrag}:abcd"
    with served(relay(event("created"))) as where:
        told = trace(text, "--at", where, "--keys", str(tmp_path / "keys.json"))
    assert told.code == 0
    assert told.out.splitlines()[:2] == [
        f"session  {SESSION}",
        f"token    for 10.0.0.7:4000, cluster 0, minted {moment_text(long_ago_s)}",
    ]


def test_a_token_of_another_ring_is_not_opened(trace: Callable[..., Outcome], tmp_path: Path) -> None:
    now_s = int(time.time())
    KeyRing.new(now_s=now_s).save(tmp_path / "keys.json")
    stranger = mint_token(KeyRing.new(now_s=now_s), to=("10.0.0.7", 4000), now_s=now_s)
    refused = trace(stranger.ufrag, "--keys", str(tmp_path / "keys.json"))
    assert refused == (1, "", "fastrelay: token does not open with its key\n")
    unknown = mint_token(KeyRing((Key(9, bytes(32), 0),)), to=("10.0.0.7", 4000), now_s=now_s)
    assert "key 9, which is not in this key ring" in trace(unknown.ufrag, "--keys", str(tmp_path / "keys.json")).err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "give either a session or --packet"),
        ([SESSION, "--packet", "00"], "give either a session or --packet"),
        (["0011"], "neither 16 hex digits nor a route token"),
        ([SESSION, "--from", "192.0.2.1:4"], "--from: goes together with --packet only"),
        ([SESSION, "--log", "/nonexistent/log"], "--log: /nonexistent/log: No such file"),
    ],
    ids=["nothing", "both", "neither id nor token", "option of the other", "no such log"],
)
def test_arguments_that_cannot_be_used_are_refused(
    trace: Callable[..., Outcome], arguments: list[str], problem: str
) -> None:
    refused = trace(*arguments)
    assert (refused.code, refused.out) == (2, "")
    assert problem in refused.err


@pytest.mark.parametrize(
    "line",
    [
        SESSION,
        f"12:00:00.000 info said session={SESSION}",
        f'["{SESSION}"]',
        f'{{"session": "{SESSION}"}}',
        f'{{"ts": "yesterday", "session": "{SESSION}"}}',
        f'{{"ts": "2027-01-15T08:00:00Z", "session": "{SESSION}0"}}',
        f'{{"ts": "2027-01-15T08:00:00Z", "session": "{"ff" * 8}", "msg": "not {SESSION}"}}',
        '{"ts": "2027-01-15T08:00:00Z"}',
    ],
)
def test_lines_that_do_not_speak_of_the_session_are_passed_over(line: str) -> None:
    assert list(logged([line], SESSION, "log")) == []


def test_a_session_in_the_message_counts_where_there_is_no_fact() -> None:
    line = {"ts": "2027-01-15T08:00:00Z", "level": "warning", "msg": f"lost {SESSION}", "list": [1]}
    (entry,) = logged([json.dumps(line)], SESSION, "log")
    assert (entry.what, entry.facts) == (f"warning: lost {SESSION}", {"list": [1]})
    assert entry.line().endswith("list=[1]")


def test_events_of_other_releases_still_have_a_time() -> None:
    found = journalled([{"kind": "a", "at_s": 1.5}, {"ts": "1970-01-01T00:00:02Z"}, {"kind": "c"}], "relay")
    assert [(entry.what, entry.moment_s) for entry in found] == [("c", 0.0), ("event", 2.0), ("a", 1.5)]


def test_events_of_one_millisecond_stay_in_their_order() -> None:
    latest_first = [event("closed", 1), event("confirmed"), event("created")]
    assert [each.what for each in in_order(journalled(latest_first, "relay"))] == ["created", "confirmed", "closed"]


def test_one_moment_keeps_its_order() -> None:
    entries = [Entry(2.0, "a", "x"), Entry(1.0, "b", "y"), Entry(1.0, "a", "z")]
    assert [entry.what for entry in in_order(entries)] == ["y", "z", "x"]


@pytest.mark.parametrize("moment_s", [0.0, 0.001, 1_800_000_000.25, 1_800_000_000.999])
def test_moments_are_read_as_they_are_written(moment_s: float) -> None:
    assert parse_moment(moment_text(moment_s)) == pytest.approx(moment_s, abs=1e-6)


def test_a_moment_beyond_the_calendar_is_a_number() -> None:
    assert moment_text(1e12) == "1000000000000.000"
    assert parse_moment(7) is None
    assert parse_moment("2027-01-15T08:00:00") == 1_800_000_000.0
