"""A worker's plan survives the way through JSON, between releases too, and nonsense in it is named."""

from __future__ import annotations

import json
from dataclasses import fields
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from fastrelay.errors import PeerError
from fastrelay.transceiver.worker import plan as plan_module
from fastrelay.transceiver.worker.plan import SLOTS, WorkerPlan

PLAN = WorkerPlan(
    slot=7,
    cpu=2,
    trunk=("10.0.0.7", 4100),
    relays=(("203.0.113.5", 3478), ("2001:db8::5", 3478)),
    allowed=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
    neighbours=Path("/run/fastrelay"),
    agent="shop.voice:assistant",
    dtls_role="active",
    call_s_max=60.0,
    allowed_origins=("https://shop.example",),
    redirect_to="https://other.example",
    certificate_file=Path("/etc/fastrelay/cert.pem"),
    key_file=Path("/etc/fastrelay/key.pem"),
)


def through_json(values: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(values))
    return found


def test_plan_comes_back_as_it_went() -> None:
    assert WorkerPlan.parse(through_json(PLAN.build())) == PLAN


def test_every_field_travels() -> None:
    assert set(plan_module._READERS) == {each.name for each in fields(WorkerPlan)}


def test_plan_of_a_later_release_is_read_as_far_as_it_is_known() -> None:
    assert WorkerPlan.parse({**through_json(PLAN.build()), "of_tomorrow": 1}) == PLAN


def test_plan_of_an_earlier_release_gets_defaults() -> None:
    values = through_json(PLAN.build())
    del values["call_s_max"]
    assert WorkerPlan.parse(values).call_s_max == 7200.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("slot", SLOTS),
        ("slot", -1),
        ("slot", True),
        ("cpu", "0"),
        ("trunk", ["10.0.0.7"]),
        ("trunk", "10.0.0.7:4000"),
        ("relays", [["10.0.0.7", "x"]]),
        ("allowed", ["10.0.0.1/8"]),
        ("neighbours", None),
        ("dtls_role", "both"),
        ("call_s_max", "60"),
        ("is_open", 1),
        ("key_file", 5),
    ],
)
def test_nonsense_is_named(name: str, value: object) -> None:
    with pytest.raises(PeerError, match=f"a worker's plan has {name} = "):
        WorkerPlan.parse({**through_json(PLAN.build()), name: value})


def test_missing_settings_are_named() -> None:
    values = through_json(PLAN.build())
    del values["trunk"]
    with pytest.raises(PeerError, match=r"incomplete.*trunk"):
        WorkerPlan.parse(values)


def test_each_slot_has_a_socket_of_its_own() -> None:
    assert PLAN.socket_of(3) == Path("/run/fastrelay/http-3.sock")
    assert len({PLAN.socket_of(slot) for slot in range(SLOTS)}) == SLOTS
