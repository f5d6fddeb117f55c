"""The throttle of log lines: what it remembers is bounded, and nothing it forgets goes untold."""

from __future__ import annotations

import logging

import pytest

from fastrelay.observe.throttle import LINES_MAX, MESSAGES_MAX, WINDOW_S, Suppressed, Throttle


def test_more_messages_than_are_remembered_are_all_admitted_once() -> None:
    throttle = Throttle()
    assert all(throttle.admit(f"message {at}", logging.INFO, 0.0) for at in range(10 * MESSAGES_MAX))


def test_a_message_that_is_forgotten_early_is_told_early() -> None:
    throttle = Throttle()
    for _ in range(LINES_MAX + 2):
        throttle.admit("noise", logging.INFO, 0.0)
    for at in range(MESSAGES_MAX - 1):
        throttle.admit(f"message {at}", logging.INFO, 1.0)
    assert throttle.owed(1.0) == []
    throttle.admit("one more", logging.INFO, 1.0)
    assert throttle.owed(1.0) == [Suppressed("noise", logging.INFO, 2)]


@pytest.mark.parametrize(("later_s", "is_admitted"), [(WINDOW_S - 0.001, False), (WINDOW_S, True)])
def test_a_window_ends(later_s: float, is_admitted: bool) -> None:
    throttle = Throttle()
    for _ in range(LINES_MAX):
        throttle.admit("noise", logging.INFO, 50.0)
    assert throttle.admit("noise", logging.INFO, 50.0 + later_s) is is_admitted


def test_the_same_message_counts_apart_at_another_level() -> None:
    throttle = Throttle()
    for _ in range(2 * LINES_MAX):
        throttle.admit("noise", logging.INFO, 0.0)
    assert throttle.admit("noise", logging.ERROR, 0.0)
    assert throttle.settle() == [Suppressed("noise", logging.INFO, LINES_MAX)]
