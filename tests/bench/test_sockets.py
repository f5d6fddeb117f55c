"""What the kernel says about single UDP sockets is what /proc/net/udp says, with thousands of others beside them."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable, Iterator

import pytest

from bench.load import sockets
from bench.load.failure import BenchFailure
from bench.load.sockets import receiver_state, socket_state, udp_sockets

LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
WILDCARD = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}
FAMILIES = pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
PACKET = bytes(1000)
# the smallest buffer the kernel gives holds one or two packets of that size
SMALL = 1
# enough for a dump to take several answers
MANY = 400

Open = Callable[..., socket.socket]


@pytest.fixture
def bound() -> Iterator[Open]:
    """Makes bound sockets, closed in the end."""
    opened: list[socket.socket] = []

    def make(family: socket.AddressFamily, address: str, port: int = 0, *, is_shared: bool = False) -> socket.socket:
        made = socket.socket(family, socket.SOCK_DGRAM)
        opened.append(made)
        if is_shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((address, port))
        return made

    yield make
    for each in opened:
        each.close()


def port_of(endpoint: socket.socket) -> int:
    return int(endpoint.getsockname()[1])


@FAMILIES
def test_what_waits_and_what_was_dropped_is_told(family: socket.AddressFamily, bound: Open) -> None:
    receiver, sender = bound(family, LOOPBACK[family]), bound(family, LOOPBACK[family])
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    port = port_of(receiver)
    assert (socket_state(port).waiting_bytes, socket_state(port).drops) == (0, 0)
    for _ in range(10):
        sender.sendto(PACKET, receiver.getsockname())
    state = socket_state(port)
    taken = 0
    while select.select([receiver], [], [], 0)[0]:
        receiver.recv(2048)
        taken += 1
    assert state.waiting_bytes >= taken * len(PACKET) > 0
    assert state.drops == 10 - taken > 0
    assert receiver_state(LOOPBACK[family], port).drops == state.drops
    assert receiver_state(LOOPBACK[family], port).waiting_bytes == 0


@FAMILIES
def test_one_of_many_is_found_by_where_packets_go(family: socket.AddressFamily, bound: Open) -> None:
    for _ in range(MANY):
        bound(family, LOOPBACK[family])
    wildcard = bound(family, WILDCARD[family])
    narrow = bound(family, LOOPBACK[family])
    sender = bound(family, LOOPBACK[family])
    sender.sendto(PACKET, (LOOPBACK[family], port_of(wildcard)))
    for address in (LOOPBACK[family], WILDCARD[family]):
        assert receiver_state(address, port_of(wildcard)).waiting_bytes > 0
    assert receiver_state(LOOPBACK[family], port_of(narrow)).waiting_bytes == 0


@FAMILIES
def test_a_shared_port_is_added_up(family: socket.AddressFamily, bound: Open) -> None:
    first = bound(family, LOOPBACK[family], is_shared=True)
    second = bound(family, LOOPBACK[family], port_of(first), is_shared=True)
    sender = bound(family, LOOPBACK[family])
    # connected, a socket is sent what comes from there, whoever else shares the port
    for receiver in (first, second):
        receiver.connect(sender.getsockname())
        sender.sendto(PACKET, first.getsockname())
        receiver.connect((LOOPBACK[family], 9))
    both = socket_state(port_of(first)).waiting_bytes
    assert both >= 2 * len(PACKET)
    assert len(udp_sockets(port_of(first))) == 2


def test_a_dump_names_every_socket_once(bound: Open) -> None:
    opened = [bound(family, LOOPBACK[family]) for family in LOOPBACK for _ in range(MANY)]
    found = {(each.address, each.port): each.inode for each in udp_sockets()}
    for each in opened:
        assert found[each.getsockname()[:2]] == os.fstat(each.fileno()).st_ino


@FAMILIES
def test_an_unknown_socket_is_a_failure_that_names_it(family: socket.AddressFamily, bound: Open) -> None:
    closed = bound(family, LOOPBACK[family])
    port = port_of(closed)
    closed.close()
    with pytest.raises(BenchFailure, match=f"no UDP socket is bound to port {port}"):
        socket_state(port)
    with pytest.raises(BenchFailure, match=f"no UDP socket receives what is sent to .* port {port}"):
        receiver_state(LOOPBACK[family], port)


def test_a_kernel_that_knows_no_udp_sockets_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # a family that no handler is registered for is refused as a missing udp_diag is
    monkeypatch.setattr(sockets, "SOCK_DIAG_BY_FAMILY", 99)
    with pytest.raises(BenchFailure, match=f"udp_diag.*{os.strerror(errno.EINVAL)}"):
        udp_sockets()
