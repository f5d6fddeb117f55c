"""The observer as a process: what its supervisor sends it, what it survives, and when it ends."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastrelay.observe.status import ServiceState, WorkerState, WorkerStatus
from tests.unit.observed_relay import PATIENCE_S, PretendWorker, RunningObserver, run_observer, serving


@pytest.fixture
def worker() -> Iterator[PretendWorker]:
    worker = PretendWorker()
    worker.start()
    yield worker
    worker.close()


@pytest.fixture
def observer(tmp_path: Path) -> Iterator[RunningObserver]:
    with run_observer(tmp_path) as observer:
        yield observer


def test_end_of_the_channel_is_a_clean_end_at_once(observer: RunningObserver) -> None:
    started_s = time.monotonic()
    assert observer.end() == (0, "")
    assert time.monotonic() - started_s < 1.0


def test_end_of_the_channel_does_not_wait_for_idle_clients(observer: RunningObserver) -> None:
    with socket.create_connection(observer.endpoint) as idle, socket.create_connection(observer.endpoint) as half:
        idle.sendall(b"GET /version HTTP/1.1\r\nHost: relay\r\n\r\n")
        half.sendall(b"GET /ver")
        assert b"200 OK" in idle.recv(4096)
        started_s = time.monotonic()
        assert observer.end() == (0, "")
        assert time.monotonic() - started_s < 1.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2])
def test_signals_of_the_group_are_its_supervisors(observer: RunningObserver, number: int) -> None:
    os.kill(observer.process.pid, number)
    assert observer.get("/version").code == 200
    assert observer.end() == (0, "")


def test_both_sockets_serve(observer: RunningObserver) -> None:
    observer.tell(serving())
    assert observer.until("/version", "release", "1.2.3")
    assert observer.get("/version", over_unix=True).json["release"] == "1.2.3"


def test_observer_has_one_thread(observer: RunningObserver) -> None:
    assert len(list(Path(f"/proc/{observer.process.pid}/task").iterdir())) == 1


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        pytest.param({}, "unknown kind None", id="no kind"),
        pytest.param({"kind": ["pages"]}, "unknown kind", id="kind of another type"),
        pytest.param({"kind": "weather"}, "unknown kind 'weather'", id="unknown kind"),
        pytest.param({"kind": "status"}, "no JSON object", id="status missing"),
        pytest.param({"kind": "status", "status": {"state": "asleep"}}, "asleep", id="unknown state"),
        pytest.param({"kind": "status", "status": {"workers": ["first"]}}, "", id="worker of another type"),
        pytest.param({"kind": "status", "status": {"workers": [{"pid": 1}]}}, "index", id="worker without index"),
        pytest.param({"kind": "pages", "worker": 0}, "with 0 descriptors", id="pages without descriptors"),
        pytest.param({"kind": "pages", "worker": -1}, "-1 is no worker's index", id="negative worker"),
        pytest.param({"kind": "gone", "worker": True}, "True is no worker's index", id="bool as a worker"),
        pytest.param({"kind": "gone", "worker": 10**9}, "is no worker's index", id="huge worker"),
    ],
)
def test_message_without_sense_is_logged_and_forgotten(
    observer: RunningObserver, body: dict[str, object], problem: str
) -> None:
    assert observer.channel.send(body)
    observer.tell(serving(WorkerStatus(0, state=WorkerState.WAITING)))
    observer.until("/version", "release", "1.2.3")
    code, log = observer.end()
    assert code == 0
    assert "a message of the supervisor is ignored" in log
    assert problem in log


def test_message_that_is_no_json_is_logged_and_forgotten(observer: RunningObserver) -> None:
    with socket.socket(fileno=os.dup(observer.channel.fileno())) as raw:
        raw.settimeout(PATIENCE_S)
        raw.send(b"\xff{")
    observer.tell(serving())
    observer.until("/version", "release", "1.2.3")
    assert "no JSON object" in observer.end()[1]


def test_descriptor_that_is_no_page_is_refused(observer: RunningObserver, worker: PretendWorker) -> None:
    empty = os.memfd_create("empty", os.MFD_CLOEXEC)
    for descriptors in (
        [empty, empty],
        [worker.flow_descriptor, empty],
        worker.descriptors[:1],
        worker.descriptors * 2,
    ):
        assert observer.channel.send({"kind": "pages", "worker": 0}, descriptors)
    os.close(empty)
    observer.tell(serving())
    assert observer.until("/status", "workers.0.capacity", 0)
    observer.give(worker)
    assert observer.until("/status", "workers.0.capacity", 256)
    assert observer.end()[1].count("is ignored") == 4


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # an HTTP connection that was just closed
        return ""


def test_descriptors_do_not_pile_up(observer: RunningObserver, worker: PretendWorker) -> None:
    observer.tell(serving())
    folder = Path(f"/proc/{observer.process.pid}/fd")
    counts: list[int] = []
    for _ in range(2):
        for _ in range(20):
            observer.give(worker)
            assert observer.channel.send({"kind": "nonsense"}, worker.descriptors)
        observer.give(worker)
        worker.turn()
        observer.tell(serving(steering=f"round {len(counts)}"))
        observer.until("/status", "relay.steering", f"round {len(counts)}")
        counts.append(sum(_target(each).startswith("/memfd:") for each in folder.iterdir()))
    assert counts == [2, 2]


def test_worker_without_pages_is_shown_as_the_supervisor_tells_it(observer: RunningObserver) -> None:
    observer.tell(serving(WorkerStatus(3, state=WorkerState.WAITING, restarts=4, last_end="SIGSEGV")))
    (shown,) = observer.until("/status", "relay.workers.0.restarts", 4)["workers"]
    assert (shown["index"], shown["state"], shown["capacity"], shown["alive_age_s"]) == (3, "waiting", 0, None)


def test_page_of_another_layout_is_not_read(observer: RunningObserver, worker: PretendWorker) -> None:
    worker.core.insert_flow(("192.0.2.1", 1), ("10.0.0.1", 4000))
    worker.flow_memory[8] += 1  # struct fr_flow_page: layout
    observer.give(worker)
    observer.tell(serving())
    assert observer.until("/status", "relay.release", "1.2.3")["workers"][0]["capacity"] == 0
    assert observer.get("/flows").json == {"flows": [], "next": None}
    worker.flow_memory[8] -= 1
    assert len(observer.get("/flows").json["flows"]) == 1


def test_page_that_nobody_has_built_yet_is_shown_once_it_is(observer: RunningObserver) -> None:
    later = PretendWorker()
    observer.give(later)
    observer.tell(serving())
    assert observer.until("/status", "relay.release", "1.2.3")["workers"][0]["alive_age_s"] is None
    assert observer.get("/metrics").code == 200
    later.start()
    assert observer.get("/status").json["workers"][0]["capacity"] == 256
    assert observer.get("/livez").code == 200
    later.close()


# --- health


def test_relay_without_a_supervisors_word_is_neither_alive_nor_ready(observer: RunningObserver) -> None:
    for path in ("/livez", "/readyz"):
        reply = observer.get(path)
        assert (reply.code, reply.text) == (503, "the supervisor has not spoken yet\n")


def test_turning_worker_makes_a_relay_alive_and_ready(observer: RunningObserver, worker: PretendWorker) -> None:
    observer.give(worker)
    observer.tell(serving())
    observer.until("/status", "workers.0.capacity", 256)
    worker.turn()
    assert (observer.get("/livez").code, observer.get("/livez").text) == (200, "alive\n")
    assert (observer.get("/readyz").code, observer.get("/readyz").text) == (200, "ready\n")


def test_hanging_worker_is_named(observer: RunningObserver, worker: PretendWorker) -> None:
    observer.give(worker)
    observer.tell(serving())
    observer.until("/status", "workers.0.capacity", 256)
    worker.turn(ago_ms=2500)
    reply = observer.get("/livez")
    assert reply.code == 503
    assert f"worker 0 (pid {os.getpid()}) last turned its loop 2.5 s ago" in reply.text
    assert "no worker serves" in observer.get("/readyz").text


def test_draining_relay_lives_and_is_not_ready(observer: RunningObserver, worker: PretendWorker) -> None:
    observer.give(worker)
    observer.tell(serving(state=ServiceState.DRAINING))
    observer.until("/status", "relay.state", "draining")
    worker.turn()
    assert observer.get("/livez").code == 200
    assert (observer.get("/readyz").code, observer.get("/readyz").text) == (503, "the relay is draining\n")


def test_ring_without_a_minting_key_is_not_ready(observer: RunningObserver, worker: PretendWorker) -> None:
    observer.give(worker)
    observer.tell(serving(keys=()))
    observer.until("/status", "workers.0.capacity", 256)
    worker.turn()
    assert observer.get("/readyz").text == "no key mints\n"


@pytest.mark.parametrize(
    ("states", "code"),
    [
        pytest.param(("serving", "waiting"), 200, id="one of two waits"),
        pytest.param(("waiting", "waiting"), 503, id="all wait"),
        pytest.param(("starting",), 200, id="one starts"),
    ],
)
def test_worker_that_waits_is_its_supervisors_affair(
    observer: RunningObserver, worker: PretendWorker, states: tuple[str, ...], code: int
) -> None:
    observer.give(worker)
    observer.tell(serving(*(WorkerStatus(at, pid=1, state=WorkerState(state)) for at, state in enumerate(states))))
    observer.until("/version", "release", "1.2.3")
    worker.turn()
    assert observer.get("/livez").code == code
