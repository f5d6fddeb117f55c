"""`fastrelay check`: would a relay, or a transceiver, start with this configuration?

Lives here: what is looked at on this machine beside the file, and the report. Must not live here: what a setting may be
(the schemas). No socket is opened.
"""

from __future__ import annotations

import json
import os
import pwd
import time
from collections.abc import Iterator
from pathlib import Path

import click

from fastrelay.cli.keys import as_json
from fastrelay.cli.tier import Settings, Tier, tier_of
from fastrelay.config.description import value_lines
from fastrelay.errors import ConfigError
from fastrelay.service.configuration import Reading
from fastrelay.transceiver.supervisor.charges import read_api_keys
from fastrelay.transceiver.supervisor.settings import TransceiverSettings
from fastrelay.transceiver.worker.signalling import tls_context

UNUSABLE = 2


@click.command()
@click.argument("file", metavar="CONFIG", type=click.Path(path_type=Path))
@as_json
@click.pass_context
def check(context: click.Context, file: Path, *, as_json: bool) -> None:
    """Check the configuration file of a relay or a transceiver, together with the environment; nothing is started.

    Every error is told, with its line. What depends on the machine (keys, certificates, CPUs, the user) is only warned
    of, because the file may be meant for another.

    \b
    Examples:
      fastrelay check /etc/fastrelay/relay.toml && systemctl reload fastrelay-relay
      fastrelay check transceiver.toml --json | jq -r '.errors[].place'

    The exit code is 0 when one could start with it, 2 when not.
    """
    tier = tier_of(file)
    reading = tier.read(file, {}, os.environ)
    warnings = list(_warnings(tier, reading))
    if as_json:
        click.echo(json.dumps(_report(file, reading, warnings), indent=1))
    else:
        _print(file, reading, warnings)
    if reading.problems:
        context.exit(UNUSABLE)


def _print(file: Path, reading: Reading[Settings], warnings: list[ConfigError]) -> None:
    for error in reading.problems:
        click.echo(str(error), err=True)
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    if reading.problems:
        count = len(reading.problems)
        click.echo(f"{file}: {count} error{'s' if count > 1 else ''}", err=True)
        return
    shown = reading.configuration.shown()
    given = [name for name, origin in shown.items() if origin["from"] != "default"]
    click.echo(f"{file}: ok")
    for line in value_lines(shown, given):
        click.echo(f"  {line}")
    click.echo(f"  {len(shown) - len(given)} other settings have their defaults (fastrelay config show)")


def _report(file: Path, reading: Reading[Settings], warnings: list[ConfigError]) -> dict[str, object]:
    return {
        "file": str(file),
        "is_ok": not reading.problems,
        "errors": [_entry(error) for error in reading.problems],
        "warnings": [_entry(warning) for warning in warnings],
        "configuration": reading.configuration.shown(),
    }


def _entry(error: ConfigError) -> dict[str, str]:
    return {"place": error.key, "problem": error.problem}


def _warnings(tier: Tier, reading: Reading[Settings]) -> Iterator[ConfigError]:
    if reading.keys_problem is not None:
        yield reading.keys_problem
    if reading.settings is None:
        return
    for look in (_keys, _cpus, _user, _signalling):
        if reading.keys_problem is not None and look is _keys:
            continue
        try:
            look(reading.settings)
        except ConfigError as warning:
            yield tier.places.named(warning, reading.settings.shown)


def _keys(settings: Settings) -> None:
    settings.load_keys().minting_key(time.time())


def _cpus(settings: Settings) -> None:
    available = os.sched_getaffinity(0)
    if missing := [cpu for cpu in settings.cpus if cpu not in available]:
        listed = ",".join(map(str, sorted(available)))
        raise ConfigError("--workers", f"CPU {missing[0]} is not among this process's CPUs here ({listed})")
    if settings.workers is not None and settings.workers > len(available):
        raise ConfigError("--workers", f"{settings.workers} workers would share {len(available)} CPUs here")


def _user(settings: Settings) -> None:
    if settings.user is None:
        return
    try:
        pwd.getpwnam(settings.user)
    except KeyError:
        raise ConfigError("--user", f"there is no user {settings.user!r} here") from None


def _signalling(settings: Settings) -> None:
    if isinstance(settings, TransceiverSettings):
        http = settings.signalling
        read_api_keys(http.api_keys_file)
        tls_context(http.certificate_file, http.key_file)
