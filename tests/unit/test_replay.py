"""The replay window of docs/trunk.md: what is taken, what is refused, what counts as lost."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrelay.wire.replay import EPOCH_FORGOTTEN_AFTER_MS, WINDOW, ReplayWindow

EPOCH = 1_000
NOW = 50_000


def window_at(*sequences: int) -> ReplayWindow:
    window = ReplayWindow()
    for sequence in sequences:
        assert window.accept(EPOCH, sequence, NOW)
    return window


@pytest.mark.parametrize("sequence", [1, 2, WINDOW, WINDOW + 1, 2**64 - 1])
def test_first_datagram_is_taken_but_once(sequence: int) -> None:
    window = window_at(sequence)
    assert not window.accept(EPOCH, sequence, NOW)
    assert window.received == 1


def test_sequence_zero_is_never_taken() -> None:
    window = ReplayWindow()
    assert not window.accept(EPOCH, 0, NOW)
    assert window == ReplayWindow()
    window = window_at(5)
    assert not window.accept(EPOCH + 1, 0, NOW)
    assert (window.epoch_us, window.highest, window.received) == (EPOCH, 5, 1)


@pytest.mark.parametrize(
    ("late", "is_taken"),
    [(5_000 - WINDOW - 1, False), (5_000 - WINDOW, False), (5_000 - WINDOW + 1, True), (4_999, True)],
)
def test_window_edge(late: int, is_taken: bool) -> None:
    window = window_at(5_000)
    assert window.accept(EPOCH, late, NOW) is is_taken
    assert not window.accept(EPOCH, late, NOW)
    assert window.highest == 5_000


def test_larger_epoch_starts_anew() -> None:
    window = window_at(1, 2, 2_000)
    assert window.lost > 0
    assert window.accept(EPOCH + 1, 1, NOW)
    assert (window.epoch_us, window.highest, window.received, window.lost) == (EPOCH + 1, 1, 1, 0)


@pytest.mark.parametrize(
    ("silent_ms", "is_taken"),
    [(0, False), (EPOCH_FORGOTTEN_AFTER_MS - 1, False), (EPOCH_FORGOTTEN_AFTER_MS, True)],
)
def test_smaller_epoch_is_taken_after_long_silence_only(silent_ms: int, is_taken: bool) -> None:
    window = window_at(9)
    assert window.accept(EPOCH - 1, 1, NOW + silent_ms) is is_taken
    assert window.epoch_us == (EPOCH - 1 if is_taken else EPOCH)


def test_refused_datagrams_do_not_prolong_the_memory() -> None:
    window = window_at(9)
    assert not window.accept(EPOCH - 1, 1, NOW + EPOCH_FORGOTTEN_AFTER_MS - 1)
    assert window.accept(EPOCH - 1, 1, NOW + EPOCH_FORGOTTEN_AFTER_MS)


@pytest.mark.parametrize(
    ("arrivals", "lost"),
    [
        pytest.param([], 0, id="nothing"),
        pytest.param([1, 2, 3], 0, id="in order"),
        pytest.param([1, 3], 1, id="a gap"),
        pytest.param([1, 3, 2], 0, id="late is not lost"),
        pytest.param([1, 3, WINDOW + 2], WINDOW - 1, id="gaps that have left the window"),
        pytest.param([1, 3 * WINDOW], 3 * WINDOW - 2, id="a jump over more than a window"),
        pytest.param([1_000_000], 0, id="joined a running epoch"),
        pytest.param([1_000_000, 1_000_003], 2, id="joined, then a gap"),
        pytest.param([7, 6], 0, id="late from below the first"),
        pytest.param([7, 9, 6], 0, id="late from below the first hides a gap"),
        pytest.param([1, 2**64 - 1], 2**64 - 3, id="over all numbers"),
    ],
)
def test_loss_is_counted_from_the_first_accepted(arrivals: list[int], lost: int) -> None:
    assert window_at(*arrivals).lost == lost


@given(st.lists(st.integers(1, 4 * WINDOW), max_size=60), st.integers(0, 2**32))
def test_window_equals_a_set_of_all_that_was_seen(jumps: list[int], seed: int) -> None:
    """The oracle forgets nothing: refused is what was seen or is too old, lost what is unseen above the first."""
    rng, window, seen, first, highest = random.Random(seed), ReplayWindow(), set[int](), 0, 0
    for jump in jumps:
        sequence = max(1, highest + rng.choice([1, jump // WINDOW, jump, -jump % (WINDOW + 3)]) - rng.randrange(3))
        expected = sequence not in seen and sequence > highest - WINDOW
        assert window.accept(EPOCH, sequence, NOW) is expected
        if expected:
            seen.add(sequence)
            first = first or sequence
            highest = max(highest, sequence)
    early = sum(1 for sequence in seen if sequence < first)
    missing = highest - first + 1 - (len(seen) - early) if seen else 0
    assert window.lost == max(0, missing - early)
    assert window.received == len(seen)
