"""A worker's first moments: its trunk port is the first free one, and what the host did not grant is told."""

from __future__ import annotations

import dataclasses
import io
import json
import socket
import time
from ipaddress import ip_network
from pathlib import Path

import pytest

from fastrelay.errors import ConfigError
from fastrelay.observe.logs import configure
from fastrelay.routing.keys import KeyRing
from fastrelay.transceiver.trunk_port import OpenTrunkPort
from fastrelay.transceiver.worker import opening
from fastrelay.transceiver.worker.plan import WorkerPlan

RING = KeyRing.new(now_s=int(time.time()))
PLAN = WorkerPlan(
    slot=0,
    cpu=None,
    trunk=("127.0.0.1", 0),
    relays=(("203.0.113.5", 3478),),
    allowed=(ip_network("127.0.0.1"),),
    neighbours=Path("/run/fastrelay"),
    agent="echo",
)


def test_port_that_is_taken_is_passed_over() -> None:
    with opening.open_port(PLAN, RING) as first:
        from_there_on = dataclasses.replace(PLAN, trunk=first.address)
        with opening.open_port(from_there_on, RING) as second:
            assert second.address[0] == first.address[0]
            assert second.address[1] > first.address[1]


def test_range_without_a_free_port_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "TRUNK_PORTS", 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ConfigError, match="Address already in use"):
            opening.open_port(dataclasses.replace(PLAN, trunk=taken.getsockname()), RING)


def test_what_the_host_did_not_grant_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenTrunkPort, "warnings", ["a buffer of 1 byte instead of 2"])
    log = io.StringIO()
    configure("json", log)
    with opening.open_port(PLAN, RING):
        line = json.loads(log.getvalue())
    assert line["event"] == "the_host_did_not_grant_an_option"
    assert line["problem"] == "a buffer of 1 byte instead of 2"
