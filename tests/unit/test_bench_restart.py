"""Silence call by call: from the generator's page to gaps, and from trials to figures that cannot lie."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from bench.load.failure import BenchFailure
from bench.report.model import Verdict
from bench.restart.cases import ALONE, EFFORTS, PEER, UPGRADE, WORKER, Case
from bench.restart.figures import curve_of, figures_of
from bench.restart.heard import AGAIN_MS, CALL, HEAD, NS_PER_MS, Hearing, parse_hearing
from bench.restart.relay import Setup
from bench.restart.scenarios import SCENARIOS
from bench.restart.trial import ROUND_TRIES, Round, Trial, sound_round
from bench.scenario import Length

END_MS = 10_000


def page(*calls: tuple[int, ...]) -> bytes:
    return HEAD.pack(round(END_MS * NS_PER_MS)) + b"".join(CALL.pack(*call) for call in calls)


def call(
    silence_up_ms: float = 20,
    silence_down_ms: float = 20,
    last_ms: float = END_MS,
    sent: int = 100,
    came: tuple[int, int] = (100, 100),
) -> tuple[int, ...]:
    last, up, down = (round(ms * NS_PER_MS) for ms in (last_ms, silence_up_ms, silence_down_ms))
    return (last, last, up, down, sent, sent, *came)


def hearing(*calls: tuple[int, ...]) -> Hearing:
    return parse_hearing(page(*calls), len(calls))


def trial(*calls: tuple[int, ...], refused: int = 0, misdelivered: int = 0, problem: str = "") -> Trial:
    return Trial(hearing(*calls), refused, misdelivered, problem)


FLOOR = trial(call(22, 21), call(23, 20))


@pytest.mark.parametrize(
    ("up_ms", "down_ms", "gap_ms"),
    [(20, 20, 0), (19, 18, 0), (21, 20, 1), (20, 520, 500), (1270, 20, 1250)],
    ids=["on schedule", "early", "a little late", "the client hears nothing", "the transceiver hears nothing"],
)
def test_gap_is_the_longer_silence_without_the_frame_that_always_lies_between(
    up_ms: float, down_ms: float, gap_ms: float
) -> None:
    assert hearing(call(up_ms, down_ms)).calls[0].gap_ms == pytest.approx(gap_ms)


def test_percentiles_are_over_calls() -> None:
    heard = hearing(*(call(20 + gap) for gap in range(101)))
    assert [heard.gap_ms(percent) for percent in (0, 50, 99, 100)] == pytest.approx([0, 50, 99, 100])


@pytest.mark.parametrize(
    ("before_end_ms", "is_heard"), [(0, True), (AGAIN_MS - 1, True), (AGAIN_MS, False), (5000, False)], ids=str
)
def test_call_is_heard_again_when_its_last_packet_is_recent(before_end_ms: float, is_heard: bool) -> None:
    assert hearing(call(last_ms=END_MS - before_end_ms)).calls[0].is_heard_again is is_heard


def test_call_that_heard_nothing_one_way_is_not_heard_again() -> None:
    heard = hearing(call(came=(100, 0)), call())
    assert heard.heard_again_percent == 50
    assert heard.lost == 100


def test_page_has_more_calls_than_talked() -> None:
    assert len(parse_hearing(page(call(), call(), call()), 2).calls) == 2


def test_page_that_is_too_short_for_its_calls_is_refused() -> None:
    with pytest.raises(BenchFailure, match="does not hold 2 calls"):
        parse_hearing(page(call()), 2)


def test_what_came_late_after_the_end_is_no_silence() -> None:
    assert hearing(call(last_ms=END_MS + 50)).calls[0].quiet_ms == (0, 0)


def test_lost_packets_are_refused_or_gone() -> None:
    assert trial(call(came=(90, 80)), refused=12, misdelivered=3).gone == 15


def rounds_of(case: Case, trials: list[Trial], floors: list[Trial]) -> list[Round]:
    return [Round({case.key: trial}, {case.key: floor}) for trial, floor in zip(trials, floors, strict=True)]


def by_end(case: Case, trials: list[Trial], floors: list[Trial]) -> dict[str, Verdict]:
    found = figures_of("restart", case, rounds_of(case, trials, floors))
    return {figure.key.rpartition("-")[2]: figure.verdict for figure in found}


def test_every_figure_has_its_floor_from_the_same_rounds() -> None:
    trials, floors = [trial(call(30, 20))] * 5, [FLOOR] * 5
    figures = figures_of("restart", WORKER, rounds_of(WORKER, trials, floors))
    assert [figure.key for figure in figures] == [
        f"restart/kill-worker-{end}" for end in ("p50", "p99", "max", "lost", "again")
    ]
    p50 = figures[0]
    assert p50.floor is not None
    assert (len(p50.floor.samples), p50.spread()) == (5, figures[2].spread())
    assert len(p50.ratios()) == 5


def test_relay_that_claims_more_refusals_than_were_lost_fails_its_figures() -> None:
    verdicts = by_end(WORKER, [trial(call(came=(99, 100)), refused=2)], [FLOOR])
    assert set(verdicts.values()) == {Verdict.FAILED}


def test_stretch_that_says_nothing_fails_its_figures_and_so_does_its_floor() -> None:
    late = replace(FLOOR, problem="the generator was late")
    for trials, floors in (([late], [FLOOR]), ([FLOOR], [late])):
        assert set(by_end(WORKER, trials, floors).values()) == {Verdict.FAILED}


HELD_UP = replace(FLOOR, problem="the generator was late", is_held_up=True)


@pytest.mark.parametrize(
    ("spoiled", "tries", "is_sound"),
    [(0, 1, True), (1, 2, True), (ROUND_TRIES - 1, ROUND_TRIES, True), (ROUND_TRIES, ROUND_TRIES, False)],
)
@pytest.mark.parametrize("is_floor", [False, True], ids=["trial", "floor"])
def test_round_in_which_the_generator_was_held_up_is_made_again_and_that_is_said(
    spoiled: int, tries: int, is_sound: bool, is_floor: bool
) -> None:
    made: list[Round] = []

    def make() -> Round:
        bad = HELD_UP if len(made) < spoiled else FLOOR
        made.append(Round({WORKER.key: FLOOR if is_floor else bad}, {WORKER.key: bad if is_floor else FLOOR}))
        return made[-1]

    figure = figures_of("restart", WORKER, [sound_round(make)])[0]
    assert len(made) == tries
    assert (figure.verdict is not Verdict.FAILED) is is_sound
    assert (f"{tries - 1} rounds made again" in figure.note) is (tries > 1)


def test_round_that_is_bad_for_the_relay_is_not_made_again() -> None:
    silent = trial(call(5000, 5000, last_ms=4000), problem="the calls had ended before it was over")
    made = iter([Round({WORKER.key: silent}, {WORKER.key: FLOOR})])
    assert sound_round(lambda: next(made)).trials[WORKER.key] == silent


def test_upgrade_that_loses_one_packet_misses_its_promise() -> None:
    assert by_end(UPGRADE, [trial(call())], [FLOOR])["lost"] is Verdict.HOLDS
    assert by_end(UPGRADE, [trial(call(came=(99, 100)))], [FLOOR])["lost"] is Verdict.MISSED
    assert by_end(WORKER, [trial(call(came=(99, 100)))], [FLOOR])["lost"] is Verdict.REPORTED


def test_packet_at_the_wrong_client_is_our_failure_and_a_peer_s_finding() -> None:
    astray = [trial(call(came=(100, 99)), misdelivered=1)]
    assert by_end(WORKER, astray, [FLOOR])["p50"] is Verdict.FAILED
    assert by_end(PEER, astray, [FLOOR])["p50"] is Verdict.REPORTED


def test_silence_without_an_end_has_no_length() -> None:
    assert set(by_end(ALONE, [trial(call(5000, 5000, last_ms=4000))], [FLOOR])) == {"again"}


def test_curve_rises_over_the_calls_of_each_trial() -> None:
    trials = {"kill": [trial(call(30), call(40)), trial(call(50), call(60))]}
    (line,) = curve_of("restart", "gaps", trials).lines
    assert line.y[0] == pytest.approx((10, 30))
    assert line.y[-1] == pytest.approx((20, 40))


def test_configuration_holds_what_the_setup_says(tmp_path: Path) -> None:
    setup = Setup(listen="198.51.100.1", trunk="10.9.1.2", allow=("10.17.0.0/24",), limits={"recreations_per_s": 1})
    read = tomllib.loads(setup.toml(tmp_path))
    assert read["relay"]["listen"] == ["198.51.100.1:3478"]
    assert read["relay"]["trunk"] == "10.9.1.2:4000"
    assert read["limits"] == {"recreations_per_s": 1}


@pytest.mark.parametrize("length", Length, ids=str)
def test_steps_are_announced_for_every_length(length: Length) -> None:
    rounds = EFFORTS[length].rounds
    assert {key: each.steps(length) for key, each in SCENARIOS.items()} == {
        "restart": rounds,
        "restart-unknown": rounds,
    }
