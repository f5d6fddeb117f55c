"""All three designs carry calls, count up, and die as they should. Nothing is measured here.

Only what is on this machine is started: where the Go program has not been built, the other two take part.
"""

from __future__ import annotations

from bench.designs.cast import MAKERS, Cast
from bench.designs.party import PHASES, cpu_ms_of, pss_kib, udp_ports
from bench.designs.servers import RELAY_WORKER, SERVER, SINGLE_PORT, TIERS
from bench.peers.running import OUT
from tests.live.process import is_running

CALLS = 2
GO_ON_S = 0.5


def test_every_design_carries_calls_and_is_started_again_when_it_dies() -> None:
    here = [name for name in MAKERS if name != SINGLE_PORT or (OUT / "echo").exists()]
    with Cast(wanted=here) as cast:
        assert cast.names == here
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
            elif design.name == here[-2]:  # the other one is started again in the same way
                victim = design.pid
                silence = party.call_again(SERVER)
            else:
                continue
            assert len(silence.gaps_ms) == silence.calls == CALLS
            assert not is_running(victim)
        started = [pid for party in cast.parties for pids in party.design.parts.values() for pid in pids]
    assert not [pid for pid in started if is_running(pid)]
