"""TERM under load: calls that stand go on, and new ones go elsewhere."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from fastrelay.observe.status import ServiceState
from fastrelay.routing import KeyRing
from tests.live.ends import PATIENCE_S, CallingClient, Transceiver, eventually
from tests.live.process import session
from tests.load.load import CALLS, load_down, load_up
from tests.load.operated import OperatedRelay

AT_ONCE_S = 1.0


def draining(relay: OperatedRelay) -> None:
    relay.process.send_signal(signal.SIGTERM)
    relay.log.until(lambda line: "draining" in line)


def test_drain_keeps_calls_refuses_new_ones_and_ends_with_the_last(
    tmp_path: Path, ring_file: Path, ring: KeyRing
) -> None:
    with (
        OperatedRelay(tmp_path, ring_file) as relay,
        load_up(ring, relay.clients[0]) as up,
        load_down(ring, relay.clients[0], relay.trunks[0], tmp_path) as down,
        Transceiver("127.0.0.1", ring) as transceiver,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as client,
    ):
        up.goes_on(0.2)
        draining(relay)
        eventually(lambda: relay.ask("/readyz").code == 503, "load balancers are told")
        assert relay.ask("/livez").code == 200
        client.check()
        relay.counts("DRAINING", 1)
        relay.says(lambda status: status.state is ServiceState.DRAINING)
        up.goes_on(0.3)
        ups, downs = up.finish(), down.finish()
        print(f"drain, up: {ups}")
        print(f"drain, down: {downs}")
        assert ups.is_whole()
        assert downs.is_whole()
        assert transceiver.has_nothing(), "the new call was not forwarded"
        assert relay.memory().flows == 2 * CALLS
        assert relay.process.poll() is None, "it waits for the calls"
        up.hang_up()
        down.hang_up()
        assert relay.process.wait(PATIENCE_S) == 0
        assert session(relay.process.pid) == []
        assert "drained" in " ".join(relay.log.rest())


def test_second_term_ends_it_at_once(tmp_path: Path, ring_file: Path, ring: KeyRing) -> None:
    with (
        OperatedRelay(tmp_path, ring_file, workers=2) as relay,
        load_up(ring, relay.clients[0]) as load,
    ):
        load.goes_on(0.1)
        draining(relay)
        load.goes_on(0.1)
        told_s = time.monotonic()
        relay.process.send_signal(signal.SIGTERM)
        assert relay.process.wait(PATIENCE_S) == 0
        took_s = time.monotonic() - told_s
        print(f"second TERM: ended after {took_s * 1e3:.0f} ms")
        assert took_s < AT_ONCE_S
        assert session(relay.process.pid) == []
        assert not [path for path in relay.run_dir.iterdir() if path.name != "lock"], "nothing is left for a successor"


def test_drain_outlives_a_worker_that_dies_and_an_upgrade_is_still_a_drain(
    tmp_path: Path, ring_file: Path, ring: KeyRing
) -> None:
    with (
        OperatedRelay(tmp_path, ring_file) as relay,
        load_up(ring, relay.clients[0], rate=10_000) as load,
        Transceiver("127.0.0.1", ring) as transceiver,
        CallingClient("127.0.0.1", relay.clients[0], transceiver.mint()) as client,
    ):
        draining(relay)
        relay.kill_worker()
        client.check()
        relay.counts("DRAINING", 1)
        former = relay.workers
        relay.process.send_signal(signal.SIGUSR2)
        relay.wait_for_successors(former)
        client.check()
        relay.counts("DRAINING", 2)
        relay.says(lambda status: status.state is ServiceState.DRAINING)
        load.goes_on(0.2)
        assert load.finish().lost <= 256
        load.hang_up()
        assert relay.process.wait(PATIENCE_S) == 0
