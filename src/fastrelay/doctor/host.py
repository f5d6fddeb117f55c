"""The machine as the checks see it: files under a root, and what only system calls can tell, as plain values.

Lives here: the view, and reading the kernel's small formats. Must not live here: judging what is found (network,
processors, system), the system calls themselves (probes).

What cannot be read raises OSError: nothing here stands in for a figure that is missing.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fastrelay.config.addresses import Endpoint
from fastrelay.io.sockets import BUFFER_BYTES
from fastrelay.relay.dataplane.limits import Limits

CLIENT_PORT = 3478
"""Of STUN (RFC 8489), for advice where no configuration names one."""


@dataclass(frozen=True, slots=True)
class Probes:
    """What was found by trying."""

    receive_buffer_bytes: int
    """Granted to a socket that asked for BUFFER_BYTES."""
    send_buffer_bytes: int
    has_offload_v4: bool
    has_offload_v6: bool
    has_ipv6: bool
    steering_trouble: str
    """Why the kernel refuses to steer a reuseport group; empty when it does not."""
    is_clock_synchronised: bool
    clock_error_us: int
    """The kernel's own upper bound."""
    clock_trouble: str = ""
    """Why the kernel does not say; empty when it does."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the relay is to be on this machine."""

    workers: int
    flows: int = Limits().flows
    buffer_bytes: int = BUFFER_BYTES
    listen: tuple[Endpoint, ...] = ()
    trunk: Endpoint | None = None
    is_offloading: bool = True

    @property
    def client_ports(self) -> list[int]:
        """Those of the configuration, or the usual one."""
        return sorted({port for _, port in self.listen if port}) or [CLIENT_PORT]

    @property
    def trunk_ports(self) -> list[int]:
        """One for each worker; none where the kernel chooses."""
        port = self.trunk[1] if self.trunk is not None else 0
        return list(range(port, port + self.workers)) if port else []


@dataclass(frozen=True, slots=True)
class Host:
    """One machine, or a tree of files that looks like one."""

    root: Path
    cpus: frozenset[int]
    """Those this process may run on."""
    open_files: int
    probes: Probes
    unreadable: frozenset[str] = field(default_factory=frozenset)
    """Paths to take as forbidden, for tests: their user may be allowed everything."""

    def path(self, name: str) -> Path:
        """Where a file of the machine is."""
        return self.root / name.removeprefix("/")

    def text(self, name: str) -> str:
        """A file's text without its last line's end."""
        if name in self.unreadable:
            raise PermissionError(errno.EACCES, "Permission denied", name)
        return self.path(name).read_text(errors="replace").rstrip("\n")

    def number(self, name: str) -> int:
        """A file that holds one number."""
        return parse_number(self.text(name).strip(), name)

    def has(self, name: str) -> bool:
        """Whether there is such a file or folder, to be told apart from one that cannot be read."""
        return self.path(name).exists()

    def names(self, folder: str) -> list[str]:
        """What is in a folder, sorted."""
        return sorted(entry.name for entry in self.path(folder).iterdir())

    def table(self, name: str) -> dict[str, str]:
        """A file of `key value` or `key: value` lines."""
        rows = (line.replace(":", " ", 1).split(None, 1) for line in self.text(name).splitlines())
        return {row[0]: row[1].strip() for row in rows if len(row) == 2}


def parse_number(text: str, name: str) -> int:
    """OSError naming the file, where it holds something else."""
    if not text.removeprefix("-").isdecimal():
        raise OSError(errno.EINVAL, f"holds {text[:40]!r}, not a number", name)
    return int(text)


def parse_cpus(text: str, name: str = "a list of CPUs") -> frozenset[int]:
    """`0-3,8` as the kernel writes it; empty for none.

    >>> sorted(parse_cpus("0-2,5"))
    [0, 1, 2, 5]
    """
    cpus: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, dash, last = part.partition("-")
        cpus.update(range(parse_number(first, name), parse_number(last if dash else first, name) + 1))
    return frozenset(cpus)


def parse_mask(text: str, name: str = "a CPU mask") -> frozenset[int]:
    """`00000000,00000003` as the kernel writes it.

    >>> sorted(parse_mask("1,00000003"))
    [0, 1, 32]
    """
    digits = text.strip().replace(",", "")
    if not digits or set(digits) - set("0123456789abcdefABCDEF"):
        raise OSError(errno.EINVAL, f"holds {text[:40]!r}, not a mask", name)
    mask = int(digits, 16)
    return frozenset(cpu for cpu in range(mask.bit_length()) if mask >> cpu & 1)


def format_cpus(cpus: Iterable[int]) -> str:
    """The other way: `0-2,5`, as people write it.

    >>> format_cpus({0, 1, 2, 5})
    '0-2,5'
    """
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][1] + 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in runs)


def format_mask(cpus: Iterable[int]) -> str:
    """As sysfs wants it written.

    >>> format_mask({0, 33})
    '2,00000001'
    """
    digits = f"{sum(1 << cpu for cpu in cpus):x}"
    head = len(digits) % 8 or 8
    return ",".join([digits[:head], *(digits[at : at + 8] for at in range(head, len(digits), 8))])


def format_bytes(count: int) -> str:
    """In the largest unit of which there is one.

    >>> format_bytes(16 << 20)
    '16 MiB'
    """
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.3g} {unit}" if count < 1000 * size else f"{count // size} {unit}"
    return f"{count} bytes"
