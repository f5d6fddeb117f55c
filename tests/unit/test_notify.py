"""What the service manager is told, and what it gives back."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastrelay.service.notify import FIRST_DESCRIPTOR, ServiceManager, kept_descriptors


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.settimeout(1.0)
        yield end


def environ_of(manager: socket.socket, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.getsockname(), **more}


def test_states_are_told_in_its_own_words(manager: socket.socket) -> None:
    told = ServiceManager(environ_of(manager))
    told.ready("serving: 2 workers")
    told.reloading()
    told.stopping("stopping")
    assert manager.recv(500) == b"READY=1\nSTATUS=serving: 2 workers"
    assert manager.recv(500).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    assert manager.recv(500) == b"STOPPING=1\nSTATUS=stopping"


def test_address_may_be_abstract() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(f"\0fastrelay-test-{os.getpid()}")
        ServiceManager({"NOTIFY_SOCKET": f"@fastrelay-test-{os.getpid()}"}).status("here")
        assert end.recv(100) == b"STATUS=here"


def test_watchdog_is_fed_at_half_its_interval(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    told = ServiceManager(environ_of(manager, WATCHDOG_USEC="2000000"))
    manager.setblocking(False)
    fed = []
    for now_s in (100.0, 100.9, 101.0, 101.5, 102.1):
        told.feed_watchdog()
        try:
            fed.append((now_s, manager.recv(100)))
        except BlockingIOError:
            continue
    assert fed == [(100.0, b"WATCHDOG=1"), (101.0, b"WATCHDOG=1"), (102.1, b"WATCHDOG=1")]


def test_without_a_watchdog_nothing_is_fed(manager: socket.socket) -> None:
    ServiceManager(environ_of(manager)).feed_watchdog()
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(100)


def test_descriptors_are_kept_by_name(manager: socket.socket) -> None:
    reading, writing = os.pipe()
    ServiceManager(environ_of(manager)).keep("0.trunk", reading)
    text, (kept,), _, _ = socket.recv_fds(manager, 500, 4)
    assert text == b"FDSTORE=1\nFDNAME=0.trunk"
    os.write(writing, b"same")
    assert os.read(kept, 8) == b"same"
    for descriptor in (reading, writing, kept):
        os.close(descriptor)


def test_manager_that_keeps_nothing_is_not_asked_to(manager: socket.socket) -> None:
    told = ServiceManager(environ_of(manager, FDSTORE="0"))
    told.keep("x", 0)
    told.forget("x")
    told.status("last")
    assert manager.recv(100) == b"STATUS=last"


def test_manager_that_is_gone_is_missed_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "nowhere")})
    told.ready("serving")
    told.status("still here")
    assert len(caplog.records) <= 1


def test_nobody_is_told_without_a_manager() -> None:
    told = ServiceManager({})
    told.ready("serving")
    told.keep("x", 0)


def test_kept_descriptors_come_back_by_name_and_once() -> None:
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0", "LISTEN_FDNAMES": "", "OTHER": "stays"}
    assert kept_descriptors(environ) == {}
    assert environ == {"OTHER": "stays"}


def test_descriptors_meant_for_another_process_are_left_alone() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"}
    assert kept_descriptors(environ) == {}


def test_first_kept_descriptor_is_the_third() -> None:
    assert FIRST_DESCRIPTOR == 3  # sd_listen_fds(3)
