"""What the observer's memory does under its clients. Under a sanitizer resident memory says nothing: so it is live."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fastrelay.observe.admin.server import CONNECTIONS_MAX
from fastrelay.wire.trunk import Client
from tests.unit.observed_relay import PretendWorker, RunningObserver, run_observer, serving

FLOWS = 50


@pytest.fixture
def observer(tmp_path: Path) -> Iterator[RunningObserver]:
    worker = PretendWorker()
    core = worker.start()
    for number in range(FLOWS):
        core.insert_flow((f"192.0.2.{number}", 40_000), ("10.0.0.1", 4000))
    worker.call(Client("198.51.100.9", 50_000), session=0xABCD)
    with run_observer(tmp_path) as observer:
        observer.give(worker)
        observer.tell(serving())
        observer.until("/status", "totals.calls", FLOWS + 1)
        yield observer
    worker.close()


def test_clients_that_do_not_read_hold_no_memory(observer: RunningObserver) -> None:
    observer.get("/metrics")
    before_kib = observer.resident_kib
    with ExitStack() as deaf:
        for _ in range(2 * CONNECTIONS_MAX):
            end = deaf.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            end.connect(observer.endpoint)
            end.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 50)
        assert observer.get("/version").code == 200
        assert observer.resident_kib - before_kib < 20_000


def test_thousand_scrapes_take_no_memory(observer: RunningObserver) -> None:
    for _ in range(100):
        observer.get("/metrics")
    before_kib = observer.resident_kib
    for _ in range(1000):
        assert observer.get("/metrics").code == 200
    assert observer.resident_kib - before_kib < 1500
