"""The gate guards the relay, so it is held itself: what it reads, when it alarms, and how often it is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from rich.console import Console

from bench.gate import words
from bench.gate.budget import Budget, Ratios, load_budget
from bench.gate.decision import ERROR, SESSIONS_MAX, SESSIONS_TO_ALARM, Decision, decide, outside_interval
from bench.gate.gate import Outcome, excesses_of
from bench.gate.measure import PHASES, Figure
from bench.gate.profile import parse_profile
from bench.gate.ratios import PAIRS, ROUNDS, Judged
from bench.gate.slowing import Slowing
from bench.gate.trials import WANTED, Kind, Trial, next_kind, read_record, slowing_of, write_record
from tests.unit.bench_runs import CARD

PROFILE = """\
# callgrind format
desc: Trigger: Client Request: up_160
positions: line
events: Ir sysCount sysTime
summary: 1234 7 90

fn=(1) forward
10 200
+3 30
cfn=(2) malloc@@GLIBC_2.2.5
calls=3 0
* 900 2 40
-2 4
fn=(2)
* 90
cfn=(1)
calls=1 10
* 10
fn=(3) recvmmsg
20 0 5 50

totals: 1234 7 90
"""
MARGIN = 0.05
FLOOR = 1.0


def test_profile_counts_own_instructions_and_calls_of_allocators_and_of_the_kernel() -> None:
    profile = parse_profile(PROFILE)
    assert profile is not None
    assert (profile.label, profile.instructions, profile.allocations, profile.system_calls) == ("up_160", 1234, 3, 7)
    assert profile.by_function == {"forward": 234, "malloc": 90, "recvmmsg": 0}
    assert +profile.calls_by_function == {"recvmmsg": 5}


def test_profile_without_a_system_call_has_none() -> None:
    profile = parse_profile(PROFILE.replace("1234 7 90", "1234"))
    assert profile is not None
    assert profile.system_calls == 0


def test_profile_without_a_label_is_nobodys() -> None:
    assert parse_profile(PROFILE.replace("Client Request: up_160", "Program termination")) is None


def test_every_phase_of_the_gate_has_a_budget_and_every_pair_a_ratio() -> None:
    budget = load_budget()
    names = {phase.name for phase in PHASES}
    assert all(set(budget.counts[kind]) == names for kind in budget.counts)
    assert set(budget.ratios.usual) == {pair.name for pair in PAIRS}


def test_forwarding_may_not_allocate_and_srtp_may_not_call_the_kernel() -> None:
    counts = load_budget().counts
    assert {name: count for name, count in counts["allocations"].items() if count} == {
        "admission": 40,
        "srtp_open": 0.07,
    }
    assert {name for name, count in counts["system_calls"].items() if not count} == {"srtp_open", "srtp_seal"}


def test_budget_without_a_table_is_no_budget(tmp_path: Path) -> None:
    text = "[instructions]\n[allocations]\n[ratios]\n"
    path = tmp_path / "budget.toml"
    path.write_text(text)
    with pytest.raises(KeyError, match="system_calls"):
        load_budget(path)


RATIOS = Ratios("AMD EPYC", "6.18", MARGIN, 0.25, {"up": 1.2})


@pytest.mark.parametrize(
    ("processor", "kernel", "margin"),
    [
        pytest.param("AMD EPYC", "6.18.5", MARGIN, id="same kind"),
        pytest.param("AMD EPYC", "6.1.85", 0.25, id="another kernel"),
        pytest.param("Intel Xeon", "6.18.5", 0.25, id="another processor"),
    ],
)
def test_ratios_are_judged_strictly_only_where_they_were_measured(processor: str, kernel: str, margin: float) -> None:
    found = RATIOS.margin_on(replace(CARD, processor=processor, kernel=kernel))
    assert found == margin
    assert RATIOS.limits(found) == {"up": pytest.approx(1.2 * (1 + margin))}


# --- the decision -------------------------------------------------------------


def session(chance: Random, ratio: float, noise: float = 0.04, start: float = 0.01) -> list[float]:
    """As measured: each start is off by about one percent, each pair by a few, and a neighbour makes outliers."""
    middle = ratio * chance.lognormvariate(0, start)
    return [
        middle * chance.lognormvariate(0, noise) * (chance.uniform(0.7, 1.6) if chance.random() < 0.08 else 1)
        for _ in range(ROUNDS)
    ]


def gate(chance: Random, ratio: float, **how: float) -> Decision:
    """Sessions until the decision is final, against a usual ratio of 1."""
    sessions = [session(chance, ratio, **how)]
    while not (decision := decide(sessions, FLOOR * (1 + MARGIN))).is_final:
        sessions.append(session(chance, ratio, **how))
    return decision


@pytest.mark.parametrize(
    ("ratio", "alarms"), [(1.0, 0), (1.01, 0), (1.1, 300)], ids=["unchanged", "drifted by 1 %", "10 % slower"]
)
def test_gate_is_right_about_a_clear_case(ratio: float, alarms: int) -> None:
    decisions = [gate(Random(seed), ratio) for seed in range(300)]
    assert sum(decision.is_above for decision in decisions) == alarms


def test_unchanged_relay_is_let_pass_after_few_sessions() -> None:
    sessions = [gate(Random(seed), 1.0).sessions for seed in range(300)]
    assert sum(sessions) / len(sessions) < 2


def test_noise_asks_for_more_sessions_and_then_the_median_decides() -> None:
    decisions = [gate(Random(seed), 1.049, noise=0.3) for seed in range(100)]
    by_median = [decision for decision in decisions if not decision.is_clear]
    assert by_median
    assert {decision.sessions for decision in by_median} == {SESSIONS_MAX}
    assert {decision.is_above for decision in by_median} == {False, True}


def test_one_bad_session_is_no_alarm() -> None:
    chance = Random(1)
    bad = session(chance, 1.3)
    assert not decide([bad], FLOOR * (1 + MARGIN)).is_final
    good = [session(chance, 1.0) for _ in range(SESSIONS_MAX - 1)]
    assert not decide([bad, *good[: SESSIONS_TO_ALARM - 1]], FLOOR * (1 + MARGIN)).is_above
    decision = decide([bad, *good], FLOOR * (1 + MARGIN))
    assert (decision.is_final, decision.is_above) == (True, False)


@pytest.mark.parametrize("samples", [ROUNDS, 2 * ROUNDS, 3 * ROUNDS])
def test_interval_misses_the_true_median_as_rarely_as_it_says(samples: int) -> None:
    chance, tries = Random(7), 4000
    decisions = [decide([[chance.gauss(0, 1) for _ in range(samples)]], 1.0) for _ in range(tries)]
    missed = sum(not decision.low <= 0 <= decision.high for decision in decisions)
    assert missed / tries <= 1.5 * ERROR


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="7 samples say nothing"):
        outside_interval(7)
    assert outside_interval(8) == 0


# --- what it says ----------------------------------------------------------------


def a_figure(**counts: float) -> Figure:
    found = {"instructions": 212.0, "allocations": 0.0, "system_calls": 0.028} | counts
    return Figure(PHASES[0], found, {"up_handle": 150.0, "up_receive": 60.0}, {"recvmmsg": 0.02}, {})


def heard(outcome: Outcome, budget: Budget) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        words.show(console, outcome, budget)
    return capture.get()


def outcome_of(budget: Budget, figure: Figure, middle: float = 1.0, sessions: int = 3) -> Outcome:
    decision = Decision(FLOOR * (1 + MARGIN), middle, middle * 0.99, middle * 1.01, sessions)
    return Outcome([figure], [Judged(PAIRS[0], decision, (900.0,))], excesses_of([figure], budget))


def test_gate_within_its_budget_is_silent_about_remedies() -> None:
    budget = load_budget()
    outcome = outcome_of(budget, a_figure())
    assert not outcome.is_alarm
    assert "ABOVE" not in heard(outcome, budget)
    assert words.IF_MEANT not in heard(outcome, budget)


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        pytest.param(
            a_figure(instructions=242.0),
            ["242.0 instructions per packet, budget 220, 10.0% above", "--phase up_160 --lines", "up_handle"],
            id="instructions",
        ),
        pytest.param(
            a_figure(system_calls=0.056),
            ["0.0560 system calls per packet, budget 0.032, 75.0% above", "recvmmsg"],
            id="system calls",
        ),
        pytest.param(a_figure(allocations=1.0), ["1.0000 allocations per packet, budget 0."], id="a budget of nothing"),
    ],
)
def test_count_above_its_budget_says_which_by_how_much_and_where(figure: Figure, said: list[str]) -> None:
    budget = load_budget()
    outcome = outcome_of(budget, figure)
    assert outcome.is_alarm
    text = heard(outcome, budget)
    assert [part for part in [*said, words.IF_MEANT] if part not in text] == []


def test_ratio_above_its_limit_says_by_how_much_and_where_to_look() -> None:
    budget = load_budget()
    outcome = outcome_of(budget, a_figure(), middle=1.155)
    assert outcome.is_alarm
    text = heard(outcome, budget)
    said = ["1.155 times the CPU time", "limit 1.050, 10.0% above, sure after 3 sessions", "No count has risen"]
    assert [part for part in [*said, words.IF_MEANT] if part not in text] == []


# --- the trials ---------------------------------------------------------------------


def a_trial(kind: Kind, *, is_alarm: bool = False) -> Trial:
    ns = {"up-4096/receive": 900.0, "up-mixed/receive": 1000.0, "down-4096/send": 2700.0}
    return Trial(kind.value, is_alarm, [], [], {}, {}, ns, 3, 12.0, 0.5)


def test_trials_of_all_kinds_advance_together_and_end() -> None:
    done = [a_trial(Kind.UNCHANGED)]
    assert next_kind([], WANTED) is Kind.UNCHANGED
    while (kind := next_kind(done, WANTED)) is not None:
        done.append(a_trial(kind))
    assert {kind: sum(trial.kind == kind for trial in done) for kind in WANTED} == WANTED
    halfway = done[: len(done) // 2]
    assert sum(trial.kind == Kind.WORK for trial in halfway) == WANTED[Kind.WORK] // 2


def test_burden_is_a_tenth_of_what_the_unchanged_relay_costs() -> None:
    done = [a_trial(Kind.UNCHANGED)]
    assert slowing_of(Kind.UNCHANGED, done) is None
    assert slowing_of(Kind.WORK, done) == Slowing(up_ns=90.0, down_ns=270.0)
    assert slowing_of(Kind.BATCH, done) == Slowing(batch_divisor=2)


@pytest.mark.parametrize(
    ("kind", "is_alarm", "is_right"),
    [
        (Kind.UNCHANGED, False, True),
        (Kind.UNCHANGED, True, False),
        (Kind.WORK, True, True),
        (Kind.WORK, False, False),
    ],
    ids=["silent", "false alarm", "noticed", "missed"],
)
def test_trial_is_right_when_it_alarms_about_a_slowed_relay_alone(kind: Kind, is_alarm: bool, is_right: bool) -> None:
    assert a_trial(kind, is_alarm=is_alarm).is_right is is_right


def test_record_of_trials_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "trials.json"
    assert read_record(path) == []
    write_record(path, [a_trial(Kind.WORK, is_alarm=True)])
    assert read_record(path) == [a_trial(Kind.WORK, is_alarm=True)]
