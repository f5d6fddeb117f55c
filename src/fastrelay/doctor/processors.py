"""Checks of the CPUs: how many there are for workers, and what may take them away.

Must not live here: interrupts and queues of the card (cards).
"""

from __future__ import annotations

from collections.abc import Iterable

from fastrelay.doctor.cgroup import cpu_quota, throttling
from fastrelay.doctor.finding import UNIT, Finding, ok, warning
from fastrelay.doctor.host import Host, Wanted, format_cpus, parse_cpus

CPU = "/sys/devices/system/cpu"


def sibling_groups(host: Host) -> list[frozenset[int]]:
    """The process's CPUs by core: threads of one core share its execution units."""
    groups = {
        parse_cpus(host.text(f"{CPU}/cpu{cpu}/topology/thread_siblings_list")) & host.cpus for cpu in sorted(host.cpus)
    }
    return sorted(groups, key=min)


def usable_cores(host: Host, workers: int) -> float:
    """Cores that workers can fill: threads of one core count once, a quota counts as what it grants."""
    try:
        cores: float = len(sibling_groups(host))
    except FileNotFoundError:
        cores = len(host.cpus)  # no topology: a machine that hides it shows each CPU as a core
    quota = cpu_quota(host)
    return min(cores, workers, quota if quota is not None else cores)


def cpus(host: Host, wanted: Wanted) -> list[Finding]:
    """Those of the process against the machine's and the workers."""
    online = parse_cpus(host.text(f"{CPU}/online"))
    found = f"{wanted.workers} workers on CPUs {format_cpus(host.cpus)} of {format_cpus(online)}"
    why = "each worker wants a CPU for itself"
    if wanted.workers > len(host.cpus):
        return [warning(found, why, f"fastrelay relay --workers {len(host.cpus)}")]
    return [ok(found, why)]


def isolation(host: Host, wanted: Wanted) -> list[Finding]:
    """CPUs set aside at boot are best for workers, and only theirs if named."""
    isolated = parse_cpus(host.text(f"{CPU}/isolated"))
    tickless = (
        parse_cpus(host.text(f"{CPU}/nohz_full").replace("(null)", "")) if host.has(f"{CPU}/nohz_full") else set()
    )
    why = "on an isolated CPU nothing else delays a worker"
    if not isolated:
        return [ok("no CPU is isolated: workers share theirs with the rest of the machine", why)]
    found = f"CPUs {format_cpus(isolated)} are isolated" + (
        f", {format_cpus(tickless)} without a tick" if tickless else ""
    )
    unused = isolated - host.cpus
    if unused:
        return [
            warning(
                f"{found}, and this process does not have {format_cpus(unused)}",
                why,
                f"fastrelay relay --workers {_cpu_list(isolated)}",
            )
        ]
    return [ok(found, why)]


def siblings(host: Host, wanted: Wanted) -> list[Finding]:
    """Two workers on one core are not twice one."""
    groups = sibling_groups(host)
    why = "two workers on the threads of one core share it"
    if len(groups) == len(host.cpus):
        return [ok(f"{len(groups)} CPUs, each a core as far as the kernel can see", why)]
    found = f"{len(host.cpus)} CPUs are threads of {len(groups)} core{'s' if len(groups) > 1 else ''}"
    if wanted.workers > len(groups):
        firsts = _cpu_list(min(group) for group in groups)
        return [warning(found, why, f"fastrelay relay --workers {firsts}")]
    return [ok(found, why)]


def governor(host: Host, wanted: Wanted) -> list[Finding]:
    """A CPU that sleeps deeply or clocks down wakes late for each packet."""
    why = "a CPU that clocks down when idle makes quiet calls wait"
    names = {f"{CPU}/cpu{cpu}/cpufreq/scaling_governor" for cpu in host.cpus}
    governors = {host.text(name) for name in names if host.has(name)}
    if not governors:
        return [ok("the kernel does not scale frequencies here: firmware or hypervisor decides", why)]
    found = f"frequency governor {', '.join(sorted(governors))}"
    if governors <= {"performance"}:
        return [ok(found, why)]
    return [warning(found, why, "cpupower frequency-set -g performance")]


def quota(host: Host, wanted: Wanted) -> list[Finding]:
    """A group that has used up its time is stopped for the rest of the period, mid-call."""
    allowed = cpu_quota(host)
    stopped = throttling(host)
    why = "a group that has used up its quota is stopped for tens of milliseconds, in the middle of calls"
    if allowed is None:
        return [ok("no CPU quota", why)]
    found = f"a quota of {allowed:g} CPUs for {wanted.workers} workers"
    if stopped.times:
        found += f", stopped {stopped.times} times for {stopped.seconds:.1f} s so far"
    if stopped.times or allowed < wanted.workers:
        fix = f"systemctl set-property {UNIT} CPUQuota=  # Kubernetes: remove limits.cpu"
        return [warning(found, why, fix)]
    return [ok(found, why)]


def _cpu_list(cpus: Iterable[int]) -> str:
    """As --workers takes it, where a number alone is a count."""
    text = format_cpus(cpus)
    return f"{text}-{text}" if text.isdecimal() else text
