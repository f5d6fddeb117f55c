"""Another configuration under load: taken whole or refused whole, and no call notices."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

import pytest

from fastrelay.routing import KeyRing
from tests.live.ends import CallingClient, Transceiver, admit, eventually
from tests.load.lengths import TIMES
from tests.load.load import CALLS, load_down, load_up
from tests.load.operated import OperatedRelay

FIRST = "127.0.0.1:0"


def reload(relay: OperatedRelay) -> str:
    """HUP, and the line that says what came of it."""
    relay.process.send_signal(signal.SIGHUP)
    return relay.log.until(lambda line: "reload" in line)


def free_port(ip: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((ip, 0))
        port: int = probe.getsockname()[1]
        return port


def test_reloads_in_a_row_lose_nothing(tmp_path: Path, ring_file: Path, ring: KeyRing) -> None:
    """Keys, limits, networks, addresses and the number of workers, all changed each time."""
    extra = f"127.0.0.9:{free_port('127.0.0.9')}"
    with (
        OperatedRelay(tmp_path, ring_file) as relay,
        load_up(ring, relay.clients[0]) as up,
        load_down(ring, relay.clients[0], relay.trunks[0], tmp_path) as down,
    ):
        up.goes_on(0.2)
        changing = ring
        for number in range(1, TIMES + 1):
            is_odd = number % 2 == 1
            if is_odd:
                changing = changing.rotate(now_s=int(time.time()), delay_s=0)
                changing.save(ring_file)
            relay.configure(
                workers=2 if is_odd else 1,
                listen=[FIRST, extra] if is_odd else [FIRST],
                allow=["127.0.0.0/8", "10.0.0.0/8"] if is_odd else ["127.0.0.0/8"],
                limits={"token_lifetime_s": 3600 + number, "source_admissions_per_s": 100 + number},
            )
            line = reload(relay)
            assert "refused" not in line, line
            up.goes_on(0.3)
        ups, downs = up.finish(), down.finish()
        print(f"{TIMES} reloads, up: {ups}")
        print(f"{TIMES} reloads, down: {downs}")
        assert ups.is_whole()
        assert downs.is_whole()
        relay.says(lambda status: (status.reloads, status.reloads_refused) == (TIMES, 0))
        status = relay.status()
        assert all(worker.restarts == 0 for worker in status.workers)
        memory = relay.memory(len(status.workers))
        assert memory.flows >= 2 * CALLS
        assert (memory.admitted, memory.forgotten, memory.strangers) == (2 * CALLS, 0, 0)


def test_what_a_reload_adds_counts_at_once(tmp_path: Path, ring_file: Path, ring: KeyRing) -> None:
    """A client can call the new address, and either of the workers answers there."""
    extra = ("127.0.0.9", free_port("127.0.0.9"))
    with OperatedRelay(tmp_path, ring_file) as relay, Transceiver("127.0.0.1", ring) as transceiver:
        relay.configure(workers=2, listen=[FIRST, f"{extra[0]}:{extra[1]}"])
        assert "refused" not in reload(relay)
        eventually(lambda: len(relay.workers) == 2, "there are two workers")
        for _ in range(16):
            with CallingClient("127.0.0.1", extra, transceiver.mint()) as client:
                admit(client, transceiver)
        for index in range(2):
            with relay.counters(index) as page:
                assert page.packets("UP_ADMITTED") > 0, "every worker listens there"


def test_worker_that_is_too_many_goes_when_its_calls_have_gone(tmp_path: Path, ring_file: Path, ring: KeyRing) -> None:
    with (
        OperatedRelay(tmp_path, ring_file, workers=2) as relay,
        load_up(ring, relay.clients[0]) as load,
    ):
        load.goes_on(0.2)
        # what a worker has is forgotten a second after its clients have gone to another
        relay.configure(workers=1, limits={"idle_after_ms": 1000, "sweep_period_ms": 500})
        assert "refused" not in reload(relay)
        eventually(lambda: len(relay.workers) == 1, "the second worker goes")
        load.goes_on(0.3)
        outcome = load.finish()
        print(f"2 workers to 1: {outcome}")
        assert outcome.is_whole()
        assert relay.memory().flows == CALLS
        relay.says(lambda status: len(status.workers) == 1)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("[relay", "relay.toml", id="no TOML"),
        pytest.param("[relay]\nlisten = ['127.0.0.1:0']\nunknown = 1\n", "unknown", id="unknown key"),
        pytest.param(None, "relay.toml", id="file gone"),
    ],
)
def test_bad_file_is_refused_whole(
    text: str | None, problem: str, tmp_path: Path, ring_file: Path, ring: KeyRing
) -> None:
    with (
        OperatedRelay(tmp_path, ring_file) as relay,
        load_up(ring, relay.clients[0]) as load,
    ):
        load.goes_on(0.1)
        before, workers = relay.memory(), relay.workers
        config = tmp_path / "relay.toml"
        if text is None:
            config.unlink()
        else:
            config.write_text(text)
        line = reload(relay)
        assert "refused" in line
        assert problem in line
        load.goes_on(0.2)
        assert load.finish().is_whole()
        assert (relay.memory(), relay.workers) == (before, workers)
        relay.says(lambda status: status.reloads_refused == 1)


def test_address_that_cannot_be_opened_changes_nothing(tmp_path: Path, ring_file: Path, ring: KeyRing) -> None:
    """Not even what stands before it in the file."""
    good = f"127.0.0.9:{free_port('127.0.0.9')}"
    with (
        OperatedRelay(tmp_path, ring_file) as relay,
        load_up(ring, relay.clients[0]) as load,
    ):
        load.goes_on(0.1)
        listening, workers = relay.status().listen, relay.workers
        relay.configure(workers=2, listen=[FIRST, good, "192.0.2.1:3478"])
        line = reload(relay)
        assert "refused" in line
        assert "192.0.2.1:3478" in line
        relay.says(lambda status: status.reloads_refused == 1)
        assert (relay.status().listen, relay.workers) == (listening, workers)
        load.goes_on(0.2)
        assert load.finish().is_whole()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            ip, _, port = good.partition(":")
            other.bind((ip, int(port)))  # nobody has it
