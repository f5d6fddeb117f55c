"""Restart gaps at their smallest: a real relay whose worker is killed, and a real host that is lost, under live calls.

How long the gaps are means nothing here, since other tests share the machine; that they are seen, and end, does.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from bench.load.callers.shape import Shape
from bench.load.failure import BenchFailure
from bench.restart.before import FOLDER, prepare_addresses, supervised
from bench.restart.cases import HOST, Effort
from bench.restart.network import Host, NoNetwork, ip, own_network
from bench.restart.relay import Setup, SupervisedRelay
from bench.restart.trial import nothing, stretch
from bench.restart.unknown import ANYCAST, Ports, on_hosts

CALLS = 20


def test_killed_worker_is_heard_as_a_gap_that_ends() -> None:
    shape = Shape(CALLS, heard=FOLDER / "test.heard")
    with own_network(), ThreadPoolExecutor(1) as thread, supervised("test", shape, Setup()) as standing:
        (former,) = standing.relay.workers()
        trial = stretch(standing.callers, thread, 500, standing.relay.kill_worker, standing.relay.refused)
        assert standing.relay.workers() != [former]
    assert trial.hearing.heard_again_percent == 100
    assert trial.hearing.sent > 0
    assert trial.refused == 0, "the successor knows every flow"
    assert trial.gone >= 0


def test_call_of_a_lost_host_is_refused_by_the_other_until_it_checks() -> None:
    effort = Effort(rounds=1, calls=CALLS, calls_beside=CALLS)
    with own_network(), ThreadPoolExecutor(2) as threads:
        prepare_addresses()
        with on_hosts(HOST, Ports().shape(effort, "test-hosts", is_on_hosts=True), ANYCAST, (1, 2)) as part:
            lost = stretch(part.callers, threads, 700, part.happening, part.refused)
            part.begin_again()
            back = stretch(part.callers, threads, 300, nothing, part.refused)
    # a fifth of the calls check within the 500 ms behind the loss
    assert 0 < lost.hearing.heard_again_percent < 100
    assert lost.hearing.gap_ms(100) > 300
    assert lost.refused > 0, "the other relay has counted strangers"
    assert (back.hearing.heard_again_percent, back.hearing.lost) == (100, 0)


def test_relay_that_does_not_start_says_why_and_leaves_nothing() -> None:
    setup = Setup(limits={"no_such_limit": 1})
    with pytest.raises(BenchFailure, match="no_such_limit"), SupervisedRelay(FOLDER / "test-refused", setup):
        pytest.fail("it serves")


def test_network_that_fails_while_it_is_used_is_not_a_missing_one() -> None:
    with own_network(), Host(1, ANYCAST) as host:
        ip("link", "delete", "host1")
        with pytest.raises(BenchFailure) as failed:
            host.attract()
    assert not isinstance(failed.value, NoNetwork)
