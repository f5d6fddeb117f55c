"""The transceiver's trunk port against the compiled relay: what one end is given comes out of the other."""

from __future__ import annotations

import secrets
from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastrelay.transceiver import Path
from tests.live.ends import CallingClient, speech
from tests.pair.trunk_pair import Heard, TrunkPair

PLACES = [
    pytest.param("127.0.0.1", "127.0.0.1", "127.0.0.1", id="IPv4"),
    pytest.param("::1", "::1", "::1", id="IPv6"),
    pytest.param("::1", "127.0.0.1", "127.0.0.1", id="IPv6 client, IPv4 trunk"),
    pytest.param("127.0.0.1", "::1", "::1", id="IPv4 client, IPv6 trunk"),
    pytest.param("127.0.0.1", "::", "127.0.0.1", id="IPv4 port, trunk for both"),
    pytest.param("127.0.0.1", "127.0.0.1", "::", id="port for both, IPv4 trunk"),
]
OFFLOADING = pytest.mark.parametrize("is_offloading", [True, False], ids=["segments", "single datagrams"])


@OFFLOADING
@pytest.mark.parametrize(("client_ip", "trunk", "port_ip"), PLACES)
def test_frames_pass_both_ways(client_ip: str, trunk: str, port_ip: str, is_offloading: bool) -> None:
    with TrunkPair(client_ip, trunk=trunk, port="127.0.0.1" if port_ip == "::" else port_ip) as pair:
        if port_ip == "::":
            # a token cannot name a wildcard: the clients' tokens go on naming the IPv4 address
            address = pair.port.address
            pair.port.close()
            client = pair.client(client_ip)
            pair.port = pair.open_port(("::", address[1]))
        else:
            client = pair.client(client_ip)
        path = pair.admit(client)
        assert path.client == (*client.address, 0)
        relay_ip = "127.0.0.1" if trunk == "::" else trunk
        assert path.relay == (relay_ip, pair.resources.trunk.port)
        upward = [speech(number, 20 + number) for number in range(40)]
        for payload in upward:
            client.send(payload)
        assert pair.hear(len(upward)) == [(path, payload) for payload in upward]
        pair.port.send([(path, payload) for payload in reversed(upward)])
        assert [client.receive() for _ in upward] == [(payload, client.relay) for payload in reversed(upward)]
        assert pair.port.is_offloading


@OFFLOADING
def test_batch_larger_than_any_buffer_keeps_bytes_and_order(is_offloading: bool) -> None:
    with TrunkPair("127.0.0.1", "::1", is_offloading=is_offloading) as pair:
        clients = [pair.client("127.0.0.1") for _ in range(5)] + [pair.client("::1", 1) for _ in range(5)]
        paths = [pair.admit(client) for client in clients]
        down: Heard = []
        for number in range(1000):
            clients[number % 10].send(speech(number, 6 + number % 1500))
            down.append((paths[number % 10], speech(number, 6 + number * 7 % 2043)))
        assert pair.port.is_offloading == is_offloading
        arrived = defaultdict(list)
        for path, payload in pair.hear(1000):
            assert len(payload) == 6 + int.from_bytes(payload[2:6], "big") % 1500
            arrived[path].append(int.from_bytes(payload[2:6], "big"))
        assert arrived == {path: list(range(at, 1000, 10)) for at, path in enumerate(paths)}
        pair.port.send(iter(down))
        for at, client in enumerate(clients):
            assert [client.receive()[0] for _ in range(100)] == [payload for _, payload in down[at::10]]


def test_largest_payload_passes_both_ways() -> None:
    with TrunkPair() as pair:
        client = pair.client()
        path = pair.admit(client)
        client.send(largest := speech(1, 2048))
        assert pair.hear(1) == [(path, largest)]
        pair.port.send([(path, largest), (path, b"\x80")])
        assert [client.receive()[0], client.receive()[0]] == [largest, b"\x80"]


def test_reply_leaves_from_the_address_the_client_has_called() -> None:
    with TrunkPair("127.0.0.1", "127.0.0.2", "::1") as pair:
        clients = [pair.client("127.0.0.1", 0), pair.client("127.0.0.1", 1), pair.client("::1", 2)]
        paths = [pair.admit(client) for client in clients]
        assert len({path.via for path in paths}) == 3
        pair.port.send([(path, b"\x80" + bytes([number])) for number in range(100) for path in paths])
        for client in clients:
            assert [client.receive() for _ in range(100)] == [
                (b"\x80" + bytes([at]), client.relay) for at in range(100)
            ]


def test_one_client_on_two_addresses_of_the_relay_is_two_paths() -> None:
    with TrunkPair("127.0.0.1", "127.0.0.2") as pair:
        first = pair.client("127.0.0.1", 0)
        path = pair.admit(first)
        called = pair.resources.listeners[1].opened
        first.relay = (called.ip, called.port)
        other = pair.admit(first)
        assert path.client == other.client
        assert path != other


