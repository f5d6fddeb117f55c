"""Workers are replaced, reloaded and drained while calls talk: none is cut, and no offer is refused."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fastrelay.routing import KeyRing
from tests.load.call_hall import Hall
from tests.load.lengths import TIMES
from tests.load.talkers import CALLS_PATH, call_id_of

CALLS = 20
PAUSE_MS = 500
"""What a busy machine may make of a process that begins beside: on one that is not, no frame was 20 ms late."""
OTHER_AGENT = """
import av, numpy

async def talk(call):
    async for frame in call.audio():
        await call.play(frame)
"""
MINTS_AFTER_S = 4
"""As an operator does it: every relay and transceiver knows a key before one uses it."""
DRAIN_S = 2


@pytest.fixture(scope="module")
def empty_hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    folder = tmp_path_factory.mktemp("hall")
    ring_file = folder / "ring.json"
    KeyRing.new(now_s=int(time.time())).save(ring_file, is_new=True)
    (folder / "other.py").write_text(OTHER_AGENT)
    with Hall(folder, ring_file, drain_timeout_s=DRAIN_S) as running:
        yield running


@pytest.fixture
def hall(empty_hall: Hall) -> Iterator[Hall]:
    with empty_hall.gathering():
        yield empty_hall


def mints_with_the_new(service: dict[str, Any]) -> bool:
    latest = max(service["keys"], key=lambda key: key["mint_from_s"])
    return latest["is_minting"] is True


def test_replacement_of_all_workers_cuts_no_call_and_refuses_no_offer(hall: Hall) -> None:
    """Offers come by connections that were there before, as a backend's pool has them."""
    talkers, transceiver = hall.talkers, hall.transceiver
    callers = talkers.call(CALLS)
    talkers.listen(callers)
    for number in range(1, TIMES):
        before = {each["pid"] for each in transceiver.service["workers"]}
        transceiver.process.send_signal(signal.SIGUSR2)
        while transceiver.service["upgrades"] < number:
            callers += talkers.call(1)
        assert not before & {each["pid"] for each in transceiver.service["workers"]}
        callers += talkers.call(2)
    talkers.restart_ice(callers[0])
    talkers.go_on(1)
    heard = talkers.heard(callers[:CALLS])
    print(f"{TIMES - 1} replacements, {len(callers) - CALLS} calls meanwhile: {heard}")
    assert (heard.lost, heard.silent) == (0, 0)
    assert heard.longest_gap_ms < PAUSE_MS
    told = json.loads(talkers.ask(f"/v1/calls/{call_id_of(callers[0])}/stats").body)
    assert told["incoming"]["lost"] == 0, "nor was anything lost on the way up"
    talkers.hang_up(callers)
    talkers.until(lambda: len(transceiver.workers) == 2, "those replaced end with their last calls")


def test_other_keys_and_another_agent_are_for_calls_to_come(hall: Hall) -> None:
    talkers, transceiver = hall.talkers, hall.transceiver
    callers = talkers.call(CALLS)
    talkers.listen(callers)
    hall.configure(agent="other:talk")
    KeyRing.load(hall.ring_file).rotate(now_s=int(time.time()), delay_s=MINTS_AFTER_S).save(hall.ring_file)
    hall.relay.process.send_signal(signal.SIGHUP)
    talkers.until(lambda: hall.relay.status().reloads == 1, "the relay has the new key")
    transceiver.process.send_signal(signal.SIGHUP)
    talkers.until(
        lambda: all(each["agent"] == "other:talk" for each in transceiver.status["workers"]), "the agent is another"
    )
    talkers.until(lambda: mints_with_the_new(transceiver.service), "the new key seals")
    later = talkers.call(5)
    talkers.listen(later)
    talkers.go_on(0.5)
    for who, calls in (("those that were there", callers), ("those that came later", later)):
        heard = talkers.heard(calls)
        print(f"another key and another agent, {who}: {heard}")
        assert (heard.lost, heard.silent) == (0, 0)
        assert heard.longest_gap_ms < PAUSE_MS


def test_drain_leaves_calls_alone_until_its_deadline(hall: Hall) -> None:
    talkers, transceiver = hall.talkers, hall.transceiver
    callers = talkers.call(CALLS)
    talkers.listen(callers)
    transceiver.process.send_signal(signal.SIGTERM)
    talkers.until(lambda: transceiver.service["state"] == "draining", "it drains")
    assert talkers.ask(CALLS_PATH, "POST", b"v=0", content_type="application/sdp").status == 503
    talkers.go_on(DRAIN_S / 2)
    heard = talkers.heard(callers)
    assert (heard.lost, heard.silent) == (0, 0)
    talkers.until(lambda: transceiver.process.poll() is not None, "it ends")
    assert transceiver.process.returncode == 0
    assert {caller.problem for caller in callers} == {"DTLS closed: closed by the server"}, "each was told goodbye"
