"""The comparison of three designs: what is recognised as an echo, what a gap is, and what figures are made of."""

from __future__ import annotations

import pytest
from aiortc.codecs.opus import OpusDecoder, OpusEncoder
from aiortc.jitterbuffer import JitterFrame

from bench.calls.caller import Caller, Stage
from bench.calls.ensemble import Window
from bench.calls.ping import BEFORE, EVERY_FRAMES, Ear, Pings, pings, silence
from bench.calls.punctuality import Punctuality
from bench.calls.voice import FRAME_SAMPLES, FRAMES
from bench.designs.cast import against_others, percentiles_against_others
from bench.designs.orders import OFFER_AGAIN_S, RETRY_S, is_hopeless, longest_gap_ms, phases_ms
from bench.designs.party import PHASES, Silence, Spell
from bench.designs.scenarios import PHASE_WORDS, SCENARIOS, arrived_of, cpu_curve, growth, heard_again, split
from bench.designs.servers import PER_SESSION, SINGLE_PORT, TIERS
from bench.report.model import Verdict
from bench.scenario import Length
from fastrelay.transceiver.certificate import Certificate
from fastrelay.transceiver.dtls import DtlsContexts

QUIET, LOUD = 25, 60
MS = 1_000_000


def beginnings(sizes: list[int]) -> list[int]:
    ear = Ear()
    return [place for place, size in enumerate(sizes) if ear.begins(size)]


def encoded_again(payloads: list[bytes]) -> list[int]:
    """The sizes of what aiortc makes of a stream."""
    decoder, encoder = OpusDecoder(), OpusEncoder()
    frames = [
        frame
        for place, payload in enumerate(payloads)
        for frame in decoder.decode(JitterFrame(data=payload, timestamp=place * FRAME_SAMPLES))
    ]
    return [len(payload) for frame in frames for payload in encoder.encode(frame)[0]]


def test_noises_are_heard_in_the_frames_that_carry_them() -> None:
    stream = pings() * 2
    wanted = list(range(EVERY_FRAMES, 2 * FRAMES, EVERY_FRAMES))  # the first comes before silence is known
    assert beginnings([len(payload) for payload in stream]) == wanted


def test_noises_are_heard_in_the_same_frames_of_a_stream_that_was_encoded_again() -> None:
    wanted = list(range(EVERY_FRAMES, 2 * FRAMES, EVERY_FRAMES))
    assert beginnings(encoded_again(pings() * 2)) == wanted


def test_silence_has_no_noises() -> None:
    assert len(silence()) == FRAMES
    assert beginnings([len(payload) for payload in silence()]) == []


@pytest.mark.parametrize(
    ("size", "is_noise"), [(2 * QUIET, True), (2 * QUIET - 1, False)], ids=["twice as large", "not quite"]
)
def test_a_noise_is_twice_as_large_as_what_was_before(size: int, is_noise: bool) -> None:
    assert beginnings([QUIET] * BEFORE + [size]) == ([BEFORE] if is_noise else [])


def test_nothing_is_a_noise_before_enough_was_heard() -> None:
    assert beginnings([QUIET] * (BEFORE - 1) + [LOUD]) == []


def pinged(*, heard_after_frames: int | None) -> Pings:
    """Two noises; the first is heard after so many frames."""
    found = Pings()
    for place in range(2 * EVERY_FRAMES + BEFORE):
        at_ns = place * 20 * MS
        found.say(LOUD if place in (BEFORE, BEFORE + EVERY_FRAMES) else QUIET, at_ns)
        is_heard = heard_after_frames is not None and place == BEFORE + heard_after_frames
        found.hear(LOUD if is_heard else QUIET, at_ns + 2 * MS)
    return found


def test_a_round_trip_lasts_from_saying_to_hearing() -> None:
    found = pinged(heard_after_frames=4)
    assert found.round_trips_ms == [82.0]
    assert (found.said, found.lost, found.waiting) == (2, 0, 1)


def test_a_noise_after_which_another_is_said_is_lost() -> None:
    found = pinged(heard_after_frames=None)
    assert (found.said, found.lost, found.waiting, found.round_trips_ms) == (2, 1, 1, [])


@pytest.fixture(scope="module")
def contexts() -> DtlsContexts:
    return DtlsContexts(Certificate.generate(1_800_000_000.0))


def test_the_wait_for_the_next_frame_is_no_phase_of_a_set_up(contexts: DtlsContexts) -> None:
    caller = Caller(0, contexts, "main", 10.0)
    caller.answered_s, caller.checked_s, caller.up_s = 10.003, 10.004, 10.006
    caller.spoke_s, caller.heard_s = 10.020, 10.022
    caller.hang_up(11.0)
    assert phases_ms(caller) == [3.0, 1.0, 2.0, 2.0]
    assert list(PHASE_WORDS) == list(PHASES)


