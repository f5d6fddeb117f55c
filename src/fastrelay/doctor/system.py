"""Checks of the rest: memory, open files, the kernel's release and its clocks.

Must not live here: CPUs (processors), the network (network, cards).
"""

from __future__ import annotations

import errno
import re
from typing import Final, NamedTuple

from fastrelay._ext.relay_core import counter_page_bytes, flow_page_bytes
from fastrelay.doctor.cards import driver_names
from fastrelay.doctor.cgroup import memory_left_bytes
from fastrelay.doctor.finding import UNIT, Finding, ok, problem, warning
from fastrelay.doctor.host import Host, Wanted, format_bytes, parse_number

CLOCKS: Final = "/sys/devices/system/clocksource/clocksource0"
FAST_CLOCKS: Final = frozenset(
    {"tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter", "timebase", "tod", "riscv_clocksource"}
)
"""Read without a system call."""
FILES_BASE: Final = 64
FILES_PER_WORKER: Final = 16
"""Sockets beside the listeners, pages, channels, and the same again while a successor starts."""


class Broken(NamedTuple):
    """Releases, both ends included, whose UDP_SEGMENT is known to be broken, and with which driver."""

    first: tuple[int, int, int]
    last: tuple[int, int, int]
    driver: str = ""


BROKEN_KERNELS: Final = (
    Broken((6, 6, 44), (6, 6, 44)),
    Broken((6, 17, 0), (6, 17, 999), "virtio_net"),
    Broken((7, 0, 0), (7, 1, 4)),
)


def open_files(host: Host, wanted: Wanted) -> list[Finding]:
    """Sockets and pages of every worker are open in the supervisor."""
    needed = FILES_BASE + wanted.workers * (FILES_PER_WORKER + 2 * max(1, len(wanted.listen)))
    found = f"{host.open_files} files may be open, the relay needs {needed}"
    why = "without enough of them a relay cannot start, or cannot start a worker's successor"
    if host.open_files < needed:
        return [problem(found, why, f"ulimit -n {needed}  # systemd: LimitNOFILE={needed}")]
    return [ok(found, why)]


