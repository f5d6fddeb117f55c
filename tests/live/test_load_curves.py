"""The curves at their smallest, with the real relay: each place has its floors, and accounts that add up. The figures
themselves mean nothing here, since other tests share the machine.
"""

from __future__ import annotations

import os

from bench.load.callers.curves import FLOWS
from bench.load.callers.curves_changes import ChangesEffort, measure_changes
from bench.load.callers.curves_drained import DrainEffort, drain_curve, memory_of, places_of_flows
from bench.load.callers.curves_workers import measure_workers
from bench.report.measured import Measured


def nothing() -> None: ...


def assert_accounts_add_up(measured: Measured) -> None:
    for figure in measured.figures:
        assert all(account.adds_up for account in figure.accounts), figure.accounts


def test_flows_are_drained_at_every_place_beside_both_floors_and_take_memory() -> None:
    places = places_of_flows((10, 5000))
    measured = drain_curve(FLOWS, places, DrainEffort(rounds=2, drains=1, packets=256), nothing)
    assert [figure.key for figure in measured.figures] == ["curve-flows/10", "curve-flows/5000", "curve-flows/growth"]
    assert [len(figure.ratios()) for figure in measured.figures] == [2, 2, 2]
    assert all(account.put_in == 3 * 256 for place in places for account in place.accounts)
    assert_accounts_add_up(measured)
    (memory,) = memory_of(FLOWS, places).figures
    spread = memory.spread()
    assert spread is not None
    assert 32 < spread.middle < 4096


def test_calls_that_change_meet_a_relay_that_lets_them_in() -> None:
    measured = measure_changes(ChangesEffort(rounds=1, talk_ms=60, rates=(500,)), nothing, calls=100)
    assert {figure.key for figure in measured.figures} == {"curve-changes/calls-500", "curve-changes/moves-500"}
    for figure in measured.figures:
        changes = figure.accounts[-1]
        assert 0 < changes.put_in == changes.ended["first checks sent"]
    assert_accounts_add_up(measured)


def test_workers_have_the_packets_of_their_own_processor() -> None:
    processors = sorted(os.sched_getaffinity(0))[:2]
    measured = measure_workers(1, nothing, processors, packets=256)
    assert [len(figure.accounts) for figure in measured.figures] == list(range(1, len(processors) + 1))
    assert all(account.ended == {"handled": 256} for figure in measured.figures for account in figure.accounts)
