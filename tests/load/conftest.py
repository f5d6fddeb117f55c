"""What tests under load share: the key ring of the live tests, and a hall full of calls."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from fastrelay.routing import KeyRing
from tests.live.conftest import ring, ring_file
from tests.load.call_hall import Hall

__all__ = ["ring", "ring_file"]


@pytest.fixture(scope="module")
def empty_hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    folder = tmp_path_factory.mktemp("hall")
    ring_file = folder / "ring.json"
    KeyRing.new(now_s=int(time.time())).save(ring_file, is_new=True)
    with Hall(folder, ring_file) as running:
        yield running


@pytest.fixture
def hall(empty_hall: Hall) -> Iterator[Hall]:
    with empty_hall.gathering():
        yield empty_hall
