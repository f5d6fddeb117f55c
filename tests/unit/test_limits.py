"""Limits that cannot work are refused by name, and the greatest that can are taken."""

from dataclasses import replace
from ipaddress import ip_network

import pytest

from fastrelay._ext.relay_core import RelayCore
from fastrelay.relay.dataplane.limits import Limits
from fastrelay.routing import KeyRing

LIMITS = Limits(flows=64, peers=8)
GREATEST = {
    "unconfirmed_after_ms": 2**31 - 1,
    "idle_after_ms": 2**31 - 1,
    "sweep_period_ms": 2**31 - 1,
    "session_flows": 254,
    "source_admissions_per_s": 2**32 - 1,
    "source_admissions_burst": 4_000_000,
    "admissions_per_s": 2**32 - 1,
    "admissions_burst": 4_000_000,
    "recreations_per_s": 2**32 - 1,
    "recreations_burst": 4_000_000,
    "sibling_lookups_per_s": 2**32 - 1,
    "sibling_lookups_burst": 4_000_000,
    "token_lifetime_s": 2**32 - 1,
    "clock_skew_s": 2**32 - 1,
    "hello_every_ms": 2**31 - 1,
    "peer_forget_ms": 2**31 - 1,
}


@pytest.fixture(scope="module")
def core() -> RelayCore:
    return RelayCore(KeyRing.new(now_s=0).entries(), [ip_network("10.0.0.0/8")], 0, [("192.0.2.1", 443)], LIMITS, 1)


@pytest.mark.parametrize("name", GREATEST)
@pytest.mark.parametrize("is_greatest", [False, True], ids=["least", "greatest"])
def test_boundary_is_taken(core: RelayCore, name: str, is_greatest: bool) -> None:
    core.set_limits(replace(LIMITS, **{name: GREATEST[name] if is_greatest else 1}))


@pytest.mark.parametrize("name", GREATEST)
@pytest.mark.parametrize("is_above", [False, True], ids=["below", "above"])
def test_beyond_the_boundary_is_refused_by_name(core: RelayCore, name: str, is_above: bool) -> None:
    value = GREATEST[name] + 1 if is_above else 0
    with pytest.raises(ValueError, match=f"^limit {name} is {value}, must be 1 to {GREATEST[name]}$"):
        core.set_limits(replace(LIMITS, **{name: value}))
