"""What the kernel says of a process: CPU time and memory.

Lives here: reading /proc. Must not live here: which processes belong to a relay (observed). A process may be gone at
any time, or be another user's: then there is no number.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_TICK_S: Final = 1.0 / os.sysconf("SC_CLK_TCK")
_USER_TICKS_AT, _SYSTEM_TICKS_AT = 11, 12
"""Of /proc/PID/stat, counted behind the command's closing bracket."""


def cpu_seconds(pid: int) -> float | None:
    """CPU time of a process's first thread: a worker has no other. To the nanosecond where the kernel keeps count."""
    exact = _read(pid, "schedstat")
    if exact:
        return int(exact.split()[0]) / 1e9
    coarse = _read(pid, "stat")
    if not coarse:
        return None
    words = coarse.rpartition(")")[2].split()
    return (int(words[_USER_TICKS_AT]) + int(words[_SYSTEM_TICKS_AT])) * _TICK_S


def resident_bytes(pid: int) -> int | None:
    """Memory in use, shared pages included."""
    found = _read(pid, "statm")
    return int(found.split()[1]) * mmap.PAGESIZE if found else None


def _read(pid: int, name: str) -> str:
    try:
        return (_PROC / str(pid) / name).read_text()
    except OSError:  # gone, another user's, or a kernel built without it
        return ""
