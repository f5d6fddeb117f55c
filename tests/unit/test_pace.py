"""The pacer: when frames leave, in which batches, and with which RTP timestamps."""

from __future__ import annotations

import itertools
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrelay.media.pace import CATCH_UP_SLOTS, CLOCK_RATE, SLOTS_PER_S, Frame, Pacer

START_S = 5_000.0
SLOT_S = 1 / SLOTS_PER_S


class Stream:
    """Frames that wait, all of one length."""

    def __init__(self, frames: int = 0, samples: int = 960) -> None:
        self.samples = samples
        self.waiting = deque(bytes([number % 256]) for number in range(frames))
        self.asked = 0

    def next_frame(self, now_s: float) -> Frame | None:
        self.asked += 1
        return (self.waiting.popleft(), self.samples) if self.waiting else None


def run(pacer: Pacer, from_s: float, for_s: float, *, step_s: float = SLOT_S) -> list[tuple[float, Stream, int, bool]]:
    """Let time pass; return when what left."""
    left = []
    for step in range(round(for_s / step_s) + 1):
        now_s = from_s + step * step_s
        for stream, _, timestamp, is_marked in pacer.take_due(now_s):
            assert isinstance(stream, Stream)
            left.append((now_s - from_s, stream, timestamp, is_marked))
    return left


@pytest.mark.parametrize(
    ("samples", "every_ms"), [(480, 10), (960, 20), (1920, 40), (5760, 120)], ids=["10 ms", "20 ms", "40 ms", "120 ms"]
)
def test_frames_leave_one_after_the_other_in_real_time(samples: int, every_ms: int) -> None:
    pacer, stream = Pacer(), Stream(5, samples)
    pacer.wake(stream, START_S)
    left = run(pacer, START_S, 1.0)
    assert [round(at_s * 1000) for at_s, *_ in left] == [number * every_ms for number in range(5)]


def test_frames_shorter_than_a_slots_multiple_keep_real_time_on_average() -> None:
    pacer, stream = Pacer(), Stream(400, 120)  # 2.5 ms
    pacer.wake(stream, START_S)
    left = run(pacer, START_S, 1.0)
    assert len(left) == 400
    assert all(abs(at_s - number * 0.0025) <= SLOT_S + 1e-9 for number, (at_s, *_) in enumerate(left))


def test_streams_woken_within_a_slot_share_a_batch() -> None:
    pacer = Pacer()
    streams = [Stream(3) for _ in range(20)]
    for number, stream in enumerate(streams):
        pacer.wake(stream, START_S + SLOT_S * (0.01 + number * 0.04))
    assert pacer.take_due(START_S) == []
    batches = [len(pacer.take_due(START_S + SLOT_S + 0.02 * number)) for number in range(3)]
    assert batches == [20, 20, 20]


def test_next_due_is_when_something_is_taken() -> None:
    pacer, stream = Pacer(), Stream(2)
    pacer.wake(stream, START_S + 0.0007)
    taken = []
    while (due_s := pacer.next_due_s) is not None:
        taken.append(len(pacer.take_due(due_s)))
    assert taken == [1, 1, 0]  # the last is how it is found out that nothing waits


@given(st.floats(min_value=0, max_value=1e8))
def test_next_due_is_never_asked_for_in_vain(now_s: float) -> None:
    pacer = Pacer()
    pacer.wake(Stream(1), now_s)
    due_s = pacer.next_due_s
    assert due_s is not None
    assert now_s - 1e-6 <= due_s <= now_s + SLOT_S + 1e-6
    assert len(pacer.take_due(due_s)) == 1


def test_nothing_is_due_before_anyone_is_woken() -> None:
    pacer = Pacer()
    assert pacer.next_due_s is None
    assert pacer.take_due(START_S) == []


def test_stream_without_frames_is_not_asked_until_woken() -> None:
    pacer, stream = Pacer(), Stream(1)
    pacer.wake(stream, START_S)
    run(pacer, START_S, 1.0)
    assert stream.asked == 2
    assert pacer.next_due_s is None
    stream.waiting.append(b"later")
    pacer.wake(stream, START_S + 1.5)
    assert len(run(pacer, START_S + 1.5, 0.1)) == 1


