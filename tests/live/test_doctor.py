"""`fastrelay doctor` on this machine: whatever it is, each check answers, and the measurement leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastrelay.doctor.checks import CHECKS, run_checks
from fastrelay.doctor.drain import Subject
from fastrelay.doctor.finding import Level
from fastrelay.doctor.host import Wanted
from fastrelay.doctor.measure import Measurement, measure
from fastrelay.doctor.probes import this_host
from fastrelay.errors import WorkerError
from tests.live.ends import eventually
from tests.live.process import COMMAND, is_running

SECONDS_MAX = 20.0
"""For a measurement that takes three on an idle machine."""


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, "doctor", *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_every_check_answers_on_this_machine() -> None:
    findings = run_checks(this_host(), Wanted(workers=1))
    assert {finding.check for finding in findings} == set(CHECKS) - {"ports"}, "no port was named"
    assert all(finding.fix for finding in findings if finding.level is not Level.OK)


def test_exit_code_says_whether_there_is_a_problem() -> None:
    done = doctor("--no-measure", "--json")
    report = json.loads(done.stdout)
    has_problem = any(finding["level"] == "problem" for finding in report["findings"])
    assert done.returncode == int(has_problem)
    assert report["capacity"] is None
    assert done.stderr == ""


def test_lines_for_people_name_fixes() -> None:
    done = doctor("--no-measure")
    lines = done.stdout.splitlines()
    faults = [at for at, line in enumerate(lines) if line.startswith(("warning", "problem "))]
    assert all(lines[at + 1].lstrip().startswith("fix: ") for at in faults)
    assert "carry" not in done.stdout


def test_configuration_is_what_the_machine_is_judged_for(tmp_path: Path, ring_file: Path) -> None:
    config = tmp_path / "relay.toml"
    config.write_text(
        '[relay]\nlisten = ["127.0.0.1:40000"]\ntrunk = "127.0.0.1:40100"\nallow = ["127.0.0.0/8"]\n'
        f'keys_file = "{ring_file}"\n[workers]\ncount = 3\n'
    )
    report = json.loads(doctor("--no-measure", "--json", "--config", str(config)).stdout)
    assert report["workers"] == 3
    (ports,) = [finding for finding in report["findings"] if finding["check"] == "ports"]
    assert "40000, 40100, 40101, 40102" in ports["found"]


def test_unusable_configuration_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "relay.toml"
    config.write_text("[relay]\nno_such_key = 1\n")
    done = doctor("--config", str(config))
    assert done.returncode == 2
    assert "no_such_key" in done.stderr
    assert done.stdout == ""


def test_measurement_carries_real_calls_both_ways() -> None:
    """And leaves no process or descriptor behind, which the suite sees to."""
    shares: list[float] = []
    affinity = os.sched_getaffinity(0)
    started_s = time.monotonic()
    capacity = measure(1, is_offloading=True, progress=shares.append)
    assert time.monotonic() - started_s < SECONDS_MAX
    assert shares[-1] == 1.0
    assert shares == sorted(shares)
    assert capacity.floor_ns.median < capacity.down_ns.median
    assert capacity.calls.lowest > 100
    assert all(sample.packets > 1000 for sample in capacity.samples)
    assert os.sched_getaffinity(0) == affinity


def test_measurement_works_without_offload() -> None:
    measurement = Measurement(is_offloading=False)
    try:
        assert measurement.sample().down_ns > 0
    finally:
        measurement.close()


def test_subject_that_cannot_start_is_told_with_its_reason() -> None:
    with (
        Subject({"subject": "floor", "cpu": 0, "listener": -1, "counters": -1}, ()) as subject,
        pytest.raises(WorkerError, match=r"ended: .*Bad file descriptor"),
    ):
        subject.wait_until_ready(time.monotonic() + 10)


MEASURE_UNTIL_KILLED = """
import os
from fastrelay.doctor.measure import Measurement
measurement = Measurement(is_offloading=False)
measurement._relay.pause()
print(measurement._relay.pid, measurement._floor.pid, flush=True)
os.read(0, 1)
"""


def test_killed_doctor_takes_its_paused_processes_along() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MEASURE_UNTIL_KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split()]
        assert len(pids) == 2
        process.kill()
    eventually(lambda: not any(is_running(pid) for pid in pids), f"processes {pids} end")
