"""What the doctor reads of the kernel: control groups of both versions, and its small text formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fastrelay.doctor.cgroup import cpu_quota, memory_left_bytes, throttling
from fastrelay.doctor.host import format_bytes, format_cpus, format_mask, parse_cpus, parse_mask
from fastrelay.doctor.processors import usable_cores
from tests.unit.doctor_tree import CPU, make_host, plant

SERVICE = "sys/fs/cgroup/system.slice/fastrelay.service"


# --- control groups


def test_quota_of_version_one_is_read(tmp_path: Path) -> None:
    host = make_host(tmp_path, without="sys/fs/cgroup")
    plant(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/pod\n2:cpuacct,cpu:/pod\n0::/",
            "sys/fs/cgroup/cpu/pod/cpu.cfs_quota_us": "250000",
            "sys/fs/cgroup/cpu/pod/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/cpu/pod/cpu.stat": "nr_throttled 3\nthrottled_time 1500000000",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/memory/pod/memory.limit_in_bytes": "5000",
            "sys/fs/cgroup/memory/pod/memory.usage_in_bytes": "1000",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
        },
    )
    assert cpu_quota(host) == 2.5
    assert throttling(host) == (3, 1.5)
    assert memory_left_bytes(host) == 4000


def test_group_of_the_host_that_a_container_cannot_see_falls_back_to_its_own_root(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    plant(
        tmp_path,
        {
            "proc/self/cgroup": "0::/kubepods/pod1/container",
            "sys/fs/cgroup/cpu.max": "50000 100000",
            "sys/fs/cgroup/cpu.stat": "nr_throttled 0\nthrottled_usec 0",
        },
    )
    assert cpu_quota(host) == 0.5


def test_usable_cores_are_the_least_of_what_limits_them(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    assert usable_cores(host, 8) == 4
    assert usable_cores(host, 3) == 3
    plant(tmp_path, {f"{CPU}/cpu{cpu}/topology/thread_siblings_list": "0-1" for cpu in (0, 1)})
    assert usable_cores(host, 8) == 3
    plant(tmp_path, {f"{SERVICE}/cpu.max": "150000 100000"})
    assert usable_cores(host, 8) == 1.5


# --- formats


@pytest.mark.parametrize(
    ("text", "cpus"), [("", set()), ("3", {3}), ("0-2,5", {0, 1, 2, 5}), ("0-1,4-5\n", {0, 1, 4, 5})]
)
def test_cpu_lists(text: str, cpus: set[int]) -> None:
    assert parse_cpus(text) == cpus
    assert format_cpus(cpus) == text.strip()


@pytest.mark.parametrize(
    ("text", "cpus"), [("0", set()), ("f", {0, 1, 2, 3}), ("1,00000000", {32}), ("80000000", {31}), ("a", {1, 3})]
)
def test_cpu_masks(text: str, cpus: set[int]) -> None:
    assert parse_mask(text) == cpus
    assert format_mask(cpus) == text


@pytest.mark.parametrize(
    ("read", "text"), [(parse_cpus, "0-"), (parse_cpus, "a"), (parse_mask, ""), (parse_mask, "0x1")]
)
def test_what_is_no_such_list_is_an_error_that_can_be_told(read: Callable[[str], object], text: str) -> None:
    with pytest.raises(OSError, match="holds"):
        read(text)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (1024, "1 KiB"), (212_992, "208 KiB"), (16 << 20, "16 MiB"), (1 << 30, "1 GiB")]
)
def test_bytes_are_told_in_a_unit(count: int, text: str) -> None:
    assert format_bytes(count) == text
