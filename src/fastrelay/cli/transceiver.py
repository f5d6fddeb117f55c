"""`fastrelay transceiver`: terminate WebRTC for an agent's calls on this machine.

Lives here: the command, its help, and what stands on standard output. Must not live here: the options
(transceiver_options), what a setting means (fastrelay.transceiver.supervisor.schema), processes (supervisor).
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import click

from fastrelay.cli.transceiver_options import transceiver_options
from fastrelay.observe.logs import configure
from fastrelay.transceiver.supervisor.configuration import errors_at_their_place, load_transceiver_settings
from fastrelay.transceiver.supervisor.settings import TransceiverSettings


@click.command()
@transceiver_options
def transceiver(*, config_path: Path | None, flags: dict[str, object]) -> None:
    """Take calls from browsers and SDKs, and let an agent of yours talk on them.

    A client posts its offer over HTTP and gets an answer that names a relay. Its packets come from there over the
    trunk, one socket for each worker process. An agent is an async function in Python; without --agent it is an echo.

    \b
    Examples:
      fastrelay keys new keys.json
      fastrelay transceiver --trunk 10.0.0.7 --relay 203.0.113.5:3478 --allow 10.0.0.5 \\
          --keys keys.json --agent shop.voice:assistant --http 10.0.0.7:8080 --api-keys api-keys.txt
      fastrelay transceiver --config /etc/fastrelay/transceiver.toml

    When it serves, one line beginning with "ready" goes to standard output. TERM drains: no new calls, and it ends when
    the last one has ended; a second TERM, or Ctrl-C, ends it at once. HUP reads configuration and keys again; what
    cannot be used is refused whole, and the old one stays. USR2 replaces the workers' processes by the release, and the
    agent, that are installed now; calls stay where they are until they end. The exit code is 0 after TERM or Ctrl-C, 1
    when no worker would start, 2 when the configuration cannot be used.
    """

    def read_settings() -> TransceiverSettings:
        return load_transceiver_settings(config_path, flags, os.environ)

    settings = read_settings()
    configure(settings.log_form)
    # asyncio and the HTTP library take most of a second to load, which no other command should wait for
    import asyncio  # noqa: PLC0415

    from fastrelay.transceiver.supervisor.supervisor import Supervisor  # noqa: PLC0415

    supervisor = Supervisor(settings, read_settings=read_settings, release=version("fastrelay"))

    def say_ready() -> None:
        premises = supervisor.premises
        admin = "" if premises.admin is None else f" admin {premises.admin}"
        trunks = " ".join(member.status.trunk for member in supervisor.crew.members)
        click.echo(f"ready: http {premises.url} trunk {trunks}{admin}")

    with errors_at_their_place(settings):
        asyncio.run(supervisor.run(say_ready))
