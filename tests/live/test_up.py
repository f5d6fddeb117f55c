"""`fastrelay up` carries real packets, shows them, and says with its exit code whether any came back."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections import Counter

import pytest

from fastrelay.cli.demo import callers
from fastrelay.cli.demo.child import Child
from fastrelay.errors import PeerError
from tests.live.ends import End, eventually
from tests.live.process import COMMAND, Lines, children, is_running


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, "up", *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_calls_are_carried_shown_and_summed_up() -> None:
    done = run("--calls", "5", "--seconds", "2")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("ready: clients 127.0.0.1:")
    assert any(re.match(r"serving  calls 5  flows 5  up [\d,]+/s  down [\d,]+/s", line) for line in lines)
    assert any(
        re.match(r"calls   5 connected, [\d,]+ packets echoed, .* round trip p50 \d+ us", line) for line in lines
    )
    assert any(line.startswith("flows   created 5, confirmed 5") for line in lines)
    outcome = re.fullmatch(r"calls   5 connected, (\d+) packets sent, (\d+) echoed, 0\.00% lost, .*", lines[-1])
    assert outcome, lines[-1]
    sent, echoed = map(int, outcome.groups())
    assert 100 < echoed <= sent


def test_interrupt_ends_it_with_a_summary_and_nothing_left_running() -> None:
    with subprocess.Popen([*COMMAND, "up", "--calls", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        out = Lines(process.stdout.fileno())
        out.until(lambda line: "2 connected" in line)
        family = children(process.pid)
        assert len(family) == 3, "a relay, an echo and the callers"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert out.rest()[-1].startswith("calls   2 connected")
        assert not any(is_running(pid) for pid in family)


def test_parts_end_when_their_parent_is_killed() -> None:
    with subprocess.Popen([*COMMAND, "up", "--calls", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        Lines(process.stdout.fileno()).until(lambda line: "2 connected" in line)
        family = children(process.pid)
        process.kill()
        process.wait(10)
        eventually(lambda: not any(is_running(pid) for pid in family), "all have ended")


def test_help_has_an_example() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "fastrelay up --calls 200 --seconds 10" in done.stdout


@pytest.mark.parametrize("arguments", [("--calls", "0"), ("--seconds", "0"), ("--seconds", "soon")])
def test_bad_argument_is_refused(arguments: tuple[str, str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert arguments[0] in done.stderr


# --- the callers by themselves


def test_caller_without_an_answer_never_speaks() -> None:
    with End("127.0.0.1") as silent:
        calls = callers.Callers(silent.address, [("ufrag", "password")])
        try:
            for _ in range(3):
                while silent.has_nothing():
                    calls.turn()
                assert silent.receive()[0][:2] == b"\x00\x01"
        finally:
            calls.close()
        assert calls.tally.sent == 0
        assert calls.report(Counter())["connected"] == 0


def test_echo_that_never_comes_is_a_loss() -> None:
    with End("127.0.0.1") as silent:
        tally = callers.Tally()
        caller = callers.Caller(silent.address, "ufrag", "password", 1, tally)
        caller.is_connected = True
        started_s = time.monotonic()
        for number in range(60):
            caller.act(started_s + number * callers.PACKET_EVERY_S)
        caller.socket.close()
        # 1.18 s have passed: those older than a second are lost, the others may still come
        assert (tally.sent, tally.echoed, tally.lost) == (60, 0, 9 + 1)


@pytest.mark.parametrize(("percent", "expected_us"), [(50, 100.0), (99, 100.0), (100, 5000.0)])
def test_percentile_is_rounded_up_by_less_than_a_sixteenth_of_an_octave(percent: float, expected_us: float) -> None:
    tally = callers.Tally()
    for _ in range(99):
        tally.note_round_trip(100e-6)
    tally.note_round_trip(5000e-6)
    found = callers.percentile_us(tally.round_trips, percent)
    assert found is not None
    assert expected_us <= found * 1.000001 <= expected_us * 2 ** (1 / callers.STEPS_PER_OCTAVE)


def test_no_percentile_of_nothing() -> None:
    assert callers.percentile_us(Counter(), 50) is None


def test_process_that_cannot_start_is_reported() -> None:
    with Child("fastrelay.cli.demo.echo") as child:
        child.start({"ring": "not a ring", "ip": "127.0.0.1", "allowed": "127.0.0.1"})
        with pytest.raises(PeerError, match="did not start"):
            child.wait_for_report()
