"""The units: systemd understands every line of them, they are locked down, and their limits fit the configurations."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fastrelay.cli.tier import TIERS as TIERS_BY_NAME
from fastrelay.doctor.network import BACKLOG_ADVISED
from fastrelay.io.sockets import BUFFER_BYTES

ROOT = Path(__file__).parents[2]
SYSTEMD = ROOT / "deploy" / "systemd"
TIERS = ("relay", "transceiver")
COMMAND = Path(sys.executable).with_name("fastrelay")
INSTALLED = "/opt/fastrelay/current/bin/fastrelay"
EXPOSURE_MAX = 1.5
"""systemd's score, 0 to 10. What is left are the network, which is a relay's work, and pinning workers to CPUs."""


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def unit_of(tier: str) -> Path:
    return SYSTEMD / f"fastrelay-{tier}.service"


def settings(tier: str, name: str) -> list[str]:
    """Return each value of one setting of a unit, in order."""
    return re.findall(rf"^{name}=(.*)$", unit_of(tier).read_text(), re.MULTILINE)


def setting(tier: str, name: str) -> str:
    (value,) = settings(tier, name)
    return value


def seconds(text: str) -> float:
    units = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
    parts = re.findall(r"(\d+)(ms|s|min|h)\b", text)
    assert parts, text
    return sum(int(number) * units[unit] for number, unit in parts)


@pytest.fixture(params=TIERS)
def tier(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def unit(tmp_path: Path, tier: str) -> Path:
    """The unit with this environment's command in place of the installed one, which systemd wants to see."""
    path = tmp_path / unit_of(tier).name
    path.write_text(unit_of(tier).read_text().replace(INSTALLED, str(COMMAND)))
    return path


def test_systemd_verifies_the_unit(unit: Path) -> None:
    done = run("systemd-analyze", "verify", "--recursive-errors=no", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_unknown_setting_would_be_noticed(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("NoNewPrivileges=", "NoOldPrivileges="))
    assert "NoOldPrivileges" in run("systemd-analyze", "verify", "--recursive-errors=no", unit).stderr


def test_unit_stays_locked_down(unit: Path) -> None:
    done = run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX * 10:g}", unit)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("Type", "notify", id="started when it serves"),
        pytest.param("KillMode", "process", id="workers outlive the supervisor"),
        pytest.param("Restart", "always", id="supervisor comes back"),
        pytest.param("OOMPolicy", "continue", id="a worker killed for memory does not stop the unit"),
        pytest.param("RuntimeDirectoryPreserve", "yes", id="orphans can be found"),
        pytest.param("StartLimitIntervalSec", "0", id="never gives up"),
        pytest.param("RestartPreventExitStatus", "2", id="a bad configuration is not tried for ever"),
        pytest.param("CapabilityBoundingSet", "", id="no capability"),
        pytest.param("LimitCORE", "0", id="no key in a core file"),
    ],
)
def test_unit_is_what_crash_safety_rests_on(tier: str, name: str, value: str) -> None:
    assert setting(tier, name) == value


def test_nothing_ends_orphans_between_a_crash_and_the_restart(tier: str) -> None:
    assert settings(tier, "ExecStopPost") == []


def test_systemd_waits_longer_than_a_drain_may_take(tier: str) -> None:
    shipped = tomllib.loads((SYSTEMD / f"{tier}.toml").read_text())
    assert seconds(setting(tier, "TimeoutStopSec")) >= shipped["drain"]["timeout_s"] + 30


def test_run_directory_is_the_one_it_is_told(tier: str) -> None:
    shipped = tomllib.loads((SYSTEMD / f"{tier}.toml").read_text())
    assert shipped[tier]["run_dir"] == f"/run/{setting(tier, 'RuntimeDirectory')}"
    assert f"--at %t/{setting(tier, 'RuntimeDirectory')}" in setting(tier, "ExecReload")


def test_shipped_configuration_is_taken(tier: str) -> None:
    reading = TIERS_BY_NAME[tier].read(SYSTEMD / f"{tier}.toml", {}, {})
    assert reading.problems == ()
    assert reading.keys_problem is None


def test_user_is_made_without_a_shell(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    done = run("systemd-sysusers", f"--root={tmp_path}", SYSTEMD / "sysusers.conf")
    assert done.returncode == 0, done.stderr
    (user,) = [line for line in (tmp_path / "etc/passwd").read_text().splitlines() if line.startswith("fastrelay:")]
    assert user.endswith("/nologin")


def test_lines_for_tmpfiles_name_a_user_that_is_made() -> None:
    made = {
        line.split()[1] for line in (SYSTEMD / "sysusers.conf").read_text().splitlines() if not line.startswith("#")
    }
    lines = [line.split() for line in (SYSTEMD / "tmpfiles.conf").read_text().splitlines() if not line.startswith("#")]
    assert {user for _, _, _, user, _ in lines} - {"root"} == made
    assert {path: mode for _, path, mode, _, _ in lines}["/etc/fastrelay/keys.json"] == "0600"


def test_kernel_has_each_sysctl_by_that_name() -> None:
    names = re.findall(r"^([a-z_.]+) = \d+$", (SYSTEMD / "sysctl.conf").read_text(), re.MULTILINE)
    assert "net.core.rmem_max" in names
    assert [name for name in names if not (Path("/proc/sys") / name.replace(".", "/")).exists()] == []


def test_command_starts_where_memory_is_never_both_writable_and_executable(tmp_path: Path) -> None:
    """MemoryDenyWriteExecute= of the unit, by the filter that systemd installs for it."""
    loads = "import aiohttp.web, numpy, prometheus_client, rich, fastrelay.cli.main, fastrelay._ext.relay_loop"
    loads += ", fastrelay.transceiver.worker.opening, fastrelay.agent.recorder"
    script = Path(__file__).with_name("deny_write_execute.py")
    done = run(sys.executable, script, sys.executable, "-c", f"{loads}; print('loaded')")
    assert (done.returncode, done.stdout) == (0, "mapping refused\nloaded\n"), done.stderr


def test_sysctls_are_what_the_doctor_asks_for() -> None:
    values = dict(re.findall(r"^([a-z_.]+) = (\d+)$", (SYSTEMD / "sysctl.conf").read_text(), re.MULTILINE))
    assert int(values["net.core.rmem_max"]) >= BUFFER_BYTES
    assert int(values["net.core.netdev_max_backlog"]) >= BACKLOG_ADVISED
