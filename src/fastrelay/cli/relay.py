"""`fastrelay relay`: run a relay on this machine.

Lives here: the command, its help, and what stands on standard output. Must not live here: the options (relay_options),
what a setting means (fastrelay.relay.schema), processes (fastrelay.relay.supervisor).
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, closing
from importlib.metadata import version
from pathlib import Path

import click

from fastrelay.cli.relay_options import relay_options
from fastrelay.observe.logs import configure
from fastrelay.relay.configuration import errors_at_their_place, load_relay_settings
from fastrelay.relay.settings import RelaySettings
from fastrelay.relay.supervisor import Supervisor
from fastrelay.relay.upgrade import is_rehearsal, rehearse


@click.command()
@relay_options
def relay(*, config_path: Path | None, flags: dict[str, object]) -> None:
    """Forward clients' packets to the transceivers their route tokens name, and back.

    A client's first packet carries a route token in its ICE user name (mint one with `fastrelay token mint`). From
    then on the relay forwards that client's packets unread. It answers no one it does not know.

    \b
    Examples:
      fastrelay keys new keys.json
      fastrelay relay --listen 203.0.113.5:3478 --trunk 10.0.0.5:4000 \\
          --keys keys.json --allow 10.0.0.0/8
      fastrelay relay --config /etc/fastrelay/relay.toml

    When it serves, one line beginning with "ready" goes to standard output. TERM drains: no new calls, and it ends when
    the last one has ended; a second TERM, or Ctrl-C, ends it at once. HUP reads configuration and keys again; what
    cannot be used is refused whole, and the old one stays. USR2 puts the release that is installed now in the place of
    this one, without losing a packet. The exit code is 0 after TERM or Ctrl-C, 1 when no worker would start, 2 when the
    configuration cannot be used.
    """

    def read_settings() -> RelaySettings:
        return load_relay_settings(config_path, flags, os.environ)

    settings = read_settings()
    configure(settings.log_form)
    release = version("fastrelay")
    with errors_at_their_place(settings):
        if is_rehearsal(os.environ):
            rehearse(settings, release, os.environ, click.echo)
            return
        _serve(Supervisor(settings, read_settings=read_settings, release=release))


def _serve(supervisor: Supervisor) -> None:
    # numpy's library starts threads for its algebra unless told not to before it loads; the supervisor has to fork
    # without any. Not later either: once privileges are dropped, modules may be out of reach.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from fastrelay.observe.counters import CounterPage, total  # noqa: PLC0415
    from fastrelay.observe.summary import summary  # noqa: PLC0415

    with supervisor:
        admin = "" if supervisor.admin is None else f" admin {supervisor.admin}"
        click.echo(f"ready: clients {' '.join(supervisor.listening)} trunk {' '.join(supervisor.trunks)}{admin}")
        started_s = time.monotonic()
        supervisor.serve()
        with ExitStack() as stack:
            pages = [stack.enter_context(closing(CounterPage(each))) for each in supervisor.counter_pages]
            reading = total([page.read() for page in pages])
            click.echo("\n".join(summary(reading, time.monotonic() - started_s, len(pages))))
