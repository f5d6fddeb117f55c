"""`python -m bench.prepare`: builds the relays and the server of others before anybody waits for them. `make test` has
it run by `make peers-built`, which also sees to Debian's packages.

Lives here: which they are. Must not live here: how each is got (peers.install), Debian's packages (.ci/packages).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Final

import click

from bench.designs.servers import SINGLE_PORT, single_port
from bench.peers.peer import NotRun
from bench.peers.recipes import GoRelay, UvloopRelay
from bench.peers.turn import Pion

PREPARATIONS: Final[Mapping[str, Callable[[], str]]] = {
    "relay in Go": lambda: GoRelay(is_batched=True, is_shared=True).prepare(),
    "TURN server in Go": lambda: Pion().prepare(),
    SINGLE_PORT: lambda: single_port().version,
    "uvloop": lambda: UvloopRelay().prepare(),
}
"""Each returns the version of what is there now."""


@click.command()
def main() -> None:
    """Build, or fetch, each of them; what is there and up to date is left alone.

    Exit code 0: all are there. 1: one could not be had; the last lines say why.
    """
    missing = {}
    for name, prepare in PREPARATIONS.items():
        try:
            click.echo(f"{name}: {prepare()}")
        except NotRun as reason:
            missing[name] = str(reason)
    for name, why in missing.items():
        click.echo(f"{name} could not be had: {why}", err=True)
    sys.exit(bool(missing))


if __name__ == "__main__":
    main()
