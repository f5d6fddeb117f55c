"""Reading a file that holds secrets.

Lives here: the checks that come before its content is believed. Must not live here: what the content means.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from fastrelay.errors import ConfigError

FILE_BYTES_MAX = 65_536


def read_private_file(path: Path) -> bytes:
    """The content of a file that nobody but its owner can read. ConfigError, naming the file, for any other."""
    try:
        # Non-blocking, so that a FIFO in its place is refused below instead of waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError(str(path), "not a regular file")
            if status.st_mode & (0o037 if _is_lent_to_us(status) else 0o077):
                mode = stat.S_IMODE(status.st_mode)
                raise ConfigError(str(path), f"mode {mode:04o} lets others at the keys; run: chmod 600 {path}")
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(str(path), error.strerror or str(error)) from error
    if len(content) > FILE_BYTES_MAX:
        raise ConfigError(str(path), f"longer than {FILE_BYTES_MAX} bytes")
    return content


def _is_lent_to_us(status: os.stat_result) -> bool:
    """Whether root has left the file to one of our groups to read, as Kubernetes does with a mounted secret."""
    return status.st_uid == 0 and os.geteuid() != 0 and status.st_gid in {os.getegid(), *os.getgroups()}
