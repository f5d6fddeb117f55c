"""Answers leave from the address the client has called, however many the host has."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from fastrelay.config.addresses import parse_network
from fastrelay.relay.settings import RelaySettings
from fastrelay.routing import KeyRing
from fastrelay.wire.stun import build_check
from fastrelay.wire.trunk import Client, Frame
from tests.live.ends import PATIENCE_S, CallingClient, Transceiver, speech
from tests.live.in_process import RelayInProcess
from tests.live.namespace import ip, own_network
from tests.live.process import RelayProcess, options

FAMILIES = [
    pytest.param("0.0.0.0", ["192.0.2.1", "192.0.2.2", "198.51.100.3"], "192.0.2.99", id="IPv4"),
    pytest.param("::", ["2001:db8::1", "2001:db8::2", "2001:db8:1::3"], "2001:db8::99", id="IPv6"),
]
LATE = {"0.0.0.0": "203.0.113.7", "::": "2001:db8:7::7"}


def hosts(*addresses: str) -> list[str]:
    return [f"{address}/{128 if ':' in address else 32}" for address in addresses]


@pytest.mark.parametrize(("wildcard", "addresses", "client_ip"), FAMILIES)
def test_wildcard_listener_answers_from_the_address_called(
    wildcard: str, addresses: list[str], client_ip: str, ring_file: Path, ring: KeyRing
) -> None:
    with (
        own_network(*hosts(*addresses, client_ip)),
        RelayProcess(*options(wildcard, "127.0.0.1", ring_file, "127.0.0.1")) as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
    ):
        # one that the host did not have when the relay started
        ip("addr", "add", hosts(LATE[wildcard])[0], "dev", "lo")
        for address in [*addresses, LATE[wildcard]]:
            called = (address, relay.clients[0][1])
            with CallingClient(client_ip, called, transceiver.mint()) as client:
                client.check()
                transceiver.frames(1)
                transceiver.answer(client.as_client, speech(1, 20))
                assert client.receive()[1] == called
                # the flow is gone; the transceiver still knows the via, and brings it back
                transceiver.answer(client.as_client, closes=True)
                transceiver.answer(client.as_client, answer := speech(2))
                assert client.receive() == (answer, called)
        relay.counts("DOWN_RECREATED", len(addresses) + 1)


@pytest.mark.parametrize(("wildcard", "addresses", "client_ip"), FAMILIES)
def test_a_lost_flow_page_changes_no_address(
    wildcard: str, addresses: list[str], client_ip: str, ring: KeyRing
) -> None:
    settings = RelaySettings(
        listen=((wildcard, 0),),
        trunk=("127.0.0.1", 0),
        allowed=(parse_network("127.0.0.1"),),
        load_keys=lambda: ring,
    )
    with (
        own_network(*hosts(*addresses, client_ip)),
        RelayInProcess(settings) as relay,
        Transceiver("127.0.0.1", ring, turn=relay.turn) as transceiver,
    ):
        for address in addresses:
            called = (address, relay.clients[0][1])
            with CallingClient(client_ip, called, transceiver.mint(), turn=relay.turn) as client:
                client.check()
                transceiver.frames(1)
                relay.lose_flows()
                assert relay.loop.flows() == []
                transceiver.answer(client.as_client, answer := speech(1))
                assert client.receive() == (answer, called)
                # and upwards again without another check
                client.send(question := speech(2))
                assert transceiver.frames(1)[0].payload == question


def test_one_relay_listens_on_several_addresses(ring_file: Path, ring: KeyRing) -> None:
    listen = ["--listen", "127.0.0.3:0", "--listen", "[::1]:0"]
    with (
        RelayProcess(*options("127.0.0.2", "127.0.0.1", ring_file, "127.0.0.1"), *listen) as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
    ):
        assert [address for address, _ in relay.clients] == ["127.0.0.2", "127.0.0.3", "::1"]
        for called in relay.clients:
            with CallingClient("::1" if ":" in called[0] else "127.0.0.1", called, transceiver.mint()) as client:
                client.check()
                transceiver.frames(1)
                transceiver.answer(client.as_client, answer := speech(1, 20))
                assert client.receive() == (answer, called)


def test_link_local_client_is_answered_over_its_interface(ring_file: Path, ring: KeyRing) -> None:
    with (
        own_network(),
        RelayProcess(*options("::", "127.0.0.1", ring_file, "127.0.0.1")) as relay,
        Transceiver("127.0.0.1", ring) as transceiver,
    ):
        ip("link", "add", "near", "type", "veth", "peer", "name", "far")
        link_local("near", "fe80::1")
        scope_here = socket.if_nametoindex("near")
        with own_network():
            moved = ["ip", "link", "set", "far", "netns", str(os.getpid())]
            subprocess.run(["nsenter", "--target", str(relay.process.pid), "--net", *moved], check=True)
            link_local("far", "fe80::2")
            scope_there = socket.if_nametoindex("far")
            client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        with client:
            client.settimeout(PATIENCE_S)
            client.bind(("fe80::2", 0, 0, scope_there))
            ticket = transceiver.mint()
            check = build_check(f"{ticket.ufrag}:abcd", ticket.password)
            called = ("fe80::1", relay.clients[0][1], 0, scope_there)
            client.sendto(check, called)
            (frame,) = transceiver.frames(1)
            assert frame == Frame(Client("fe80::2", client.getsockname()[1], scope_here), check)
            transceiver.answer(frame.client, speech(1, 20))
            assert client.recvfrom(2048)[1] == called
            transceiver.answer(frame.client, closes=True)
            transceiver.answer(frame.client, answer := speech(2))
            assert client.recvfrom(2048) == (answer, called)


def link_local(interface: str, address: str) -> None:
    """An interface with this address and no other, usable at once."""
    ip("link", "set", interface, "addrgenmode", "none")
    ip("addr", "add", f"{address}/64", "dev", interface, "nodad")
    ip("link", "set", interface, "up")
