"""Several sittings of one scenario as one: the samples of all, in the order in which they were taken.

Lives here: what becomes of figures, accounts, curves and words that each sitting has of its own. Must not live here:
how often a scenario sits and when (scenario, run).

Within one sitting the same processes take turns, so its spread lacks what differs from process to process (where memory
lies) and from minute to minute. Sittings with new processes, minutes apart, put that into the stated spread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from bench.report.measured import Measured
from bench.report.model import Account, Curve, Figure, Line, Series

Item = TypeVar("Item", Figure, Curve, Line)


def joined(sittings: Sequence[Measured]) -> Measured:
    """One scenario. A figure that failed in one sitting has failed; others keep the samples of those that had it."""
    if len(sittings) == 1:
        return sittings[0]
    return Measured(
        figures=_by_key([each.figures for each in sittings], lambda figure: figure.key, _figure),
        data=_concatenated([each.data for each in sittings]),
        curves=_by_key([each.curves for each in sittings], lambda curve: curve.key, _curve),
        versions={name: text for each in sittings for name, text in each.versions.items()},
        not_run={name: reason for each in sittings for name, reason in each.not_run.items()},
    )


def _by_key(
    sittings: Sequence[Sequence[Item]], key_of: Callable[[Item], str], join: Callable[[dict[int, Item]], Item]
) -> list[Item]:
    """The items of one key, each with the number of its sitting, as one; in the order in which keys first came."""
    found: dict[str, dict[int, Item]] = {}
    for number, items in enumerate(sittings, 1):
        for item in items:
            found.setdefault(key_of(item), {})[number] = item
    return [join(of_key) for of_key in found.values()]


def _figure(of_sitting: dict[int, Figure]) -> Figure:
    figures = list(of_sitting.values())
    # a sitting that could not do what the bar asks has no bar, and says so in its words: that goes for the whole
    words = next((figure for figure in figures if figure.bar is None), figures[0])
    measured = [figure for figure in figures if figure.value is not None]
    return replace(
        words,
        value=_series([figure.value for figure in measured], is_exact=words.is_exact),
        floor=_series([figure.floor for figure in measured], is_exact=words.is_exact),
        accounts=_accounts(account for figure in figures for account in figure.accounts),
        problem=_words({number: figure.problem for number, figure in of_sitting.items()}),
        note=_words({number: figure.note for number, figure in of_sitting.items()}),
    )


def _series(parts: Sequence[Series | None], *, is_exact: bool) -> Series | None:
    """None unless every sitting has it: a floor beside some of the samples makes no pairs."""
    whole = [part for part in parts if part is not None]
    if not whole or len(whole) < len(parts):
        return None
    samples = tuple(sample for part in whole for sample in part.samples)
    # what is the same from run to run is one sample, unless the sittings deny it
    return Series(whole[0].name, samples[:1] if is_exact and len(set(samples)) == 1 else samples)


def _accounts(accounts: Iterable[Account]) -> tuple[Account, ...]:
    """Sums. What does not add up stands beside them as it is: in a sum, one sitting could make up for another."""
    found: dict[str, Account] = {}
    wrong: list[Account] = []
    for account in accounts:
        if not account.adds_up:
            wrong.append(account)
            continue
        before = found.get(account.what, Account(account.what, 0, {}))
        ends = dict.fromkeys([*before.ended, *account.ended])
        ended = {end: before.ended.get(end, 0) + account.ended.get(end, 0) for end in ends}
        found[account.what] = Account(account.what, before.put_in + account.put_in, ended)
    return (*found.values(), *wrong)


def _words(of_sitting: Mapping[int, str]) -> str:
    """Once when all say the same; each with its number when they do not."""
    if len(set(of_sitting.values())) == 1:
        return next(iter(of_sitting.values()))
    return "; ".join(f"sitting {number}: {text}" for number, text in of_sitting.items() if text)


def _curve(of_sitting: dict[int, Curve]) -> Curve:
    curves = list(of_sitting.values())
    lines = _by_key([curve.lines for curve in curves], lambda line: line.name, _line)
    note = _words({number: curve.note for number, curve in of_sitting.items()})
    return replace(curves[0], lines=tuple(lines), note=note)


def _line(of_sitting: dict[int, Line]) -> Line:
    lines = list(of_sitting.values())
    places: dict[float, tuple[float, ...]] = {}
    for line in lines:
        for x, samples in zip(line.x, line.y, strict=True):
            places[x] = places.get(x, ()) + samples
    return replace(lines[0], x=tuple(sorted(places)), y=tuple(places[x] for x in sorted(places)))


def _concatenated(data: Iterable[Mapping[str, Sequence[float]]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for each in data:
        for what, samples in each.items():
            found.setdefault(what, []).extend(samples)
    return found