def memory(host: Host, wanted: Wanted) -> list[Finding]:
    """The pages are reserved at start; what is missing then is better known now."""
    page = flow_page_bytes(wanted.flows) + counter_page_bytes()
    buffers = 2 * wanted.buffer_bytes * (max(1, len(wanted.listen)) + 1)  # the kernel's bookkeeping doubles them
    available = _meminfo_bytes(host, "MemAvailable")
    group = memory_left_bytes(host)
    limit = available if group is None else min(available, group)
    pages, most = wanted.workers * page, wanted.workers * (page + buffers)
    found = (
        f"{format_bytes(pages)} for the pages of {wanted.workers} workers with {wanted.flows} flows each, "
        f"up to {format_bytes(most)} with full socket buffers; {format_bytes(limit)} "
        f"{'available' if limit == available else 'left in the control group'}"
    )
    why = "pages are reserved at start, and a relay that is short of memory is killed with its calls"
    if pages > limit:
        fewer = max(1024, int(wanted.flows * max(0, limit) / pages) // 1024 * 1024)
        return [problem(found, why, f"fastrelay relay --flows {fewer}  # or give it more memory")]
    if most > limit:
        if limit == available:
            return [warning(found, why, "free -h  # more memory for the machine, or fewer --workers")]
        return [warning(found, why, f"systemctl set-property {UNIT} MemoryMax={most}  # Kubernetes: limits.memory")]
    return [ok(found, why)]


def swap(host: Host, wanted: Wanted) -> list[Finding]:
    """A flow that has been swapped out makes every packet behind it wait for a disk."""
    used = _meminfo_bytes(host, "SwapTotal") - _meminfo_bytes(host, "SwapFree")
    why = "a flow that was swapped out makes all packets of its worker wait for a disk"
    if used:
        return [warning(f"{format_bytes(used)} of swap in use", why, "swapoff -a  # or sysctl -w vm.swappiness=0")]
    return [ok("no swap in use", why)]


def kernel(host: Host, wanted: Wanted) -> list[Finding]:
    """Releases that are known not to send what they are given."""
    release = host.text("/proc/sys/kernel/osrelease")
    parsed = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", release)
    if parsed is None:
        raise OSError(errno.EINVAL, f"holds {release!r}, not a release", "/proc/sys/kernel/osrelease")
    version = (int(parsed[1]), int(parsed[2]), int(parsed[3] or 0))
    why = "some releases send bursts that do not arrive as they were sent"
    for broken in BROKEN_KERNELS:
        if broken.first <= version <= broken.last and (not broken.driver or broken.driver in driver_names(host)):
            found = f"Linux {release} is known for broken UDP_SEGMENT{f' on {broken.driver}' if broken.driver else ''}"
            if not wanted.is_offloading:
                return [ok(f"{found}, and the relay does not use it", why)]
            return [problem(found, why, "fastrelay relay --no-offload  # until the kernel is another")]
    return [ok(f"Linux {release} is not among those known for broken UDP_SEGMENT", why)]


def offload(host: Host, wanted: Wanted) -> list[Finding]:
    """The self-test that a relay makes at its start."""
    why = "without segmentation each packet on the trunk costs a send of its own, 1.2 to 1.4 times the CPU"
    findings = []
    for name, works, is_there in (
        ("IPv4", host.probes.has_offload_v4, True),
        ("IPv6", host.probes.has_offload_v6, host.probes.has_ipv6),
    ):
        if works:
            findings.append(ok(f"UDP_SEGMENT and UDP_GRO deliver what is sent over {name}", why))
        elif is_there:
            found = f"UDP_SEGMENT and UDP_GRO do not deliver what is sent over {name}"
            findings.append(warning(found, why, "uname -r  # Linux 5.0 or newer, and not inside a user-space kernel"))
        else:
            findings.append(ok(f"there is no {name} here to try UDP_SEGMENT on", why))
    return findings


def clock_source(host: Host, wanted: Wanted) -> list[Finding]:
    """The kernel stamps each packet, so a slow clock is paid for by each."""
    current = host.text(f"{CLOCKS}/current_clocksource").strip()
    available = host.text(f"{CLOCKS}/available_clocksource").split()
    why = "the clock is read for every packet; a slow source costs a microsecond or more each time"
    if current in FAST_CLOCKS:
        return [ok(f"clock source {current}", why)]
    better = [name for name in available if name in FAST_CLOCKS]
    if better:
        fix = f"echo {better[0]} > {CLOCKS}/current_clocksource"
    else:
        fix = "dmesg | grep -i -e tsc -e clocksource  # says why there is no fast one; boot with tsc=reliable"
    return [problem(f"clock source {current}, of {' '.join(available)}", why, fix)]


def clock(host: Host, wanted: Wanted) -> list[Finding]:
    """Route tokens carry the time they were minted at."""
    why = "a token minted a minute ahead of this clock, or older than its lifetime by it, is refused"
    if host.probes.clock_trouble:
        return [warning(f"cannot be checked: {host.probes.clock_trouble}", why, "timedatectl  # on the host")]
    if host.probes.is_clock_synchronised:
        return [ok(f"the clock is synchronised, within {host.probes.clock_error_us / 1000:.1f} ms", why)]
    fix = "systemctl enable --now systemd-timesyncd  # or chrony"
    return [warning("the kernel does not know of anything that keeps its clock right", why, fix)]


def _meminfo_bytes(host: Host, name: str) -> int:
    table = host.table("/proc/meminfo")
    if name not in table:
        raise OSError(errno.ENODATA, f"has no line {name}", "/proc/meminfo")
    return parse_number(table[name].removesuffix(" kB"), "/proc/meminfo") * 1024
