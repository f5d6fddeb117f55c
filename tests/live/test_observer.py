"""A relay's numbers over HTTP are those of its calls, and outlive the process that shows them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fastrelay.errors import PeerError
from fastrelay.observe.client import AdminClient, parse_place
from fastrelay.routing import KeyRing
from tests.live.ends import CallingClient, Transceiver, eventually, speech
from tests.live.process import RelayProcess, options


class Relay(RelayProcess):
    """A relay with one worker and a run directory, asked through it."""

    def __init__(self, ring_file: Path, run_dir: Path) -> None:
        local = options("127.0.0.1", "127.0.0.1", ring_file, "127.0.0.1")
        super().__init__(*local, "--workers", "1", "--run-dir", str(run_dir))
        self._client = AdminClient(parse_place(str(run_dir)))

    def tell(self, path: str, **query: str | int) -> dict[str, Any]:
        return self._client.document(path, query)

    def metric(self, name: str, **labels: str) -> float:
        """0 for one that is not there; -1 while nobody answers."""
        try:
            text = self._client.ask("/metrics").text
        except PeerError:
            return -1.0
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())


@pytest.fixture
def relay(ring_file: Path) -> Iterator[Relay]:
    # not below pytest's own folder: a socket's path is short
    with TemporaryDirectory(prefix="fastrelay-") as folder, Relay(ring_file, Path(folder) / "run") as relay:
        yield relay


@pytest.fixture
def transceiver(ring: KeyRing) -> Iterator[Transceiver]:
    with Transceiver("127.0.0.1", ring) as transceiver:
        yield transceiver


@pytest.fixture
def client(relay: Relay, transceiver: Transceiver) -> Iterator[CallingClient]:
    """In a call that the transceiver has confirmed."""
    with CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as client:
        client.check()
        transceiver.frames(1)
        transceiver.answer(client.as_client, speech(0, 20))
        client.receive()
        yield client


def test_one_way_call_is_found_and_found_to_be_mended(
    relay: Relay, transceiver: Transceiver, client: CallingClient
) -> None:
    numbers = count()

    def one_way(*, is_answered: bool) -> int:
        client.send(speech(next(numbers)))
        if is_answered:
            transceiver.answer(client.as_client, speech(0))
        return int(relay.tell("/status")["totals"]["one_way"])

    eventually(lambda: one_way(is_answered=False) == 1, "a call is one-way")
    (flow,) = relay.tell("/flows", state="one_way")["flows"]
    (event, _) = relay.tell("/events", session=flow["session"])["events"]
    assert flow["is_one_way"]
    assert flow["client"] == "127.0.0.0/24"
    assert flow["transceiver"] == event["transceiver"] == f"127.0.0.1:{transceiver.address[1]}"
    assert relay.tell("/flows", session=flow["session"])["flows"][0]["slot"] == flow["slot"]
    assert relay.metric("fastrelay_flows_one_way") == 1
    eventually(lambda: one_way(is_answered=True) == 0, "it is no longer")
    assert relay.metric("fastrelay_one_way_started_total", worker="0") == 1


def test_killed_observer_comes_back_with_the_same_numbers(
    relay: Relay, transceiver: Transceiver, client: CallingClient
) -> None:
    for number in range(20):
        client.send(speech(number))
    relay.counts("UP_SRTP", 20)
    assert relay.metric("fastrelay_packets_total", direction="up") == 21
    former = relay.observer
    os.kill(former, signal.SIGKILL)
    client.send(speech(20))
    eventually(lambda: relay.metric("fastrelay_packets_total", direction="up") == 22, "the observer is back")
    assert relay.observer != former
    assert relay.metric("fastrelay_packets_total", direction="down") == 1
    assert relay.tell("/status")["transceivers"][0]["flows"] == 1


def test_numbers_survive_the_death_of_a_worker(relay: Relay, client: CallingClient) -> None:
    client.send(speech(1))
    relay.counts("UP_SRTP", 1)
    (former,) = relay.workers
    os.kill(former, signal.SIGKILL)
    eventually(lambda: relay.metric("fastrelay_worker_restarts_total", worker="0") == 1, "the worker is replaced")
    eventually(lambda: relay.metric("fastrelay_worker_up", worker="0") == 1, "its successor serves")
    client.send(speech(2))
    relay.counts("UP_SRTP", 2)
    assert relay.metric("fastrelay_packets_total", direction="up") == 3
    assert relay.metric("fastrelay_ready") == 1
