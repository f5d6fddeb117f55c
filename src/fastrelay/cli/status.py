"""`fastrelay status`: is a relay or a transceiver well, on one screen and as an exit code.

Lives here: the option, the exit codes. Must not live here: which facts are shown (fastrelay.observe.report).
"""

from __future__ import annotations

import json

import click
from rich.console import Console

from fastrelay.cli.keys import as_json
from fastrelay.cli.place import at_option
from fastrelay.observe.answers import Snapshot
from fastrelay.observe.client import AdminClient, parse_place
from fastrelay.observe.report import report
from fastrelay.observe.status import ServiceState

READY, NOT_READY, DRAINING = 0, 1, 3
OK = 200
WIDTH_OFF_TERMINAL = 160


@click.command()
@at_option
@as_json
@click.pass_context
def status(context: click.Context, *, at: str, as_json: bool) -> None:
    """Show what a relay or a transceiver is doing: its state, workers and keys, and what went wrong last.

    \b
    Examples:
      fastrelay status
      fastrelay status --at http://10.0.0.5:9464
      fastrelay status --json | jq -r .relay.release

    The exit code is 0 when it serves and is ready, 3 when it drains, 1 when it is not ready or does not
    answer, 2 when --at names no place.
    """
    client = AdminClient(parse_place(at))
    document = client.status()
    snapshot = Snapshot.parse(document)
    readiness = client.ask("/readyz")
    is_ready = readiness.code == OK
    said = [line.strip() for line in readiness.text.splitlines() if line.strip()]
    reasons = [] if is_ready else said or [f"/readyz answers {readiness.code}"]
    if as_json:
        click.echo(json.dumps({"is_ready": is_ready, "reasons": reasons, **document}, indent=1))
    else:
        console = Console(highlight=False)
        for line in report(snapshot, reasons, console.width if console.is_terminal else WIDTH_OFF_TERMINAL):
            console.print(line, soft_wrap=True)
    if snapshot.service.state is ServiceState.DRAINING:
        context.exit(DRAINING)
    context.exit(READY if is_ready else NOT_READY)
