"""Silence as figures: percentiles over calls, one sample for each trial, and what became of every packet.

Lives here: from trials to figures and the curve. Must not live here: how trials are made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from bench.report.measured import series
from bench.report.model import Account, Bar, Better, Curve, Figure, Line
from bench.restart.cases import FLOOR, Case
from bench.restart.trial import Round, Trial

PERCENTILES: Final = {"p50": 50.0, "p99": 99.0, "max": 100.0}
SHARES: Final = (0.0, 1.0, 5.0, *(float(share) for share in range(10, 100, 10)), 95.0, 99.0, 100.0)


def figures_of(prefix: str, case: Case, rounds: Sequence[Round]) -> list[Figure]:
    """The gaps, the loss, and the calls that go on."""
    trials = [each.trials[case.key] for each in rounds]
    floors = [each.floors[case.key] for each in rounds]
    again = again_of(prefix, case, trials, floors)
    if not case.ends:
        return [again]
    return [*gaps_of(prefix, case, trials, floors), loss_of(prefix, case, trials, floors), again]


def gaps_of(prefix: str, case: Case, trials: Sequence[Trial], floors: Sequence[Trial]) -> list[Figure]:
    """How long calls were silent."""
    return [
        Figure(
            key=f"{prefix}/{case.key}-{name}",
            what=f"{case.what}: silence, {name} of calls",
            unit="ms",
            value=series(case.key, (trial.hearing.gap_ms(percent) for trial in trials)),
            floor=series(FLOOR, (trial.hearing.gap_ms(percent) for trial in floors)),
            is_paired=True,
            accounts=accounts_of(trials),
            problem=problem_of(case, trials, floors),
            note=note_of(case.note, trials),
            is_headline=case.is_headline and name == "p99",
        )
        for name, percent in PERCENTILES.items()
    ]


def loss_of(prefix: str, case: Case, trials: Sequence[Trial], floors: Sequence[Trial]) -> Figure:
    """Packets a call lost, both ways: at 50 a second each way, 100 are a second of talk and a second of hearing."""
    return Figure(
        key=f"{prefix}/{case.key}-lost",
        what=f"{case.what}: packets lost",
        unit="packets/call",
        value=series(case.key, (lost_per_call(trial) for trial in trials)),
        floor=series(FLOOR, (lost_per_call(trial) for trial in floors)),
        bar=Bar(0.0) if case.is_lossless else None,
        # what must lose nothing must never lose anything: the worst round is judged, not the usual one
        percent=100.0 if case.is_lossless else 50.0,
        accounts=accounts_of(trials),
        problem=problem_of(case, trials, floors),
        note=note_of("100 packets are one second of both ways", trials),
    )


def again_of(prefix: str, case: Case, trials: Sequence[Trial], floors: Sequence[Trial]) -> Figure:
    """Calls that are heard again before the stretch ends."""
    return Figure(
        key=f"{prefix}/{case.key}-again",
        what=f"{case.what}: calls heard again within {case.duration_ms / 1000:g} s",
        unit="%",
        better=Better.HIGHER,
        value=series(case.key, (trial.hearing.heard_again_percent for trial in trials)),
        floor=series(FLOOR, (trial.hearing.heard_again_percent for trial in floors)),
        is_paired=True,
        accounts=accounts_of(trials),
        problem=problem_of(case, trials, floors),
        note=note_of(case.note, trials),
    )


def curve_of(prefix: str, title: str, trials: Mapping[str, Sequence[Trial]]) -> Curve:
    """The gap that each share of the calls does not exceed."""
    lines = tuple(
        Line(name, SHARES, tuple(tuple(trial.hearing.gap_ms(share) for trial in each) for share in SHARES))
        for name, each in trials.items()
    )
    return Curve(prefix, title, "% of calls that are silent no longer", "ms of silence", lines)


def lost_per_call(trial: Trial) -> float:
    """Both ways."""
    return trial.hearing.lost / len(trial.hearing.calls)


def accounts_of(trials: Sequence[Trial]) -> tuple[Account, ...]:
    """Media of all trials. More refused than lost would show as less than nothing gone, and fail the figure."""
    ended = {
        "arrived": sum(trial.hearing.sent - trial.hearing.lost for trial in trials),
        "refused and counted by a relay that did not know the call": sum(trial.refused for trial in trials),
        "came to another call's client": sum(trial.misdelivered for trial in trials),
        "sent to nobody, or gone with process or host": sum(trial.gone for trial in trials),
    }
    return (Account("packets of media sent", sum(trial.hearing.sent for trial in trials), ended),)


def note_of(words: str, trials: Sequence[Trial]) -> str:
    """With the rounds that were made again."""
    repeated = sum(trial.rounds_before for trial in trials)
    again = f"{repeated} rounds made again, the generator was held up" if repeated else ""
    return "; ".join(filter(None, (words, again)))


def problem_of(case: Case, trials: Sequence[Trial], floors: Sequence[Trial]) -> str:
    """The first reason why these say nothing."""
    misdelivered = sum(trial.misdelivered for trial in trials)
    if case.is_ours and misdelivered:
        return f"{misdelivered:,} packets came to another call's client"
    return next((trial.problem for trial in (*trials, *floors) if trial.problem), "")
