"""The load generator's conclusions: percentiles, the search for saturation, and what makes a run void."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from bench.load.callers import beside_peers, hop
from bench.load.callers.histogram import BUCKETS, PARTS, Histogram, bucket_top_ns
from bench.load.callers.result import Result, Way, add_accounts
from bench.load.callers.saturation import CLOSE_ENOUGH, TRIALS_MAX, Trial, find_saturation
from bench.load.callers.scenarios import SCENARIOS
from bench.load.callers.shape import Talk
from bench.load.callers.sound import PATIENCE_S, PAUSES_S, Sound
from bench.scenario import Length

NOTHING = Histogram((0,) * BUCKETS)


def histogram_of(*buckets: int) -> Histogram:
    counts = [0] * BUCKETS
    for bucket in buckets:
        counts[bucket] += 1
    return Histogram(counts)


def way(sent: int = 1000, late: Histogram = NOTHING, **changed: int) -> Way:
    names = ("unready", "overtaken", "again", "stray", "foreign", "misdelivered", "latest_ns")
    counts = dict.fromkeys(names, 0) | {"due": sent, "sent": sent, "first": sent} | changed
    return Way(latency=NOTHING, late=late, **counts)


def result(up: Way, down: Way, **changed: int) -> Result:
    names = ("openings", "answers", "refusals", "checks", "calls_changed", "addresses_changed")
    counts = dict.fromkeys((*names, "refused", "backwards", "own_drops", "target_drops"), 0) | changed
    return Result(elapsed_s=1.0, held_s=0.0, up=up, down=down, opening=NOTHING, less_held=NOTHING, **counts)


def test_buckets_are_those_of_the_generator() -> None:
    tops = [bucket_top_ns(index) for index in range(BUCKETS)]
    assert tops[:PARTS] == list(range(PARTS))
    assert tops == sorted(set(tops))
    assert tops[-1] == (1 << 40) - 1


@pytest.mark.parametrize(("percent", "value_ns"), [(0, 10), (25, 10), (50, 20), (75, 30), (99, 40), (100, 40)], ids=str)
def test_percentile_is_the_value_that_the_share_does_not_exceed(percent: float, value_ns: int) -> None:
    assert histogram_of(10, 20, 30, 40).percentile_us(percent) == value_ns / 1000


def test_histogram_without_values_has_percentile_zero() -> None:
    assert NOTHING.percentile_us(99) == 0


def carrying(capacity: float, generator: float = 1e9) -> Callable[[float], Trial]:
    return lambda rate: Trial(rate, 0.0 if rate <= capacity else 0.01, 100.0, rate > generator)


@pytest.mark.parametrize("capacity", [1_500, 20_000, 333_333], ids=str)
def test_search_ends_close_below_what_is_carried(capacity: float) -> None:
    found = find_saturation(carrying(capacity), 1000, 1e6)
    assert capacity / CLOSE_ENOUGH <= found.rate <= capacity
    assert not found.is_generator_bound
    assert len(found.trials) <= TRIALS_MAX + 1


def test_search_that_meets_the_generator_first_says_so() -> None:
    found = find_saturation(carrying(1e9, generator=50_000), 1000, 1e6)
    assert found.is_generator_bound
    assert 50_000 / CLOSE_ENOUGH <= found.rate <= 50_000


def test_search_that_meets_its_own_limit_says_so() -> None:
    found = find_saturation(carrying(1e9), 1000, 10_000)
    assert (found.rate, found.is_generator_bound) == (10_000, True)


def test_search_finds_nothing_where_the_lowest_rate_fails() -> None:
    found = find_saturation(carrying(10), 1000, 1e6)
    assert (found.rate, found.is_generator_bound, len(found.trials)) == (0.0, False, 2)


def test_rate_whose_packets_pile_up_in_a_buffer_is_not_carried() -> None:
    found = find_saturation(lambda rate: Trial(rate, 0.0, 100.0 if rate < 5000 else 1e6, False), 1000, 1e6)
    assert 5000 / CLOSE_ENOUGH <= found.rate < 5000
    assert not found.is_generator_bound


def test_one_bad_trial_does_not_end_the_search() -> None:
    tried: list[float] = []

    def unlucky_once(rate: float) -> Trial:
        tried.append(rate)
        return Trial(rate, 0.5 if len(tried) == 2 else 0.0, 100.0, False)

    assert find_saturation(unlucky_once, 1000, 8000).rate == 8000


def test_clean_result_has_no_problems_and_adds_up() -> None:
    clean = result(way(), way(500))
    assert clean.problems() == []
    assert all(account.adds_up for account in clean.accounts())
    assert (clean.sent, clean.missing, clean.rate) == (1500, 0, 1500.0)


def test_loss_is_no_problem_of_the_run_but_is_counted() -> None:
    lossy = result(way(first=990), way(), target_drops=7)
    assert lossy.problems() == []
    assert lossy.loss == 10 / 2000
    assert lossy.accounts()[1].ended == {
        "arrived": 1990,
        "dropped at the candidate": 7,
        "dropped at the generator": 0,
        "lost elsewhere": 3,
    }


def test_more_arrivals_than_packets_do_not_add_up() -> None:
    assert not result(way(first=1001), way()).accounts()[1].adds_up


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        pytest.param(result(way(due=2000), way()), "1,000 of 3,000 packets never left", id="never sent"),
        pytest.param(result(way(late=histogram_of(BUCKETS - 1)), way()), "behind its schedule", id="late"),
        pytest.param(result(way(), way(), own_drops=1), "own sockets", id="receiver overrun"),
        pytest.param(result(way(sent=999, due=1000), way(), refused=1), "not taken by the kernel", id="refused"),
        pytest.param(result(way(), way(again=2)), "arrived again", id="duplicates"),
        pytest.param(result(way(), way(misdelivered=1)), "address of another call", id="misdelivered"),
        pytest.param(result(way(), way(), backwards=1), "before they were due", id="clock set"),
        pytest.param(result(way(), way(due=1001, unready=1)), "nobody had said", id="nowhere to send"),
    ],
)
def test_result_that_says_nothing_about_a_relay_is_void(bad: Result, complaint: str) -> None:
    assert any(complaint in problem for problem in bad.problems())


def test_packets_under_way_while_calls_move_are_no_misdelivery() -> None:
    assert replace(result(way(), way(misdelivered=1)), addresses_changed=3).problems() == []


@pytest.mark.parametrize(
    ("rate", "calls", "talking", "interval_us"),
    [(100_000, 10_000, 1000, 20_000), (100, 10_000, 1, 20_000), (1e6, 1000, 1000, 2_000), (1e9, 1000, 1000, 1_000)],
    ids=str,
)
def test_talk_takes_as_many_calls_as_the_rate_needs(rate: float, calls: int, talking: int, interval_us: int) -> None:
    talk = Talk.at(rate, 1000, calls)
    assert (talk.calls, talk.interval_us) == (talking, interval_us)


def test_talk_by_all_calls_lets_each_talk_the_less() -> None:
    talk = Talk.by(1_000_000, 50_000, 1000, ways=1)
    assert (talk.calls, talk.interval_us, talk.rate) == (1_000_000, 20_000_000, 50_000)


def test_generator_held_up_for_a_moment_is_not_behind_but_its_times_are_not_sharp() -> None:
    held_up = result(way(late=histogram_of(*[0] * 90, *[BUCKETS - 1] * 10)), way())
    assert not held_up.is_behind
    assert held_up.problems()
    assert result(way(late=histogram_of(0, BUCKETS - 1, BUCKETS - 1)), way()).is_behind
    assert result(way(due=2000), way()).is_behind


def test_accounts_of_several_stretches_are_added() -> None:
    due, sent = add_accounts([result(way(), way()), result(way(first=990), way(), target_drops=4)])
    assert (due.put_in, due.ended["sent"]) == (4000, 4000)
    assert (sent.ended["arrived"], sent.ended["dropped at the candidate"], sent.ended["lost elsewhere"]) == (3990, 4, 6)
    assert sent.adds_up


def test_rate_of_a_talk_counts_both_ways() -> None:
    assert Talk(100, 1000).rate == 10_000
    assert Talk(100, 1000, ways=1, interval_us=10_000).rate == 10_000


class LateAtFirst:
    """A crowd whose generator is held up in its first stretches."""

    def __init__(self, *results: Result) -> None:
        self._results = list(results)
        self.talks = 0

    def talk(self, talk: Talk) -> Result:
        self.talks += 1
        return self._results[min(self.talks, len(self._results)) - 1]


HELD_UP = result(way(late=histogram_of(*[0] * 90, *[BUCKETS - 1] * 10)), way())
LOSSY = result(way(first=10), way())
TRIES = 1 + len(PAUSES_S)
UNSENT = result(way(due=2000), way())


@pytest.mark.parametrize(
    ("results", "talks", "used"),
    [
        pytest.param((LOSSY,), 1, LOSSY, id="loss is no reason to look away"),
        pytest.param((HELD_UP, LOSSY), 2, LOSSY, id="held up once"),
        pytest.param((*[HELD_UP] * TRIES, LOSSY), TRIES, HELD_UP, id="held up always"),
        pytest.param((UNSENT, LOSSY), 2, LOSSY, id="too much for it once"),
        pytest.param((UNSENT, UNSENT, LOSSY), 2, UNSENT, id="more than it can send"),
    ],
)
def test_stretch_is_taken_again_for_the_generators_own_lateness_only(
    results: tuple[Result, ...], talks: int, used: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("bench.load.callers.sound.time.sleep", waits.append)
    sound, crowd = Sound(), LateAtFirst(*results)
    assert sound.talk(crowd, Talk(1, 1)) is used
    assert (crowd.talks, sound.repeated) == (talks, talks - 1)
    assert tuple(waits) == PAUSES_S[: talks - 1]


def test_patience_ends_where_every_stretch_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("bench.load.callers.sound.time.sleep", waits.append)
    sound, crowd = Sound(), LateAtFirst(HELD_UP)
    for _ in range(100):
        assert sound.talk(crowd, Talk(1, 1)) is HELD_UP
    assert crowd.talks == 100 * TRIES
    assert max(PAUSES_S) < sum(waits) <= PATIENCE_S


PAUSES_PER_S = 4
"""Of a millisecond or more, on the processor where this was looked at."""


@pytest.mark.parametrize("efforts", [hop.EFFORTS, beside_peers.EFFORTS], ids=["hop", "beside peers"])
@pytest.mark.parametrize("length", [Length.STANDARD, Length.FULL], ids=str)
def test_windows_are_short_and_many_so_that_their_median_lies_between_two_pauses_of_the_machine(
    length: Length, efforts: Mapping[Length, hop.HopEffort]
) -> None:
    assert efforts[length].talk_ms * PAUSES_PER_S < 1000 / 2
    assert efforts[length].rounds >= 15


@pytest.mark.parametrize("length", Length, ids=str)
def test_every_scenario_has_words_and_steps_for_every_length(length: Length) -> None:
    assert set(SCENARIOS) == {"generator", "hop", "hop-peers"}
    assert all(scenario.what and scenario.steps(length) > 1 for scenario in SCENARIOS.values())
