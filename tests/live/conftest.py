"""A key ring on disk, and the options of a relay, for every live test."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fastrelay.routing import KeyRing
from tests.live.process import options


@pytest.fixture
def ring_file(tmp_path: Path) -> Path:
    path = tmp_path / "ring.json"
    KeyRing.new(now_s=int(time.time())).save(path, is_new=True)
    return path


@pytest.fixture
def ring(ring_file: Path) -> KeyRing:
    return KeyRing.load(ring_file)


@pytest.fixture
def local(ring_file: Path) -> list[str]:
    """The options of a relay on loopback."""
    return options("127.0.0.1", "127.0.0.1", ring_file, "127.0.0.1")
