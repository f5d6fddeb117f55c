"""The control groups of this process, of both versions: how much CPU and memory it may have.

Lives here: finding the folders, and the smallest limit on the way up. Must not live here: judging limits.
"""

from __future__ import annotations

from typing import NamedTuple

from fastrelay.doctor.host import Host, parse_number

ROOT = "/sys/fs/cgroup"


class Throttling(NamedTuple):
    """How often the quota has stopped this group, and for how long in all."""

    times: int
    seconds: float


def cpu_quota(host: Host) -> float | None:
    """CPUs' worth of time that the tightest group on the way up allows; None where none limits it."""
    quotas: list[float] = []
    for folder in _folders(host, "cpu"):
        if host.has(f"{folder}/cpu.max"):
            quota, _, period = host.text(f"{folder}/cpu.max").partition(" ")
            if quota != "max":
                quotas.append(parse_number(quota, folder) / parse_number(period, folder))
        elif host.has(f"{folder}/cpu.cfs_quota_us"):
            quota_us = host.number(f"{folder}/cpu.cfs_quota_us")
            if quota_us > 0:
                quotas.append(quota_us / host.number(f"{folder}/cpu.cfs_period_us"))
    return min(quotas, default=None)


def throttling(host: Host) -> Throttling:
    """Of this process's own group, since it was made."""
    name = f"{_folders(host, 'cpu')[0]}/cpu.stat"
    table = host.table(name)
    if "throttled_usec" in table:
        seconds = parse_number(table["throttled_usec"], name) / 1e6
    else:
        seconds = parse_number(table.get("throttled_time", "0"), name) / 1e9
    return Throttling(parse_number(table.get("nr_throttled", "0"), name), seconds)


def memory_left_bytes(host: Host) -> int | None:
    """What the tightest group on the way up still allows; None where none limits it."""
    left: list[int] = []
    for folder in _folders(host, "memory"):
        if host.has(f"{folder}/memory.max"):
            limit = host.text(f"{folder}/memory.max").strip()
            if limit != "max":
                left.append(parse_number(limit, folder) - host.number(f"{folder}/memory.current"))
        elif host.has(f"{folder}/memory.limit_in_bytes"):
            # version 1 writes "no limit" as the largest number of pages
            limit_bytes = host.number(f"{folder}/memory.limit_in_bytes")
            if limit_bytes < 1 << 60:
                left.append(limit_bytes - host.number(f"{folder}/memory.usage_in_bytes"))
    return min(left, default=None)


def _folders(host: Host, controller: str) -> list[str]:
    """This process's group for a controller, then its ancestors."""
    mount, path = ROOT, "/"
    for line in host.text("/proc/self/cgroup").splitlines():
        number, controllers, group = line.split(":", 2)
        if controller in controllers.split(","):
            mount, path = f"{ROOT}/{controller}", group
            break
        if number == "0" and host.has(f"{ROOT}/cgroup.controllers"):
            path = group
    parts = [part for part in path.split("/") if part]
    folders = [f"{mount}/{'/'.join(parts[:depth])}".rstrip("/") for depth in range(len(parts), -1, -1)]
    # in a container the path may be the host's: then the mount's root is the group
    return [folder for folder in folders if host.has(folder)] or [mount]
