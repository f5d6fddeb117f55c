"""All three designs carry calls, count up, and die as they should. Nothing is measured here.

All three take part on every machine: the server in Go is built by `make peers-built`, or else here, and where it cannot
be built the test fails.
"""

from __future__ import annotations

from bench.designs.cast import Cast
from bench.designs.party import PHASES, cpu_ms_of, pss_kib, udp_ports
from bench.designs.servers import PER_SESSION, RELAY_WORKER, SERVER, SINGLE_PORT, TIERS
from tests.live.process import is_running

CALLS = 2
GO_ON_S = 0.5


def test_every_design_carries_calls_and_is_started_again_when_it_dies() -> None:
    with Cast() as cast:
        assert cast.not_run == {}
        assert cast.names == [PER_SESSION, SINGLE_PORT, TIERS]
        assert list(cast.versions) == [PER_SESSION, SINGLE_PORT]
        for party in cast.parties:
            design = party.design
            party.arrive(CALLS)
            assert party.ports() | design.inner_ports == udp_ports(design), "the kernel's table has what clients know"
            assert [len(call) for call in party.set_up(1)] == [len(PHASES)]
            party.talk(is_on=True)
            heard = party.watch(0.2).punctuality
            assert (heard.calls, heard.arrived > 0) == (CALLS, True)
            assert all(spent > 0 for spent in cpu_ms_of(design).values())
            assert all(taken > 0 for taken in pss_kib(design).values())
            if design.name == TIERS:
                (victim,) = design.parts[RELAY_WORKER]
                silence = party.survive(RELAY_WORKER, GO_ON_S)
            elif design.name == SINGLE_PORT:  # the other one is started again in the same way
                victim = design.pid
                silence = party.call_again(SERVER)
            else:
                continue
            assert len(silence.gaps_ms) == silence.calls == CALLS
            assert not is_running(victim)
        started = [pid for party in cast.parties for pids in party.design.parts.values() for pid in pids]
    assert not [pid for pid in started if is_running(pid)]
