"""A made-up machine for the doctor's tests: a healthy one, from which a test takes or breaks one thing."""

from __future__ import annotations

from pathlib import Path

from fastrelay.doctor.finding import Finding
from fastrelay.doctor.host import Host, Probes, Wanted

GOOD_PROBES = Probes(
    receive_buffer_bytes=16 << 20,
    send_buffer_bytes=16 << 20,
    has_offload_v4=True,
    has_offload_v6=True,
    has_ipv6=True,
    steering_trouble="",
    is_clock_synchronised=True,
    clock_error_us=1500,
)
WANTED = Wanted(workers=4, listen=(("0.0.0.0", 3478),), trunk=("10.0.0.5", 4000))

CPUS = 4
CPU = "sys/devices/system/cpu"
ETH0 = "sys/class/net/eth0"
CLOCKS = "sys/devices/system/clocksource/clocksource0"

HEALTHY = {
    f"{CPU}/online": "0-3",
    f"{CPU}/isolated": "",
    f"{CPU}/nohz_full": "(null)",
    **{f"{CPU}/cpu{cpu}/topology/thread_siblings_list": str(cpu) for cpu in range(CPUS)},
    **{f"{CPU}/cpu{cpu}/cpufreq/scaling_governor": "performance" for cpu in range(CPUS)},
    f"{CLOCKS}/current_clocksource": "tsc",
    f"{CLOCKS}/available_clocksource": "tsc hpet acpi_pm",
    "proc/sys/kernel/osrelease": "6.12.9-amd64",
    "proc/sys/net/core/netdev_max_backlog": "8192",
    "proc/sys/net/ipv4/ip_local_port_range": "32768\t60999",
    "proc/sys/net/ipv4/ip_local_reserved_ports": "",
    "proc/net/softnet_stat": "0000aaaa 00000000 00000001\n0000bbbb 00000000 00000000",
    "proc/meminfo": "MemTotal: 16000000 kB\nMemAvailable: 8000000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB",
    "proc/self/cgroup": "0::/system.slice/fastrelay.service",
    "proc/1/comm": "systemd",
    "proc/interrupts": "           CPU0 CPU1 CPU2 CPU3\n"
    + "".join(f" {40 + cpu}:  1 2 3 4  PCI-MSIX-0000:00:03.0  {cpu}-edge  eth0-rx-{cpu}\n" for cpu in range(CPUS))
    + " 50:  1 2 3 4  PCI-MSIX-0000:00:03.0  9-edge  eth0-tx-0\nNMI:  0 0 0 0  Non-maskable interrupts",
    **{f"proc/irq/{40 + cpu}/smp_affinity_list": "0-3" for cpu in range(CPUS)},
    **{f"proc/irq/{40 + cpu}/effective_affinity_list": str(cpu) for cpu in range(CPUS)},
    f"{ETH0}/operstate": "up",
    f"{ETH0}/device/vendor": "0x8086",
    **{f"{ETH0}/queues/rx-{cpu}/rps_cpus": "00000000" for cpu in range(CPUS)},
    **{f"{ETH0}/queues/tx-{cpu}/xps_cpus": f"{1 << cpu:x}" for cpu in range(CPUS)},
    "sys/class/net/lo/operstate": "unknown",
    "sys/fs/cgroup/cgroup.controllers": "cpu memory",
    "sys/fs/cgroup/system.slice/fastrelay.service/cpu.max": "max 100000",
    "sys/fs/cgroup/system.slice/fastrelay.service/cpu.stat": "usage_usec 5\nnr_throttled 0\nthrottled_usec 0",
    "sys/fs/cgroup/system.slice/fastrelay.service/memory.max": "max",
    "sys/fs/cgroup/system.slice/fastrelay.service/memory.current": "1000",
}


def plant(root: Path, files: dict[str, str]) -> None:
    """Write files; the kernel ends most with a line feed."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


def make_host(root: Path, *, without: str = "", probes: Probes = GOOD_PROBES) -> Host:
    """A healthy machine under `root`, without the files that begin like that."""
    plant(root, {name: text for name, text in HEALTHY.items() if not without or not name.startswith(without)})
    return Host(root, frozenset(range(CPUS)), 65_536, probes)


def levels(findings: list[Finding]) -> set[str]:
    """How bad they are."""
    return {finding.level.value for finding in findings}