def test_close_ends_the_flow() -> None:
    with TrunkPair() as pair:
        clients = [pair.client() for _ in range(3)]
        paths = [pair.admit(client) for client in clients]
        pair.port.send_close(paths[:2])
        pair.until(lambda: pair.at_relay("DOWN_CLOSED") == 2, "both are closed")
        assert [flow[0] for flow in pair.loop.flows()] == [paths[2].client]
        clients[0].send(speech(1))
        pair.until(lambda: pair.at_relay("UNKNOWN_CLIENT") == 1, "a closed client is a stranger")
        assert pair.admit(clients[0]) == paths[0], "and may come again"


def test_each_end_hears_hellos_and_knows_the_round_trip() -> None:
    with TrunkPair() as pair:
        pair.admit(pair.client())

        def both_know() -> bool:
            pair.port.tick()
            return pair.port.relays()[0][3] > 0 and pair.loop.peers()[0][4] > 0

        pair.until(both_know, "a round trip on both sides")
        ((address, received, lost, rtt_us, heard_ms),) = pair.port.relays()
        assert address == ("127.0.0.1", pair.resources.trunk.port)
        assert lost == 0
        assert received == pair.at_port("TRUNK_BUNDLE") + pair.at_port("TRUNK_HELLO")
        assert rtt_us < 10_000_000
        assert heard_ms > 0
        assert pair.loop.peers()[0][0] == pair.port.address


def test_flow_is_made_again_after_the_relay_lost_its_table() -> None:
    with TrunkPair("127.0.0.1", "127.0.0.2") as pair:
        client = pair.client(listener=1)
        path = pair.admit(client)
        pair.restart_relay(loses_flows=True)
        assert pair.loop.flows() == []
        pair.port.send([(path, spoken := speech(1))])
        assert client.receive() == (spoken, client.relay), "from the address it has called"
        assert pair.at_relay("DOWN_RECREATED") == 1
        client.send(spoken)
        assert pair.hear(1) == [(path, spoken)]


def test_path_outlives_the_port_that_heard_it() -> None:
    with TrunkPair() as pair:
        client = pair.client()
        path = pair.admit(client)
        pair.restart_port()
        pair.port.send([(Path(path.client, path.relay, path.via), spoken := speech(1))])
        assert client.receive()[0] == spoken


@pytest.mark.parametrize("count", [4, 5, 12])
def test_no_more_paths_are_remembered_than_asked_for(count: int) -> None:
    with TrunkPair(path_capacity=4) as pair:
        clients = [pair.client() for _ in range(count)]
        paths = [pair.admit(client) for client in clients]
        clients[0].send(speech(1))
        ((again, _),) = pair.hear(1)
        assert (again is paths[0]) == (count <= 4), "a forgotten path is made anew"
        assert again == paths[0]
        assert hash(again) == hash(paths[0])
        pair.port.send([(path, speech(2)) for path in paths])
        for client in clients:
            client.receive()


PAYLOADS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 2048)), min_size=1, max_size=80)


@OFFLOADING
def test_any_frames_arrive_whole_and_in_order(is_offloading: bool) -> None:
    with TrunkPair("127.0.0.1", "::1", is_offloading=is_offloading) as pair:
        clients = [pair.client("127.0.0.1"), pair.client("127.0.0.1"), pair.client("::1", 1), pair.client("::1", 1)]
        paths = [pair.admit(client) for client in clients]

        @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(up=PAYLOADS, down=PAYLOADS)
        def round_trip(up: list[tuple[int, int]], down: list[tuple[int, int]]) -> None:
            check_up(pair, clients, paths, up)
            check_down(pair, clients, paths, down)

        round_trip()


def check_up(pair: TrunkPair, clients: list[CallingClient], paths: list[Path], wanted: list[tuple[int, int]]) -> None:
    sent = defaultdict(list)
    for at, length in wanted:
        payload = b"\x80\x6f" + secrets.token_bytes(max(length - 2, 1))
        payload = payload[: max(length, 2)]
        clients[at].send(payload)
        sent[paths[at]].append(payload)
    arrived = defaultdict(list)
    for path, payload in pair.hear(len(wanted)):
        arrived[path].append(payload)
    assert arrived == sent


def check_down(pair: TrunkPair, clients: list[CallingClient], paths: list[Path], wanted: list[tuple[int, int]]) -> None:
    frames = [(at, secrets.token_bytes(length)) for at, length in wanted]
    pair.port.send([(paths[at], payload) for at, payload in frames])
    for index, client in enumerate(clients):
        expected = [payload for at, payload in frames if at == index]
        assert [client.receive()[0] for _ in expected] == expected
        assert client.has_nothing()
