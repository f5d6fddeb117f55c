"""The programs that choose a worker, run by the kernel they are for."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from fastrelay.io import steering
from fastrelay.io.queues import parse_cpu_list, receive_cpus
from fastrelay.relay.settings import Steering
from fastrelay.relay.steering import Steerer

CLIENTS = 200
FAMILIES = pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["IPv4", "IPv6"]
)
Group = list[socket.socket]


@contextmanager
def group(family: socket.AddressFamily, host: str, count: int) -> Iterator[Group]:
    """Sockets that share a port, in the order in which they were bound."""
    with ExitStack() as stack:
        port, members = 0, []
        for _ in range(count):
            member = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            member.bind((host, port))
            member.setblocking(False)
            port = member.getsockname()[1]
            members.append(member)
        yield members


def spread(members: Group, clients: int = CLIENTS) -> list[Counter[int]]:
    """What each member got, by the client's port: two datagrams of each client."""
    with ExitStack() as stack:
        for _ in range(clients):
            client = stack.enter_context(socket.socket(members[0].family, socket.SOCK_DGRAM))
            client.connect(members[0].getsockname())
            client.send(b"one")
            client.send(b"two")
        return [Counter(_received(member)) for member in members]


def _received(member: socket.socket) -> Iterator[int]:
    while True:
        try:
            yield member.recvfrom(8)[1][1]
        except BlockingIOError:
            return


@FAMILIES
@pytest.mark.parametrize("places", [[0, 1, 2, 3], [0, 1], [1, 3], [2]], ids=str)
def test_clients_are_spread_over_the_places_alone(family: socket.AddressFamily, host: str, places: list[int]) -> None:
    with group(family, host, 4) as members:
        steering.attach(members[-1], steering.by_client(family, places, salt=12345))
        # one place takes all: no more than fit in a buffer of the default size
        got = spread(members, CLIENTS if len(places) > 1 else 50)
    assert {at for at, each in enumerate(got) if each} == set(places)
    assert all(count == 2 for each in got for count in each.values()), "a client stays with its worker"
    fair = sum(map(len, got)) / len(places)
    assert all(0.5 * fair < len(got[place]) < 1.5 * fair for place in places)


def test_salt_decides_who_goes_where() -> None:
    with group(socket.AF_INET, "127.0.0.1", 2) as members, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        chosen = set()
        for salt in range(64):
            steering.attach(members[0], steering.by_client(socket.AF_INET, [0, 1], salt))
            client.sendto(b"x", members[0].getsockname())
            chosen.add(tuple(len(list(_received(member))) for member in members))
    assert chosen == {(1, 0), (0, 1)}


@FAMILIES
def test_packet_goes_to_the_worker_of_its_cpu(family: socket.AddressFamily, host: str) -> None:
    allowed = os.sched_getaffinity(0)
    cpus = sorted(allowed)[:2]
    try:
        with group(family, host, 2) as members:
            steering.attach(members[0], steering.by_cpu([(cpu, 1 - at) for at, cpu in enumerate(cpus)]))
            for at, cpu in enumerate(cpus):
                os.sched_setaffinity(0, {cpu})
                got = spread(members, 20)
                assert [len(each) for each in got] == [20 * at, 20 * (1 - at)]
    finally:
        os.sched_setaffinity(0, allowed)


def test_no_packet_is_lost_where_the_program_names_nobody() -> None:
    with group(socket.AF_INET, "127.0.0.1", 2) as members:
        steering.attach(members[0], steering.by_cpu([(4095, 0)]))
        assert sum(map(len, spread(members, 20))) == 20
        steering.attach(members[0], steering.by_client(socket.AF_INET, [7], 1))
        assert sum(map(len, spread(members, 20))) == 20


def test_detached_group_is_the_kernels_again() -> None:
    with group(socket.AF_INET, "127.0.0.1", 2) as members:
        steering.attach(members[0], steering.by_client(socket.AF_INET, [1], 1))
        for _ in range(2):  # also where there is no program
            steering.detach(members[0])
        assert all(spread(members))


ACTIVE = [(0, 4), (1, 5)]


@pytest.mark.parametrize(
    ("wanted", "active", "cards", "way"),
    [
        pytest.param(Steering.AUTO, ACTIVE, {4, 5}, Steering.CPU, id="each worker has a queue of its own"),
        pytest.param(Steering.AUTO, ACTIVE, {4, 5, 6}, Steering.HASH, id="a queue without a worker"),
        pytest.param(Steering.AUTO, ACTIVE, set(), Steering.HASH, id="no card to be seen"),
        pytest.param(Steering.AUTO, [(0, 4), (1, 4)], {4}, Steering.HASH, id="two workers on one CPU"),
        pytest.param(Steering.CPU, ACTIVE, set(), Steering.CPU, id="asked for by CPU"),
        pytest.param(Steering.HASH, ACTIVE, {4, 5}, Steering.HASH, id="asked for by hash"),
        pytest.param(Steering.KERNEL, ACTIVE, {4, 5}, Steering.KERNEL, id="asked for by the kernel"),
    ],
)
def test_way_to_steer_follows_wish_and_machine(
    wanted: Steering, active: list[tuple[int, int]], cards: set[int], way: Steering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastrelay.relay.steering.receive_cpus", lambda: cards)
    steerer = Steerer(wanted, salt=1)
    with group(socket.AF_INET, "127.0.0.1", 2) as members:
        steerer.steer([[member] for member in members], active)
    assert steerer.way is way


def test_lone_worker_needs_no_steering() -> None:
    steerer = Steerer(Steering.AUTO, salt=1)
    with group(socket.AF_INET, "127.0.0.1", 1) as members:
        steerer.steer([[members[0]]], [(0, 0)])
    assert steerer.way is Steering.KERNEL


@pytest.mark.parametrize(
    ("text", "cpus"), [("", set()), ("0\n", {0}), ("0-3", {0, 1, 2, 3}), ("0-1,8,10-11\n", {0, 1, 8, 10, 11})]
)
def test_list_of_cpus_is_read(text: str, cpus: set[int]) -> None:
    assert parse_cpu_list(text) == cpus


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str, str, dict[int, str]], None]:
    def add_card(name: str, state: str, interrupts: dict[int, str]) -> None:
        card = tmp_path / "sys/class/net" / name
        (card / "device/msi_irqs").mkdir(parents=True)
        (card / "operstate").write_text(f"{state}\n")
        for number, cpus in interrupts.items():
            (card / "device/msi_irqs" / str(number)).write_text("msix\n")
            (tmp_path / "proc/irq" / str(number)).mkdir(parents=True)
            (tmp_path / "proc/irq" / str(number) / "effective_affinity_list").write_text(cpus)

    return add_card


def test_cpus_of_cards_in_use_are_found(machine: Callable[[str, str, dict[int, str]], None], tmp_path: Path) -> None:
    machine("eth0", "up", {40: "0\n", 41: "1\n"})
    machine("eth1", "down", {50: "7\n"})
    assert receive_cpus(tmp_path / "sys", tmp_path / "proc") == {0, 1}


def test_machine_without_cards_has_no_receive_cpus(tmp_path: Path) -> None:
    assert receive_cpus(tmp_path / "sys", tmp_path / "proc") == set()
