"""A key ring on disk, for every live test."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fastrelay.routing import KeyRing


@pytest.fixture
def ring_file(tmp_path: Path) -> Path:
    path = tmp_path / "ring.json"
    KeyRing.new(now_s=int(time.time())).save(path, is_new=True)
    return path


@pytest.fixture
def ring(ring_file: Path) -> KeyRing:
    return KeyRing.load(ring_file)