def test_waking_twice_sends_once() -> None:
    pacer, stream = Pacer(), Stream(3)
    pacer.wake(stream, START_S)
    pacer.wake(stream, START_S)
    assert len(pacer.take_due(START_S)) == 1
    pacer.wake(stream, START_S)
    assert pacer.take_due(START_S + 0.018) == []


def test_marker_is_on_the_first_frame_alone() -> None:
    pacer, stream = Pacer(), Stream(4)
    pacer.wake(stream, START_S)
    assert [is_marked for *_, is_marked in run(pacer, START_S, 0.2)] == [True, False, False, False]


@pytest.mark.parametrize(
    ("late_ms", "is_gap"),
    [
        pytest.param(2, False, id="a slot late"),
        pytest.param(18, False, id="less than a frame late"),
        pytest.param(20, True, id="a frame late"),
        pytest.param(5_000, True, id="after seconds"),
    ],
)
def test_timestamps_go_on_with_real_time_over_gaps_only(late_ms: int, *, is_gap: bool) -> None:
    pacer, stream = Pacer(), Stream(1)
    pacer.wake(stream, START_S)
    ((_, _, first, _),) = pacer.take_due(START_S)
    end_s = START_S + 0.02
    assert pacer.take_due(end_s) == []
    stream.waiting.append(b"next")
    pacer.wake(stream, end_s + late_ms / 1000)
    ((_, _, second, is_marked),) = pacer.take_due(end_s + late_ms / 1000)
    advance = (second - first) % (1 << 32)
    assert advance == 960 + (late_ms * 48 if is_gap else 0)
    assert is_marked == is_gap


def test_timestamps_wrap() -> None:
    pacer, stream = Pacer(), Stream(1)
    pacer.wake(stream, START_S)
    ((_, _, first, _),) = pacer.take_due(START_S)
    pacer.take_due(START_S + 0.02)
    gap_s = (1 << 32) / CLOCK_RATE  # once round, on top of the frame
    stream.waiting.append(b"next")
    pacer.wake(stream, START_S + 0.02 + gap_s)
    due_s = pacer.next_due_s
    assert due_s is not None
    ((_, _, second, _),) = pacer.take_due(due_s)
    assert 0 <= second < 1 << 32
    assert abs((second - first) - 960) <= 96


def test_short_delay_of_the_loop_is_caught_up_with() -> None:
    pacer, stream = Pacer(), Stream(100)
    pacer.wake(stream, START_S)
    pacer.take_due(START_S)
    late_s = START_S + CATCH_UP_SLOTS * SLOT_S
    assert len(pacer.take_due(late_s)) == 3
    assert pacer.frames_late == 0
    assert pacer.next_due_s == pytest.approx(START_S + 0.08)


@pytest.mark.parametrize("held_up_s", [0.082, 0.2, 0.3, 30.0], ids=lambda held_up_s: f"{held_up_s} s")
def test_long_delay_of_the_loop_is_no_burst(held_up_s: float) -> None:
    pacer = Pacer()
    streams = [Stream(100) for _ in range(10)]
    for number, stream in enumerate(streams):
        pacer.wake(stream, START_S + number * SLOT_S)
    run(pacer, START_S, 0.019)
    late_s = START_S + 0.02 + held_up_s
    batch = [stream for stream, *_ in pacer.take_due(late_s)]
    assert sorted(map(batch.count, streams)) <= [1] * 9 + [4]
    assert all(batch.count(stream) >= 1 for stream in streams)
    assert pacer.frames_late >= 1
    after = run(pacer, late_s + SLOT_S, 0.2 - SLOT_S)
    assert len(after) == pytest.approx(100, abs=10)
    timestamps = [timestamp for _, stream, timestamp, _ in after if stream is streams[0]]
    assert {(later - sooner) % (1 << 32) for sooner, later in itertools.pairwise(timestamps)} == {960}


