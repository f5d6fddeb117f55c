"""`fastrelay relay`: run a relay on this machine.

Lives here: the options, their help, and what stands on standard output. Must not live here: what a setting means
(fastrelay.relay.settings), processes (fastrelay.relay.supervisor).
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, closing
from pathlib import Path

import click

from fastrelay.cli.keys import load_ring
from fastrelay.cli.token import cluster_number, keys_option
from fastrelay.errors import ConfigError
from fastrelay.observe.logs import FORMS, configure
from fastrelay.relay.dataplane.limits import Limits
from fastrelay.relay.settings import WORKERS_MAX, RelaySettings, parse_network
from fastrelay.relay.supervisor import Supervisor
from fastrelay.wire.address import parse_endpoint

DEFAULTS = Limits()


@click.command()
@click.option(
    "--listen",
    required=True,
    multiple=True,
    metavar="ADDR:PORT",
    help="Address for clients; give it several times for several, IPv6 as [ADDR]:PORT. 0.0.0.0 and [::] listen on "
    "every address of their family and answer from the one a client has used. Port 0: the kernel chooses.",
)
@click.option(
    "--trunk",
    required=True,
    metavar="ADDR[:PORT]",
    help="Address towards transceivers. Worker i takes PORT + i; without a port the kernel chooses. An IPv4 address "
    "reaches IPv4 transceivers; [::] reaches both families.",
)
@keys_option
@click.option(
    "--allow",
    required=True,
    multiple=True,
    metavar="CIDR",
    help="A network transceivers live in, as 10.0.0.0/8; give it several times for several. Tokens that point "
    "elsewhere, and trunk datagrams from elsewhere, are refused.",
)
@click.option(
    "--cluster", type=cluster_number, default=0, show_default=True, help="Refuse the tokens of other clusters."
)
@click.option(
    "--workers",
    type=click.IntRange(1, WORKERS_MAX),
    default=1,
    show_default=True,
    help="Worker processes, each on a CPU of its own. The kernel spreads clients over them.",
)
@click.option("--cpus", metavar="N,N…", help="The CPU of each worker, as 0,2. Default: those of this process, in turn.")
@click.option(
    "--flows",
    type=click.IntRange(min=1),
    default=DEFAULTS.flows,
    show_default=True,
    help="Clients a worker can hold. Its table takes under 96 bytes for each.",
)
@click.option(
    "--token-lifetime",
    "token_lifetime_s",
    type=click.IntRange(1, 2**32 - 1),
    default=DEFAULTS.token_lifetime_s,
    show_default=True,
    metavar="SECONDS",
    help="How long after its minting a token opens.",
)
@click.option(
    "--busy-poll",
    "busy_poll_us",
    type=click.IntRange(0, 1_000_000),
    default=0,
    show_default=True,
    metavar="USEC",
    help="Let the kernel poll the network card that long before it sleeps: lower latency, more CPU. 0: off.",
)
@click.option("--spin", is_flag=True, help="Never sleep: the lowest latency, for a whole CPU a worker.")
@click.option("--no-offload", is_flag=True, help="Leave UDP_SEGMENT and UDP_GRO alone, on a kernel that breaks them.")
@click.option("--no-latency-samples", is_flag=True, help="Ask for no receive timestamps: a few ns less a packet.")
@click.option("--user", metavar="NAME", help="Become this user once sockets are open. The key file must be theirs.")
@click.option(
    "--log",
    "log_form",
    type=click.Choice(FORMS),
    default="console",
    show_default=True,
    help="Form of the log lines on standard error.",
)
@click.option("--watch", is_flag=True, help="Show counters while it runs: tables on a terminal, else a line a second.")
def relay(
    *,
    listen: tuple[str, ...],
    trunk: str,
    keys_path: Path | None,
    allow: tuple[str, ...],
    cluster: int,
    workers: int,
    cpus: str | None,
    flows: int,
    token_lifetime_s: int,
    busy_poll_us: int,
    spin: bool,
    no_offload: bool,
    no_latency_samples: bool,
    user: str | None,
    log_form: str,
    watch: bool,
) -> None:
    """Forward clients' packets to the transceivers their route tokens name, and back.

    A client's first packet carries a route token in its ICE user name (mint one with `fastrelay token mint`). From
    then on the relay forwards that client's packets unread. It answers no one it does not know.

    \b
    Examples:
      fastrelay keys new keys.json
      fastrelay relay --listen 203.0.113.5:3478 --trunk 10.0.0.5:4000 \\
          --keys keys.json --allow 10.0.0.0/8
      fastrelay relay --listen 0.0.0.0:3478 --listen '[::]:3478' --trunk '[::]' \\
          --keys keys.json --allow 10.0.0.0/8 --allow fd00::/8 --workers 4 --user fastrelay

    When it serves, one line beginning with "ready" goes to standard output. TERM or Ctrl-C ends it, a second one at
    once. HUP reads the key ring again; a bad one is refused whole, and the old one stays. The exit code is 0 after
    TERM, 1 when a worker died, 2 when the configuration cannot be used.
    """
    configure(log_form)
    settings = RelaySettings(
        listen=tuple(parse_endpoint(text, key="--listen") for text in listen),
        trunk=parse_endpoint(trunk, default_port=0, key="--trunk"),
        allowed=tuple(parse_network(text) for text in allow),
        load_keys=lambda: load_ring(keys_path, dict(os.environ)),
        cluster=cluster,
        workers=workers,
        cpus=_cpus(cpus) if cpus is not None else (),
        limits=Limits(flows=flows, token_lifetime_s=token_lifetime_s),
        busy_poll_us=busy_poll_us,
        is_spinning=spin,
        is_offloading=not no_offload,
        samples_latency=not no_latency_samples,
        user=user,
    )
    _serve(Supervisor(settings), is_watched=watch)


def _serve(supervisor: Supervisor, *, is_watched: bool) -> None:
    # numpy's library starts threads for its algebra unless told not to before it loads; the supervisor has to fork
    # without any. Not later either: once privileges are dropped, modules may be out of reach.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from fastrelay.observe.counters import CounterPage, total  # noqa: PLC0415
    from fastrelay.observe.live import LiveView  # noqa: PLC0415
    from fastrelay.observe.summary import summary  # noqa: PLC0415

    with supervisor, ExitStack() as stack:
        pages = [stack.enter_context(closing(CounterPage(each.counter_page))) for each in supervisor.resources]
        addresses = f"clients {' '.join(supervisor.listening)} trunk {' '.join(supervisor.trunks)}"
        click.echo(f"ready: {addresses}")
        started_s = time.monotonic()
        try:
            if is_watched:
                with LiveView(pages, title=f"fastrelay relay · {addresses}") as view:
                    supervisor.serve(view.refresh)
            else:
                supervisor.serve()
        finally:
            reading = total([page.read() for page in pages])
            click.echo("\n".join(summary(reading, time.monotonic() - started_s, len(pages))))


def _cpus(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() and len(part) <= 5 for part in parts):
        raise ConfigError("--cpus", f"{text!r} is not a list of CPU numbers (write 0,2)")
    return tuple(int(part) for part in parts)
