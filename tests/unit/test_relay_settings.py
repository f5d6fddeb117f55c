"""Settings of a relay: the limits of the header, and small decisions of the supervisor."""

from __future__ import annotations

import logging
import os
import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from fastrelay.config.addresses import parse_network
from fastrelay.errors import ConfigError
from fastrelay.relay.dataplane.limits import Limits
from fastrelay.relay.resources import open_worker
from fastrelay.relay.settings import ALLOWED_MAX, LISTENERS_MAX, LOCALS_MAX, RelaySettings
from fastrelay.routing.keys import Key, KeyRing
from fastrelay.service.privileges import choose_cpus
from fastrelay.service.tallies import ring_changes

LIMITS_H = (Path(__file__).parents[2] / "ext" / "limits.h").read_text()
SETTINGS = RelaySettings(
    listen=(("127.0.0.1", 0),),
    trunk=("127.0.0.1", 0),
    allowed=(ip_network("10.0.0.0/8"),),
    load_keys=lambda: KeyRing(()),
    limits=Limits(flows=1024),
)


@pytest.mark.parametrize(
    ("ours", "macro"), [(LISTENERS_MAX, "LISTENERS"), (LOCALS_MAX, "LOCALS"), (ALLOWED_MAX, "ALLOWED")]
)
def test_limit_is_that_of_the_header(ours: int, macro: str) -> None:
    assert re.findall(rf"^#define FR_{macro} (\d+)$", LIMITS_H, re.MULTILINE) == [str(ours)]


def test_as_many_listeners_and_networks_as_the_header_allows() -> None:
    replace(SETTINGS, listen=(("127.0.0.1", 0),) * LISTENERS_MAX, allowed=(ip_network("10.0.0.0/8"),) * ALLOWED_MAX)


@pytest.mark.parametrize(("port", "workers"), [(65_535, 1), (65_534, 2), (0, 2)])
def test_trunk_ports_may_end_at_the_last(port: int, workers: int) -> None:
    assert replace(SETTINGS, trunk=("127.0.0.1", port), workers=workers).workers == workers


@pytest.mark.parametrize(
    ("trunk", "network", "is_reached"),
    [
        ("0.0.0.0", "10.0.0.0/8", True),
        ("0.0.0.0", "fd00::/8", False),
        ("::", "10.0.0.0/8", True),
        ("::", "fd00::/8", True),
        ("fd00::1", "fd00::/8", True),
        ("fd00::1", "10.0.0.0/8", False),
    ],
)
def test_allowed_network_must_be_reachable_from_the_trunk(trunk: str, network: str, is_reached: bool) -> None:
    refused = pytest.raises(ConfigError, match=r"--allow: .* cannot be reached")
    expected: AbstractContextManager[object] = nullcontext() if is_reached else refused
    with expected:
        replace(SETTINGS, trunk=(trunk, 0), allowed=(parse_network(network),))


@pytest.mark.parametrize(("text", "network"), [("10.1.2.3", "10.1.2.3/32"), ("fd00::/8", "fd00::/8")])
def test_network_is_read(text: str, network: str) -> None:
    assert str(parse_network(text)) == network


def test_workers_share_client_addresses_and_own_their_trunks() -> None:
    first = open_worker(SETTINGS, 0, [])
    second = open_worker(SETTINGS, 1, [first])
    try:
        ports = [[each.opened.port for each in worker.listeners] for worker in (first, second)]
        assert ports[0] == ports[1]
        assert first.trunk.port != second.trunk.port
        assert first.flow_page is not second.flow_page
        assert first.locals == second.locals == [(0, "127.0.0.1", ports[0][0], 0)]
    finally:
        first.close()
        second.close()


def test_workers_take_the_cpus_in_turn(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("fastrelay"), "propagate", True)  # as it is until a command configures it
    available = sorted(os.sched_getaffinity(0))
    assert choose_cpus((), len(available)) == available
    assert caplog.records == []
    with caplog.at_level(logging.WARNING):
        assert choose_cpus((), len(available) + 1) == [*available, available[0]]
    assert "more workers than CPUs" in caplog.text


def test_named_cpus_are_taken_in_their_order() -> None:
    cpus = tuple(sorted(os.sched_getaffinity(0), reverse=True))
    assert choose_cpus(cpus, len(cpus)) == list(cpus)


def test_ring_changes_are_told_by_id() -> None:
    kept, ended = Key(1, bytes(32), 0), Key(2, b"b" * 32, 0)
    old = KeyRing((kept, ended, Key(3, b"c" * 32, 0)))
    new = KeyRing((kept, replace(ended, open_until_s=5), Key(3, b"d" * 32, 0), Key(4, b"e" * 32, 0)))
    assert ring_changes(old, new) == {"added": [3, 4], "dropped": [3], "changed": [2]}
