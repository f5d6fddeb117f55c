"""The saved baseline of the micro benchmarks, and how a run compares with it.

Lives here: ratios, margins and verdicts. Must not live here: running anything (__main__).

What is saved is no time but a ratio: the fastest round of a benchmark to the fastest of a reference timed beside it.
"""

import json
import math
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

BASELINE: Final = Path(__file__).with_name("baseline.json")
MARGIN: Final = 0.2
"""Above the median ratio of several runs: far from the noise of rounds that were calibrated undisturbed."""
MARGIN_ELSEWHERE: Final = 1.0
"""On another processor or Python the ratios are others: only what has doubled is told."""
NS_PER_S: Final = 1e9
ROUND_S: Final = 5e-6
"""What pytest-benchmark shall make a round last at least, by as many calls as that takes."""


@dataclass(frozen=True)
class Baseline:
    """The ratios of several runs, and where they are of."""

    processor: str
    python: str
    ratios: dict[str, float]

    def margin_on(self, processor: str) -> float:
        """What may be added to the ratios here."""
        is_home = (processor, python_version()) == (self.processor, self.python)
        return MARGIN if is_home else MARGIN_ELSEWHERE


def python_version() -> str:
    """Without the patch level, which changes no interpreter's speed."""
    return ".".join(platform.python_version_tuple()[:2])


def read_baseline(path: Path = BASELINE) -> Baseline:
    """The committed one."""
    return Baseline(**json.loads(path.read_text()))


def write_baseline(baseline: Baseline, path: Path = BASELINE) -> None:
    """Sorted, so that a change of one is a diff of one line."""
    path.write_text(json.dumps(asdict(baseline), indent=1, sort_keys=True) + "\n")


def ratios_of(report: Path) -> dict[str, float]:
    """What pytest-benchmark's JSON says, by test. Infinite, so to be looked at again, where a round was far too short:
    the process was interrupted when calls were counted out, and the clock's own cost is in the figure."""
    ratios = {}
    for each in json.loads(report.read_text())["benchmarks"]:
        fastest_s, calls = each["stats"]["min"], each["stats"]["iterations"]
        is_sound = fastest_s * calls >= ROUND_S / 2
        ratio = fastest_s * NS_PER_S / each["extra_info"]["reference_ns"]
        ratios[each["fullname"].rpartition("/")[2]] = ratio if is_sound else math.inf
    return ratios


def middle_of(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median ratio of each benchmark: a single run may be half as large again."""
    return {name: round(statistics.median(run[name] for run in runs), 4) for name in runs[0]}


def slower(ratios: Mapping[str, float], baseline: Baseline, margin: float) -> dict[str, float]:
    """By how much each is above what it may be; run and baseline must know the same benchmarks."""
    if unknown := sorted(set(ratios) ^ set(baseline.ratios)):
        raise KeyError(f"either without a baseline or not run: {', '.join(unknown)}: python -m bench.micro --save")
    return {
        name: ratio / baseline.ratios[name] - 1
        for name, ratio in ratios.items()
        if ratio > baseline.ratios[name] * (1 + margin)
    }
