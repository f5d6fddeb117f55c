"""The observer's HTTP: what is answered, what is refused, and whom a bad client can hurt."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fastrelay.observe.admin.server import CONNECTIONS_MAX
from fastrelay.observe.answers import Snapshot
from fastrelay.wire.trunk import Client
from tests.unit.observed_relay import PretendWorker, RunningObserver, run_observer, serving

PATHS = ("/livez", "/readyz", "/metrics", "/version", "/status", "/flows", "/events", "/debug/config")
FLOWS = 50


@pytest.fixture(scope="module")
def worker() -> Iterator[PretendWorker]:
    worker = PretendWorker()
    core = worker.start()
    for number in range(FLOWS):
        core.insert_flow((f"192.0.2.{number}", 40_000), (f"10.0.0.{1 + number % 2}", 4000))
    worker.call(Client("198.51.100.9", 50_000), session=0xABCD)
    yield worker
    worker.close()


@pytest.fixture(scope="module")
def observer(worker: PretendWorker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningObserver]:
    """One for all tests: what one of them does must not be felt by the next."""
    with run_observer(tmp_path_factory.mktemp("observer")) as observer:
        observer.give(worker)
        observer.tell(serving(config={"listen": {"value": "0.0.0.0:3478", "from": "default"}}))
        observer.until("/status", "totals.calls", FLOWS + 1)
        yield observer


def raw(observer: RunningObserver, request: bytes) -> bytes:
    """What comes back until the other end closes, or two seconds have passed."""
    with socket.create_connection(observer.endpoint) as end:
        end.settimeout(2)
        end.sendall(request)
        answer = b""
        try:
            while piece := end.recv(65_536):
                answer += piece
        except (TimeoutError, ConnectionResetError):
            return answer
        return answer


# --- answers


def test_status_document_is_what_a_reader_expects(observer: RunningObserver) -> None:
    document = observer.get("/status").json
    snapshot = Snapshot.parse(document)
    assert snapshot.service == serving(config=snapshot.service.config)
    assert [worker.capacity for worker in snapshot.workers] == [256]
    assert [(each.address, each.flows) for each in snapshot.transceivers] == [
        ("10.0.0.1:4000", FLOWS // 2 + 1),
        ("10.0.0.2:4000", FLOWS // 2),
    ]
    assert set(document) == {"relay", "now_s", "workers", "transceivers", "totals", "drops", "worst_calls"}
    assert snapshot.totals.calls == FLOWS + 1


def test_configuration_is_shown_as_the_supervisor_tells_it(observer: RunningObserver) -> None:
    assert observer.get("/debug/config").json == {"config": {"listen": {"value": "0.0.0.0:3478", "from": "default"}}}


def test_metrics_parse(observer: RunningObserver) -> None:
    reply = observer.get("/metrics")
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    names = {family.name for family in text_string_to_metric_families(reply.text)}
    assert {"fastrelay_packets", "fastrelay_hop_seconds", "fastrelay_flows", "fastrelay_ready"} <= names


@pytest.mark.parametrize("over_unix", [False, True], ids=["tcp", "unix"])
@pytest.mark.parametrize("path", PATHS)
def test_every_path_answers_on_both_sockets(observer: RunningObserver, path: str, over_unix: bool) -> None:
    assert observer.get(path, over_unix=over_unix).code in {200, 503}


def test_flows_are_paged_by_slot(observer: RunningObserver) -> None:
    seen: list[int] = []
    query = "/flows?limit=20"
    while True:
        document = observer.get(query).json
        seen += [flow["slot"] for flow in document["flows"]]
        if document["next"] is None:
            break
        query = f"/flows?limit=20&after={document['next']}"
    assert seen == list(range(FLOWS + 1))


def test_page_that_ends_with_the_last_flow_is_followed_by_an_empty_one(observer: RunningObserver) -> None:
    document = observer.get(f"/flows?limit={FLOWS + 1}").json
    assert len(document["flows"]) == FLOWS + 1
    assert observer.get(f"/flows?after={document['next']}").json == {"flows": [], "next": None}


@pytest.mark.parametrize(
    ("query", "count"),
    [
        pytest.param("session=000000000000abcd", 1, id="session"),
        pytest.param("session=000000000000ABCD", 1, id="session in capitals"),
        pytest.param("session=00000000000000ff", 0, id="unknown session"),
        pytest.param("transceiver=10.0.0.2:4000", FLOWS // 2, id="transceiver"),
        pytest.param("transceiver=10.0.0.3:4000", 0, id="unknown transceiver"),
        pytest.param("worker=0", FLOWS + 1, id="worker"),
        pytest.param("worker=1", 0, id="worker without flows"),
        pytest.param("state=confirmed", FLOWS + 1, id="confirmed"),
        pytest.param("state=unconfirmed", 0, id="unconfirmed"),
        pytest.param("state=one_way", 0, id="one-way"),
        pytest.param("session=000000000000abcd&transceiver=10.0.0.2:4000", 0, id="both must hold"),
        pytest.param("limit=1000", FLOWS + 1, id="greatest limit"),
        pytest.param("sort=worst", 0, id="worst, of calls without media"),
    ],
)
def test_flows_are_found(observer: RunningObserver, query: str, count: int) -> None:
    assert len(observer.get(f"/flows?{query}").json["flows"]) == count


def test_client_is_shown_as_its_network(observer: RunningObserver) -> None:
    reply = observer.get("/flows?session=000000000000abcd")
    assert reply.json["flows"][0]["client"] == "198.51.100.0/24"
    assert "198.51.100.9" not in reply.text


def test_events_tell_what_befell_a_session(observer: RunningObserver) -> None:
    document = observer.get("/events?session=000000000000abcd").json
    assert [event["kind"] for event in document["events"]] == ["confirmed", "created"]
    event = document["events"][0]
    assert (event["client"], event["worker"], event["session"]) == ("198.51.100.0/24", 0, "000000000000abcd")
    assert event["transceiver"] == "10.0.0.1:4000"
    assert observer.get("/events?session=00000000000000ff").json == {"events": []}
    assert observer.get("/events?limit=1").json["events"] == [event]


# --- refusals


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        pytest.param("limit=abc", "limit", id="letters"),
        pytest.param("limit=0", "limit", id="limit below the least"),
        pytest.param("limit=1001", "limit", id="limit above the greatest"),
        pytest.param("limit=-1", "limit", id="sign"),
        pytest.param("limit=1_0", "limit", id="underscore"),
        pytest.param(f"limit={quote('١')}", "limit", id="digits of another script"),
        pytest.param("limit=" + "9" * 3000, "limit", id="huge number"),
        pytest.param("limit=", "limit", id="empty"),
        pytest.param("limit=1&limit=2", "limit", id="twice"),
        pytest.param("after=5", "after", id="cursor without worker"),
        pytest.param("after=0-99999999", "after", id="cursor beyond any table"),
        pytest.param("after=0-5&sort=worst", "after", id="cursor and sort"),
        pytest.param("session=abc", "session", id="short session"),
        pytest.param("session=000000000000abcg", "session", id="session not hexadecimal"),
        pytest.param("worker=256", "worker", id="worker beyond any"),
        pytest.param("transceiver=10.0.0.1", "transceiver", id="transceiver without port"),
        pytest.param("transceiver=name:4000", "transceiver", id="transceiver by name"),
        pytest.param("transceiver=" + "1" * 3000, "transceiver", id="huge transceiver"),
        pytest.param("state=lost", "state", id="unknown state"),
        pytest.param("sort=best", "sort", id="unknown sort"),
        pytest.param("colour=red", "colour", id="unknown parameter"),
    ],
)
def test_bad_query_names_its_parameter(observer: RunningObserver, query: str, parameter: str) -> None:
    reply = observer.get(f"/flows?{query}")
    assert reply.code == 400
    assert reply.json["parameter"] == parameter
    assert reply.json["problem"].startswith(f"{parameter}: ")
    assert len(reply.text) < 500


@pytest.mark.parametrize("query", ["limit=2049", "session=x", "worker=0"])
def test_bad_events_query_is_refused(observer: RunningObserver, query: str) -> None:
    assert observer.get(f"/events?{query}").code == 400


@pytest.mark.parametrize("path", ["/", "/metric", "/metrics/", "/flows/1", "//status", "/%2e%2e/etc/passwd"])
def test_unknown_path_is_not_found(observer: RunningObserver, path: str) -> None:
    reply = observer.get(path)
    assert reply.code == 404
    assert "/status" in reply.json["problem"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/metrics", "/flows"])
def test_nothing_can_be_changed(observer: RunningObserver, path: str, method: str) -> None:
    reply = observer.get(path, method=method)
    assert (reply.code, reply.headers["Allow"]) == (405, "GET")


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", id="long line"),
        pytest.param(b"GET / HTTP/1.1\r\nA: " + b"a" * 20_000 + b"\r\n\r\n", id="long header"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"A: a\r\n" * 1000 + b"\r\n", id="many headers"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
        pytest.param(b"hello\r\n\r\n", id="no HTTP"),
    ],
)
def test_request_out_of_bounds_is_refused(observer: RunningObserver, request_bytes: bytes) -> None:
    answer = raw(observer, request_bytes)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert observer.get("/version").code == 200


def test_body_is_not_waited_for(observer: RunningObserver) -> None:
    answer = raw(observer, b"GET /version HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nx")
    assert answer.startswith(b"HTTP/1.1 200")


# --- bad clients


def test_silent_and_slow_clients_cannot_block_others(observer: RunningObserver) -> None:
    with ExitStack() as slow:
        for number in range(2 * CONNECTIONS_MAX):
            end = slow.enter_context(socket.create_connection(observer.endpoint))
            end.sendall(b"GET /metrics HTTP/1.1\r\nHost: "[: 5 + number % 20])
        assert observer.get("/version").code == 200
        assert observer.get("/version", over_unix=True).code == 200


def test_connection_serves_several_requests(observer: RunningObserver) -> None:
    answer = raw(observer, b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
    assert answer.count(b"HTTP/1.1 200 OK") == 2
