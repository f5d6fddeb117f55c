"""What is concluded from the samples of a scaling curve: its figures, its floors, and what makes them void."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.load.callers.curves import SCENARIOS
from bench.load.callers.curves_changes import (
    ChangesEffort,
    Kind,
    Round,
    Stretch,
    addresses_for,
)
from bench.load.callers.curves_changes import measured_of as measured_of_changes
from bench.load.callers.curves_drained import (
    FORWARDER,
    RECEIVER,
    RELAY,
    ROLES,
    Names,
    Place,
    capacity_for,
    measured_of,
    memory_of,
    places_of_flows,
    places_of_sizes,
    places_of_transceivers,
)
from bench.load.callers.curves_storm import Searched, Storm, StormEffort, held
from bench.load.callers.curves_storm import measured_of as measured_of_storms
from bench.load.callers.curves_workers import Emptied, counts_up_to
from bench.load.callers.curves_workers import measured_of as measured_of_workers
from bench.load.callers.histogram import BUCKETS, Histogram
from bench.load.callers.result import Result, Way
from bench.load.callers.saturation import Saturation
from bench.report.model import Account, Figure, Verdict
from bench.scenario import Length

NAMES = Names("curve-x", "cost by x", "things")
NOTHING = Histogram((0,) * BUCKETS)


def histogram_of_us(*values: int) -> Histogram:
    """Values below 128 ns would have buckets of their own; these are read from the tops of theirs."""
    counts = [0] * BUCKETS
    for value in values:
        wanted_ns = value * 1000
        shift = max(0, wanted_ns.bit_length() - 8)
        counts[(shift << 7) + (wanted_ns >> shift)] += 1
    return Histogram(counts)


def way(sent: int, missing: int = 0) -> Way:
    names = ("unready", "overtaken", "again", "stray", "foreign", "misdelivered", "latest_ns")
    counts = dict.fromkeys(names, 0) | {"due": sent, "sent": sent, "first": sent - missing}
    return Way(latency=NOTHING, late=NOTHING, **counts)


def result(
    up: Way,
    down: Way,
    openings: int = 0,
    answers: int = 0,
    calls_changed: int = 0,
    addresses_changed: int = 0,
    own_drops: int = 0,
) -> Result:
    return Result(
        elapsed_s=1.0,
        up=up,
        down=down,
        openings=openings,
        answers=answers,
        refusals=0,
        checks=0,
        calls_changed=calls_changed,
        addresses_changed=addresses_changed,
        refused=0,
        backwards=0,
        held_s=0.0,
        opening=NOTHING,
        less_held=NOTHING,
        own_drops=own_drops,
        target_drops=0,
    )


def place(x: int, cost_ns: float, clients: int = 10, resident: int = 0) -> Place:
    (found,) = places_of_flows([clients])
    found.x = x
    found.samples = {RELAY: [cost_ns, cost_ns * 2], FORWARDER: [1000.0, 2000.0], RECEIVER: [100.0, 100.0]}
    found.accounts = [Account(f"packets queued for {role}", 8, {"handled": 8, "lost": 0}) for role in ROLES]
    found.resident = dict.fromkeys(ROLES, resident)
    return found


def figures_of(figures: list[Figure]) -> dict[str, Figure]:
    return {figure.key: figure for figure in figures}


@pytest.mark.parametrize("key", list(SCENARIOS))
@pytest.mark.parametrize("length", list(Length), ids=str)
def test_every_curve_has_steps_in_every_length(key: str, length: Length) -> None:
    assert SCENARIOS[key].steps(length) > 0


def test_drained_curve_has_a_figure_for_each_place_and_one_for_the_way_between_the_ends() -> None:
    measured = measured_of(NAMES, [place(1, 300), place(4, 400), place(16, 600)])
    figures = figures_of(measured.figures)
    assert list(figures) == ["curve-x/1", "curve-x/4", "curve-x/16", "curve-x/growth"]
    assert [figures[f"curve-x/{x}"].ratios() for x in (1, 4, 16)] == [(0.3, 0.3), (0.4, 0.4), (0.6, 0.6)]
    assert figures["curve-x/growth"].ratios() == (2.0, 2.0)
    (curve,) = measured.curves
    assert [(line.name, line.x) for line in curve.lines] == [(role, (1.0, 4.0, 16.0)) for role in ROLES]


def test_drained_curve_says_what_a_call_costs() -> None:
    (curve,) = measured_of(NAMES, [place(1, 800)]).curves
    assert "1,000 ns a packet are 50 µs of CPU a second" in curve.note


def test_place_that_lost_packets_has_no_figure() -> None:
    bad = place(1, 300)
    bad.accounts[0] = Account(f"packets queued for {RELAY}", 8, {"handled": 7, "lost": 0})
    assert measured_of(NAMES, [bad, place(2, 300)]).figures[0].verdict is Verdict.FAILED


def test_memory_is_what_lies_between_the_first_place_and_the_last() -> None:
    places = [place(10, 1, clients=10, resident=1_000_000), place(1010, 1, clients=1010, resident=1_096_000)]
    (figure,) = memory_of(NAMES, places).figures
    spread = figure.spread()
    assert spread is not None
    assert spread.middle == 96


@pytest.mark.parametrize(("flows", "capacity"), [(1, 1024), (1024, 1024), (1025, 2048), (1_000_000, 1 << 20)], ids=str)
def test_table_has_room_for_the_flows_and_not_for_twice_as_many(flows: int, capacity: int) -> None:
    assert capacity_for(flows) == capacity


def test_places_differ_in_what_grows_and_share_no_port() -> None:
    flows, sizes = places_of_flows((10, 20)), places_of_sizes((60, 120), 30)
    transceivers = places_of_transceivers((1, 256), 30)
    assert [each.traffic.clients for each in flows] == [10, 20]
    assert [(each.traffic.size_from, each.traffic.size_to) for each in sizes] == [(60, 60), (120, 120)]
    assert [each.traffic.transceivers for each in transceivers] == [1, 256]
    for places in (flows, sizes, transceivers):
        assert len({each.traffic.client_port for each in places}) == len(places)


def changing_round(missing: int, **changed: int) -> Round:
    still = Stretch(result(way(1000), way(1000)), 4_000_000)
    calls = {"openings": 10, "answers": 10, "calls_changed": 10} | changed
    moves = {"openings": 10, "answers": 9, "addresses_changed": 10}
    return Round(
        still,
        {
            (Kind.CALLS, 100): Stretch(result(way(1000, missing), way(1000), **calls), 4_020_000),
            (Kind.MOVES, 100): Stretch(result(way(1000), way(1000), **moves), 4_020_000),
        },
    )


def test_lost_packets_of_changing_calls_stand_beside_those_of_the_same_calls_at_rest() -> None:
    measured = measured_of_changes("relay", [changing_round(0), changing_round(2), changing_round(2)], (100,))
    figures = figures_of(measured.figures)
    calls = figures["curve-changes/calls-100"]
    spread, floor = calls.spread(), calls.floor_spread()
    assert spread is not None
    assert floor is not None
    assert (spread.low, spread.middle, spread.high, floor.high) == (0, 1000, 1000, 0)
    assert "0 of 30 first checks" in calls.note
    assert "3 of 30 first checks" in figures["curve-changes/moves-100"].note
    assert [line.name for line in measured.curves[0].lines] == ["none", "new calls", "changes of address"]
    assert measured.curves[0].lines[1].y == ((2000.0,) * 3,), "checks are work as packets are"


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"openings": 9}, id="a change without its check"),
        pytest.param({"own_drops": 1}, id="receiver overrun"),
    ],
)
def test_changes_that_do_not_add_up_are_no_finding(changed: dict[str, int]) -> None:
    measured = measured_of_changes("relay", [changing_round(1, **changed)], (100,))
    assert figures_of(measured.figures)["curve-changes/calls-100"].verdict is Verdict.FAILED


def test_there_are_more_addresses_than_changes() -> None:
    effort = ChangesEffort(rounds=5, talk_ms=200, rates=(100, 1000))
    assert addresses_for(effort) > 2 * (100 + 1000) * 5 * 0.2


def storm(rate: float, answers: int = 1000, wait_us: int = 50, cost_ns: int = 8000) -> Storm:
    done = replace(result(way(0), way(0), openings=1000, answers=answers), opening=histogram_of_us(wait_us))
    return Storm(rate, 100_000, done, cost_ns * 1000)


@pytest.mark.parametrize(
    ("tried", "holds"),
    [
        pytest.param(storm(1), True, id="all answered"),
        pytest.param(storm(1, answers=999), False, id="one left out"),
        pytest.param(storm(1, wait_us=1900), True, id="short queue"),
        pytest.param(storm(1, wait_us=2100), False, id="queue that grows"),
    ],
)
def test_storm_holds_when_all_are_answered_and_no_queue_grows(tried: Storm, holds: bool) -> None:
    assert tried.trial.holds is holds


def searched(rate: float, *storms: Storm, is_bound: bool = False) -> Searched:
    return Searched(Saturation(rate, is_bound, tuple(each.trial for each in storms)), storms)


def test_storm_is_judged_at_the_rate_that_was_found() -> None:
    mine = searched(2000, storm(1000), storm(2000, answers=990), storm(2000, cost_ns=9000), storm(4000, answers=500))
    assert held(mine) == (mine.storms[2],)
    direct = searched(4000, storm(4000), is_bound=True)
    measured = measured_of_storms("relay", [(mine, direct), (mine, direct)])
    (figure,) = measured.figures
    assert figure.ratios() == (0.5, 0.5)
    assert "limit" not in figure.note, "that the floor is the generator's is no surprise"
    assert figure.accounts[0].ended["answered"] == figure.accounts[0].put_in == 1000
    assert list(measured.data.values()) == [[9000.0, 9000.0]]
    assert [line.x for line in measured.curves[0].lines] == [(1000.0, 2000.0), (4000.0,)]


def test_storm_limited_by_the_generator_says_so() -> None:
    bound = searched(2000, storm(2000), is_bound=True)
    (figure,) = measured_of_storms("relay", [(bound, bound)]).figures
    assert "in 1 of 1 rounds the generator was the limit" in figure.note


def test_storm_that_nobody_survived_has_no_figure() -> None:
    none = searched(0, storm(1000, answers=0))
    (figure,) = measured_of_storms("relay", [(none, searched(4000, storm(4000)))]).figures
    assert figure.verdict is Verdict.FAILED


def test_storm_of_the_highest_rate_lasts_as_long_as_the_others() -> None:
    assert StormEffort(rounds=1, storm_ms=100).calls == 32_000


@pytest.mark.parametrize(
    ("processors", "counts"),
    [(1, (1,)), (2, (1, 2)), (3, (1, 2, 3)), (8, (1, 2, 4, 8)), (12, (1, 2, 4, 8, 12))],
    ids=str,
)
def test_workers_double_up_to_one_on_each_processor(processors: int, counts: tuple[int, ...]) -> None:
    assert counts_up_to(processors) == counts


def test_workers_have_carried_what_the_slowest_of_them_says() -> None:
    assert Emptied(1000, (1_000_000, 2_000_000), (1000, 1000)).packets_per_s == 1e6


def test_many_workers_stand_beside_one_and_beside_as_many_times_one() -> None:
    one = Emptied(1000, (1_000_000,), (1000,))
    two = Emptied(1000, (1_000_000, 1_250_000), (1000, 1000))
    measured = measured_of_workers({1: [one, one], 2: [two, two]})
    alone, both = measured.figures
    assert (alone.ratios(), both.ratios()) == ((), (1.6, 1.6))
    assert [line.y[1][0] for line in measured.curves[0].lines] == [1.6e6, 2e6]


def test_worker_that_was_given_another_ones_packets_is_no_finding() -> None:
    one = Emptied(1000, (1_000_000,), (1000,))
    astray = Emptied(1000, (1_000_000, 1_000_000), (999, 1001))
    assert measured_of_workers({1: [one], 2: [astray]}).figures[1].verdict is Verdict.FAILED
