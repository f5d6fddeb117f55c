"""Where the operator's commands find a relay or a transceiver: the option --at, and its defaults.

Lives here: the option. Must not live here: what a place may be and how it is asked (fastrelay.observe.client).
"""

from __future__ import annotations

from pathlib import Path

import click

from fastrelay.errors import ConfigError
from fastrelay.observe.client import ENVIRONMENT, RUN_DIR, AdminClient, parse_place

at_option = click.option(
    "--at",
    "at",
    metavar="WHERE",
    envvar=ENVIRONMENT,
    default=RUN_DIR,
    show_default=True,
    show_envvar=True,
    help="The relay or transceiver: its --run-dir on this machine, or http://HOST:PORT, its --admin address.",
)


def local_place(at: str, command: str) -> tuple[Path, AdminClient]:
    """The run directory for a command that signals. ConfigError for a URL: signals reach no other machine."""
    client = AdminClient(parse_place(at))
    if client.place.run_dir is None:
        raise ConfigError("--at", f"{command} works on its own machine alone: give the run directory, not {at}")
    return client.place.run_dir, client
