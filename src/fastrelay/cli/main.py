"""The entry point: the groups of commands, and what an error becomes on a terminal.

Lives here: joining the commands, and exit codes. 0: done. 1: refused, or it failed at its work. 2: the arguments or the
configuration cannot be used. Must not live here: any command's own work.
"""

from __future__ import annotations

import sys

import click

from fastrelay.cli.bench import bench
from fastrelay.cli.check import check
from fastrelay.cli.config import config
from fastrelay.cli.doctor import doctor
from fastrelay.cli.drain import drain
from fastrelay.cli.keys import keys
from fastrelay.cli.relay import relay
from fastrelay.cli.status import status
from fastrelay.cli.token import token
from fastrelay.cli.top import top
from fastrelay.cli.trace import trace
from fastrelay.cli.transceiver import transceiver
from fastrelay.cli.up import up
from fastrelay.cli.upgrade import reload, upgrade
from fastrelay.errors import ConfigError, FastrelayError

USAGE = 2
REFUSED = 1
INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="fastrelay", prog_name="fastrelay")
def fastrelay() -> None:
    """Route WebRTC clients to the transceivers of voice agents, and forward at the speed of the kernel."""


fastrelay.add_command(bench)
fastrelay.add_command(check)
fastrelay.add_command(config)
fastrelay.add_command(doctor)
fastrelay.add_command(drain)
fastrelay.add_command(keys)
fastrelay.add_command(relay)
fastrelay.add_command(reload)
fastrelay.add_command(status)
fastrelay.add_command(token)
fastrelay.add_command(top)
fastrelay.add_command(trace)
fastrelay.add_command(transceiver)
fastrelay.add_command(up)
fastrelay.add_command(upgrade)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; never returns."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        result = fastrelay.main(arguments, prog_name="fastrelay", standalone_mode=False)
    except click.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except FastrelayError as error:
        click.echo(f"fastrelay: {error}", err=True)
        return USAGE if isinstance(error, ConfigError) else REFUSED
    # Outside its own mode click returns the code of ctx.exit(), and None when a command just ends.
    return result if isinstance(result, int) else 0
