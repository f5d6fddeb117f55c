"""A network of a test's own: a fresh network namespace with a loopback interface and addresses on it.

Needs root and iproute2. Where it is not possible the test is skipped at a desk and fails in CI (tests/conftest.py).
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

CLONE_NEWNET = 0x4000_0000
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def own_network(*addresses: str) -> Iterator[None]:
    """Sockets opened and processes started in the block live in the new namespace; it goes when they have gone."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call(_libc.unshare(CLONE_NEWNET), "unshare")
        try:
            ip("link", "set", "lo", "up")
            for address in addresses:
                ip("addr", "add", address, "dev", "lo")
            yield
        finally:
            _call(_libc.setns(home, CLONE_NEWNET), "setns")
    finally:
        os.close(home)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def _call(result: int, name: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