def test_forgotten_stream_is_never_asked_again() -> None:
    pacer, stream, other = Pacer(), Stream(5), Stream(5)
    pacer.wake(stream, START_S)
    pacer.wake(other, START_S)
    pacer.take_due(START_S)
    pacer.forget(stream)
    pacer.forget(Stream())
    assert len(run(pacer, START_S + SLOT_S, 1.0)) == 4
    assert stream.asked == 1
    assert pacer.next_due_s is None


def test_stream_may_be_forgotten_and_woken_while_frames_are_taken() -> None:
    pacer = Pacer()

    class Ending(Stream):
        def next_frame(self, now_s: float) -> Frame | None:
            frame = super().next_frame(now_s)
            if not self.waiting:
                pacer.forget(self)
                pacer.wake(fresh, now_s)
            return frame

    ending, fresh = Ending(1), Stream(2)
    pacer.wake(ending, START_S)
    assert len(pacer.take_due(START_S)) == 1
    left = run(pacer, START_S + SLOT_S, 0.1)
    assert [stream for _, stream, *_ in left] == [fresh, fresh]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["wake", "take", "forget"]),
            st.integers(0, 4),
            st.floats(min_value=0, max_value=0.4),
            st.sampled_from([120, 240, 960, 2880, 5760]),
        ),
        max_size=60,
    )
)
def test_no_history_sends_faster_than_real_time_or_loses_a_stream(
    history: list[tuple[str, int, float, int]],
) -> None:
    pacer, now_s = Pacer(), START_S
    streams = [Stream() for _ in range(5)]
    begun_s = [START_S] * 5
    sent = [0] * 5
    for what, which, later_s, samples in history:
        now_s += later_s
        if what == "wake":
            streams[which].samples = samples
            streams[which].waiting.extend([b"x"] * 3)
            pacer.wake(streams[which], now_s)
        elif what == "forget":
            pacer.forget(streams[which])
            begun_s[which], sent[which] = now_s, 0
        for stream, *_ in pacer.take_due(now_s):
            assert isinstance(stream, Stream)
            index = streams.index(stream)
            sent[index] += 1
            assert (sent[index] - 1) * 120 / CLOCK_RATE <= now_s - begun_s[index] + SLOT_S
    for stream in streams:
        pacer.wake(stream, now_s)
    run(pacer, now_s, 15 * 0.12 + 60 * 3 * 0.12)
    assert [len(stream.waiting) for stream in streams] == [0] * 5
    assert pacer.next_due_s is None


def relayed(arrivals_s: list[float]) -> list[float]:
    """When frames leave that come at these moments, seconds after the start."""
    pacer, stream = Pacer(), Stream()
    left: list[float] = []
    coming = deque(arrivals_s)
    for step in range(round((arrivals_s[-1] + 0.1) * SLOTS_PER_S)):
        now_s = step * SLOT_S
        while coming and coming[0] <= now_s + 1e-9:
            coming.popleft()
            stream.waiting.append(b"frame")
            pacer.wake(stream, START_S + now_s)
        left += [now_s for _ in pacer.take_due(START_S + now_s)]
    return left


def test_late_frame_makes_none_late_that_follows_it() -> None:
    arrivals_s = [number * 0.02 + (0.016 if number == 5 else 0) for number in range(40)]
    delays_s = [left_s - came_s for came_s, left_s in zip(arrivals_s, relayed(arrivals_s), strict=True)]
    assert max(delays_s) <= SLOT_S + 1e-9


@pytest.mark.parametrize("drift", [-1e-3, 1e-3], ids=["slower than ours", "faster than ours"])
def test_clock_that_drifts_is_followed(drift: float) -> None:
    arrivals_s = [number * 0.02 * (1 - drift) for number in range(1000)]
    left_s = relayed(arrivals_s)
    assert len(left_s) == len(arrivals_s)
    # 20 ms too many or too few come in 20 s: a faster sender's wait in its queue, a slower one's leave as they come
    delays_s = [left - came for came, left in zip(arrivals_s, left_s, strict=True)]
    assert max(delays_s) <= (0.02 if drift > 0 else 0.0) + 2 * SLOT_S
