"""`fastrelay doctor`: is this machine ready to relay, and how many calls will it carry.

Lives here: options, what is printed, exit codes. Must not live here: the checks and the measurement (fastrelay.doctor).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import click

from fastrelay.cli.keys import as_json
from fastrelay.doctor.capacity import BUSY_SHARE, CALL_PACKETS_PER_S, Capacity, Spread
from fastrelay.doctor.checks import run_checks
from fastrelay.doctor.finding import Finding, Level
from fastrelay.doctor.host import Host, Wanted
from fastrelay.doctor.probes import this_host
from fastrelay.doctor.processors import usable_cores
from fastrelay.errors import FastrelayError
from fastrelay.relay.configuration import read_relay

UNUSABLE = 2
HAS_PROBLEMS = 1
COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}
BAR_CHARACTERS = 30
NO_CARD = "Loopback has no network card: a driver's work comes on top, so leave room and watch the first real calls."


@click.command()
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Judge the machine for the relay of this configuration file; else for one with the defaults.",
)
@as_json
@click.option("--no-measure", is_flag=True, help="Only look; do not measure how many calls the machine will carry.")
@click.pass_context
def doctor(context: click.Context, *, config_path: Path | None, as_json: bool, no_measure: bool) -> None:
    """Tell whether this machine is ready to relay, and how many calls it will carry.

    Each line says what was found and what it does to calls; where something is wrong, the next line is the command
    that mends it. Nothing is changed. The measurement takes three seconds, and no packet of it leaves the loopback
    interface. A relay that serves on the same machine shares its CPUs with it meanwhile.

    \b
    Examples:
      fastrelay doctor
      fastrelay doctor --config /etc/fastrelay/relay.toml --no-measure
      fastrelay doctor --json | jq -r '.findings[] | select(.level != "ok") | .fix'

    The exit code is 0 without a problem (warnings are none), 1 with one, 2 when the configuration cannot be used.
    """
    host = this_host()
    wanted = _wanted(config_path, host, context)
    findings = run_checks(host, wanted)
    capacity, refusal = (None, "not asked for") if no_measure else _measured(host, wanted)
    if as_json:
        click.echo(json.dumps(_report(host, wanted, findings, capacity, refusal), indent=1))
    else:
        _print(findings, capacity, "" if no_measure else refusal, wanted)
    if any(finding.level is Level.PROBLEM for finding in findings):
        context.exit(HAS_PROBLEMS)


def _wanted(config_path: Path | None, host: Host, context: click.Context) -> Wanted:
    if config_path is None:
        return Wanted(workers=len(host.cpus))
    reading = read_relay(config_path, {}, os.environ)
    if reading.settings is None:
        for error in reading.problems:
            click.echo(f"fastrelay: {error}", err=True)
        context.exit(UNUSABLE)
    settings = reading.settings
    return Wanted(
        workers=settings.worker_count or len(host.cpus),
        flows=settings.limits.flows,
        listen=settings.listen,
        trunk=settings.trunk,
        is_offloading=settings.is_offloading,
    )


def _measured(host: Host, wanted: Wanted) -> tuple[Capacity | None, str]:
    """The capacity, or why there is none."""
    # numpy's library starts threads for its algebra unless told not to before it loads: they would be measured along
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from fastrelay.doctor.measure import measure  # noqa: PLC0415

    progress = _progress()
    try:
        return measure(
            usable_cores(host, wanted.workers),
            is_offloading=wanted.is_offloading and host.probes.has_offload_v4,
            progress=progress,
        ), ""
    except (FastrelayError, OSError) as error:
        return None, str(error)
    finally:
        progress(None)


def _progress() -> Callable[[float | None], None]:
    """A bar on a terminal, one line anywhere else. None takes the bar away."""
    if not sys.stderr.isatty():
        click.echo("measuring for 3 s on loopback", err=True)
        return lambda share: None

    def draw(share: float | None) -> None:
        done = round((share or 0) * BAR_CHARACTERS)
        bar = f"measuring on loopback [{'#' * done}{' ' * (BAR_CHARACTERS - done)}]"
        click.echo(f"\r{bar if share is not None else ' ' * len(bar)}\r", err=True, nl=False)

    return draw


def _print(findings: list[Finding], capacity: Capacity | None, refusal: str, wanted: Wanted) -> None:
    for finding in findings:
        level = click.style(f"{finding.level.value:8}", fg=COLOURS[finding.level])
        click.echo(f"{level} {finding.found} {click.style(f'· {finding.why}', dim=True)}")
        if finding.fix:
            click.echo(f"{'':8} fix: {finding.fix}")
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    click.echo(f"\nproblems: {counts[Level.PROBLEM]}, warnings: {counts[Level.WARNING]}, ok: {counts[Level.OK]}")
    if capacity is not None:
        click.echo("\n".join(_capacity_lines(capacity)))
        if capacity.calls.median > (room := wanted.workers * wanted.flows):
            click.echo(f"  Its flow tables have room for {room:,} of them: raise --flows.")
    elif refusal:
        click.echo(f"how many calls this machine will carry could not be measured: {refusal}")


def _capacity_lines(capacity: Capacity) -> list[str]:
    calls, up, down, floor = capacity.calls, capacity.up_ns, capacity.down_ns, capacity.floor_ns
    headline = click.style(f"this machine will carry about {_round(calls.median):,} calls", bold=True)
    count = len(capacity.samples)
    times = f"{count} measurements" if count > 1 else "a single measurement, because the machine is very busy"
    spread = f"between {_round(calls.lowest):,} and {_round(calls.highest):,} in {times}"
    per_call = f"{CALL_PACKETS_PER_S} packets/s x ({up.median:.0f} + {down.median:.0f}) ns"
    return [
        "",
        f"{headline} ({spread})",
        f"  CPU per packet: up {_nanoseconds(up)}, down {_nanoseconds(down)}; only receiving {_nanoseconds(floor)}",
        f"  calls = {capacity.cores:g} cores x {BUSY_SHARE:g} x 1,000,000,000 ns / ({per_call})",
        f"  {NO_CARD}",
    ]


def _nanoseconds(spread: Spread) -> str:
    return f"{spread.median:.0f} ns ({spread.lowest:.0f}-{spread.highest:.0f})"


def _round(calls: float) -> int:
    """To two digits: more would claim what the spread denies."""
    digits = max(0, len(str(int(calls))) - 2)
    return int(round(calls, -digits))


def _report(
    host: Host, wanted: Wanted, findings: list[Finding], capacity: Capacity | None, refusal: str
) -> dict[str, object]:
    return {
        "version": version("fastrelay"),
        "cpus": sorted(host.cpus),
        "workers": wanted.workers,
        "flows": wanted.flows,
        "findings": [finding.build() for finding in findings],
        "capacity": capacity.build() if capacity is not None else None,
        "capacity_refusal": refusal,
        "note": NO_CARD,
    }
