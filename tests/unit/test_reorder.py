"""Received packets in order: what is held, for how long, and what is given up."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrelay.media.reorder import HELD_MAX, HELD_S, RESTART_GAP, Reorder
from tests.unit.agent_stage import packet


def feed(numbers: list[int], *, every_s: float = 0.0, ssrc: int = 7) -> tuple[list[int], Reorder]:
    """Have packets arrive in this order; return the numbers as delivered."""
    delivered: list[int] = []
    order = Reorder(lambda each: delivered.append(each.extended_sequence))
    for index, number in enumerate(numbers):
        order.put(packet(number, ssrc=ssrc), index * every_s)
    return delivered, order


@pytest.mark.parametrize(
    ("numbers", "delivered", "lost", "late"),
    [
        pytest.param([5, 6, 7], [5, 6, 7], 0, 0, id="in order"),
        pytest.param([5, 7, 6, 8], [5, 6, 7, 8], 0, 0, id="two swapped"),
        pytest.param([5, 9, 8, 7, 6], [5, 6, 7, 8, 9], 0, 0, id="four turned round"),
        pytest.param([5, 7, 8], [5], 0, 0, id="held for the missing one"),
        pytest.param([5, 7, 8, 9, 10], [5], 0, 0, id="as many as are held"),
        pytest.param([5, 7, 8, 9, 10, 11], [5, 7, 8, 9, 10, 11], 1, 0, id="one more, and it is given up"),
        pytest.param([5, 7, 8, 9, 10, 11, 6], [5, 7, 8, 9, 10, 11], 1, 1, id="too late"),
        pytest.param([5, 6, 6], [5, 6], 0, 1, id="twice"),
        pytest.param([5, 7, 7, 6], [5, 6, 7], 0, 1, id="twice while held"),
        pytest.param([5, 4], [5], 0, 1, id="before the first"),
        pytest.param([5, 7, 9, 10, 11, 12], [5, 7], 1, 0, id="a second gap is waited for"),
        pytest.param([5, 5 + RESTART_GAP, 6 + RESTART_GAP], [5], 0, 0, id="a long way ahead"),
        pytest.param([5, 7 + RESTART_GAP, 8 + RESTART_GAP], [5, 7 + RESTART_GAP, 8 + RESTART_GAP], 0, 0, id="anew"),
        pytest.param([RESTART_GAP + 9, 5, 6], [RESTART_GAP + 9, 5, 6], 0, 0, id="anew from below"),
    ],
)
def test_packets_are_delivered_in_order(numbers: list[int], delivered: list[int], lost: int, late: int) -> None:
    got, order = feed(numbers)
    assert (got, order.lost, order.late) == (delivered, lost, late)


def test_long_wait_gives_up_however_few_follow() -> None:
    delivered, order = feed([5, 7, 8], every_s=HELD_S * 0.6)
    assert delivered == [5]
    order.put(packet(9), HELD_S * 2)
    assert delivered == [5, 7, 8, 9]
    assert order.lost == 1


def test_another_stream_begins_at_once_and_loses_nothing_of_the_former() -> None:
    delivered: list[tuple[int, int]] = []
    order = Reorder(lambda each: delivered.append((each.ssrc, each.extended_sequence)))
    for number in (5, 7):
        order.put(packet(number, ssrc=1), 0)
    order.put(packet(6, ssrc=2), 0)
    order.put(packet(7, ssrc=2), 0)
    assert delivered == [(1, 5), (1, 7), (2, 6), (2, 7)]


@given(st.lists(st.integers(0, 60), max_size=80), st.integers(0, 3))
def test_no_arrival_order_delivers_backwards_or_holds_without_bound(numbers: list[int], gap: int) -> None:
    delivered, order = feed(numbers, every_s=gap * 0.02)
    assert delivered == sorted(set(delivered))
    order.give_up()
    assert len(delivered) + order.late == len(numbers)
    assert delivered == sorted(set(delivered))
    if delivered:
        assert order.lost == delivered[-1] - delivered[0] + 1 - len(delivered)


@pytest.mark.parametrize("seed", range(5))
def test_neighbours_in_disorder_all_arrive(seed: int) -> None:
    dice = random.Random(seed)
    numbers = list(range(1000))
    for start in range(1, 1000 - HELD_MAX, HELD_MAX):
        part = numbers[start : start + HELD_MAX]
        dice.shuffle(part)
        numbers[start : start + HELD_MAX] = part
    delivered, order = feed(numbers, every_s=0.02)
    assert delivered == list(range(1000))
    assert (order.lost, order.late) == (0, 0)
