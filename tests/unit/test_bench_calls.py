"""The benchmark of calls judges others, so it is held itself: what is on time, what jitter is, how the search goes."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

import av
import numpy as np
import pytest

from bench.calls.capacity import ON_TIME_MIN, Search, Thoroughness
from bench.calls.description import Ours, Theirs
from bench.calls.ensemble import CallersLate, Ensemble, Opened, Window
from bench.calls.punctuality import FRAME_NS, ON_TIME_NS, Punctuality, judge
from bench.calls.servers import Server
from bench.calls.voice import FRAME_SAMPLES, FRAMES, RATE, voice
from bench.load.failure import BenchFailure

START_NS = 1_800_000_000_000_000_000
FRAMES_WATCHED = 50
WINDOW = (START_NS, START_NS + FRAMES_WATCHED * FRAME_NS)
CLOSELY = Thoroughness(window_s=1.0, step=0.1, halvings=3)
OFFSET_NS = 7_000_000
"""Where a call's schedule lies in the window."""


def arrivals(late_ns: dict[int, int] | None = None, without: Iterable[int] = ()) -> list[tuple[int, int]]:
    """A call's frames from before the window to behind it, some late by so much, some missing."""
    late = late_ns or {}
    missing = set(without)
    return [
        (1000 + place, START_NS + OFFSET_NS + place * FRAME_NS + late.get(place, 0))
        for place in range(-5, FRAMES_WATCHED + 5)
        if place not in missing
    ]


@pytest.mark.parametrize(
    ("late_ns", "without", "on_time"),
    [
        pytest.param({}, (), FRAMES_WATCHED, id="all"),
        pytest.param({7: ON_TIME_NS}, (), FRAMES_WATCHED, id="late by just what is allowed"),
        pytest.param({7: ON_TIME_NS + 1}, (), FRAMES_WATCHED - 1, id="one nanosecond too late"),
        pytest.param({7: -ON_TIME_NS - 1}, (), FRAMES_WATCHED - 1, id="too early"),
        pytest.param({}, (0, 49), FRAMES_WATCHED - 2, id="the first and the last do not arrive"),
        pytest.param({-1: 10**9, 50: 10**9}, (), FRAMES_WATCHED, id="late outside the window"),
    ],
)
def test_a_frame_is_on_time_within_20_ms_of_its_place(
    late_ns: dict[int, int], without: tuple[int, ...], on_time: int
) -> None:
    judged = judge([arrivals(late_ns, without)], *WINDOW)
    assert (judged.expected, judged.on_time) == (FRAMES_WATCHED, on_time)
    assert judged.share == judged.worst_call == on_time / FRAMES_WATCHED


def test_a_call_that_hears_nothing_misses_every_frame() -> None:
    judged = judge([arrivals(), []], *WINDOW)
    assert (judged.calls, judged.expected, judged.arrived) == (2, 2 * FRAMES_WATCHED, FRAMES_WATCHED)
    assert (judged.share, judged.worst_call) == (0.5, 0.0)


def test_a_frame_that_comes_twice_counts_once() -> None:
    once = arrivals()
    assert judge([once + once[10:12]], *WINDOW).arrived == FRAMES_WATCHED


def test_a_call_that_falls_behind_is_late() -> None:
    falling = [(sequence, at_ns + (sequence - 1000) * 2_000_000) for sequence, at_ns in arrivals()]
    assert judge([falling], *WINDOW).share < 0.5


def test_jitter_is_the_distance_of_neighbours_from_20_ms_and_gaps_are_none() -> None:
    judged = judge([arrivals({20: 4_000_000}, without=(30, 31))], *WINDOW)
    assert judged.jitter_ms["p50"] == 0
    assert judged.jitter_ms["max"] == 4


def test_without_two_frames_in_a_row_there_is_no_jitter() -> None:
    judged = judge([[], arrivals(without=range(-4, FRAMES_WATCHED + 5))], *WINDOW)
    with pytest.raises(BenchFailure, match="no two in a row"):
        judged.jitter("p99")


def test_what_was_judged_travels_between_processes() -> None:
    judged = judge([arrivals({3: 10**9})], *WINDOW)
    assert Punctuality.parse(judged.build()) == judged


