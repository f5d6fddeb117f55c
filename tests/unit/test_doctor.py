"""The doctor's checks over made-up machines: a healthy one is all OK, and each single fault is told with its fix."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from fastrelay.doctor.cards import cards, receive_interrupts
from fastrelay.doctor.checks import CHECKS, run_checks
from fastrelay.doctor.finding import Finding, Level
from fastrelay.doctor.host import Host, Probes, Wanted
from tests.unit.doctor_tree import CLOCKS, CPU, ETH0, GOOD_PROBES, WANTED, levels, make_host, plant

SERVICE = "sys/fs/cgroup/system.slice/fastrelay.service"
SLICE = "sys/fs/cgroup/system.slice"
CONNTRACK = "proc/sys/net/netfilter"
RELEASE = "proc/sys/kernel/osrelease"


def test_healthy_machine_is_all_ok(tmp_path: Path) -> None:
    findings = run_checks(make_host(tmp_path), WANTED)
    assert [finding for finding in findings if finding.level is not Level.OK] == []
    assert {finding.check for finding in findings} == set(CHECKS)


FAULTS = [
    pytest.param("kernel", {RELEASE: "6.6.44-generic"}, "problem", "6.6.44", "--no-offload", id="broken kernel"),
    pytest.param("kernel", {RELEASE: "7.1.4"}, "problem", "7.1.4", "--no-offload", id="last broken kernel"),
    pytest.param("cpus", {}, "warning", "5 workers on CPUs 0-3", "--workers 4", id="more workers than CPUs"),
    pytest.param(
        "siblings",
        {f"{CPU}/cpu{cpu}/topology/thread_siblings_list": f"{cpu % 2},{cpu % 2 + 2}" for cpu in range(4)},
        "warning",
        "4 CPUs are threads of 2 cores",
        "--workers 0-1",
        id="threads of one core",
    ),
    pytest.param(
        "isolation", {f"{CPU}/isolated": "2-5"}, "warning", "does not have 4-5", "--workers 2-5", id="isolated"
    ),
    pytest.param(
        "siblings",
        {f"{CPU}/cpu{cpu}/topology/thread_siblings_list": "0-3" for cpu in range(4)},
        "warning",
        "4 CPUs are threads of 1 core",
        "--workers 0-0",
        id="threads of a single core",
    ),
    pytest.param(
        "governor",
        {f"{CPU}/cpu2/cpufreq/scaling_governor": "powersave"},
        "warning",
        "performance, powersave",
        "cpupower",
        id="governor",
    ),
    pytest.param("quota", {f"{SERVICE}/cpu.max": "150000 100000"}, "warning", "1.5 CPUs", "CPUQuota=", id="quota"),
    pytest.param("quota", {f"{SLICE}/cpu.max": "100000 100000"}, "warning", "1 CPUs", "CPUQuota=", id="quota above"),
    pytest.param(
        "quota",
        {f"{SERVICE}/cpu.max": "800000 100000", f"{SERVICE}/cpu.stat": "nr_throttled 7\nthrottled_usec 2500000"},
        "warning",
        "stopped 7 times for 2.5 s",
        "CPUQuota=",
        id="throttled",
    ),
    pytest.param(
        "cards",
        {f"proc/irq/{irq}/effective_affinity_list": "0" for irq in range(40, 44)},
        "warning",
        "40 on 0, 41 on 0",
        "echo 1 > /proc/irq/41/smp_affinity_list",
        id="interrupts on one CPU",
    ),
    pytest.param(
        "cards",
        {f"{ETH0}/queues/rx-0/rps_cpus": "f"},
        "warning",
        "despite its queues",
        "echo 0 > $queue",
        id="needless RPS",
    ),
    pytest.param(
        "cards",
        {f"{ETH0}/queues/tx-{cpu}/xps_cpus": "0" for cpu in range(4)},
        "warning",
        "(XPS)",
        f"echo 4 > /{ETH0}/queues/tx-2/xps_cpus",
        id="no XPS",
    ),
    pytest.param("cards", {"proc/interrupts": "  CPU0"}, "warning", "no interrupt of eth0", "grep", id="no interrupts"),
    pytest.param("irqbalance", {"proc/77/comm": "irqbalance"}, "warning", "process 77", "systemctl", id="irqbalance"),
    pytest.param(
        "backlog", {"proc/sys/net/core/netdev_max_backlog": "1000"}, "warning", "1000 packets", "=16384", id="backlog"
    ),
    pytest.param(
        "backlog", {"proc/net/softnet_stat": "00ff 0000001f 0"}, "warning", "31 dropped", "=16384", id="backlog drops"
    ),
    pytest.param(
        "conntrack",
        {f"{CONNTRACK}/nf_conntrack_count": "12", f"{CONNTRACK}/nf_conntrack_max": "262144"},
        "warning",
        "12 of 262144",
        "udp dport { 3478, 4000, 4001, 4002, 4003, 4004 } notrack",
        id="conntrack",
    ),
    pytest.param(
        "conntrack",
        {f"{CONNTRACK}/nf_conntrack_count": "91", f"{CONNTRACK}/nf_conntrack_max": "100"},
        "problem",
        "91 of 100",
        "notrack",
        id="conntrack almost full",
    ),
    pytest.param(
        "ports",
        {
            "proc/sys/net/ipv4/ip_local_port_range": "1024 60999",
            "proc/sys/net/ipv4/ip_local_reserved_ports": "3478,9000",
        },
        "warning",
        "ports 4000, 4001, 4002, 4003, 4004 lie in the ephemeral range",
        "=3478,4000,4001,4002,4003,4004,9000",
        id="ephemeral ports",
    ),
    pytest.param(
        "memory", {f"{SERVICE}/memory.max": "20000000"}, "problem", "left in the control group", "--flows", id="memory"
    ),
    pytest.param(
        "memory", {f"{SERVICE}/memory.max": "200000000"}, "warning", "full socket buffers", "MemoryMax", id="buffers"
    ),
    pytest.param(
        "swap",
        {"proc/meminfo": "MemAvailable: 1 kB\nSwapTotal: 4096 kB\nSwapFree: 1024 kB"},
        "warning",
        "3 MiB of swap",
        "swapoff",
        id="swap",
    ),
    pytest.param(
        "clock_source",
        {f"{CLOCKS}/current_clocksource": "hpet"},
        "problem",
        "hpet",
        f"echo tsc > /{CLOCKS}/current_clocksource",
        id="slow clock",
    ),
    pytest.param(
        "clock_source",
        {f"{CLOCKS}/current_clocksource": "acpi_pm", f"{CLOCKS}/available_clocksource": "acpi_pm"},
        "problem",
        "acpi_pm",
        "dmesg",
        id="no fast clock",
    ),
]


@pytest.mark.parametrize(("check", "files", "level", "found", "fix"), FAULTS)
def test_fault_is_told_with_its_fix(
    tmp_path: Path, check: str, files: dict[str, str], level: str, found: str, fix: str
) -> None:
    host = make_host(tmp_path)
    plant(tmp_path, files)
    wanted = replace(WANTED, workers=5 if check in ("cpus", "conntrack", "ports") else 4)
    findings = [finding for finding in CHECKS[check](host, wanted) if finding.level is not Level.OK]
    assert len(findings) == 1, findings
    assert findings[0].level == level
    assert found in findings[0].found
    assert fix in findings[0].fix
    assert findings[0].why


PROBE_FAULTS = [
    pytest.param(
        *("receive_buffer", replace(GOOD_PROBES, receive_buffer_bytes=4 << 20), "warning", "rmem_max=16777216"),
        id="receive buffer",
    ),
    pytest.param(
        *("receive_buffer", replace(GOOD_PROBES, receive_buffer_bytes=212_992), "problem", "rmem_max=16777216"),
        id="receive buffer of the kernel's default",
    ),
    pytest.param(
        *("send_buffer", replace(GOOD_PROBES, send_buffer_bytes=212_992), "warning", "wmem_max=16777216"),
        id="send buffer",
    ),
    pytest.param("offload", replace(GOOD_PROBES, has_offload_v4=False), "warning", "uname -r", id="no offload"),
    pytest.param(
        *("steering", replace(GOOD_PROBES, steering_trouble="refused"), "warning", "--steering kernel"),
        id="no steering",
    ),
    pytest.param("clock", replace(GOOD_PROBES, is_clock_synchronised=False), "warning", "timesyncd", id="clock"),
    pytest.param("clock", replace(GOOD_PROBES, clock_trouble="adjtimex: no"), "warning", "timedatectl", id="sandbox"),
]


@pytest.mark.parametrize(("check", "probes", "level", "fix"), PROBE_FAULTS)
def test_what_was_tried_and_failed_is_told(tmp_path: Path, check: str, probes: Probes, level: str, fix: str) -> None:
    host = make_host(tmp_path, probes=probes)
    findings = [finding for finding in CHECKS[check](host, WANTED) if finding.level is not Level.OK]
    assert [finding.level for finding in findings] == [level]
    assert fix in findings[0].fix


def test_ipv6_that_is_not_there_is_no_fault(tmp_path: Path) -> None:
    host = make_host(tmp_path, probes=replace(GOOD_PROBES, has_offload_v6=False, has_ipv6=False))
    assert levels(CHECKS["offload"](host, WANTED)) == {"ok"}


def test_too_few_files_are_a_problem_at_the_boundary(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    (finding,) = CHECKS["open_files"](replace(host, open_files=10), WANTED)
    needed = int(re.findall(r"needs (\d+)", finding.found)[0])
    assert levels(CHECKS["open_files"](replace(host, open_files=needed - 1), WANTED)) == {"problem"}
    assert levels(CHECKS["open_files"](replace(host, open_files=needed), WANTED)) == {"ok"}


def test_one_queue_wants_more_queues_or_spreading(tmp_path: Path) -> None:
    host = make_host(tmp_path, without=f"{ETH0}/queues/")
    plant(tmp_path, {f"{ETH0}/queues/rx-0/rps_cpus": "0", f"{ETH0}/queues/tx-0/traffic_class": "0"})
    fixes = [finding.fix for finding in CHECKS["cards"](host, WANTED) if finding.level is Level.WARNING]
    assert [fix.split()[0] for fix in fixes] == ["ethtool", "for"]
    assert "echo f >" in fixes[1]
    plant(tmp_path, {f"{ETH0}/queues/rx-0/rps_cpus": "f"})
    fixes = [finding.fix for finding in CHECKS["cards"](host, WANTED) if finding.level is Level.WARNING]
    assert [fix.split()[0] for fix in fixes] == ["ethtool"], "spread in software, which is second best"


@pytest.mark.parametrize(
    ("release", "level"),
    [
        ("6.6.43", "ok"),
        ("6.6.45", "ok"),
        ("6.16.12", "ok"),
        ("6.17.0-5-generic", "problem"),
        ("6.18.1", "ok"),
        ("7.0.0-rc1", "problem"),
        ("7.0", "problem"),
        ("7.1.5", "ok"),
    ],
)
def test_broken_kernels_are_known_by_release_and_driver(tmp_path: Path, release: str, level: str) -> None:
    host = make_host(tmp_path)
    plant(tmp_path, {RELEASE: release})
    (tmp_path / ETH0 / "device" / "driver").symlink_to("../../../bus/virtio/drivers/virtio_net")
    assert levels(CHECKS["kernel"](host, WANTED)) == {level}
    assert levels(CHECKS["kernel"](host, replace(WANTED, is_offloading=False))) == {"ok"}


def test_kernel_that_breaks_one_driver_is_fine_with_another(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    plant(tmp_path, {RELEASE: "6.17.2"})
    assert levels(CHECKS["kernel"](host, WANTED)) == {"ok"}


@pytest.mark.parametrize(
    "check", sorted(set(CHECKS) - {"offload", "receive_buffer", "send_buffer", "steering", "clock"})
)
def test_what_is_missing_is_never_silently_ok(tmp_path: Path, check: str) -> None:
    host = make_host(tmp_path, without="proc/")
    for name in (tmp_path / "sys").rglob("*"):
        if name.is_file():
            name.unlink()
    findings = [finding for finding in run_checks(host, WANTED) if finding.check == check]
    if check in ("governor", "conntrack", "open_files"):
        assert findings, "what is not there is an answer: nothing scales frequencies or tracks connections"
        return
    assert {finding.level for finding in findings} == {Level.WARNING}
    assert all(finding.fix for finding in findings)


@pytest.mark.parametrize(
    ("forbidden", "fix"),
    [("/proc/interrupts", "sudo fastrelay doctor"), ("/proc/meminfo", "sudo fastrelay doctor")],
    ids=["interrupts", "memory"],
)
def test_forbidden_file_is_told_with_its_name(tmp_path: Path, forbidden: str, fix: str) -> None:
    host = replace(make_host(tmp_path), unreadable=frozenset({forbidden}))
    troubled = [finding for finding in run_checks(host, WANTED) if finding.level is not Level.OK]
    assert troubled
    for finding in troubled:
        assert finding.found == f"cannot be checked: Permission denied: {forbidden}"
        assert finding.fix == fix


def test_container_without_a_card_sends_you_to_the_host(tmp_path: Path) -> None:
    host = make_host(tmp_path, without=f"{ETH0}/device")
    (finding,) = CHECKS["cards"](host, WANTED)
    assert finding.level is Level.WARNING
    assert "only eth0, lo" in finding.found


def test_card_that_is_down_is_left_out(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    plant(tmp_path, {f"{ETH0}/operstate": "down"})
    assert cards(host) == []


def test_interrupts_are_found_by_device_and_those_for_sending_are_left_out(tmp_path: Path) -> None:
    host = make_host(tmp_path, without=f"{ETH0}/device")
    (tmp_path / ETH0 / "device").symlink_to("../../lo")
    (tmp_path / ETH0 / "device").unlink()
    (tmp_path / "sys/devices/virtio2").mkdir(parents=True)
    (tmp_path / ETH0 / "device").symlink_to("../../../devices/virtio2")
    plant(
        tmp_path,
        {
            "proc/interrupts": " 37: 0 PCI-MSIX 0-edge virtio2-config\n 38: 5 PCI-MSIX 1-edge virtio2-input.0\n"
            " 39: 7 PCI-MSIX 2-edge virtio2-output.0\n 40: 1 PCI-MSIX 0-edge virtio21-input.0"
        },
    )
    (card,) = cards(host)
    assert receive_interrupts(card, host) == [38]


def test_trunk_ports_are_one_a_worker() -> None:
    assert Wanted(workers=3, trunk=("10.0.0.1", 4000)).trunk_ports == [4000, 4001, 4002]
    assert Wanted(workers=3, trunk=("10.0.0.1", 0)).trunk_ports == []
    assert Wanted(workers=3).client_ports == [3478]


def test_finding_is_whole_in_json() -> None:
    finding = Finding(Level.PROBLEM, "found", "why", "fix", "check")
    assert finding.build() == {"check": "check", "level": "problem", "found": "found", "why": "why", "fix": "fix"}


def test_a_machine_in_files_alone_is_judged_without_the_real_one(tmp_path: Path) -> None:
    host = Host(tmp_path, frozenset({0}), 100, GOOD_PROBES)
    assert Level.OK not in {
        finding.level for finding in run_checks(host, WANTED) if finding.found.startswith("cannot be checked")
    }