@pytest.mark.parametrize(
    ("stage", "waited_s", "hopeless"),
    [
        pytest.param(Stage.FAILED, RETRY_S, False, id="just refused"),
        pytest.param(Stage.FAILED, RETRY_S + 0.01, True, id="refused"),
        pytest.param(Stage.ASKING, OFFER_AGAIN_S, False, id="asking"),
        pytest.param(Stage.CHECKING, OFFER_AGAIN_S + 0.1, True, id="nobody answers its checks"),
    ],
)
def test_a_client_offers_again_when_nothing_can_come_any_more(
    contexts: DtlsContexts, stage: Stage, waited_s: float, hopeless: bool
) -> None:
    caller = Caller(0, contexts, "main", 0.0)
    caller.stage = stage
    assert is_hopeless(caller, waited_s) is hopeless
    caller.arrivals = [(1, 1)]
    assert not is_hopeless(caller, waited_s), "it hears itself"
    caller.hang_up(1.0)


def test_the_longest_silence_is_between_neighbours_in_time_less_what_lies_between_any_two() -> None:
    assert longest_gap_ms([40 * MS, 0, 20 * MS, 95 * MS]) == 35.0
    assert longest_gap_ms([0, 19 * MS]) == 0.0
    assert longest_gap_ms([5]) == 0.0


def spell(cpu_ms: float, *, expected: int = 100, arrived: int = 100, on_time: int = 100) -> Spell:
    judged = Punctuality(2, expected, arrived, on_time, 1.0, {"p99": 1.0})
    return Spell(Window(judged, 0, 0.0, 0.5), 2, {"relay worker": cpu_ms / 4, "rest": cpu_ms * 3 / 4})


def test_the_cost_of_a_call_is_that_of_all_processes() -> None:
    assert spell(4.0).cpu_ms == 4.0
    assert split([spell(4.0), spell(8.0), spell(4.0)]) == "relay worker 1.00 ms, rest 3.00 ms"


def test_each_frame_of_each_window_is_accounted_for() -> None:
    account = arrived_of("x", [spell(1), spell(1, arrived=98, on_time=90)])
    assert account.put_in == 200
    assert account.ended == {"on time": 190, "late": 8, "not heard": 2}
    assert account.adds_up


def test_calls_that_are_not_heard_again_are_said_to_be_lost() -> None:
    account = heard_again("x", [Silence(5, [1.0] * 5), Silence(5, [1.0] * 4)])
    assert account.ended == {"heard again": 9, "lost": 1}
    assert account.adds_up


SAMPLES = {PER_SESSION: [40.0, 60.0], SINGLE_PORT: [1.0, 2.0], TIERS: [4.0, 4.0]}


def test_ours_is_shown_beside_each_other_design() -> None:
    figures = against_others("k", "what", "ms", SAMPLES, is_paired=True)
    assert [figure.key for figure in figures] == ["k/aiortc", "k/pion"]
    assert [figure.ratios() for figure in figures] == [(0.1, 4 / 60), (4.0, 2.0)]
    assert {figure.verdict for figure in figures} == {Verdict.REPORTED}


def test_a_note_is_shown_once_and_a_headline_where_it_is_wanted() -> None:
    figures = against_others("k", "what", "ms", SAMPLES, note="why", headline=SINGLE_PORT)
    assert [(figure.note, figure.is_headline) for figure in figures] == [("why", False), ("", True)]


def test_a_design_that_did_not_run_has_no_figure() -> None:
    figures = percentiles_against_others("k", "what", "ms", {PER_SESSION: [40.0], TIERS: [4.0]})
    assert [figure.key for figure in figures] == ["k-p50/aiortc", "k-p99/aiortc"]


def test_a_curve_has_all_designs_and_the_parts_of_ours() -> None:
    levels = [[spell(4.0)], [spell(2.0)]]
    curve = cpu_curve((10, 100), {SINGLE_PORT: levels, TIERS: levels})
    assert [line.name for line in curve.lines] == [SINGLE_PORT, TIERS, f"{TIERS}: relay worker", f"{TIERS}: rest"]
    assert curve.lines[2].y == ((1.0,), (0.5,))


def test_growth_is_what_one_more_call_adds() -> None:
    assert growth((10, 30, 40), [100.0, 140.0, 150.0]) == [2.0, 1.0]


@pytest.mark.parametrize("length", Length)
def test_every_scenario_has_steps_of_every_length(length: Length) -> None:
    assert all(scenario.steps(length) > 0 for scenario in SCENARIOS.values())
