"""`fastrelay bench`: measure a checkout of fastrelay on this machine, and compare two runs.

Lives here: the commands, finding the checkout, and handing over to its harness. Must not live here: measuring (bench/
of the checkout).

The harness is not in the package. It compiles C floors, drives other servers and draws charts; none of that belongs on
a machine that carries calls. And it must measure what it was written beside: figures of one commit's harness over
another commit's relay belong to neither. So these commands find a checkout and become its `python -m bench`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final, NoReturn

import click

import fastrelay
from fastrelay.errors import ConfigError

ENVIRONMENT: Final = "FASTRELAY_CHECKOUT"
OPTION: Final = "--checkout"
HARNESS: Final = Path("bench", "__main__.py")
REPORT: Final = Path("bench", "report", "__main__.py")
PYTHON: Final = Path(".venv", "bin", "python")

checkout_option = click.option(
    OPTION,
    "checkout",
    metavar="DIR",
    envvar=ENVIRONMENT,
    show_envvar=True,
    type=click.Path(path_type=Path),
    help="The checkout to measure. Default: the one this command was installed from, else the current directory's.",
)
short_option = click.option(
    "--short", "length", flag_value="--short", help="A minute or two: shows that it works, not a result."
)
full_option = click.option(
    "--full", "length", flag_value="--full", help="Every peer and every curve, with more rounds: what is published."
)
only_option = click.option("--only", multiple=True, metavar="SCENARIO", help="Only this; may be given again.")
out_option = click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where run.json, report.html and summary.md go. Default: build/bench/COMMIT of the checkout.",
)


@click.group()
def bench() -> None:
    """Measure relay, calls and other relays on this machine; compare two runs.

    Every figure stands beside its floor, measured in turns with it, with every sample kept; a bar that is missed is
    shown like one that holds. A run leaves run.json (all samples), report.html (one page, nothing else needed) and
    summary.md. Needs a checkout in which `make setup` has been run, and a machine that does nothing else.

    \b
    Examples:
      fastrelay bench relay --short            does it work here? a minute or two
      fastrelay bench relay                    what a packet costs on this machine
      fastrelay bench peers                    what it costs other relays
      fastrelay bench relay --only up-4096     one measurement; `fastrelay bench list` names all
      fastrelay bench compare A.json B.json    did my change make it slower?

    The exit code is 0 when every bar holds, 2 when something could not be measured, 3 when a bar is missed.
    """


def _measuring(part: str, what: str) -> click.Command:
    @click.command(part, help=f"{what}\n\n\b\nExample: fastrelay bench {part} --short")
    @checkout_option
    @short_option
    @full_option
    @only_option
    @out_option
    def measure(*, checkout: Path | None, length: str | None, only: tuple[str, ...], out: Path | None) -> None:
        # a scenario is of one part already
        chosen = [argument for name in only for argument in ("--only", name)] or ["--part", part]
        options = [*([length] if length else []), *(["--out", str(out.absolute())] if out else [])]
        _become(find_checkout(checkout, HARNESS), ["-m", "bench", *chosen, *options])

    return measure


bench.add_command(
    _measuring("relay", "CPU per packet, latency, loss and restart gaps of the relay, beside its floors.")
)
bench.add_command(_measuring("calls", "Whole calls on one core: how many, how soon, how much memory; beside aiortc."))
bench.add_command(
    _measuring("peers", "Other relays with the same load, in turns; what is missing is installed or named.")
)


@bench.command("list")
@checkout_option
def list_scenarios(*, checkout: Path | None) -> None:
    """Name every measurement, for --only.

    \b
    Example: fastrelay bench list
    """
    _become(find_checkout(checkout, HARNESS), ["-m", "bench", "--list"])


@bench.command("compare")
@click.argument("first", metavar="A.json", type=click.Path(path_type=Path))
@click.argument("second", metavar="B.json", type=click.Path(path_type=Path))
@click.option("--margin", metavar="SHARE", type=click.FloatRange(0, 1), help="A difference below it is none (0.05).")
@checkout_option
def compare(*, first: Path, second: Path, margin: float | None, checkout: Path | None) -> None:
    """Tell what became faster or slower from run A to run B, and what the noise hides.

    Figures with a floor are compared as ratios to it, round by round: what the machine did to both falls out. The
    verdict is same, faster, slower, or cannot tell.

    \b
    Example: fastrelay bench compare build/bench/0882ab80c1d2/run.json build/bench/1f3c55ab9e01/run.json

    The exit code is 0 when nothing is slower, 1 when something is, 2 when a file cannot be used, 3 when nothing at all
    could be told.
    """
    options = [] if margin is None else ["--margin", str(margin)]
    files = [str(first.absolute()), str(second.absolute())]
    _become(find_checkout(checkout, REPORT), ["-m", "bench.report", "compare", *files, *options])


def find_checkout(named: Path | None, wanted: Path) -> tuple[Path, Path]:
    """A checkout that has `wanted`, and the Python to run it with. ConfigError when there is none."""
    own = Path(fastrelay.__file__).resolve().parents[2]
    here = Path.cwd()
    folders = [named.absolute()] if named is not None else [own, here, *here.parents]
    for folder in folders:
        if (folder / wanted).is_file():
            return folder, _python_of(folder, own)
    if named is not None:
        raise ConfigError(OPTION, f"{named} is no checkout of fastrelay: it has no {wanted}")
    raise ConfigError(
        OPTION, "the benchmarks are not in the package: name a checkout of fastrelay in which `make setup` has been run"
    )


def _python_of(folder: Path, own: Path) -> Path:
    """The one that imports this very checkout, so that what is measured is what is named."""
    if folder == own:
        return Path(sys.executable)
    python = folder / PYTHON
    if not python.is_file():
        raise ConfigError(OPTION, f"{folder} is not set up: run `make setup` in it")
    return python


def _become(found: tuple[Path, Path], arguments: list[str]) -> NoReturn:
    """Signals, terminal and exit code are the harness's own from here."""
    folder, python = found
    os.chdir(folder)
    os.execv(python, [str(python), *arguments])  # noqa: S606
