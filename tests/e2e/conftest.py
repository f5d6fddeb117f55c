"""The relay and transceiver that end-to-end tests share, and the eye on their logs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.stack import Stack


@pytest.fixture(scope="session")
def echo_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A relay and a transceiver whose agent echoes: DTLS passive."""
    with Stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture
def stack(echo_stack: Stack) -> Iterator[Stack]:
    """The same, and a test in which one of them logs an error fails."""
    before = echo_stack.log.length
    yield echo_stack
    assert echo_stack.complaints(before) == []
