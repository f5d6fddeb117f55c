"""Asking a relay: every way in which that can fail has its own words, and its own branch of the errors."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastrelay.errors import ConfigError, PeerError
from fastrelay.observe.answers import Flow, Snapshot, Worker, rows
from fastrelay.observe.client import ANSWER_BYTES_MAX, AdminClient, parse_place
from tests.unit.relay_stand_in import served, status_document


def client_of(where: str, timeout_s: float = 3.0) -> AdminClient:
    return AdminClient(parse_place(where), timeout_s=timeout_s)


@contextmanager
def raw_server(reply: bytes, *, ends: bool = True) -> Iterator[str]:
    """Answers one connection with these bytes, then closes it or lets it hang until the block ends."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            end, _ = listener.accept()
            with end:
                end.recv(65_536)
                end.sendall(reply)
                if not ends:
                    over.wait()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


def test_a_run_directory_is_asked_through_its_socket(tmp_path: Path) -> None:
    with served({"/status": status_document()}, tmp_path) as where:
        assert client_of(where).status()["relay"]["release"] == "0.2.0"


def test_a_url_may_have_a_path_before_ours() -> None:
    with served({"/relay-3/status": status_document()}) as where:
        assert client_of(f"{where}/relay-3/").status()["totals"]["calls"] == 210


def test_a_question_has_its_parameters_in_the_url() -> None:
    answers = {"/flows": lambda query: {"flows": [], "asked": query}}
    with served(answers) as where:
        assert client_of(where).document("/flows", {"limit": 3, "transceiver": "[::1]:4000"})["asked"] == {
            "limit": "3",
            "transceiver": "[::1]:4000",
        }


@pytest.mark.parametrize(
    ("where", "problem"),
    [
        ("ftp://10.0.0.5", "neither a run directory nor http://HOST:PORT"),
        ("http://", "not a base URL"),
        ("http://10.0.0.5:99999", "not a URL"),
        ("http://10.0.0.5:x", "not a URL"),
        ("http://[::1", "not a URL"),
        ("http://user@10.0.0.5", "not a base URL"),
        ("http://10.0.0.5/?limit=1", "not a base URL"),
        ("http://10.0.0.5/a b", "not a base URL"),
        ("http://10.0.0.5\n", "not a base URL"),
        (f"http://{'a' * 64}.example", "not a URL"),
    ],
)
def test_a_place_that_cannot_be_is_refused(where: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse_place(where)


def test_a_missing_directory_is_the_operators_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such directory"):
        client_of(str(tmp_path / "nowhere")).status()


def test_a_file_is_no_run_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is not a directory"):
        client_of(str(tmp_path / "file")).status()


def test_a_path_too_long_for_a_socket_is_said_to_be(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 108)
    deep.mkdir()
    with pytest.raises(ConfigError, match="longer than a socket's path may be"):
        client_of(str(deep)).status()


def test_an_empty_directory_has_no_relay(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match=r"admin\.sock is not there"):
        client_of(str(tmp_path)).status()


def test_a_socket_that_nobody_listens_on_has_no_relay(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "admin.sock"))
    with pytest.raises(PeerError, match="nobody listens at"):
        client_of(str(tmp_path)).status()


def test_a_closed_port_has_no_relay() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(PeerError, match="nobody listens at"):
        client_of(f"http://127.0.0.1:{port}").status()


def test_a_socket_one_may_not_open_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")  # whoever runs the tests may be root, whom nothing stops

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(ConfigError, match="run as root or as its user"):
        client_of(str(tmp_path)).status()


def test_a_name_that_is_not_found_is_the_operators_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_found(*arguments: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", not_found)
    with pytest.raises(ConfigError, match="name is not found"):
        client_of("http://relay.invalid:9464").status()


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        pytest.param(b"", "closed the connection", id="nothing"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP", id="ssh"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "closed the connection", id="cut"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n<html>", "not fastrelay .*200, not JSON", id="a web page"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n[1]", "not a JSON object", id="a list"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n{}", "not fastrelay", id="another service"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000, "not JSON", id="deep nesting"),
        pytest.param(b'HTTP/1.1 503 No\r\n\r\n{"error": {"message": "later"}}', "503: later", id="an error"),
        pytest.param(b"HTTP/1.1 404 No\r\n\r\n{}", "404: no reason is given", id="an error without a reason"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (ANSWER_BYTES_MAX + 1), "more than", id="endless"),
    ],
)
def test_what_is_no_relay_is_said_to_be_none(reply: bytes, problem: str) -> None:
    with raw_server(reply) as where, pytest.raises(PeerError, match=problem):
        client_of(where).status()


@pytest.mark.parametrize(
    "reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"], ids=["silent", "stuck in the body"]
)
def test_an_answer_has_a_deadline(reply: bytes) -> None:
    with raw_server(reply, ends=False) as where, pytest.raises(PeerError, match=r"did not answer within 0\.05 s"):
        client_of(where, timeout_s=0.05).status()


def test_a_snapshot_takes_what_it_knows_and_ignores_the_rest() -> None:
    snapshot = Snapshot.parse(status_document(surprise=1))
    assert snapshot.totals.calls == 210
    assert snapshot.workers[1].hop_down_p50_us is None
    assert snapshot.service.workers[1].last_end == "killed by signal 9"
    assert snapshot.transceivers[0].lost_ratio == pytest.approx(0.001)


def test_a_relay_that_says_less_has_defaults() -> None:
    snapshot = Snapshot.parse({"relay": {}, "workers": [{"index": 1}]})
    assert snapshot.workers == (Worker(index=1),)
    assert snapshot.totals.last_packet_age_s is None


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"relay": {}, "workers": {}, "totals": {"calls": "many"}}, "totals.calls.*many|Totals.calls"),
        ({"relay": {}, "workers": [1]}, "workers are not a list of objects"),
        ({"relay": {"state": "asleep"}}, "asleep"),
        ({"relay": {"workers": [{}]}}, "another release"),
        ({"relay": {}, "now_s": True}, "now_s"),
    ],
)
def test_nonsense_is_the_relays_error(document: dict[str, object], problem: str) -> None:
    with pytest.raises(PeerError, match=problem):
        Snapshot.parse(document)


def test_rows_of_flows_are_typed() -> None:
    assert rows(Flow, {"flows": [{"packets_up": 3, "loss_percent": None}]}, "flows") == (Flow(packets_up=3),)