class StandIn(Ensemble):
    """An ensemble whose server carries so many calls, and hiccups in given windows."""

    def __init__(self, carries: int, hiccups: Iterable[int] = ()) -> None:
        self.calls = self.windows = 0
        self._carries = carries
        self._hiccups = set(hiccups)

    def open_all(self, count: int, per_s: float, **options: object) -> Opened:
        self.calls += count
        return Opened(count, [], [], [], 0.0, None)

    def close(self, count: int | None = None, group: str = "main") -> None:
        self.calls -= self.calls if count is None else count

    def watch(self, seconds: float, group: str = "main") -> Window:
        return self._window(is_good=True)

    def watch_soundly(self, seconds: float, group: str = "main") -> Window:
        self.windows += 1
        return self._window(is_good=self.calls <= self._carries and self.windows not in self._hiccups)

    def _window(self, *, is_good: bool) -> Window:
        on_time = 1000 if is_good else int(1000 * ON_TIME_MIN) - 1
        return Window(Punctuality(self.calls, 1000, 1000, on_time, on_time / 1000, {"p99": 1.0}), 0, 0.0, 0.5)


@pytest.mark.parametrize(
    ("carries", "first", "limit", "found"),
    [
        pytest.param(14, 10, 100, range(14, 15), id="a few more than at first"),
        pytest.param(600, 400, 3000, range(590, 601), id="many more"),
        pytest.param(300, 400, 3000, range(295, 301), id="fewer than at first"),
        pytest.param(1, 10, 100, range(1, 2), id="one"),
        pytest.param(0, 10, 100, range(1), id="not even one"),
        pytest.param(5000, 400, 1000, range(1000, 1001), id="more than are tried"),
        pytest.param(5000, 400, 300, range(300, 301), id="a limit below the first"),
    ],
)
def test_the_search_finds_the_largest_number_that_is_on_time(
    carries: int, first: int, limit: int, found: range
) -> None:
    ensemble = StandIn(carries)
    assert Search(ensemble, CLOSELY).run(first, limit).calls in found


def test_one_hiccup_does_not_end_a_search() -> None:
    assert Search(StandIn(50, hiccups={2}), CLOSELY).run(30, 100).calls >= 48


@pytest.mark.parametrize("playable", [45, 39])
def test_a_search_ends_where_the_callers_do(playable: int) -> None:
    class Overworked(StandIn):
        def watch_soundly(self, seconds: float, group: str = "main") -> Window:
            if self.calls > playable:
                raise CallersLate("too busy")
            return super().watch_soundly(seconds, group)

    search = Search(Overworked(1000), CLOSELY)
    if playable < 40:
        with pytest.raises(CallersLate):
            search.run(40, 100)
    else:
        found = search.run(40, 100)
        assert (found.calls, found.is_bounded_by_callers) == (playable, True)


def test_callers_that_are_late_themselves_say_nothing_about_a_server() -> None:
    class Busy(StandIn):
        def watch(self, seconds: float, group: str = "main") -> Window:
            return Window(Punctuality(1, 1, 1, 1, 1.0, {}), 0, 0.5, 0.5)

    with pytest.raises(CallersLate, match="too busy"):
        Ensemble.watch_soundly(Busy(1), 1.0)


def test_an_answer_is_read_for_what_a_client_needs() -> None:
    ours = Ours.fresh(("127.0.0.1", 4000), "AA:BB", 7)
    offer = ours.offer()
    theirs = Theirs.of_answer(offer.replace("setup:actpass", "setup:passive"))
    assert theirs.address == ("127.0.0.1", 4000)
    assert (theirs.ufrag, theirs.password) == (ours.ufrag, ours.password)
    assert (theirs.fingerprint, theirs.setup) == (("sha-256", "AA:BB"), "passive")
    with pytest.raises(BenchFailure, match="candidate"):
        Theirs.of_answer("v=0\r\n")


def test_callers_speak_opus_that_a_decoder_hears() -> None:
    decoder = av.CodecContext.create("libopus", "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate = RATE
    decoder.layout = "mono"
    payloads = voice()
    frames = [frame for payload in payloads for frame in decoder.decode(av.Packet(payload))]
    assert len(payloads) == FRAMES
    assert sum(frame.samples for frame in frames) >= (FRAMES - 1) * FRAME_SAMPLES
    assert max(float(np.abs(frame.to_ndarray()).max()) for frame in frames) > 0


class TwoParts(Server):
    """Starts two parts, or fails at the second."""

    name, url, pid = "two parts", "http://127.0.0.1/", 0

    def __init__(self, *, fails: bool) -> None:
        self.ended: list[str] = []
        self._fails = fails

    def _start(self, undo: ExitStack) -> None:
        undo.callback(self.ended.append, "first")
        if self._fails:
            raise BenchFailure("no second part")
        undo.callback(self.ended.append, "second")


def test_server_ends_last_things_first() -> None:
    with TwoParts(fails=False) as server:
        assert server.ended == []
    assert server.ended == ["second", "first"]


def test_server_that_does_not_start_leaves_nothing_running() -> None:
    server = TwoParts(fails=True)
    with pytest.raises(BenchFailure, match="no second part"), server:
        pytest.fail("it serves")
    assert server.ended == ["first"]
